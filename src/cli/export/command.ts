import { Command, Option } from "commander";
import { optionsOf } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";
import { withThread } from "../thread-option.ts";
import type { ExportOptions } from "./export.ts";

const EXAMPLES = `
Writes a thread as one self-contained rollout file: what a fork shares with its source is written out.
The legacy format is resumed by Codex 0.80 and later; the paginated one by 0.169 and later.

Examples:
  skein export ID > thread.jsonl
  skein export ID --format paginated --output thread.jsonl`;

export const exportCommand = (io: Io): Command =>
  withThread(new Command("export").description("write a thread as one self-contained file"))
    .addOption(
      new Option("--format <format>", "the form of the lines").choices(["legacy", "paginated"]).default("legacy"),
    )
    .option("-o, --output <file>", "write to this new file, not to standard output")
    .option("--json", "with --output: print what was written as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (thread: string | undefined, _, command: Command) => {
      const { exportThread } = await import("./export.ts");
      await exportThread({ ...optionsOf<ExportOptions>(command), thread }, io);
    });
