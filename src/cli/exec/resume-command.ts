import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { withSessionOptions, withTools } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import { type ThreadOptions, withThread } from "../thread-option.ts";
import type { ExecOptions } from "./options.ts";
import { resumedBy } from "./words.ts";

const EXAMPLES = `
Goes on with a stored thread. With a prompt (or one on standard input) it runs one turn, as \`skein exec resume\` does.
Without one, on a terminal, it is a conversation: a line is a turn, Ctrl-C interrupts the turn, Ctrl-D leaves.

Examples:
  skein resume ID
  skein resume --last
  skein resume ID "Where were we?"`;

export const resumeCommand = (io: Io): Command =>
  withTools(
    withSessionOptions(
      withThread(new Command("resume").description("go on with a stored thread")).argument(
        "[prompt]",
        "what to say; `-` for standard input",
      ),
    ),
  )
    .option("--json", "print a JSON line for each event, and the result as the last one")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string | undefined, prompt: string | undefined, _, command: Command) => {
      const options = optionsOf<ExecOptions & ThreadOptions>(command);
      const words = resumedBy({ thread, prompt }, options);
      if (words.prompt === undefined && io.stdin.isTTY && !options.json) {
        const { converse } = await import("./conversation.ts");
        await converse(words.thread, options, io);
        return;
      }
      const { runExec } = await import("./exec.ts");
      await runExec(words, options, io);
    });
