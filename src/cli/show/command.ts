import { Command } from "commander";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";

const EXAMPLES = `
Prints the conversation of a thread, what it inherits from the thread it was forked from included. Every turn has its
id and every user message its number, as \`skein fork\` takes them.

Examples:
  skein show 0198c6a2-5f7e-7c3a-9d43-2b1f0e6a7c11
  skein show ID --last 3               the last three turns
  skein show ID --json                 what is known of it, then each stored line, as JSON lines
  skein show ./rollout-2026-01-02T03-04-05-ID.jsonl`;

export type ShowOptions = { readonly home?: string; readonly last?: number; readonly json?: boolean };

export const showCommand = (io: Io): Command =>
  new Command("show")
    .description("print a thread's conversation")
    .argument("<thread>", "the thread's id, or the path of its rollout file")
    .option("--last <n>", "only the last turns", wholeNumber({ min: 1, max: 1_000_000 }))
    .option("--json", "print JSON lines")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string, _, command: Command) => {
      const { showThread } = await import("./show.ts");
      await showThread(thread, command.optsWithGlobals<ShowOptions>(), io);
    });
