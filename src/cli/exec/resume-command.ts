import { Command } from "commander";
import { withSessionOptions } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { ExecOptions } from "./command.ts";

const EXAMPLES = `
Goes on with a stored thread. With a prompt (or one on standard input) it runs one turn, as \`skein exec resume\` does.
Without one, on a terminal, it is a conversation: a line is a turn, Ctrl-C interrupts the turn, Ctrl-D leaves.

Examples:
  skein resume ID
  skein resume ID "Where were we?"`;

export const resumeCommand = (io: Io): Command =>
  withSessionOptions(
    new Command("resume")
      .description("go on with a stored thread")
      .argument("<thread>", "the thread's id, or the path of its rollout file")
      .argument("[prompt]", "what to say; `-` for standard input"),
  )
    .option("--json", "print a JSON line for each event, and the result as the last one")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string, prompt: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<ExecOptions>();
      if (prompt === undefined && io.stdin.isTTY && !options.json) {
        const { converse } = await import("./conversation.ts");
        await converse(thread, options, io);
        return;
      }
      const { runExec } = await import("./exec.ts");
      await runExec(["resume", thread, ...(prompt === undefined ? [] : [prompt])], options, io);
    });
