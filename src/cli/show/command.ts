import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import { ALL_HELP, LAST_HELP, THREAD_HELP } from "../thread-option.ts";
import type { ShowOptions } from "./show.ts";

const EXAMPLES = `
Prints the conversation of a thread, what it inherits from the thread it was forked from included. Every turn has its
id and every user message its number, as \`skein fork\` takes them.

Examples:
  skein show 0198c6a2-5f7e-7c3a-9d43-2b1f0e6a7c11
  skein show 0198c6a2                  the beginning of an id will do, and so will a name
  skein show --last                    the thread that was used last in this folder
  skein show ID --last 3               the last three turns
  skein show ID --json                 what is known of it, then each stored line, as JSON lines
  skein show ./rollout-2026-01-02T03-04-05-ID.jsonl`;

export const showCommand = (io: Io): Command =>
  new Command("show")
    .description("print a thread's conversation")
    .argument("[thread]", THREAD_HELP)
    .option(
      "--last [n]",
      `only the last n turns; without a thread: of ${LAST_HELP}`,
      wholeNumber({ min: 1, max: 1_000_000 }),
    )
    .option("--all", `without a thread: ${ALL_HELP}`)
    .option("--json", "print JSON lines")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string | undefined, _, command: Command) => {
      const { showThread } = await import("./show.ts");
      await showThread(thread, optionsOf<ShowOptions>(command), io);
    });
