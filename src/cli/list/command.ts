import { Command, Option } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { ListOptions } from "./list.ts";

const EXAMPLES = `
Prints a page of the stored threads, newest first: a table on a terminal, tab-separated lines in a pipe (id, created,
updated, forked from, folder, name or first message). Sub-agents are left out unless --source or --parent asks for them.

Examples:
  skein list                           the newest 25
  skein list --sort updated --cwd .    what was worked on last in this folder
  skein list --search "wind radio"     threads that speak of both
  skein list --interrupted             what was broken off, by an interrupt or an end of the process
  skein list --all --json              all of them, as one JSON object`;

export const listCommand = (io: Io): Command =>
  new Command("list")
    .description("list the stored threads")
    .option("--limit <n>", "threads of a page", wholeNumber({ min: 1, max: 100 }), 25)
    .option("--cursor <cursor>", "go on where the last page ended")
    .option("--all", "every page")
    .addOption(new Option("--sort <time>", "newest first by").choices(["created", "updated"]).default("created"))
    .option("--archived", "only threads that are archived")
    .option("--interrupted", "only threads whose last turn did not complete")
    .option("--cwd <dir>", "only threads of this folder")
    .option("--provider <id...>", "only threads of these model providers")
    .addOption(
      new Option("--source <kind...>", "only threads started by these").choices([
        "cli",
        "vscode",
        "exec",
        "mcp",
        "subagent",
        "unknown",
      ]),
    )
    .option("--parent <thread>", "only the agents that this thread has started")
    .option("--forks-of <thread>", "only direct forks of this thread")
    .option("--search <words>", "only threads whose name or messages hold these words")
    .option("--json", "print the page as one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { listThreads } = await import("./list.ts");
      await listThreads(optionsOf<ListOptions>(command), io);
    });
