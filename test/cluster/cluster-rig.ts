/** A whole cluster of real servers, each part of which can be killed, paused and replaced. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Balancer } from "../../src/cli/cluster/balancer.ts";
import { register, untilInvoked } from "../../src/cli/cluster/registration.ts";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { freePort } from "../../src/cli/engines/free-port.ts";
import { answerOf } from "../../src/cli/engines/leashed-process.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import { RestateEngine } from "../../src/cli/engines/restate-engine.ts";
import { LEASH } from "../leash.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CountingModel } from "./counting-model.ts";
import type { NodeNetwork } from "./node-network.ts";
import { startThreeNodes } from "./three-nodes.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const READY_MS = 90_000;

export type RigOptions = {
  readonly workers?: number;
  readonly nodes?: 1 | 3;
  /** Where three nodes are, if not on the loopback. */
  readonly network?: NodeNetwork;
  /** Workers answer by the demo's script in place of the counting model. */
  readonly isScripted?: boolean;
  /** Another model's server than the counting one. */
  readonly baseUrl?: string;
};

export class ClusterRig implements AsyncDisposable {
  readonly postgres: PostgresEngine;
  readonly nodes: readonly RestateEngine[];
  readonly balancer: Balancer;
  readonly model: CountingModel;
  readonly workers: readonly RigWorker[];
  readonly home: string;

  private constructor(
    home: string,
    parts: Pick<ClusterRig, "postgres" | "nodes" | "balancer" | "model">,
    workers: readonly RigWorker[],
  ) {
    this.home = home;
    this.postgres = parts.postgres;
    this.nodes = parts.nodes;
    this.balancer = parts.balancer;
    this.model = parts.model;
    this.workers = workers;
  }

  get ingress(): string {
    return this.nodes[0]?.ingress ?? "";
  }

  static async start({
    workers = 2,
    nodes = 1,
    network,
    isScripted = false,
    baseUrl,
  }: RigOptions = {}): Promise<ClusterRig> {
    await using stack = new AsyncDisposableStack();
    const host = { cache: engineCache(process.env) };
    const signal = AbortSignal.timeout(READY_MS * 4);
    const model = stack.use(await CountingModel.start());
    const postgres = stack.use(await PostgresEngine.create(host));
    const engines = nodes === 1 ? [await RestateEngine.create(host)] : await startThreeNodes(host, network);
    for (const engine of engines) stack.use(engine);
    const balancer = stack.use(await Balancer.listen());
    const home = mkdtempSync(join(tmpdir(), "skein-rig-"));
    stack.defer(() => rmSync(home, { recursive: true, force: true }));
    writeFileSync(join(home, "config.toml"), mockProviderToml(baseUrl ?? model.baseUrl));
    const flags = isScripted ? ["--scripted"] : [];
    const made: RigWorker[] = [];
    for (let n = 0; n < workers; n += 1) {
      const worker = new RigWorker({ home, store: postgres.url, port: await freePort(), flags });
      made.push(stack.use(worker));
      worker.start();
    }
    const rig = new ClusterRig(home, { postgres, nodes: engines, balancer, model }, made);
    await balancer.serve(made.map(({ url }) => url));
    await rig.untilWell(workers);
    const uri = network === undefined ? balancer.url : await network.forward(Number(new URL(balancer.url).port));
    await register({ admin: engines[0]?.admin ?? "", uri, signal });
    await untilInvoked({ ingress: rig.ingress, signal });
    stack.move(); // the rig ends them now
    return rig;
  }

  /** Resolves when so many workers take requests. */
  async untilWell(count: number): Promise<void> {
    const look = async () => {
      await this.balancer.check();
      if (this.balancer.well < count)
        throw new Error(`${this.balancer.well} of ${count} workers are well: ${this.said}`);
    };
    await answerOf(look, { deadlineMs: READY_MS });
  }

  get said(): string {
    return this.workers.map((worker) => worker.said).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker[Symbol.asyncDispose]()));
    await this.balancer[Symbol.asyncDispose]();
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
    await this.postgres[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
    rmSync(this.home, { recursive: true, force: true });
  }
}

type Place = {
  readonly home: string;
  readonly store: string;
  readonly port: number;
  readonly flags: readonly string[];
};

/** `skein worker`, on a port that stays its own over all its lives. */
export class RigWorker implements AsyncDisposable {
  readonly url: string;
  readonly #place: Place;
  readonly #log: string;
  #process: ChildProcess | undefined;

  constructor(place: Place) {
    this.#place = place;
    this.url = `http://127.0.0.1:${place.port}`;
    mkdirSync(join(place.home, "logs"), { recursive: true });
    this.#log = join(place.home, "logs", `${place.port}.log`);
  }

  start(): void {
    const { home, store, port, flags } = this.#place;
    const args = [...LEASH, MAIN, "worker", "--home", home, "--port", String(port), "--drain", "5", ...flags];
    const log = openSync(this.#log, "a");
    this.#process = spawn(process.execPath, args, {
      env: { PATH: process.env.PATH, HOME: home, SKEIN_STORE: store, RESTATE_LOGGING: "ERROR" },
      stdio: ["pipe", log, log],
    });
    closeSync(log);
  }

  get said(): string {
    return readFileSync(this.#log, "utf8").slice(-2_000);
  }

  /** `SIGTERM` drains it, `SIGKILL` does not ask. Resolves when it has ended. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  }

  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  wake(): void {
    this.#process?.kill("SIGCONT");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end("SIGKILL");
  }
}
