import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber, withSessionOptions, withTools } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { RecoverCommandOptions } from "./recover.ts";

const EXAMPLES = `
Finds the threads whose turn was left open by a process that died, goes on with these turns, and waits for their ends. Each
runs with the folder, the policies and the model of its last request; nobody is asked for an approval, so what would need one
is refused, unless --ask-for-approval says otherwise. Ctrl-C interrupts the turns that run.

A call of a tool that was cut off is made again only where its tool says that it may be; the model is told of the others.
Exits with 1 when a thread could not be loaded, or a turn failed.

Examples:
  skein recover
  skein recover --only-cwd . --json
  skein -c 'recovery="continue"' app-server      a server that does the same as it starts`;

export const recoverCommand = (io: Io): Command =>
  withTools(withSessionOptions(new Command("recover").description("go on with turns that a process has left open")))
    .option("--concurrency <n>", "threads that are loaded at once", wholeNumber({ min: 1, max: 1_000 }), 8)
    .option("--only-cwd <dir>", "only threads of this folder")
    .option("--json", "print one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { recover } = await import("./recover.ts");
      await recover(optionsOf<RecoverCommandOptions>(command), io);
    });
