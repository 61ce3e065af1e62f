import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { logLevelOption, profileOption, wholeNumber, withTools } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { WorkerCommandOptions } from "./worker.ts";

const EXAMPLES = `
Runs threads of a cluster: see docs/cluster.md. The threads lie in the database that --store names, which all workers share;
settings, credentials and skills come from the home, as for every command.

With --ingress the worker registers itself with the engine, and says so once a real invocation has come through. Workers
behind one load balancer are one address to the engine, which --uri names. By --ingress it also sends what its tools publish
to threads of other workers. Without --ingress it only listens.

A first Ctrl-C or SIGTERM takes no new turn and lets those that run come to their end, for as long as --drain says; then
other workers go on with them. A second one hands them over at once, a third one ends the process.

Examples:
  skein worker --store postgres://skein@db/skein --ingress http://restate:8080 --port 9080
  skein worker --store postgres://skein@db/skein --port 9080 --host 0.0.0.0 --identity-key publickeyv1_...
  skein cluster dev                                      all of it on this machine, to try it`;

export const workerCommand = (io: Io): Command =>
  withTools(
    new Command("worker")
      .description("run threads of a cluster")
      .option("--port <n>", "the port that the engine calls", wholeNumber({ min: 0, max: 65_535 }), 9080)
      .option("--host <address>", "the address to listen on; off the loopback --identity-key is needed", "127.0.0.1")
      .option("--ingress <url>", "the engine, http://HOST:8080, to register with")
      .option("--admin <url>", "its admin API (default: the ingress's host, port 9070)")
      .option("--no-register", "leave the registration to whoever runs the load balancer")
      .option("--uri <url>", "what to register: the load balancer's address (default: this worker's own)")
      .option("--advertise <url>", "where clients reach this worker for live events (default: where it listens)")
      .option("--identity-key <key...>", "the engine's public keys: only what it has signed is answered")
      .option("--drain <seconds>", "how long turns may go on at the end", wholeNumber({ min: 0, max: 86_400 }), 30)
      .addOption(profileOption())
      .option("-m, --model <model>", "the model of threads that name none")
      .option("--scripted", "the demo's script and tool in place of a model, to try a cluster")
      .addOption(logLevelOption()),
  )
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { runWorker } = await import("./worker.ts");
      await runWorker(optionsOf<WorkerCommandOptions>(command), io);
    });
