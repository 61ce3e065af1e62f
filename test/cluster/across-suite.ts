/** Messages for a turn that runs on another worker than the one asked, and after the death of the one that ran it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import type { RestateEngine } from "../../src/cli/engines/restate-engine.ts";
import { type Cluster, type ClusterThread, connect } from "../../src/cluster/index.ts";
import { readNote } from "../../src/cluster/wire.ts";
import {
  InvalidRequestError,
  newThreadId,
  type ThreadConfig,
  type ThreadEvent,
  type ThreadStore,
} from "../../src/index.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { LEASH } from "../leash.ts";
import { endEngine, RoundRobin, registerWith, theEngine } from "./two-workers.ts";
import { until } from "./until.ts";

const CHILD = new URL("./worker-child.ts", import.meta.url).pathname;
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

let postgres: PostgresEngine;
let engine: RestateEngine;
let store: ThreadStore;
const balancer = new RoundRobin();
const children = new Map<string, ChildProcess>();
const connections: Cluster[] = [];

async function addWorker(...dying: string[]): Promise<string> {
  const child = spawn(process.execPath, ["--no-warnings", ...LEASH, CHILD, postgres.url, ...dying], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, RESTATE_LOGGING: "ERROR" },
  });
  const [line] = await once(child.stdout, "data", { signal: AbortSignal.timeout(60_000) });
  const url = String(line).trim();
  children.set(url, child);
  balancer.targets.push(url);
  return url;
}

async function endWorker(url: string, signal: NodeJS.Signals): Promise<void> {
  const child = children.get(url);
  children.delete(url);
  balancer.targets.splice(balancer.targets.indexOf(url), 1);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

const client = (options: { hasStore?: boolean } = {}): Cluster => {
  const cluster = connect({ ingress: engine.ingress, ...(options.hasStore && { store }) });
  connections.push(cluster);
  return cluster;
};

const runOf = async (thread: ClusterThread) =>
  readNote(await store.notes?.read(thread.id, "cluster"))?.run ?? undefined;

/** The worker that runs the thread, once its turn is open there. */
const runningAt = (thread: ClusterThread, but?: string): Promise<string> =>
  until(async () => {
    const run = await runOf(thread);
    return run?.url && run.url !== but && (await store.get(thread.id)).openTurn !== null ? run.url : undefined;
  }, 60_000);

/** Its worker is killed, and another one goes on with what it ran. */
async function overDeath(thread: ClusterThread, first: string): Promise<void> {
  await Promise.all([endWorker(first, "SIGKILL"), addWorker()]);
  await runningAt(thread, first);
}

/** What is asked is begun by a worker that dies once it has stored what tells of the text; then there are others. */
async function overStored<T>(text: string, ask: () => Promise<T>): Promise<T> {
  await Promise.all([...children.keys()].map((url) => endWorker(url, "SIGKILL")));
  const dying = await addWorker(text);
  const child = children.get(dying);
  assert.ok(child);
  const asked = ask();
  await once(child, "exit", { signal: AbortSignal.timeout(60_000) });
  await endWorker(dying, "SIGKILL");
  await Promise.all([addWorker(), addWorker()]);
  return asked;
}

/** A thread whose turn has started an agent, which asks for its approval. */
async function leading(config: ThreadConfig = {}) {
  const threads = client({ hasStore: true });
  const { thread } = await threads.startThread({ ...config, builtInTools: ["multi_agent"] });
  const told = Promise.withResolvers<ClusterThread>();
  threads.agents$.subscribe(({ thread: agent }) => told.resolve(agent));
  thread.events$.subscribe(() => undefined);
  const turn = thread.run("lead on");
  const agent = await told.promise;
  agent.events$.subscribe(() => undefined);
  await until(() => agent.pendingApprovals[0], 60_000);
  return { thread, turn, agent };
}

async function durable(thread: ClusterThread): Promise<string[]> {
  const types: string[] = [];
  for await (const page of store.load(thread.id)) {
    for (const line of page) if (line.type === "event_msg") types.push(line.payload.type);
  }
  return types;
}

const oneEnd = async (thread: ClusterThread, turns: number) => {
  const types = await durable(thread);
  const count = (...kinds: string[]) => types.filter((type) => kinds.includes(type)).length;
  assert.deepEqual([count("task_started"), count("task_complete", "turn_aborted")], [turns, turns]);
};

suite("a turn that runs on another worker", { timeout: 420_000 }, () => {
  before(async () => {
    postgres = await PostgresEngine.create({ cache: engineCache(process.env) });
    engine = await theEngine();
    store = postgresStore({ connectionString: postgres.url });
    await balancer.listen();
    await Promise.all([addWorker(), addWorker()]);
    await registerWith(engine, balancer.url);
  });

  after(async () => {
    for (const cluster of connections) await cluster.close();
    for (const url of [...children.keys()]) await endWorker(url, "SIGKILL");
    await balancer[Symbol.asyncDispose]();
    await store.close();
    await endEngine();
    await postgres[Symbol.asyncDispose]();
  });

  test("is steered, once though it is sent twice", async () => {
    const { thread } = await client().startThread();
    const turn = thread.run("wait here");
    await runningAt(thread);
    const id = newThreadId();
    const other = await client().getThread(thread.id);
    await other.submitWithId({ id, op: input("and more") });
    await (await client().getThread(thread.id)).submitWithId({ id, op: input("and more") });
    const { status, lastAgentMessage } = await turn;
    assert.deepEqual([status, lastAgentMessage], ["completed", "with more"]);
    let lines = "";
    for await (const page of store.load(thread.id)) lines += JSON.stringify(page);
    assert.equal(lines.split('"type":"UserMessage"').length - 1, 2);
    await oneEnd(thread, 1);
  });

  test("is interrupted, also twice", async () => {
    const { thread } = await client().startThread();
    const turn = thread.run("wait here");
    await runningAt(thread);
    const other = await client().getThread(thread.id);
    await Promise.all([other.interrupt(), (await client().getThread(thread.id)).interrupt()]);
    assert.equal((await turn).status, "interrupted");
    await oneEnd(thread, 1);
  });

  test("is approved by another client; a second answer is told that it came late", async () => {
    const { thread } = await client().startThread();
    const turn = thread.run("guard this");
    await runningAt(thread);
    const other = await client().getThread(thread.id);
    other.events$.subscribe(() => undefined);
    const asked = await until(() => other.pendingApprovals[0], 60_000);
    await other.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    const again = { type: "exec_approval", id: asked.callId, decision: "approved" } as const;
    await assert.rejects((await client().getThread(thread.id)).submit(again), InvalidRequestError);
    assert.deepEqual([(await turn).status, (await turn).lastAgentMessage], ["completed", "done"]);
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`goes on elsewhere when its worker ends by ${signal}, and takes what was and is said to it`, async () => {
      const { thread } = await client({ hasStore: signal === "SIGKILL" }).startThread();
      const seen: ThreadEvent[] = [];
      thread.events$.subscribe((event) => seen.push(event));
      const turn = thread.run("wait here");
      const first = await runningAt(thread);
      await Promise.all([endWorker(first, signal), addWorker()]);
      const second = await runningAt(thread, first);
      assert.notEqual(second, first);
      const other = await client().getThread(thread.id);
      await other.submit(input("and more"));
      const { status, lastAgentMessage } = await turn;
      assert.deepEqual([status, lastAgentMessage], ["completed", "with more"]);
      await oneEnd(thread, 1);
      // What is stored was told once, in its order.
      const stored = await durable(thread);
      const kinds = new Set(stored);
      assert.deepEqual(
        seen.map(({ msg }) => msg.type).filter((type) => kinds.has(type)),
        stored,
      );
      assert.ok(seen.some(({ msg }) => msg.type === "turn_resumed"));
    });
  }

  test("asks again after its worker's death, and is approved", async () => {
    const { thread } = await client().startThread();
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("guard this");
    const first = await runningAt(thread);
    await until(() => thread.pendingApprovals[0], 60_000);
    await overDeath(thread, first);
    const other = await client().getThread(thread.id);
    other.events$.subscribe(() => undefined);
    const asked = await until(() => other.pendingApprovals[0], 60_000);
    await other.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    assert.deepEqual([(await turn).status, (await turn).lastAgentMessage], ["completed", "done"]);
    await oneEnd(thread, 1);
  });

  test("asks for a later turn's call of the same id: what an earlier turn was allowed is not given to it by the next worker", async () => {
    const { thread } = await client().startThread();
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("guard this");
    const asked = await until(() => thread.pendingApprovals[0], 60_000);
    // The command keeps the thread where it is after the turn's end.
    await thread.submit({ type: "run_user_shell_command", command: "sleep 3" });
    await thread.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    assert.equal((await turn).status, "completed");
    await thread.submit(input("guard this again"));
    const later = await until(() => thread.pendingApprovals.find(({ turn }) => turn !== asked.turn), 60_000);
    assert.equal(later.callId, asked.callId);
    const first = await runningAt(thread);
    await overDeath(thread, first);
    const other = await client().getThread(thread.id);
    other.events$.subscribe(() => undefined);
    await until(() => other.pendingApprovals[0], 60_000);
    await other.submit({ type: "exec_approval", id: later.callId, decision: "denied" });
    await until(() => other.activeTurn === undefined || undefined, 60_000);
  });

  test("goes on with a later turn when its worker dies: what interrupted an earlier one is not meant for it", async () => {
    // The agent keeps the tree where it is after the turn's end.
    const { thread, turn, agent } = await leading();
    const first = await runningAt(thread);
    await thread.submit({ type: "interrupt" });
    assert.equal((await turn).status, "interrupted");
    const later = thread.run("wait here as well");
    await until(() => thread.activeTurn, 60_000);
    assert.equal(await runningAt(thread), first);
    await overDeath(thread, first);
    await thread.submit(input("and more"));
    const asked = await until(() => agent.pendingApprovals[0], 60_000);
    await agent.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    assert.equal((await later).status, "completed");
  });

  test("keeps the settings that were changed while it ran, when its worker dies", async () => {
    const { thread } = await client().startThread();
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("wait here");
    const first = await runningAt(thread);
    await thread.submit({ type: "override_turn_context", model: "another" });
    await overDeath(thread, first);
    await thread.submit(input("and more"));
    assert.equal((await turn).status, "completed");
    await thread.run("quick");
    assert.equal((await client().getThread(thread.id)).config.model, "another");
  });

  test("goes on under the settings that its own op has given, when its worker dies, and so do later turns", async () => {
    const { thread } = await client().startThread();
    thread.events$.subscribe(() => undefined);
    const settings = { cwd: "/", approval_policy: "untrusted", sandbox_policy: { type: "read-only" } } as const;
    const { items } = input("wait here");
    await thread.submit({ type: "user_turn", items, ...settings, model: "another", summary: "concise" });
    const first = await runningAt(thread);
    await overDeath(thread, first);
    await thread.submit(input("and more"));
    await until(async () => (await runOf(thread)) === undefined || undefined, 60_000);
    await thread.run("quick");
    const contexts: unknown[] = [];
    for await (const page of store.load(thread.id))
      for (const { type, payload } of page)
        if (type === "turn_context") contexts.push([payload.model, payload.cwd, payload.approval_policy]);
    assert.ok(contexts.length >= 2);
    for (const context of contexts) assert.deepEqual(context, ["another", "/", "untrusted"]);
  });

  test("is not run again when its worker dies after all of it is stored, and nobody has heard of it", async () => {
    const { thread } = await client().startThread();
    const turn = await overStored('"run":null', () => thread.run("quick"));
    assert.deepEqual([turn.status, turn.lastAgentMessage], ["completed", "at once"]);
    await oneEnd(thread, 1);
  });

  for (const stored of ["told once", '"run":null']) {
    test(`is given items, once, whose worker dies when ${stored} is stored`, async () => {
      const { thread } = await client().startThread();
      const content = [{ type: "input_text" as const, text: "told once" }];
      const items = [{ type: "message" as const, role: "user", content }];
      await overStored(stored, () => thread.submit({ type: "inject_items", items }));
      await until(async () => readNote(await store.notes?.read(thread.id, "cluster"))?.last, 60_000);
      assert.equal((await thread.run("quick")).lastAgentMessage, "at once");
      let lines = "";
      for await (const page of store.load(thread.id))
        for (const line of page) if (line.type === "response_item") lines += JSON.stringify(line);
      assert.equal(lines.split("told once").length - 1, 1);
      await oneEnd(thread, 1);
    });
  }

  test("is taken back, once, when the worker dies that has stored so", async () => {
    const { thread } = await client().startThread();
    for (const text of ["one", "two", "three"]) await thread.run(text);
    await overStored("thread_rolled_back", () => thread.rollback(1));
    assert.equal((await durable(thread)).filter((type) => type === "thread_rolled_back").length, 1);
    await oneEnd(thread, 3);
    assert.equal((await thread.run("four")).status, "completed");
  });

  test("has an agent that waits for its approval when their worker dies: it asks again elsewhere, and both end once", async () => {
    const { thread, turn, agent } = await leading();
    const first = await runningAt(thread);
    await overDeath(agent, first);
    const other = await client().getThread(agent.id);
    other.events$.subscribe(() => undefined);
    const asked = await until(() => other.pendingApprovals[0], 60_000);
    await other.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    assert.equal((await turn).status, "completed");
    // The turn may end before its agent does, whose wait the worker's death has cut.
    await until(async () => (await runOf(agent)) === undefined, 60_000);
    await agent.refresh();
    assert.deepEqual(agent.status, { completed: "done" });
    await oneEnd(thread, 1);
    await oneEnd(agent, 1);
  });

  test("has an agent that goes on under its own settings when their worker dies, and so do its later turns", async () => {
    const { thread, turn, agent } = await leading({ model: "parents", sandboxMode: "read-only" });
    const first = await runningAt(thread);
    await agent.submit({ type: "override_turn_context", model: "agents", effort: "low" });
    await overDeath(agent, first);
    const other = await client().getThread(agent.id);
    const shown = async () => {
      const { model, sandboxMode, reasoningEffort } = (await client().getThread(agent.id)).config;
      return [model, sandboxMode, reasoningEffort];
    };
    assert.deepEqual(await shown(), ["agents", "read-only", "low"]);
    other.events$.subscribe(() => undefined);
    const asked = await until(() => other.pendingApprovals[0], 60_000);
    await other.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
    assert.equal((await turn).status, "completed");
    await until(async () => (await runOf(agent)) === undefined, 60_000);
    await other.run("quick");
    assert.deepEqual(await shown(), ["agents", "read-only", "low"]);
    const contexts: unknown[] = [];
    for await (const page of store.load(agent.id))
      for (const { type, payload } of page)
        if (type === "turn_context") contexts.push([payload.model, payload.sandbox_policy, payload.effort]);
    const sandbox = { type: "read-only" };
    assert.deepEqual(contexts[0], ["parents", sandbox, undefined]);
    assert.deepEqual(contexts.at(-1), ["agents", sandbox, "low"]);
  });

  test("is a timer's, and goes on elsewhere when the worker that took it dies: it has fired once", async () => {
    const { thread } = await client().startThread();
    const timer = await thread.schedule({ after: 200 }, input("wait here"));
    const first = await runningAt(thread);
    await overDeath(thread, first);
    await (await client().getThread(thread.id)).submit(input("and more"));
    await until(async () => (await durable(thread)).includes("task_complete"), 60_000);
    await oneEnd(thread, 1);
    let lines = "";
    for await (const page of store.load(thread.id)) lines += JSON.stringify(page);
    assert.equal(lines.split('"type":"UserMessage"').length - 1, 2);
    assert.deepEqual(await timer.cancel(), { cancelled: false, fired: 1 });
  });

  test("is interrupted while no worker runs it: the next one ends it", async () => {
    const { thread } = await client().startThread();
    const turn = thread.run("wait here");
    const first = await runningAt(thread);
    await endWorker(first, "SIGKILL");
    const other = await client().getThread(thread.id);
    const interrupted = other.interrupt();
    await addWorker();
    await interrupted;
    assert.equal((await turn).status, "interrupted");
    await oneEnd(thread, 1);
  });
});
