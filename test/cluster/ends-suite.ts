/** What a cluster's threads are told of each other's ends, and which of them end together. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { PROTOCOL_VERSION } from "../../src/cluster/wire.ts";
import {
  type Down,
  hang,
  InvalidRequestError,
  ManagerClosedError,
  memoryStore,
  newThreadId,
  say,
  scriptedClient,
  ThreadClosedError,
  ThreadNotFoundError,
  type Threads,
} from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const model = scriptedClient(({ input }) =>
  JSON.stringify(input).includes("wait here") ? [hang()] : [say("at once")],
);

const watchesOf = async (ingress: string, threadId: string): Promise<unknown> => {
  const response = await fetch(`${ingress}/ThreadBonds/${threadId}/watches`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ protocol: PROTOCOL_VERSION }),
  });
  return response.json();
};

const gone = (threads: Threads<never>, threadId: string): Promise<boolean> =>
  until(
    async () => (await threads.getThread(threadId).catch((error: unknown) => error)) instanceof ThreadNotFoundError,
  );

suite("ends of a cluster's threads", { timeout: 240_000 }, () => {
  after(endEngine);

  test("an end is told once to each watch, whoever asked for it; of one that is not there at once", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const { thread: other } = await threads.startThread();
    const told: Down[] = [];
    const monitors = [thread.monitor(other, { onDown: (down) => told.push(down) }), thread.monitor(other.id)];
    await monitors[0]?.stored;
    await other.run("quick");
    await (await cluster.connect().getThread(other.id)).shutdown();
    const downs = await Promise.all(monitors.map(({ down }) => down));
    assert.deepEqual(
      downs.map(({ threadId, reason, ref }) => [threadId, reason, ref]),
      monitors.map(({ ref }) => [other.id, "shutdown", ref]),
    );
    assert.deepEqual(told, [downs[0]]);
    assert.equal(monitors[0]?.demonitor(), false);
    const { reason, epoch } = await thread.monitor(newThreadId()).down;
    assert.deepEqual([reason, epoch], ["not_found", null]);
    assert.equal((await thread.monitor(other).down).reason, "not_found");
    assert.throws(() => thread.monitor(thread), InvalidRequestError);
    assert.equal((await thread.run("quick")).status, "completed");
  });

  test("a watch outlives its connection: another is told what came meanwhile, and nobody else", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const first = cluster.connect();
    const { thread } = await first.startThread();
    const { thread: other } = await first.startThread();
    const watch = thread.monitor(other);
    await watch.stored;
    await first.close();
    await assert.rejects(watch.down, ManagerClosedError);
    const threads = cluster.connect();
    const [standing] = await (await threads.getThread(thread.id)).monitors();
    assert.equal(standing?.ref, watch.ref);
    await (await cluster.connect().getThread(other.id)).shutdown();
    const { reason, ref } = await (standing?.down ?? watch.down);
    assert.deepEqual([reason, ref], ["shutdown", watch.ref]);
    assert.deepEqual(await (await cluster.connect().getThread(thread.id)).monitors(), []);
  });

  test("what came while nobody was connected is told later, as what it was", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const first = cluster.connect();
    const { thread } = await first.startThread();
    const { thread: other } = await first.startThread();
    const kept = thread.monitor(other);
    const givenUp = thread.monitor(other);
    await Promise.all([kept.stored, givenUp.stored]);
    givenUp.demonitor();
    await first.close();
    await (await cluster.connect().getThread(other.id)).shutdown();
    const watches = () => watchesOf(cluster.engine.ingress, thread.id);
    await until(async () => JSON.stringify(await watches()).includes("shutdown"));
    const again = await cluster.connect().getThread(thread.id);
    const [told, ...more] = await again.monitors();
    assert.deepEqual([told?.ref, more], [kept.ref, []]);
    assert.equal((await told?.down)?.reason, "shutdown");
    assert.deepEqual(await watches(), {});
  });

  test("a bond that can't be made leaves no half: of one that ends meanwhile the other hears all the same", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const { thread: other } = await threads.startThread();
    const stale = await cluster.connect().getThread(thread.id);
    await thread.shutdown();
    await assert.rejects(stale.link(other).stored, ThreadClosedError);
    const { thread: third } = await threads.startThread();
    const bond = third.link(other);
    await Promise.all([bond.stored, other.shutdown()]);
    await gone(threads as never, third.id);
  });

  test("a watch is given up by its signal, by itself, with its thread and with the connection", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const { thread: other } = await threads.startThread();
    const controller = new AbortController();
    const bySignal = thread.monitor(other, { signal: controller.signal });
    const byItself = thread.monitor(other);
    const byThread = thread.monitor(other);
    const byConnection = other.monitor(thread);
    controller.abort("enough");
    await assert.rejects(bySignal.down, (error) => error === "enough");
    assert.deepEqual([byItself.demonitor(), byItself.demonitor()], [true, false]);
    await assert.rejects(byItself.down, { name: "AbortError" });
    await thread.shutdown();
    await assert.rejects(byThread.down, ThreadClosedError);
    assert.throws(() => thread.monitor(other), ThreadClosedError);
    assert.equal((await byConnection.down).reason, "shutdown");
    const last = other.monitor((await threads.startThread()).thread);
    await threads.close();
    await assert.rejects(last.down, ManagerClosedError);
  });

  test("linked threads end together in a ring, also one whose turn runs, and though who has linked them is gone", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const first = cluster.connect();
    const made = await Promise.all([1, 2, 3, 4].map(() => first.startThread()));
    const [one, two, three, free] = made.map(({ thread }) => thread);
    assert.ok(one && two && three && free);
    const links = [one.link(two), two.link(three), three.link(one), free.link(one)];
    await Promise.all(links.map(({ stored }) => stored));
    assert.deepEqual([links[3]?.unlink(), links[3]?.unlink()], [true, false]);
    await first.close();
    const threads = cluster.connect();
    const turn = (await threads.getThread(three.id)).run("wait here");
    await (await threads.getThread(one.id)).shutdown();
    assert.equal((await turn).status, "interrupted");
    for (const { id } of [one, two, three]) await gone(threads as never, id);
    assert.equal((await (await threads.getThread(free.id)).run("quick")).status, "completed");
  });

  test("who traps is told and lives on; who links to one that is gone ends with it", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    const { thread: other } = await threads.startThread();
    const link = thread.link(other, { trap: true });
    await link.stored;
    await threads.deleteThread(other.id);
    assert.equal((await link.down).reason, "shutdown");
    assert.equal((await thread.run("quick")).status, "completed");
    assert.equal((await thread.link(other, { trap: true }).down).reason, "not_found");
    assert.equal((await thread.run("quick")).status, "completed");
    await thread.link(other).down;
    await gone(threads as never, thread.id);
  });
});
