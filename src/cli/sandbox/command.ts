import { Command, Option } from "commander";
import { repeated } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";
import type { SandboxOptions } from "./sandbox.ts";

const EXAMPLES = `
Runs one command as an agent's would run: the whole disk can be read, only the folder and what is named by --root (and /tmp)
can be written, there is no network and no Unix socket. It gives the command's own exit status; 1 with an error when the
command cannot be confined, which then does not run. See docs/sandbox.md.

Examples:
  skein sandbox -- npm test
  skein sandbox --mode read-only -- sh -c 'touch x'
  skein sandbox --network -- curl -sI https://example.com
  skein sandbox --profile private -- tmux new-session -d`;

export const sandboxCommand = (io: Io): Command =>
  new Command("sandbox")
    .description("run one command in the sandbox that agents' commands get")
    .argument("<command...>", "the command and its arguments, behind --")
    .addOption(
      new Option("--mode <mode>", "what it may write")
        .choices(["read-only", "workspace-write"])
        .default("workspace-write"),
    )
    .addOption(
      new Option("--profile <profile>", "private: with Unix sockets of its own, the host's masked")
        .choices(["strict", "private"])
        .default("strict"),
    )
    .option("--network", "with network access (workspace-write)")
    .option("--cwd <dir>", "the folder to run it in")
    .option("--root <dir>", "a further folder that it may write; may be repeated", repeated)
    .addHelpText("after", EXAMPLES)
    .action(async (argv: string[], _, command: Command) => {
      const { runSandboxed } = await import("./sandbox.ts");
      await runSandboxed(argv, command.opts<SandboxOptions>(), io);
    });
