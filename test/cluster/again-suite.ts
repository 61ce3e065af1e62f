/** What an attempt has done before it ended is done once: the next one, which does not know how far that one came, answers as if it had done it. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { EngineCalls } from "../../src/cluster/engine-calls.ts";
import { Ingress } from "../../src/cluster/ingress.ts";
import {
  hang,
  LimitReachedError,
  memoryStore,
  RolloutNotFoundError,
  SkeinError,
  say,
  scriptedClient,
  type ThreadId,
  type ThreadStore,
} from "../../src/index.ts";
import type { StandingNotes } from "../../src/store/standing-notes.ts";
import { overlaid } from "../rig.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const model = scriptedClient(({ input }) =>
  JSON.stringify(input).includes("wait here") ? [hang()] : [say("at once")],
);

/** Does what it is asked, and then fails once as a worker does that has died before it could say so. */
class Deaths {
  count = 0;
  #next: ((what: string) => boolean) | undefined;

  /** @param what part of what is done: a note's text, or `delete` */
  after(what: string): void {
    this.#next = (done) => done.includes(what);
  }

  note(done: string): void {
    if (!this.#next?.(done)) return;
    this.#next = undefined;
    this.count += 1;
    throw new Error("the worker has died");
  }
}

function dyingStore(deaths: Deaths): ThreadStore {
  const inner = memoryStore();
  const { notes } = inner;
  assert.ok(notes);
  const write: StandingNotes["write"] = async (threadId, kind, value) => {
    await notes.write(threadId, kind, value);
    deaths.note(`${kind} ${JSON.stringify(value)}`);
  };
  const remove = async (threadId: ThreadId) => {
    await inner.delete(threadId);
    deaths.note("delete");
  };
  return overlaid(inner, { notes: overlaid(notes, { write }), delete: remove });
}

/** What handles ask by. */
const callsTo = (url: string) =>
  new EngineCalls(new Ingress({ url, patienceMs: 10_000, headers: {} }), undefined, AbortSignal.timeout(60_000));

suite("what is begun again after the death of a worker", { timeout: 120_000 }, () => {
  after(endEngine);

  test("a removal, an end and a deletion say that they were done, each by whoever asked for it", async () => {
    const deaths = new Deaths();
    const store = dyingStore(deaths);
    await using cluster = await testCluster(store, { model });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread();
    deaths.after('"state":"removed"');
    assert.equal(await threads.removeThread(threadId), thread);
    assert.equal(await threads.removeThread(threadId), undefined);
    const { thread: again } = await threads.resumeThread(threadId);
    deaths.after('"state":"closed"');
    assert.equal(await again.shutdown(), "completed");
    deaths.after("delete");
    await threads.deleteThread(threadId);
    assert.equal(deaths.count, 3);
    assert.deepEqual([await store.notes?.threads("cluster"), (await store.list()).threads], [[], []]);
    await assert.rejects(threads.deleteThread(threadId), RolloutNotFoundError);
  });

  test("two who remove a thread at the same time: one of them has done it", async () => {
    await using cluster = await testCluster(memoryStore(), { model });
    const { threadId } = await cluster.connect().startThread();
    const removals = [1, 2, 3].map(() => cluster.connect().removeThread(threadId));
    const done = (await Promise.all(removals)).filter((thread) => thread !== undefined);
    assert.equal(done.length, 1);
  });

  test("who comes back and is refused is not counted in its tree, nor is one that is deleted while it is open", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, limits: { childrenPerParent: 1 } });
    const threads = cluster.connect();
    const { threadId: root } = await threads.startThread();
    const under = () => threads.startThread({}, { parentThreadId: root });
    const { threadId: first } = await under();
    await threads.removeThread(first);
    await assert.rejects(threads.resumeThread(first, { approvalPolicy: "nonsense" as never }), SkeinError);
    await assert.rejects(threads.resumeThread(first, { cwd: "/", logic: "nobody" }), SkeinError);
    const { threadId: second } = await until(() => under().catch(() => undefined));
    await assert.rejects(under(), LimitReachedError);
    await callsTo(cluster.engine.ingress).change(second, "delete", {});
    await until(() => under().catch(() => undefined));
  });
});
