/** The commands that put threads away: archive, unarchive and delete. */
import { Command } from "commander";
import type { Io } from "../terminal/io.ts";

type ShelfOptions = { readonly home?: string; readonly json?: boolean; readonly yes?: boolean };

const ids = "<id...>";
const idsHelp = "the threads' ids";
const jsonHelp = "print a JSON line for each thread";

export const archiveCommand = (io: Io): Command =>
  new Command("archive")
    .description("put threads away: they leave the list and stay whole")
    .argument(ids, idsHelp)
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
    .option("--json", jsonHelp)
    .addHelpText("after", "\nExamples:\n  skein list --archived\n  skein unarchive ID")
    .action((threads: string[], _, command: Command) => putAway("unarchive", threads, command, io));

export const deleteCommand = (io: Io): Command =>
  new Command("delete")
    .description("delete threads for good")
    .argument(ids, idsHelp)
    .option("-y, --yes", "do not ask, where a terminal could be asked")
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
  const { shelve } = await import("./shelf.ts");
  await shelve(verb, threads, command.optsWithGlobals<ShelfOptions>(), io);
}
