import { Command, Option } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import { withThread } from "../thread-option.ts";
import type { ForkOptions } from "./fork.ts";

const EXAMPLES = `
Makes a new thread that begins as another one does, up to the place that is named; by default all of it. Nothing is
copied, however long the history is. \`skein show\` prints the turns' ids and the user messages' numbers.

Examples:
  skein fork ID                            all of it
  skein fork ID --before-user-message 1    what came before the second user message
  skein fork ID --through-turn TURN        up to that turn's end
  skein exec resume "$(skein fork ID)" "Try another way."`;

export const forkCommand = (io: Io): Command =>
  withThread(new Command("fork").description("begin a new thread where another one stood"))
    .addOption(
      new Option("--before-user-message <n>", "everything before this user message, counted from 0")
        .argParser(wholeNumber({ min: 0, max: Number.MAX_SAFE_INTEGER }))
        .conflicts(["throughTurn", "beforeTurn"]),
    )
    .addOption(new Option("--through-turn <id>", "up to and including this turn").conflicts("beforeTurn"))
    .option("--before-turn <id>", "everything before this turn")
    .option("--json", "print what was made as one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string | undefined, _, command: Command) => {
      const { forkThread } = await import("./fork.ts");
      await forkThread({ ...optionsOf<ForkOptions>(command), thread }, io);
    });
