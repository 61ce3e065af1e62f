/** A real engine, workers in this process, and what balances between them. */
import { connect as connectTo, createServer, type ServerHttp2Stream } from "node:http2";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { RestateEngine } from "../../src/cli/engines/restate-engine.ts";
import type { ConnectOptions } from "../../src/cluster/connect.ts";
import { type Cluster, connect, createWorker, type Worker } from "../../src/cluster/index.ts";
import { type SkeinLogger, ThreadManager, type ThreadManagerOptions, type ThreadStore } from "../../src/index.ts";
import { silentLog } from "../../src/kernel/log.ts";

/** One engine for the tests of a file: a cluster's workers are registered with it in place of those before. */
let engine: Promise<RestateEngine> | undefined;

export const theEngine = (): Promise<RestateEngine> => {
  engine ??= RestateEngine.create({ cache: engineCache(process.env) });
  return engine;
};

export async function endEngine(): Promise<void> {
  await (await engine)?.[Symbol.asyncDispose]();
}

export async function registerWith({ admin }: RestateEngine, uri: string): Promise<void> {
  const registered = await fetch(`${admin}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri, force: true }),
  });
  if (!registered.ok) throw new Error(await registered.text());
}

/** Gives each request to the next of its workers, over HTTP/2 without TLS. One that is gone is passed over. */
export class RoundRobin implements AsyncDisposable {
  readonly #server = createServer();
  readonly targets: string[] = [];
  /** How many requests each has had. */
  readonly counts = new Map<string, number>();
  #turn = 0;
  url = "";

  async listen(): Promise<this> {
    this.#server.on("stream", (stream, headers) => this.#forward(stream, headers, this.targets.length));
    this.#server.on("sessionError", () => undefined);
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.url = `http://127.0.0.1:${address.port}`;
    return this;
  }

  #forward(stream: ServerHttp2Stream, headers: object, tries: number): void {
    const target = this.targets[this.#turn++ % this.targets.length];
    // Whoever asked has gone.
    if (stream.destroyed) return;
    if (target === undefined || tries === 0) {
      stream.respond({ ":status": 503 });
      stream.end();
      return;
    }
    const session = connectTo(target);
    let isOpen = false;
    stream.on("error", () => undefined);
    session.on("error", () => {
      if (isOpen) stream.close(2);
      else this.#forward(stream, headers, tries - 1);
    });
    session.on("connect", () => {
      isOpen = true;
      this.counts.set(target, (this.counts.get(target) ?? 0) + 1);
      const request = session.request({ ...headers });
      request.on("error", () => stream.close(2));
      request.on("response", ({ ":status": status, ...others }) => {
        if (!stream.destroyed) stream.respond({ ":status": status, ...others });
      });
      stream.pipe(request);
      request.pipe(stream);
      request.on("close", () => session.close());
      stream.on("close", () => request.close());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}

export type Place = { readonly manager: ThreadManager; readonly worker: Worker; readonly url: string };

export type TestCluster = AsyncDisposable & {
  readonly engine: RestateEngine;
  readonly balancer: RoundRobin;
  readonly places: Place[];
  /** Another worker over the same store. */
  add(options?: ThreadManagerOptions): Promise<Place>;
  connect(options?: Partial<ConnectOptions>): Cluster;
};

export async function testCluster(
  store: ThreadStore,
  options: ThreadManagerOptions = {},
  { workers = 2, logger = silentLog }: { workers?: number; logger?: SkeinLogger } = {},
): Promise<TestCluster> {
  await using stack = new AsyncDisposableStack();
  const engine = await theEngine();
  const balancer = stack.use(await new RoundRobin().listen());
  const places: Place[] = [];
  const connections: Cluster[] = [];
  const add = async (more: ThreadManagerOptions = {}) => {
    const manager = await ThreadManager.create({ store, config: { cwd: "/tmp" }, ...options, ...more });
    const worker = createWorker({ manager, logger, ingress: engine.ingress, leasePatienceMs: 2_000 });
    const { url } = await worker.listen();
    const place = { manager, worker, url };
    places.push(place);
    balancer.targets.push(url);
    return place;
  };
  for (let n = 0; n < workers; n += 1) await add();
  await registerWith(engine, balancer.url);
  const made = stack.move();
  return {
    ...{ engine, balancer, places, add },
    connect(more = {}) {
      const cluster = connect({ ingress: engine.ingress, ...more });
      connections.push(cluster);
      return cluster;
    },
    async [Symbol.asyncDispose]() {
      for (const cluster of connections) await cluster.close();
      await Promise.all(places.map(({ worker }) => worker.close({ deadlineMs: 1_000 })));
      await Promise.all(places.map(({ manager }) => manager.shutdown({ deadlineMs: 1_000 })));
      await made.disposeAsync();
    },
  };
}
