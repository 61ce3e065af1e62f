import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { TopOptions } from "./top.ts";
import type { TreeOptions } from "./tree.ts";

const TREE_EXAMPLES = `
Agents stand under the thread that started them, forks under their source. With --connect the threads of a running
app-server are shown, with what each does now; nothing is loaded by looking.

  ▶ active   ‖ waits for an answer   ▲ failed   ○ idle   · not loaded   ↳ fork

Examples:
  skein tree
  skein tree --connect ws://127.0.0.1:4500 --watch
  skein tree --json | jq -r .id`;

const TOP_EXAMPLES = `
The threads that work, wait or have failed, those that wait first, with tokens and what each does; and the server's figures.

Examples:
  skein top --connect ws://127.0.0.1:4500
  skein top --connect unix:/tmp/skein.sock | head          once, in a pipe
  skein top --connect ws://127.0.0.1:4500 --json | jq .eventLoop`;

const source = (command: Command): Command =>
  command
    .option("--connect <url>", "ws://HOST:PORT or unix:/PATH of a running app-server; without it, the home")
    .option("--ws-token-file <file>", "the file that holds that server's token");

export const treeCommand = (io: Io): Command =>
  source(new Command("tree"))
    .description("show threads as a tree of agents and forks")
    .option("--watch", "go on showing it, until Ctrl-C")
    .option("--json", "a JSON line for each thread; with --watch, for each change too")
    .addHelpText("after", TREE_EXAMPLES)
    .action(async (_, command: Command) => {
      const { showTree } = await import("./tree.ts");
      await showTree(optionsOf<TreeOptions>(command), io);
    });

export const topCommand = (io: Io): Command =>
  source(new Command("top"))
    .description("show the threads that work, and the server's figures")
    .option("--json", "one JSON object: the figures, and the threads")
    .option("-n, --lines <n>", "how many threads, in a pipe", wholeNumber({ min: 1, max: 100_000 }), 50)
    .addHelpText("after", TOP_EXAMPLES)
    .action(async (_, command: Command) => {
      const { showTop } = await import("./top.ts");
      await showTop(optionsOf<TopOptions>(command), io);
    });
