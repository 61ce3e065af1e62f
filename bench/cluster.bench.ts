/**
 * What does a cluster cost beside one process with the same store and model, beside a bare handler of Restate that only echoes, and beside
 * one that does as little as a turn can (`floor`: the same requests, journal, statements and commits)? All on this machine, by servers of npm; so it runs only when it is named. `BENCH_TURNS` (400), `BENCH_FORKS` (30),
 * `BENCH_MESSAGES` (10,000: of the longest thread that is forked) and `BENCH_WORKERS` (1, 2 and 4) say how large it is.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Balancer } from "../src/cli/cluster/balancer.ts";
import { register } from "../src/cli/cluster/registration.ts";
import { freePort } from "../src/cli/engines/free-port.ts";
import { answerOf } from "../src/cli/engines/leashed-process.ts";
import { connect } from "../src/cluster/index.ts";
import { openHome, type ThreadHandle, ThreadManager, type Threads } from "../src/index.ts";
import { postgresStore } from "../src/store/postgres/postgres-store.ts";
import { ClusterRig } from "../test/cluster/cluster-rig.ts";
import { LEASH } from "../test/leash.ts";
import { bench, type Measured, nowUs, print, type Runner } from "./harness.ts";
import { startSseServer } from "./sse-server.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";
import { summarize } from "./summary.ts";

type Args = Readonly<Record<string, string>>;

const sizeOf = (name: string, usual: number): number => Number(process.env[name] ?? usual);
const TURNS = sizeOf("BENCH_TURNS", 400);
const FORKS = sizeOf("BENCH_FORKS", 30);
const MESSAGES = sizeOf("BENCH_MESSAGES", 10_000);
const WORKERS = (process.env.BENCH_WORKERS ?? "1,2,4").split(",").map(Number);
const WIDTHS = [1, 16, 64];
const DELTAS = 20;

/** Threads of one process or of the cluster, by the same interface. */
async function withThreads<T>({ kind, ...args }: Args, work: (threads: Threads) => Promise<T>): Promise<T> {
  if (kind === "cluster") {
    await using threads = connect({ ingress: args.ingress ?? "" });
    return await work(threads);
  }
  const cwd = args.home ?? "";
  const home = await openHome({ home: cwd, env: process.env, cwd });
  const store = postgresStore({ connectionString: args.store ?? "" });
  try {
    await using manager = await ThreadManager.create({ ...home.options, store });
    return await work(manager);
  } finally {
    await store.close();
    await home.close();
  }
}

type Taken = { readonly ms: readonly number[]; readonly perSecond: number };

/** Calls of `work`, so many at a time: how long one takes, and how many come to a second. */
async function timed(count: number, width: number, work: (n: number) => Promise<unknown>): Promise<Taken> {
  const taken: number[] = [];
  const start = nowUs();
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const n = next++;
      const begun = nowUs();
      await work(n);
      taken.push((nowUs() - begun) / 1_000);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return { ms: taken, perSecond: (count * 1_000_000) / (nowUs() - start) };
}

function quantiles(name: string, ms: readonly number[]): Measured {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { [`${name}P50Ms`]: at(0.5), [`${name}P99Ms`]: at(0.99) };
}

const named = (name: string, { ms, perSecond }: Taken): Measured => ({
  ...quantiles(name, ms),
  [`${name}PerSecond`]: perSecond,
});

const startsAndTurns = (args: Args): Promise<Measured> =>
  withThreads(args, async (threads) => {
    const width = Number(args.width);
    const made: ThreadHandle[] = [];
    const starts = await timed(Math.max(width, Math.ceil(TURNS / 4)), width, async () => {
      made.push((await threads.startThread()).thread);
    });
    // Each lane has a thread of its own.
    const lanes = made.slice(0, width);
    const turns = await timed(TURNS, width, async () => {
      const thread = lanes.pop();
      if (thread === undefined) throw new Error("a lane without a thread");
      await thread.run("hello");
      lanes.push(thread);
    });
    return { ...named("start", starts), ...named("turn", turns) };
  });

/** Of a turn whose model takes its time. Deltas are best effort: how many turns told any is a figure too. */
const firstDelta = (args: Args): Promise<Measured> =>
  withThreads(args, async (threads) => {
    const { thread } = await threads.startThread();
    await thread.run("hello");
    let heard: ((isDelta: boolean) => void) | undefined;
    thread.events$.subscribe(({ msg }) => msg.type === "agent_message_delta" && heard?.(true));
    const rounds = Math.max(1, Math.ceil(TURNS / 10));
    const taken: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const first = new Promise<boolean>((resolve) => {
        heard = resolve;
      });
      const begun = nowUs();
      const turn = thread.run("slowly");
      turn.finally(() => heard?.(false)).catch(() => undefined);
      if (await first) taken.push((nowUs() - begun) / 1_000);
      await turn;
    }
    return { ...quantiles("delta", taken), toldPercent: (100 * taken.length) / rounds };
  });

const forks = (args: Args): Promise<Measured> =>
  withThreads(args, async (threads) => {
    const messages = Number(args.messages);
    const store = postgresStore({ connectionString: args.store ?? "" });
    const writer = await store.create(metaOf());
    await appendMessages(writer, messages);
    await writer.close();
    await store.close();
    const at = { beforeUserMessage: Math.floor(messages / 4) };
    return named("fork", await timed(FORKS, 1, () => threads.forkThread({ from: writer.threadId, at })));
  });

async function echo({ ingress, width }: Args): Promise<Measured> {
  const headers = { "content-type": "application/json" };
  const taken = await timed(TURNS, Number(width), async (n) => {
    const key = n % Number(width);
    const response = await fetch(`${ingress}/Echo/${key}/echo`, { method: "POST", headers, body: '"hello"' });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the echo answers ${response.status}`);
  });
  return named("echo", taken);
}

/** A turn as a client of the cluster has it: handed in, then waited for. */
async function floor({ ingress, width }: Args): Promise<Measured> {
  const taken = await timed(TURNS, Number(width), async (n) => {
    const init = { method: "POST", headers: { "idempotency-key": randomUUID() } };
    const sent = await fetch(`${ingress}/Echo/${n % Number(width)}/turn/send`, init);
    const { invocationId } = (await sent.json()) as { invocationId: string };
    const response = await fetch(`${ingress}/restate/invocation/${invocationId}/attach`);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the floor answers ${response.status}`);
  });
  return named("floor", taken);
}

/** Bare handlers behind a balancer of their own, with the same engine. */
class EchoWorkers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly #balancer: Balancer;

  private constructor(balancer: Balancer) {
    this.#balancer = balancer;
  }

  static async start(rig: ClusterRig, count: number, model: string): Promise<EchoWorkers> {
    const workers = new EchoWorkers(await Balancer.listen());
    const urls: string[] = [];
    for (let n = 0; n < count; n += 1) {
      const port = await freePort();
      const child = spawn(
        process.execPath,
        [...LEASH, join(import.meta.dirname, "../test/cluster/echo-child.ts"), String(port)],
        {
          stdio: ["pipe", "pipe", "inherit"],
          env: { ...process.env, RESTATE_LOGGING: "ERROR", STORE: rig.postgres.url, MODEL: model },
        },
      );
      workers.#children.push(child);
      await once(child.stdout, "data");
      urls.push(`http://127.0.0.1:${port}`);
    }
    await workers.#balancer.serve(urls);
    await register({
      admin: rig.nodes[0]?.admin ?? "",
      uri: workers.#balancer.url,
      signal: AbortSignal.timeout(30_000),
    });
    await answerOf(() => echo({ ingress: rig.ingress, width: "1" }), { deadlineMs: 30_000 });
    return workers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await this.#balancer[Symbol.asyncDispose]();
  }
}

const PARTS: readonly (readonly [name: string, command: RegExp])[] = [
  ["engineSeconds", /restate-server/],
  ["databaseSeconds", /postgres/],
  ["workersSeconds", /main\.ts worker/],
];
const TICKS_PER_SECOND = 100;

/** What each part of this machine's clusters has had of its processors. Linux alone tells. */
function cpuSeconds(): Measured {
  const { user, system } = process.cpuUsage();
  // The balancer, and the model's server beside it, are in this process.
  const total: Measured = { balancerSeconds: (user + system) / 1_000_000 };
  for (const [name] of PARTS) total[name] = 0;
  for (const pid of existsSync("/proc/self/stat") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : []) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const [part] = PARTS.find(([, pattern]) => pattern.test(command)) ?? [];
      if (part === undefined) continue;
      // Its own, and those of what it has started and that has ended.
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
      total[part] =
        (total[part] ?? 0) + fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) / TICKS_PER_SECOND;
    } catch {
      // It has ended meanwhile.
    }
  }
  return total;
}

const since = (before: Measured, now: Measured): Measured =>
  Object.fromEntries(Object.entries(now).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]));

async function measure(run: Runner, rig: ClusterRig, count: number, model: string): Promise<void> {
  const tell = (kind: string, facts: object): void => print({ bench: "cluster", case: kind, workers: count, ...facts });
  const once = (measured: Measured) =>
    Object.fromEntries(Object.entries(measured).map(([name, value]) => [name, summarize([value])]));
  const place = { ingress: rig.ingress, store: rig.postgres.url, home: rig.home };
  await using _echoes = await EchoWorkers.start(rig, count, model);
  let echoMs: number | undefined;
  for (const width of WIDTHS) {
    const echoed = await run.samples("echo", { ...place, width });
    tell("echo", { width, ...echoed });
    if (width === 1) echoMs = echoed.echoP50Ms?.median;
    const bare = await run.samples("floor", { ...place, width });
    tell("floor", { width, ...bare });
    tell("process", { width, ...(await run.samples("startsAndTurns", { ...place, kind: "process", width })) });
    const before = rig.balancer.passed;
    const spent = cpuSeconds();
    const ran = await run.samples("startsAndTurns", { ...place, kind: "cluster", width });
    tell("cluster", { width, ...ran });
    // What is left once the engine's own way through a handler is taken away; and of a turn, once all that no turn can be without is.
    if (ran.turnP50Ms && ran.startP50Ms && echoed.echoP50Ms && bare.floorP50Ms) {
      const over = {
        overEchoP50Ms: ran.turnP50Ms.median - echoed.echoP50Ms.median,
        overFloorP50Ms: ran.turnP50Ms.median - bare.floorP50Ms.median,
        startOverEchoP50Ms: ran.startP50Ms.median - echoed.echoP50Ms.median,
      };
      tell("ours", { width, ...once(over) });
    }
    // Who was at work meanwhile, and so which part bounds it.
    tell("cpu", { width, ...once(since(spent, cpuSeconds())) });
    const passed = rig.balancer.passed.map((now, n) => now - (before[n] ?? 0));
    const all = passed.reduce((sum, share) => sum + share, 0);
    const percent = (share: number) => (100 * share) / all;
    tell("placement", {
      width,
      ...once({ leastPercent: percent(Math.min(...passed)), mostPercent: percent(Math.max(...passed)) }),
    });
  }
  for (const kind of ["process", "cluster"]) tell(kind, await run.samples("firstDelta", { ...place, kind }));
  for (const messages of [10, 100, 1_000, 10_000].filter((size) => size <= MESSAGES)) {
    for (const kind of ["process", "cluster"]) {
      const forked = await run.samples("forks", { ...place, kind, messages }, 1);
      tell(kind, { messages, ...forked });
      if (kind === "cluster" && forked.forkP50Ms && echoMs !== undefined)
        tell("ours", { messages, ...once({ forkOverEchoP50Ms: forked.forkP50Ms.median - echoMs }) });
    }
  }
}

await bench(import.meta.url, { startsAndTurns, firstDelta, forks, echo, floor }, async (run) => {
  const model = await startSseServer(DELTAS);
  try {
    for (const workers of WORKERS) {
      await using rig = await ClusterRig.start({ workers, baseUrl: model.baseUrl });
      await measure(run, rig, workers, model.baseUrl);
    }
  } finally {
    model.stop();
  }
});
