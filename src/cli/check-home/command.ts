/** The commands that look after a home folder as a whole: verify and repair. */
import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";

type CheckOptions = { readonly home?: string; readonly store?: string; readonly json?: boolean };

export const verifyCommand = (io: Io): Command =>
  new Command("verify")
    .description("look for damage in the home folder, or in a database; changes nothing")
    .option("--json", "print the whole report as one JSON object")
    .addHelpText(
      "after",
      `
Reads every rollout and names each fault with its file and place; with --store, every thread of the database, and each
fault with its thread and line. Exits with 0 when all is well, with 1 when something
is wrong.

Examples:
  skein verify
  skein verify --home /backup/skein --json`,
    )
    .action(async (_, command: Command) => {
      const { verify } = await import("./check-home.ts");
      await verify(optionsOf<CheckOptions>(command), io);
    });

export const repairCommand = (io: Io): Command =>
  new Command("repair")
    .description("mend what can be mended in the home folder")
    .option("--json", "print the whole report as one JSON object")
    .addHelpText(
      "after",
      `
Before a file is changed, its original is kept beside it as FILE.orig. A thread that is open somewhere is left alone.
Exits with 1 when something is still wrong afterwards.

Examples:
  skein verify || skein repair`,
    )
    .action(async (_, command: Command) => {
      const { repair } = await import("./check-home.ts");
      await repair(optionsOf<CheckOptions>(command), io);
    });
