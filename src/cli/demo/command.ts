import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { DemoOptions } from "./demo.ts";

const EXAMPLES = `
Starts some agents under one supervisor and drives their turns side by side. One of them uses a function tool, one is
forked at its second user message and both branches go on, one is interrupted in a turn that would never end, and one
is removed. A scripted model answers, so no key and no network are needed.

The threads are stored in a temporary folder that is removed at the end, or in the folder that --home names, for
\`skein list\` and \`skein show\` to look at.

On top of --threads times --turns come: one turn for each branch of the fork, the interrupted turn, and with --turns 1
a second turn of the agent that is forked.

Examples:
  skein demo                                  a live view on a terminal, plain lines in a pipe
  skein demo --threads 200 --turns 5          more of it
  skein demo --studio                         in the browser, where it can be asked, interrupted and forked
  skein demo --threads 10000 --turns 1 --json | tail -n 1
                                              ten thousand agents, and only the summary of them`;

export const demoCommand = (io: Io): Command =>
  new Command("demo")
    .description("watch a small orchestrator drive agents (no key, no network)")
    .option("--threads <n>", "how many agents to start", wholeNumber({ min: 1, max: 1_000_000 }), 5)
    .option("--turns <n>", "turns of each agent", wholeNumber({ min: 1, max: 100_000 }), 3)
    .option("--studio", "go on until Ctrl-C, and show it in the browser: see `skein studio`")
    .option("--no-open", "with --studio: only print the address")
    .option("--json", "print a JSON line for each event, and a summary as the last one")
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { runDemo } = await import("./demo.ts");
      await runDemo(optionsOf<DemoOptions>(command), io);
    });
