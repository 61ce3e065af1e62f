/**
 * What is done again, and what is asked again: an attempt that does not know how far the one before it came answers as if it had done all of it, and
 * what was refused is no answer to who asks later.
 */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { EngineCalls } from "../../src/cluster/engine-calls.ts";
import { Ingress } from "../../src/cluster/ingress.ts";
import { PROTOCOL_VERSION, TREE } from "../../src/cluster/wire.ts";
import {
  call,
  defineThreadLogic,
  hang,
  InvalidRequestError,
  LimitReachedError,
  type ModelRequest,
  memoryStore,
  newThreadId,
  RolloutNotFoundError,
  SkeinError,
  type Step,
  say,
  scriptedClient,
  type ThreadId,
  type ThreadManagerOptions,
  ThreadNotFoundError,
  type ThreadStore,
} from "../../src/index.ts";
import type { StandingNotes } from "../../src/store/standing-notes.ts";
import { latch, overlaid } from "../rig.ts";
import { guarded } from "./behaviours.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const echo = defineThreadLogic({ turn: ({ text }) => `heard ${text}` });

function answer({ input: items }: ModelRequest): Step[] {
  const texts = JSON.stringify(items);
  if (texts.includes("function_call_output")) return [say("done")];
  if (texts.includes("then guard this")) return [call("guarded", { what: "this" }, { callId: "call-1" })];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
}
const model = scriptedClient(answer);

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

suite("what is done again and asked again", { timeout: 120_000 }, () => {
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

  test("what a life has written of a thread, and comes to pass late, changes nothing of what a later one has", async () => {
    const inner = memoryStore();
    const { notes } = inner;
    assert.ok(notes);
    const late: (() => Promise<void>)[] = [];
    let isStill = false;
    const write: StandingNotes["write"] = async (threadId, kind, value) => {
      if (!isStill || kind !== "cluster") return notes.write(threadId, kind, value);
      late.push(() => notes.write(threadId, kind, value));
      isStill = !JSON.stringify(value).includes('"run":null');
      if (!isStill) throw new Error("nobody knows whether it is written");
    };
    const store = overlaid(inner, { notes: overlaid(notes, { write }) });
    await using cluster = await testCluster(store, { model });
    const { thread, threadId } = await cluster.connect().startThread();
    isStill = true;
    assert.equal((await thread.run("hello")).lastAgentMessage, "at once");
    await thread.submit({ type: "override_turn_context", model: "another" });
    const noted = await until(async () => {
      const note = await notes.read(threadId, "cluster");
      return JSON.stringify(note).includes('"run":null') ? note : undefined;
    });
    assert.match(JSON.stringify(noted), /"model":"another"/);
    assert.equal(late.length, 2, "that it runs, and that it is over");
    for (const happens of late) await happens();
    assert.deepEqual(await notes.read(threadId, "cluster"), noted);
  });

  test("what is written late of a thread that was deleted meanwhile brings nothing of it back", async () => {
    const inner = memoryStore();
    const { notes } = inner;
    assert.ok(notes);
    const late: (() => Promise<void>)[] = [];
    const write: StandingNotes["write"] = async (threadId, kind, value) => {
      if (kind === "cluster" && value !== undefined) late.push(() => notes.write(threadId, kind, value));
      await notes.write(threadId, kind, value);
    };
    await using cluster = await testCluster(overlaid(inner, { notes: overlaid(notes, { write }) }), { model });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread();
    await thread.run("hello");
    await threads.deleteThread(threadId);
    assert.ok(late.length > 1);
    for (const happens of late) await happens();
    assert.deepEqual(await notes.threads("cluster"), []);
    await assert.rejects(threads.getThread(threadId), ThreadNotFoundError);
  });

  test("what is refused runs no thread any more, and leaves its settings", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, logics: { echo } });
    const threads = cluster.connect();
    const noteOf = async (id: ThreadId) =>
      (await store.notes?.read(id, "cluster")) as { run: unknown; last?: string; config: object };
    const { thread: logical } = await threads.startThread({ logic: "echo" });
    await assert.rejects(logical.rollback(1), InvalidRequestError);
    assert.equal((await noteOf(logical.id)).run, null);
    assert.equal((await logical.run("hello")).lastAgentMessage, "heard hello");
    const { thread } = await threads.startThread();
    await thread.submit({ type: "override_turn_context", model: "another" });
    await assert.rejects(thread.rollback({ beforeTurn: "nobody's" }), InvalidRequestError);
    const { run, config } = await noteOf(thread.id);
    assert.deepEqual([run, config], [null, { model: "another" }]);
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

  test("who was counted and never came, since its start was given up, is counted no more", async () => {
    await using cluster = await testCluster(memoryStore(), { model, limits: { childrenPerParent: 2 } });
    const threads = cluster.connect();
    const { threadId: root } = await threads.startThread();
    const under = () => threads.startThread({}, { parentThreadId: root });
    const { threadId: there } = await under();
    const ingress = new Ingress({ url: cluster.engine.ingress, patienceMs: 10_000, headers: {} });
    const ask = (handler: string, request: object) =>
      ingress.call(
        [TREE, root, handler],
        { protocol: PROTOCOL_VERSION, ...request },
        {
          signal: AbortSignal.timeout(30_000),
        },
      );
    const lost = newThreadId();
    await ask("admit", { threadId: lost, parent: root, depth: 1, allowed: {} });
    await assert.rejects(under(), LimitReachedError);
    const query = `SELECT status FROM sys_invocation WHERE target_service_key = '${root}' AND target_handler_name = 'recheck'`;
    const rows = await fetch(`${cluster.engine.admin}/query`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ query }),
    });
    assert.deepEqual(((await rows.json()) as { rows: unknown }).rows, [
      { status: "scheduled" },
      { status: "scheduled" },
    ]);
    for (const threadId of [lost, there]) await ask("recheck", { threadId });
    await under();
    await assert.rejects(under(), LimitReachedError);
  });

  test("an op that no worker could carry out is tried again when it is asked again under its id", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model, logics: { echo } }, { workers: 1 });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread({ logic: "echo" });
    const seen: string[] = [];
    thread.events$.subscribe(({ msg }) => seen.push(msg.type));
    const replace = async (logics: NonNullable<ThreadManagerOptions["logics"]>) => {
      const earlier = cluster.balancer.targets.splice(0);
      await cluster.add({ logics });
      await cluster.places.find(({ url }) => earlier.includes(url))?.worker.close();
    };
    await replace({});
    const named = { id: "one", op: input("hello") };
    for (let n = 1; n <= 2; n += 1) {
      await thread.submitWithId(named);
      await until(() => seen.filter((type) => type === "error").length === n);
    }
    await replace({ echo });
    await thread.submitWithId(named);
    await until(() => seen.includes("task_complete"));
    await thread.submitWithId(named);
    await (await cluster.connect().getThread(threadId)).submitWithId(named);
    assert.equal((await thread.run("more")).lastAgentMessage, "heard more");
    assert.equal(seen.filter((type) => type === "task_started").length, 2);
  });

  test("an answer that nobody has asked for yet is tried again when it is given again under its id", async () => {
    await using cluster = await testCluster(memoryStore(), { model, tools: [guarded] });
    const threads = cluster.connect();
    const { thread } = await threads.startThread();
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("wait here");
    await until(() => thread.activeTurn);
    const answer = { id: "yes", op: { type: "exec_approval", id: "call-1", decision: "approved" } } as const;
    await assert.rejects(thread.submitWithId(answer), InvalidRequestError);
    await thread.submit(input("then guard this"));
    await until(() => thread.pendingApprovals[0]);
    await (await cluster.connect().getThread(thread.id)).submitWithId(answer);
    // Who gives it a third time is told what the second has heard.
    await (await cluster.connect().getThread(thread.id)).submitWithId(answer).catch(() => undefined);
    assert.equal((await turn).lastAgentMessage, "done");
  });

  test("what is said right behind what is refused is its own, and is not refused for it", async () => {
    const inner = memoryStore();
    const gate = latch();
    const open: ThreadStore["open"] = async (...given) => {
      await gate.opened;
      return inner.open(...given);
    };
    const store = overlaid(inner, { open });
    await using cluster = await testCluster(store, { model, logics: { echo } });
    const threads = cluster.connect({ store });
    const { thread } = await threads.startThread({ logic: "echo" });
    const requests = () => [...cluster.balancer.counts.values()].reduce((sum, count) => sum + count, 0);
    const before = requests();
    const first = thread.rollback(1);
    await until(() => requests() > before);
    const both = Promise.allSettled([first, thread.run("hello")]);
    // What hands the second message to the invocation of the first is there before its thread is.
    await until(() => requests() > before + 1);
    await threads.startThread();
    gate.open();
    const [refused, ran] = await both;
    assert.ok(refused.status === "rejected" && refused.reason instanceof InvalidRequestError, String(refused));
    assert.equal(ran.status === "fulfilled" && ran.value.lastAgentMessage, "heard hello");
  });
});
