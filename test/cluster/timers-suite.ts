/** Timers of a cluster's threads: the engine keeps them, and each fires once, on whichever worker is there. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import type { ClusterThread } from "../../src/cluster/index.ts";
import {
  hang,
  memoryStore,
  newThreadId,
  RolloutNotFoundError,
  say,
  scriptedClient,
  ThreadClosedError,
  ThreadManager,
  type ThreadStore,
} from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const model = scriptedClient(({ input: items }) => {
  const texts = JSON.stringify(items);
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
});

/** What the users of a thread have said, as it is stored. */
async function said(store: ThreadStore, { id }: Pick<ClusterThread, "id">): Promise<string[]> {
  const texts: string[] = [];
  for await (const page of store.load(id)) {
    for (const line of page) {
      if (line.type !== "response_item") continue;
      const [, text] = /"role":"user".*"text":"(tick[^"]*|and more)"/.exec(JSON.stringify(line)) ?? [];
      if (text !== undefined) texts.push(text);
    }
  }
  return texts;
}

const ends = async (store: ThreadStore, { id }: Pick<ClusterThread, "id">): Promise<number> => {
  let count = 0;
  for await (const page of store.load(id))
    count += page.filter(({ type, payload }) => type === "event_msg" && payload.type === "task_complete").length;
  return count;
};

suite("timers of a cluster", { timeout: 240_000 }, () => {
  after(endEngine);

  test("one fires once, and its cancellation then finds nothing", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().startThread();
    const timer = await thread.schedule({ after: 300 }, input("tick"), { id: "once" });
    assert.equal(timer.id, "once");
    await until(async () => (await ends(store, thread)) === 1);
    await thread.run("and then");
    assert.deepEqual(await said(store, thread), ["tick"]);
    assert.deepEqual(await timer.cancel(), { cancelled: false, fired: 1 });
  });

  test("what is cancelled or replaced does not fire", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().startThread();
    const first = await thread.schedule({ after: 1_500 }, input("tick one"), { id: "a" });
    const other = await (await cluster.connect().getThread(thread.id)).schedule({ after: 1_500 }, input("tick two"));
    const second = await thread.schedule({ after: 1_600 }, input("tick three"), { id: "a" });
    assert.deepEqual(await first.cancel(), { cancelled: false, fired: 0 });
    assert.deepEqual(await thread.cancelTimer(other.id), { cancelled: true, fired: 0 });
    assert.deepEqual(await thread.cancelTimer("nobody's"), { cancelled: false, fired: 0 });
    await until(async () => (await ends(store, thread)) === 1);
    assert.deepEqual(await said(store, thread), ["tick three"]);
    assert.deepEqual(await second.cancel(), { cancelled: false, fired: 1 });
  });

  test("a repeating one goes on until it is cancelled", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().startThread();
    const timer = await thread.schedule({ every: 200 }, input("tick"));
    await until(async () => (await ends(store, thread)) >= 2);
    const { cancelled, fired } = await timer.cancel();
    assert.ok(cancelled && fired >= 2);
    await until(async () => (await ends(store, thread)) === fired);
    // What it would have given meanwhile comes before what is due after that.
    await thread.schedule({ after: 500 }, input("tick last"));
    await until(async () => (await said(store, thread)).includes("tick last"));
    assert.equal((await said(store, thread)).length, fired + 1);
  });

  test("its op joins the turn that runs, whose followers are told of it once", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().startThread();
    const told: string[] = [];
    thread.events$.subscribe(({ msg }) => msg.type === "timer_fired" && told.push(msg.id));
    const turn = thread.run("wait here");
    await until(async () => thread.activeTurn);
    await thread.schedule({ after: 2_000 }, input("and more"), { id: "joins" });
    assert.equal((await turn).lastAgentMessage, "with more");
    assert.deepEqual([await ends(store, thread), told], [1, ["joins"]]);
  });

  test("it fires though all workers of its time are gone, once, by the next one", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().startThread();
    const { dueAt } = await thread.schedule({ after: 500 }, input("tick"));
    for (const { worker } of cluster.places) await worker.close({ deadlineMs: 50 });
    cluster.balancer.targets.length = 0;
    await until(() => Date.now() > dueAt);
    assert.deepEqual(await said(store, thread), []);
    await Promise.all([cluster.add(), cluster.add()]);
    await until(async () => (await ends(store, thread)) === 1);
    assert.deepEqual(await said(store, thread), ["tick"]);
  });

  test("one of a thread that has ended, or was never there, is refused or dropped", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, timers: "own" });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const other = await cluster.connect().getThread(thread.id);
    const { thread: gone, threadId } = await threads.startThread();
    await thread.schedule({ after: 500 }, input("tick"));
    await thread.shutdown();
    await assert.rejects(thread.schedule({ after: 1 }, input("tick")), ThreadClosedError);
    await assert.rejects(other.schedule({ after: 1 }, input("tick")), ThreadClosedError);
    await threads.deleteThread(threadId);
    await assert.rejects(gone.schedule({ after: 1 }, input("tick")), (error) =>
      [ThreadClosedError, RolloutNotFoundError].some((kind) => error instanceof kind),
    );
    const { thread: last } = await threads.startThread();
    await last.schedule({ after: 1_000 }, input("tick"));
    await until(async () => (await ends(store, last)) === 1);
    assert.deepEqual(await said(store, thread), []);
  });

  test("one that a process outside the cluster has set goes with the thread, and fires once", async () => {
    const store = memoryStore();
    const threadId = newThreadId();
    {
      await using manager = await ThreadManager.create({ store, model, config: { cwd: "/tmp" } });
      const { thread } = await manager.startThread({}, { threadId });
      await thread.run("hello");
      await thread.schedule({ after: 2_000 }, input("tick"));
    }
    if ((await store.notes?.read(threadId, "timers")) === undefined) return assert.fail("the timer is not stored");
    await using cluster = await testCluster(store, { model, timers: "own" });
    const { thread } = await cluster.connect().resumeThread(threadId);
    assert.equal(await store.notes?.read(threadId, "timers"), undefined);
    await until(async () => (await ends(store, thread)) === 2);
    assert.deepEqual(await said(store, thread), ["tick"]);
  });
});
