/** What stands beside a thread, in a store whose writes take their time: a later life reads what the earlier one has written, and no less. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import { defineThreadLogic, memoryStore, say, usage, wait } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { NoteKind } from "../../src/store/standing-notes.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, rig, until } from "../rig.ts";

/** A store that holds back writes of one kind of note, from `hold` to `release`. */
function slowStore(kind: NoteKind) {
  const inner = memoryStore();
  let gate = latch();
  gate.open();
  const notes = overlaid(inner.notes ?? assert.fail(), {
    write: async (threadId, which, value) => {
      if (which === kind) await gate.opened;
      await inner.notes?.write(threadId, which, value);
    },
  });
  const store: ThreadStore = overlaid(inner, { notes });
  return {
    store,
    inner,
    hold: () => {
      gate = latch();
    },
    release: () => gate.open(),
  };
}

const rest = async () => {
  for (let n = 0; n < 12; n += 1) await settled();
};

/** A thread that has asked its model, and whose use is being stored until that is released. */
async function whileUseIsStored() {
  const { store, inner, hold, release } = slowStore("budget");
  const script = () => [wait(100), say("ok"), usage({ input_tokens: 60, output_tokens: 0 })];
  const r = await rig({ store, script });
  const { thread } = await r.manager.startThread({ budget: { tokens: 1_000 } });
  const running = thread.run("a");
  await until(() => r.model.asked === 1);
  await rest();
  // What the request has really used is written once it is done.
  hold();
  await r.clock.advanceAsync(100);
  return { r, thread, running, inner, release, [Symbol.asyncDispose]: () => r[Symbol.asyncDispose]() };
}

/** A logic that takes notes, each as `take` says. */
const reader = (take: (n: number, signal: AbortSignal) => Promise<unknown>) =>
  defineThreadLogic({
    messages: { note: z.object({ n: z.number() }) },
    receive: { note: async ({ n }, { thread }) => void (await take(n, thread.signal)) },
    turn: () => "x",
  });

suite("notes that are written slowly", () => {
  test("SEMANTICS 3.3: a manager's shutdown is answered two seconds after its deadline, though a note is never stored", async () => {
    await using slow = await whileUseIsStored();
    const { r, thread, running, release } = slow;
    await running;
    const ending = r.manager.shutdown({ deadlineMs: 1_000 });
    await r.clock.advanceAsync(3_000);
    assert.deepEqual((await ending).completed, [thread.id]);
    release();
  });

  test("SEMANTICS 8.5: a thread that ends and is resumed while its use is being stored has used it", async () => {
    await using slow = await whileUseIsStored();
    const { r, thread, running, release } = slow;
    await running;
    await thread.shutdown();
    const resuming = r.manager.resumeThread(thread.id).then(({ thread: again }) => again.budget());
    await rest();
    release();
    const use = await resuming;
    assert.deepEqual([use?.used.tokens, use?.reserved.tokens], [60, 0]);
  });

  test("a thread that is deleted while its use is being stored leaves nothing", async () => {
    await using slow = await whileUseIsStored();
    const { r, thread, running, inner, release } = slow;
    const deleting = r.manager.deleteThread(thread.id);
    await rest();
    release();
    await Promise.all([deleting, running.catch(() => undefined)]);
    await rest();
    assert.deepEqual(await inner.notes?.threads("budget"), []);
  });

  test("SEMANTICS 9.6: mail that was buried with its thread's end is not given to the next life", async () => {
    const { store, hold, release } = slowStore("mail");
    const got: number[] = [];
    const open = latch();
    const takes = reader(async (n) => {
      if (n === 1) await open.opened;
      got.push(n);
    });
    await using r = await rig({ store, threadLogic: takes });
    const { thread } = await r.manager.startThread();
    for (const n of [1, 2]) await r.manager.send(thread, { type: "note", n }, { durable: true });
    await rest();
    hold();
    const ending = thread.shutdown({ deadlineMs: 100 });
    await rest();
    await r.clock.advanceAsync(200);
    await ending;
    assert.equal(r.manager.deadLetters.total, 2);
    await r.manager.resumeThread(thread.id);
    const sending = r.manager.send(thread.id, { type: "note", n: 3 }, { durable: true });
    await rest();
    release();
    await sending;
    await until(() => got.length > 0);
    await rest();
    assert.deepEqual(got, [3]);
    open.open();
  });

  test("SEMANTICS 9.6: of messages that are being stored when their thread is given away, each that was accepted goes along", async () => {
    const { store, inner, hold, release } = slowStore("mail");
    const never = reader((_, signal) => new Promise((_, reject) => signal.addEventListener("abort", reject)));
    await using r = await rig({ store, threadLogic: never });
    const { threadId } = await r.manager.startThread();
    hold();
    const accepted: number[] = [];
    const sending = [1, 2, 3].map((n) =>
      r.manager.send(threadId, { type: "note", n }, { durable: true }).then(
        () => accepted.push(n),
        () => undefined,
      ),
    );
    await rest();
    let free: string | undefined;
    const moving = runtimeOf(r.manager)
      ?.giveAway(threadId)
      .then(async () => {
        free = JSON.stringify(await inner.notes?.read(threadId, "mail"));
      });
    await rest();
    release();
    await Promise.all([...sending, moving]);
    await rest();
    assert.equal(JSON.stringify(await inner.notes?.read(threadId, "mail")), free, "nothing is written any more");
    const note = JSON.stringify(await inner.notes?.read(threadId, "mail"));
    for (const n of accepted) assert.ok(note?.includes(`"n":${n}`), `${n} in ${note}`);
    assert.equal(accepted.length + r.manager.deadLetters.total, 3);
  });

  test("SEMANTICS 7.5: an agent that is started again before its last end was told owes its parent the next one too", async () => {
    const inner = memoryStore();
    let gate = latch();
    gate.open();
    const parents = new Set<string>();
    const store: ThreadStore = overlaid(inner, {
      open: async (threadId, how) => {
        if (typeof threadId === "string" && parents.has(threadId)) await gate.opened;
        return inner.open(threadId, how);
      },
    });
    const script = () => [wait(20_000), say("done")];
    await using r = await rig({ store, residency: { unloadAfterMs: 1_000 }, script });
    const { threadId: parent } = await r.manager.startThread();
    parents.add(parent);
    const agentId = await r.manager.agentControl().spawnAgent({}, "work", { parentThreadId: parent });
    const agent = await r.manager.getThread(agentId);
    await until(() => r.model.asked === 1);
    await r.clock.advanceAsync(5_000);
    assert.equal(r.manager.loadedThread(parent), undefined);
    gate = latch();
    await r.clock.advanceAsync(20_000);
    await rest();
    assert.ok(JSON.stringify(agent.status).includes("done"));
    await agent.shutdown();
    await r.manager.resumeThread(agentId);
    // As the tool that resumes an agent does.
    const runtime = runtimeOf(r.manager) ?? assert.fail();
    await runtime.notices.follow(await runtime.get(agentId), parent);
    const owed = await inner.notes?.read(agentId, "notice");
    gate.open();
    await rest();
    assert.deepEqual([await inner.notes?.read(agentId, "notice"), (owed as { status: unknown }).status], [owed, null]);
  });
});
