/** What one lone turn asks of the engine and the database, as counts that no other work on the machine changes; and the death of its worker after each of it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import { type ClusterThread, connect, createWorker } from "../../src/cluster/index.ts";
import { readNote } from "../../src/cluster/wire.ts";
import { say, scriptedClient, ThreadManager, type ThreadStore } from "../../src/index.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { LEASH } from "../leash.ts";
import { endEngine, RoundRobin, registerWith, theEngine } from "./two-workers.ts";
import { until } from "./until.ts";
import { watchedPool } from "./watched-pool.ts";

const CHILD = new URL("./worker-child.ts", import.meta.url).pathname;
/** Of a turn whose answer is there at once; docs/cluster.md tells them. How many batches its lines come to depends on what else is under way: one more is let pass. */
const MOST = { statements: 13, writes: 8 };
/** A worker that has not run the thread before looks besides where its last compaction is. */
const LEAST_ANEW = 12;

let postgres: PostgresEngine;
let store: ThreadStore;
const balancer = new RoundRobin();
const statements: string[] = [];

const writesIn = (texts: readonly string[]): string[] =>
  texts.filter((text) => /\b(INSERT|UPDATE|DELETE)\b/.test(text));

/** A worker that dies once so many statements of a turn have been answered. */
async function dying(count: number): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ["--no-warnings", ...LEASH, CHILD, postgres.url], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, RESTATE_LOGGING: "ERROR", DIES_AFTER: String(count) },
  });
  const [line] = await once(child.stdout, "data", { signal: AbortSignal.timeout(60_000) });
  return { child, url: String(line).trim() };
}

async function restingOf(thread: ClusterThread): Promise<void> {
  await until(async () => {
    const note = readNote(await store.notes?.read(thread.id, "cluster"));
    return note?.last !== undefined && note.run === null ? note : undefined;
  }, 60_000);
  assert.equal((await store.get(thread.id)).openTurn, null);
}

/** How often each has come about: the user's words, the beginnings of turns and their ends. */
async function told(thread: ClusterThread): Promise<Record<string, number>> {
  const counts = { said: 0, begun: 0, ended: 0 };
  for await (const page of store.load(thread.id)) {
    for (const line of page) {
      if (line.type === "response_item" && JSON.stringify(line.payload).includes('"text":"quick"')) counts.said += 1;
      if (line.type !== "event_msg") continue;
      if (line.payload.type === "task_started") counts.begun += 1;
      if (line.payload.type === "task_complete" || line.payload.type === "turn_aborted") counts.ended += 1;
    }
  }
  return counts;
}

suite("the steps of a turn", { timeout: 280_000 }, () => {
  let url: string;
  const stack = new AsyncDisposableStack();

  before(async () => {
    postgres = stack.use(await PostgresEngine.create({ cache: engineCache(process.env) }));
    const engine = await theEngine();
    stack.defer(endEngine);
    stack.use(await balancer.listen());
    const pool = watchedPool(postgres.url, (text) => statements.push(text));
    stack.defer(() => pool.end());
    store = postgresStore({ pool });
    const model = scriptedClient(() => [say("at once")]);
    const manager = await ThreadManager.create({ store, model, config: { cwd: "/tmp" }, timers: "own" });
    const worker = createWorker({ manager, leasePatienceMs: 2_000 });
    ({ url } = await worker.listen());
    stack.defer(async () => {
      await worker.close({ deadlineMs: 1_000 });
      await manager.shutdown({ deadlineMs: 1_000 });
      await store.close();
    });
    balancer.targets.push(url);
    await registerWith(engine, balancer.url);
  });
  after(() => stack.disposeAsync());

  const client = async () => stack.use(connect({ ingress: (await theEngine()).ingress }));

  test("are one request of the engine, and few statements", async () => {
    const { thread } = await (await client()).startThread();
    for (let turn = 0; turn < 3; turn += 1) await thread.run("quick");
    statements.length = 0;
    const requests = balancer.counts.get(url) ?? 0;
    await thread.run("quick");
    assert.equal((balancer.counts.get(url) ?? 0) - requests, 1);
    const writes = writesIn(statements);
    assert.ok(statements.length <= MOST.statements, `${statements.length} statements:\n${statements.join("\n")}`);
    assert.ok(writes.length <= MOST.writes, `${writes.length} writes`);
  });

  test("can each be a worker's last: the turn runs once, and its thread is free", async () => {
    const threads = await client();
    for (let count = 1; count <= MOST.statements; count += 1) {
      const { thread } = await threads.startThread();
      await thread.run("first");
      const { child, url: first } = await dying(count);
      const dead = once(child, "exit", { signal: AbortSignal.timeout(60_000) }).then(() => "dead");
      balancer.targets.splice(0, balancer.targets.length, first);
      const turn = thread.run("quick");
      const end = await Promise.race([dead, turn.then(() => "answered")]);
      if (count <= LEAST_ANEW) assert.equal(end, "dead", `after ${count} statements`);
      balancer.targets.splice(0, balancer.targets.length, url);
      child.kill("SIGKILL");
      assert.equal((await turn).lastAgentMessage, "at once");
      await restingOf(thread);
      assert.deepEqual(await told(thread), { said: 1, begun: 2, ended: 2 }, `after ${count} statements`);
      assert.equal((await thread.run("and again")).lastAgentMessage, "at once");
      assert.deepEqual(await told(thread), { said: 1, begun: 3, ended: 3 }, `after ${count} statements`);
    }
  });
});
