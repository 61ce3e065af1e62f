/** What `skein cluster dev` does. */
import { untilAborted } from "../../kernel/abort-listeners.ts";
import { engineCache } from "../engines/engine-package.ts";
import { EXIT, Exit } from "../failure.ts";
import { homeOf } from "../home-folder.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { Progress } from "../terminal/progress.ts";
import { playOnCluster } from "./cluster-demo.ts";
import { DevCluster } from "./dev-cluster.ts";

export type DevOptions = {
  readonly keep?: boolean;
  readonly workers: number;
  readonly homeModel?: boolean;
  readonly threads: number;
  readonly turns: number;
  readonly json?: boolean;
  readonly home?: string;
};

/** Every way out ends what was started. @throws EngineError, ClusterUnavailableError */
export async function runDevCluster(options: DevOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  let failed = 0;
  try {
    const told = new Steps(io);
    await using cluster = await told.during((onProgress) =>
      DevCluster.start({
        workers: options.workers,
        scripted: options.homeModel !== true,
        home: homeOf(options, io),
        cache: engineCache(io.env),
        signal,
        onProgress,
      }),
    );
    if (options.homeModel !== true) failed = await playOnCluster(options, cluster, { io, signal });
    await drained(io.stdout);
    if (options.keep === true || options.homeModel === true) {
      if (!signal.aborted) io.stderr.write(`${howToUse(cluster)}\n`);
      await stillness(cluster, signal);
    }
    if (!signal.aborted) io.stderr.write("ending the cluster\n");
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  interruption.throwIfInterrupted();
  if (failed > 0) throw new Exit(EXIT.failed);
}

/** What is being done: in place on a terminal, a line for each kind of step elsewhere. */
class Steps {
  readonly #io: Io;

  constructor(io: Io) {
    this.#io = io;
  }

  async during<T>(work: (onProgress: (text: string) => void) => Promise<T>): Promise<T> {
    using progress = new Progress(this.#io);
    const { stderr } = this.#io;
    let last = "";
    return await work((text) => {
      progress.show(() => text);
      const step = text.split(" ... ")[0] ?? text;
      if (step === last || stderr.isTTY === true) return;
      last = step;
      stderr.write(`${step}\n`);
    });
  }
}

/** Until the interruption, or until a part of the cluster ends by itself. @throws EngineError */
async function stillness(cluster: DevCluster, signal: AbortSignal): Promise<void> {
  await Promise.race([untilAborted(signal), cluster.broken]);
}

const howToUse = ({ ingress, store, admin, workers }: DevCluster): string => `
the cluster is up: ${workers} workers. Ctrl-C ends it; its threads are gone then.

  in a program    import { connect } from "skein/cluster";
                  const threads = connect({ ingress: "${ingress}" });
  its threads     skein list --store ${store}
  the engine      ${admin}`;
