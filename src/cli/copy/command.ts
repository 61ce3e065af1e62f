import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";
import type { CopyCommandOptions } from "./copy.ts";

const EXAMPLES = `
Copies threads between a home folder and a database, or two of either, as they are stored: with their names, forks as
forks, the archived as archived. Nothing is changed where they come from, and nothing is overwritten where they go: what is
there and the same is passed over, what differs is told. A copy that broke off is gone on with by the same command.

Exits with 0 when every thread is there, with 1 when one is not, or is another one there; each is told with the reason. A
thread that somebody writes meanwhile is busy: copy it again when it rests.

Examples:
  skein copy --to postgres://skein@db/skein                       this home's threads
  skein copy --from postgres://skein@db/skein --to ./backup ID    one thread, into files
  skein copy --from ~/.codex --to ~/.skein --json                 a JSON line for each thread, and the sum of all`;

export const copyCommand = (io: Io): Command =>
  new Command("copy")
    .description("copy threads from a home or a database to another")
    .argument("[thread...]", "each a thread's id, the beginning of it, or its name; default: all")
    .option(
      "--from <home|url>",
      "where they are: a folder or postgres://... (default: what the other commands work on)",
    )
    .requiredOption("--to <home|url>", "where they go: a folder, made where it is missing, or postgres://...")
    .option("--json", "print JSON lines")
    .addHelpText("after", EXAMPLES)
    .action(async (threads: string[], _, command: Command) => {
      const { copy } = await import("./copy.ts");
      await copy(threads, optionsOf<CopyCommandOptions>(command), io);
    });
