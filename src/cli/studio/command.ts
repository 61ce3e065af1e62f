import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import type { Io } from "../terminal/io.ts";
import type { StudioCommandOptions } from "./studio.ts";

const EXAMPLES = `
Serves a page that shows threads at work: who started or forked whom, what each does now, its conversation, machine,
events and figures, and the questions of all. The address that is printed opens it once, in one browser; Enter prints
another. Nothing leaves this machine.

Without --connect it opens the home itself, and only looks until the page asks to act. With --connect it shows a running
app-server. To reach the page from elsewhere, forward its port: ssh -L 4510:127.0.0.1:4510 HOST.

Examples:
  skein studio                                         the threads of the home
  skein studio --connect ws://127.0.0.1:4500           a running app-server, over its socket
  skein studio --connect unix:/tmp/skein.sock --read-only
  skein demo --studio                                  an orchestrator at work, to try it`;

export const studioCommand = (io: Io): Command =>
  new Command("studio")
    .description("see threads at work in the browser")
    .option("--listen <url>", "ws://IP:PORT on loopback", "ws://127.0.0.1:0")
    .option("--connect <url>", "ws://HOST:PORT or unix:/PATH of a running app-server")
    .option("--ws-token-file <file>", "the file that holds that server's token")
    .option("--read-only", "the page may look, and nothing else")
    .option("--no-open", "only print the address")
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { runStudio } = await import("./studio.ts");
      await runStudio(optionsOf<StudioCommandOptions>(command), io);
    });
