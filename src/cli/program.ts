import { Command, CommanderError } from "commander";
import { withoutSecretShapes } from "../protocol/secrets.ts";
import { CODEX_VERSION, VERSION } from "../version.ts";
import { appServerCommand } from "./app-server/command.ts";
import { archiveCommand, deleteCommand, unarchiveCommand } from "./archive/command.ts";
import { endUnread } from "./asked-end.ts";
import { repairCommand, verifyCommand } from "./check-home/command.ts";
import { clusterCommand } from "./cluster/command.ts";
import { copyCommand } from "./copy/command.ts";
import { demoCommand } from "./demo/command.ts";
import { execCommand, reviewCommand } from "./exec/command.ts";
import { resumeCommand } from "./exec/resume-command.ts";
import { exportCommand } from "./export/command.ts";
import { EXIT } from "./failure.ts";
import { forkCommand } from "./fork/command.ts";
import { withGlobalOptions, withoutEqualsSigns } from "./global-options.ts";
import { listCommand } from "./list/command.ts";
import { loadCommand } from "./load/command.ts";
import { loginCommand, logoutCommand } from "./login/command.ts";
import { endWithOutput } from "./output-end.ts";
import { recoverCommand } from "./recover/command.ts";
import { sandboxCommand } from "./sandbox/command.ts";
import { imageOption, withSessionOptions } from "./session-options.ts";
import { showCommand } from "./show/command.ts";
import { studioCommand } from "./studio/command.ts";
import type { Io } from "./terminal/io.ts";
import { topCommand, treeCommand } from "./tree/command.ts";
import { workerCommand } from "./worker/command.ts";

/** Every command, in the order of the help. */
const commands: readonly CommandMaker[] = [
  demoCommand,
  execCommand,
  resumeCommand,
  reviewCommand,
  appServerCommand,
  loginCommand,
  logoutCommand,
  listCommand,
  showCommand,
  forkCommand,
  archiveCommand,
  unarchiveCommand,
  deleteCommand,
  exportCommand,
  copyCommand,
  recoverCommand,
  verifyCommand,
  repairCommand,
  sandboxCommand,
  loadCommand,
  studioCommand,
  treeCommand,
  topCommand,
  clusterCommand,
  workerCommand,
];

/** The whole command line, none of its work loaded. */
export function buildProgram(io: Io): Command {
  const program = new Command("skein")
    .description("A runtime for agent threads: durable, forkable conversations, any number side by side.")
    .version(`codex-cli ${CODEX_VERSION} (skein ${VERSION})`, "-V, --version", "print the version")
    .enablePositionalOptions()
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .addHelpText("after", "\nRun `skein demo` to see it at work: no key and no network needed.");
  withGlobalOptions(withSessionOptions(program)).addOption(imageOption().hideHelp());
  for (const make of commands) program.addCommand(withGlobalOptions(make(io)));
  prepare(program, io);
  return program;
}

/** Commander does not hand these settings down to commands that are added whole. */
function prepare(command: Command, io: Io): void {
  command.exitOverride().showHelpAfterError(`(see \`${pathOf(command)} --help\`)`);
  command.configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(withoutSecretShapes(text)), // it may quote an address with its password
    getOutHelpWidth: () => io.stdout.columns || 100,
    getErrHelpWidth: () => io.stderr.columns || 100,
  });
  for (const child of command.commands) prepare(child, io);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** Runs one command line and gives its exit code: 0, 1 when it failed, 2 when it was not understood. */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  endWithOutput(io);
  try {
    const program = buildProgram(io);
    if (args.length === 0) {
      program.outputHelp();
      return EXIT.ok;
    }
    await program.parseAsync(withoutEqualsSigns(args), { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const { exitCodeOf } = await import("./failure.ts");
    return exitCodeOf(error, io.stderr);
  } finally {
    endUnread();
  }
}

/** Makes one command of the program. What the command works with is imported when it runs, so that help is quick. */
type CommandMaker = (io: Io) => Command;
