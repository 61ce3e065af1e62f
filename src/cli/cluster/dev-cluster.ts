/** A cluster on this machine, for as long as somebody holds it. */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineError, type EngineHost } from "../engines/engine-package.ts";
import { freePort } from "../engines/free-port.ts";
import { answerOf, LeashedProcess } from "../engines/leashed-process.ts";
import { PostgresEngine } from "../engines/postgres-engine.ts";
import { RestateEngine } from "../engines/restate-engine.ts";
import { Balancer } from "./balancer.ts";
import { register, untilInvoked } from "./registration.ts";

export type DevClusterOptions = EngineHost & {
  readonly workers: number;
  /** Workers answer by the demo's script, and have its tool. */
  readonly scripted: boolean;
  readonly home: string;
  readonly signal: AbortSignal;
};

const WORKER_READY_MS = 60_000;
/** Of a worker that is asked to end: the seconds that its turns get, and when it is ended by force. */
const DRAIN_S = 5;
const WORKER_GRACE_MS = 15_000;

export class DevCluster implements AsyncDisposable {
  readonly ingress: string;
  readonly admin: string;
  readonly store: string;
  readonly workers: number;
  /** Rejects when a part of it ends by itself. */
  readonly broken: Promise<never>;
  readonly #held: Held;

  private constructor(postgres: PostgresEngine, restate: RestateEngine, workers: readonly DevWorker[], held: Held) {
    this.ingress = restate.ingress;
    this.admin = restate.admin;
    this.store = postgres.url;
    this.workers = workers.length;
    this.#held = held;
    this.broken = new Promise((_, reject) => {
      // What ends with the cluster has no last words any more.
      const watch = (exited: Promise<unknown>, failure: () => EngineError) =>
        void exited.then(() => !held.isGoing && reject(failure()));
      for (const worker of workers) watch(worker.exited, () => worker.failure());
      watch(postgres.exited, () => new EngineError(`PostgreSQL ended:\n${postgres.lastWords}`));
      watch(restate.exited, () => new EngineError(`restate-server ended:\n${restate.lastWords}`));
    });
    this.broken.catch(() => undefined); // whoever waits hears of it
  }

  /** Resolves when an invocation has come through. Nothing is left behind when it rejects. @throws EngineError, the signal's reason */
  static async start(options: DevClusterOptions): Promise<DevCluster> {
    const held = new Held();
    try {
      return await DevCluster.#start(options, held);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async #start(options: DevClusterOptions, held: Held): Promise<DevCluster> {
    const { signal, onProgress } = options;
    const postgres = held.hold(await PostgresEngine.create(options));
    const restate = held.hold(await RestateEngine.create(options));
    const balancer = held.hold(await Balancer.listen());
    onProgress?.(`starting ${options.workers} workers`);
    const workers: DevWorker[] = [];
    for (let n = 1; n <= options.workers; n += 1)
      workers.push(held.hold(await DevWorker.start(n, { ingress: restate.ingress, store: postgres.url }, options)));
    await balancer.serve(workers.map(({ url }) => url));
    await answerOf(() => allWell(balancer, workers), { deadlineMs: WORKER_READY_MS, signal });
    onProgress?.("waiting for the first invocation");
    await register({ admin: restate.admin, uri: balancer.url, signal });
    await untilInvoked({ ingress: restate.ingress, signal });
    return new DevCluster(postgres, restate, workers, held);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]();
  }
}

async function allWell(balancer: Balancer, workers: readonly DevWorker[]): Promise<void> {
  const ended = workers.find(({ hasExited }) => hasExited);
  if (ended !== undefined) throw ended.failure();
  await balancer.check();
  if (balancer.well < workers.length) throw new EngineError(`${balancer.well} of ${workers.length} workers are ready`);
}

/** What was started, to be ended the other way round. */
class Held implements AsyncDisposable {
  readonly #all: AsyncDisposable[] = [];
  isGoing = false;

  hold<T extends AsyncDisposable>(value: T): T {
    this.#all.push(value);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isGoing = true;
    for (let last = this.#all.pop(); last !== undefined; last = this.#all.pop()) await last[Symbol.asyncDispose]();
  }
}

/** One `skein worker`, a process of its own. */
class DevWorker implements AsyncDisposable {
  readonly url: string;
  readonly #n: number;
  readonly #folder: string;
  readonly #process: LeashedProcess;

  private constructor(n: number, url: string, folder: string, process: LeashedProcess) {
    this.#n = n;
    this.url = url;
    this.#folder = folder;
    this.#process = process;
  }

  static async start(
    n: number,
    { ingress, store }: { ingress: string; store: string },
    { scripted, home }: DevClusterOptions,
  ): Promise<DevWorker> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "skein-worker-"));
    const place = ["--ingress", ingress, "--no-register", "--port", String(port)];
    const flags = [...place, "--drain", String(DRAIN_S), ...(scripted ? ["--scripted"] : [])];
    const launched = new LeashedProcess({
      argv: [process.execPath, ...process.execArgv, process.argv[1] ?? "", "worker", "--home", home, ...flags],
      env: { ...process.env, SKEIN_STORE: store, RESTATE_LOGGING: "ERROR" },
      log: join(folder, "worker.log"),
      folder,
      ending: "SIGTERM",
      graceMs: WORKER_GRACE_MS,
    });
    return new DevWorker(n, `http://127.0.0.1:${port}`, folder, launched);
  }

  get exited(): Promise<unknown> {
    return this.#process.exited;
  }

  get hasExited(): boolean {
    return this.#process.hasExited;
  }

  failure(): EngineError {
    return new EngineError(`worker ${this.#n} ended:\n${this.#process.lastWords}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
