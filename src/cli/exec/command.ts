import { Command, Option } from "commander";
import { repeated, type SessionOptions, withSessionOptions } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";

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
  skein exec --json --output-schema answer.schema.json "Name three rivers." | jq .
  skein exec -c model_provider=ollama -m qwen3 "Hello"

@openai/codex-sdk runs on Skein with codexPathOverride set to the path of \`skein\`: see --experimental-json.`;

export type ExecOptions = SessionOptions & {
  readonly json?: boolean;
  readonly experimentalJson?: boolean;
  readonly outputSchema?: string;
  readonly outputLastMessage?: string;
  readonly image?: readonly string[];
};

export const execCommand = (io: Io): Command =>
  withSessionOptions(
    new Command("exec")
      .description("run one turn: ask an agent, and stream its answer")
      .usage("[options] [PROMPT] [resume ID] | [options] resume ID [PROMPT]")
      .argument("[words...]", "the prompt, or `-` for standard input; `resume ID` goes on with a stored thread"),
  )
    .option("-i, --image <file>", "show this image too; may be repeated", repeated)
    .option("--output-schema <file>", "a JSON Schema that the final message has to fit; only that message is printed")
    .option("-o, --output-last-message <file>", "write the final message to this file as well")
    .option("--json", "print a JSON line for each event, and the result as the last one")
    .option("--experimental-json", "print the JSON lines of `codex exec`, as @openai/codex-sdk reads them")
    .option("--add-dir <dir>", "a further folder to write in, with --sandbox workspace-write; repeatable", repeated)
    .addOption(new Option("--skip-git-repo-check", "taken for Codex's sake: Skein has no such check").hideHelp())
    .addOption(new Option("--thread-source <name>", "taken for Codex's sake").hideHelp())
    .addOption(new Option("--cyber-access-program <name>", "taken for Codex's sake").hideHelp())
    .addHelpText("after", EXAMPLES)
    .action(async (words: string[], _, command: Command) => {
      const { runExec } = await import("./exec.ts");
      await runExec(words, command.optsWithGlobals<ExecOptions>(), io);
    });
