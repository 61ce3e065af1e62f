import { Command, Option } from "commander";
import { optionsOf } from "../global-options.ts";
import { imageOption, withSessionOptions, withTools } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import { type ThreadOptions, withThread } from "../thread-option.ts";
import type { ExecOptions, ReviewOptions } from "./options.ts";
import { forkedFrom, readWords, resumedBy } from "./words.ts";

const EXAMPLES = `
Runs one turn. The answer goes to standard output as it comes; tools, approvals and notes go to standard error. A prompt
of \`-\`, or none where the input is no terminal, is read from standard input.

The model is that of config.toml in the home folder, or OpenAI's with OPENAI_API_KEY. With neither, a scripted client
answers, and says so.

Exits with 0 when the turn is complete, 1 when it failed, 2 for wrong usage, 130 when it was interrupted: the first
Ctrl-C interrupts the turn, the second one quits at once.

Examples:
  skein exec "What does this folder hold?" --tools shell --sandbox read-only
  git diff | skein exec - --model gpt-5.2
  skein exec resume ID "And now the tests."
  skein exec resume --last "And now the tests."
  skein exec fork ID "And in another way."
  skein exec --json --output-schema answer.schema.json "Name three rivers." | jq .
  skein exec -c model_provider=ollama -m qwen3 "Hello"

@openai/codex-sdk runs on Skein with codexPathOverride set to the path of \`skein\`: see --experimental-json.`;

export const execCommand = (io: Io): Command =>
  withTurnOptions(
    new Command("exec")
      .alias("e")
      .description("run one turn: ask an agent, and stream its answer")
      .usage("[options] [PROMPT] | [options] resume|fork THREAD [PROMPT] | [options] review [INSTRUCTIONS]")
      .argument("[words...]", "the prompt, or `-` for standard input"),
  )
    .addCommand(execResumeCommand(io))
    .addCommand(execForkCommand(io))
    .addCommand(reviewOf(new Command("review"), io))
    .addHelpText("after", EXAMPLES)
    .action(async (words: string[], _, command: Command) => {
      const { runExec } = await import("./exec.ts");
      await runExec(readWords(words), optionsOf<ExecOptions>(command), io);
    });

/** `skein exec resume`: the words after it are a thread and a prompt; with `--last`, a prompt alone. */
const execResumeCommand = (io: Io): Command =>
  withThread(new Command("resume").description("go on with a stored thread"))
    .argument("[prompt]", "what to say; `-` for standard input")
    .action(async (thread: string | undefined, prompt: string | undefined, _, command: Command) => {
      const { runExec } = await import("./exec.ts");
      const options = optionsOf<ExecOptions & ThreadOptions>(command);
      await runExec(resumedBy({ thread, prompt }, options), options, io);
    });

/** `skein exec fork`: the prompt is said to a new thread that begins as another one does. */
const execForkCommand = (io: Io): Command =>
  withThread(new Command("fork").description("go on with a new thread that begins as a stored one does"))
    .argument("[prompt]", "what to say; `-` for standard input")
    .action(async (thread: string | undefined, prompt: string | undefined, _, command: Command) => {
      const { runExec } = await import("./exec.ts");
      const options = optionsOf<ExecOptions & ThreadOptions>(command);
      await runExec(forkedFrom({ thread, prompt }, options), options, io);
    });

const reviewOf = (command: Command, io: Io): Command =>
  command
    .description("have the changes of the folder reviewed")
    .argument("[instructions...]", "what to look at, in words; `-` for standard input")
    .option("--uncommitted", "staged, unstaged and untracked changes")
    .option("--base <branch>", "what a merge into this branch would bring")
    .option("--commit <sha>", "what this commit brought")
    .option("--title <title>", "the commit's title, for the reader")
    .addHelpText("after", "\nExamples:\n  skein review --uncommitted\n  skein exec review --base main --json")
    .action(async (words: string[], _, self: Command) => {
      const { runReview } = await import("./exec.ts");
      await runReview(words, optionsOf<ReviewOptions>(self), io);
    });

/** `skein review`, with the options of a turn; `skein exec review` has them of `exec`. */
export const reviewCommand = (io: Io): Command => reviewOf(withTurnOptions(new Command("review")), io);

const withTurnOptions = (command: Command): Command =>
  withTools(withSessionOptions(command))
    .addOption(imageOption())
    .option("--output-schema <file>", "a JSON Schema that the final message has to fit; only that message is printed")
    .option("-o, --output-last-message <file>", "write the final message to this file as well")
    .option("--json", "print a JSON line for each event, and the result as the last one")
    .option("--experimental-json", "print the JSON lines of `codex exec`, as @openai/codex-sdk reads them")
    .option("--ephemeral", "store nothing of a new thread")
    .option("--ignore-user-config", "leave config.toml of the home unread; what is signed in counts")
    .addOption(new Option("--skip-git-repo-check", "taken for Codex's sake: Skein has no such check").hideHelp())
    .addOption(new Option("--trust", "taken for Codex's sake: config.toml of a project is not read").hideHelp())
    .addOption(new Option("--ignore-rules", "taken for Codex's sake: there are no rule files").hideHelp())
    .addOption(new Option("--color <when>", "taken for Codex's sake").hideHelp())
    .addOption(new Option("--thread-source <name>", "taken for Codex's sake").hideHelp())
    .addOption(new Option("--cyber-access-program <name>", "taken for Codex's sake").hideHelp());
