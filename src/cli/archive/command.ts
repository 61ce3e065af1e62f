/** The commands that put threads away: archive, unarchive and delete. */
import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";
import { ALL_HELP, LAST_HELP, THREAD_HELP } from "../thread-option.ts";
import type { ArchiveOptions } from "./archive.ts";

const ids = "[thread...]";
const idsHelp = `each ${THREAD_HELP}`;
const jsonHelp = "print a JSON line for each thread";

export const archiveCommand = (io: Io): Command =>
  new Command("archive")
    .description("put threads away: they leave the list and stay whole")
    .argument(ids, idsHelp)
    .option("--last", LAST_HELP)
    .option("--all", ALL_HELP)
    .option("--json", jsonHelp)
    .addHelpText(
      "after",
      `
Forks of an archived thread go on as before. \`skein unarchive\` brings it back; so does resuming it.

Examples:
  skein archive ID
  skein list --cwd . | cut -f1 | xargs skein archive`,
    )
    .action((threads: string[], _, command: Command) => putAway("archive", threads, command, io));

export const unarchiveCommand = (io: Io): Command =>
  new Command("unarchive")
    .description("bring archived threads back")
    .argument(ids, idsHelp)
    .option("--last", `${LAST_HELP}, of the archived ones`)
    .option("--all", ALL_HELP)
    .option("--json", jsonHelp)
    .addHelpText("after", "\nExamples:\n  skein list --archived\n  skein unarchive ID")
    .action((threads: string[], _, command: Command) => putAway("unarchive", threads, command, io));

export const deleteCommand = (io: Io): Command =>
  new Command("delete")
    .description("delete threads for good")
    .argument(ids, idsHelp)
    .option("-y, --yes", "do not ask, where a terminal could be asked")
    .option("--last", LAST_HELP)
    .option("--all", ALL_HELP)
    .option("--json", jsonHelp)
    .addHelpText(
      "after",
      `
Forks of a deleted thread keep all that they share with it. On a terminal you are asked first.

Examples:
  skein delete ID
  skein delete --yes ID1 ID2`,
    )
    .action((threads: string[], _, command: Command) => putAway("delete", threads, command, io));

async function putAway(
  verb: "archive" | "unarchive" | "delete",
  threads: readonly string[],
  command: Command,
  io: Io,
): Promise<void> {
  const { changeArchive } = await import("./archive.ts");
  await changeArchive(verb, threads, optionsOf<ArchiveOptions>(command), io);
}
