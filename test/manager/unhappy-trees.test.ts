/** Trees, waits, names, watches and fan-outs where things come twice, never, at the same time, or of the wrong type. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import {
  defineThreadLogic,
  hang,
  InvalidRequestError,
  memoryStore,
  newThreadId,
  StoreIoError,
  say,
  type ThreadStore,
} from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, rig, until } from "../rig.ts";

suite("waitFor", () => {
  test("SEMANTICS 7.8: ids given twice count once, strangers are final, and what is no list of ids is refused", async () => {
    await using r = await rig({ script: () => [say("done")] });
    const control = r.manager.agentControl();
    const id = await control.spawnAgent({}, "go");
    const stranger = newThreadId();
    const { status, timedOut } = await control.waitFor([id, id, stranger, stranger], { mode: "all" });
    assert.deepEqual([Object.keys(status).sort(), timedOut], [[id, stranger].sort(), false]);
    assert.equal(status[stranger], "not_found");
    await assert.rejects(control.waitFor([id, id], { mode: 2 }), InvalidRequestError);
    for (const wrong of [[], ["no id"], [5], undefined, null, id, { length: 1 }])
      await assert.rejects(control.waitFor(wrong as never), { code: "invalid_request" }, JSON.stringify(wrong));
    for (const deadlineMs of [0, -1]) await assert.rejects(control.waitFor([id], { deadlineMs }), InvalidRequestError);
  });

  test("an agent that goes on is final no more, and one of two hundred is told once all have ended", async () => {
    const open = latch();
    await using r = await rig({
      script: ({ input }) => (JSON.stringify(input).includes("again") ? [hang()] : [say("done")]),
    });
    const control = r.manager.agentControl();
    const first = await control.spawnAgent({}, "go");
    const second = await r.manager.startThread();
    await control.waitFor([first], {});
    const both = control.waitFor([first, second.threadId], { mode: "all", deadlineMs: 5_000 });
    await settled();
    await control.sendPrompt(first, "again");
    await until(() => r.model.asked === 2);
    await second.thread.run("go");
    await settled();
    await r.clock.advanceAsync(5_000);
    const { status, timedOut } = await both;
    assert.deepEqual([Object.keys(status), timedOut], [[second.threadId], true]);
    open.open();
  });
});

suite("shutdownTree, twice", () => {
  for (const [one, other] of [
    [10_000, 10_000],
    [10_000, 100],
    [100, 10_000],
  ] as const) {
    test(`SEMANTICS 7.4: at the same time, within ${one} and ${other} ms: each ends once, both tell, and nothing stays sealed`, async () => {
      await using r = await rig({ script: [[hang()]] });
      const { threadId: root } = await r.manager.startThread();
      const { threadId: child, thread } = await r.manager.startThread({}, { parentThreadId: root });
      const closed: string[] = [];
      r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
      const running = thread.run("work");
      await until(() => r.model.asked === 1);
      const both = Promise.allSettled([
        r.manager.shutdownTree(root, { deadlineMs: one }),
        r.manager.shutdownTree(root, { deadlineMs: other }),
      ]);
      for (let n = 0; n < 30; n += 1) await r.clock.advanceAsync(500);
      const outcomes = await both;
      await Promise.allSettled([running]);
      assert.deepEqual(closed, [child, root]);
      assert.ok(outcomes.some(({ status }) => status === "fulfilled"));
      await r.manager.resumeThread(root);
      await r.manager.startThread({}, { parentThreadId: root });
    });
  }
});

suite("names", () => {
  test("SEMANTICS 7.1: one is free again when its agent has gone; long ones, paths, control characters and other types are refused", async () => {
    await using r = await rig();
    const { threadId: parentThreadId } = await r.manager.startThread();
    const start = (name: unknown) => r.manager.startThread({}, { parentThreadId, agent: { name: name as string } });
    const { thread } = await start("ann");
    await assert.rejects(start("ann"), /is taken/);
    await thread.shutdown();
    const { threadId: again } = await start("ann");
    await r.manager.removeThread(again);
    await assert.rejects(start("ann"), /is taken/, "one that was taken out lives on under its name");
    const { thread: last } = await start("x".repeat(64));
    await last.shutdown();
    for (const wrong of ["", "a/b", "..", "/root", "a\nb", "a\u0000", "x".repeat(65), "ä", " a", 5, {}, null])
      await assert.rejects(start(wrong), { code: "invalid_request" }, JSON.stringify(wrong));
    assert.equal(r.manager.capacity().residentThreads.used, 1);
  });
});

suite("watches and messages of threads that leave", () => {
  test("SEMANTICS 6.1: a monitor of a thread that is leaving memory at that moment waits for its end, and is told once", async () => {
    await using r = await rig({ residency: { unloadAfterMs: 1_000 } });
    const { thread: watcher } = await r.manager.startThread();
    const { thread: watched } = await r.manager.startThread();
    const told: string[] = [];
    const unloading = r.clock.advanceAsync(1_000);
    const onDown = ({ reason }: { reason: string }) => void told.push(reason);
    for (let n = 0; n < 5; n += 1) {
      watcher.monitor(watched.id, { onDown });
      await Promise.resolve();
    }
    await unloading;
    await settled();
    watcher.monitor(watched.id, { onDown });
    await r.clock.advanceAsync(5_000);
    await settled();
    assert.deepEqual(told, []);
    await watched.shutdown();
    await until(() => told.length === 6);
    assert.deepEqual([...new Set(told)], ["shutdown"]);
  });

  test("SEMANTICS 6.5: linked in a circle all end, each once, and nothing of it is left", async () => {
    await using r = await rig();
    const threads = [];
    for (let n = 0; n < 4; n += 1) threads.push((await r.manager.startThread()).thread);
    for (const [n, thread] of threads.entries())
      for (const step of [1, 2]) await thread.link(threads[(n + step) % 4] ?? thread).stored;
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
    await threads[2]?.shutdown();
    await until(() => closed.length === 4);
    await settled();
    assert.equal(new Set(closed).size, 4);
    assert.equal(runtimeOf(r.manager)?.leftBeside().watches, 0);
    assert.deepEqual(await r.store.notes?.threads("watches"), []);
  });

  for (const isMember of [false, true]) {
    test(`SEMANTICS 2.3, 2.6 and 9.4: what waits for the restart of ${isMember ? "a group's member" : "a thread"} that is given up is refused, and a dead letter`, async () => {
      let isBroken = false;
      const fragile = defineThreadLogic({
        messages: { note: { message: z.object({}), reply: z.object({}) } },
        receive: { note: () => ({}) },
        turn: () => "x",
      });
      const supervision = { maxRestarts: 1, periodMs: 60_000, backoffMs: 1_000, random: () => 0 };
      const inner = memoryStore();
      const store: ThreadStore = overlaid(inner, {
        open: async (...given) => {
          if (isBroken) throw new StoreIoError("disk on fire");
          return inner.open(...given);
        },
      });
      await using r = await rig({ store, threadLogic: fragile, supervision });
      const group = await r.manager.group({ maxRestarts: 1, backoff: 1_000 });
      const { thread } = await (isMember ? group : r.manager).startThread();
      const { thread: sender } = await r.manager.startThread();
      isBroken = true;
      (thread as LiveThread).incarnation.end("crashed", new Error("disk on fire"));
      await settled();
      const waiting = [
        sender.send(thread, { type: "note" }),
        sender.send(thread, { type: "note" }, { durable: true }),
        sender.request(thread, { type: "note" }),
        thread.submit({ type: "interrupt" }),
      ].map((each) =>
        each.then(
          () => "taken",
          (error: { code: string }) => error.code,
        ),
      );
      for (let n = 0; n < 10; n += 1) await r.clock.advanceAsync(300);
      const outcomes = await Promise.all(waiting);
      assert.deepEqual([...new Set(outcomes.slice(0, 3))], ["thread_not_found"]);
      assert.ok(outcomes[3] === "thread_closed" || outcomes[3] === "thread_not_found", outcomes[3]);
      assert.ok(r.manager.deadLetters.total >= 3);
      assert.deepEqual(runtimeOf(r.manager)?.messages.left(), { open: 0, asked: 0, subscriptions: 0, mail: 0 });
      assert.equal(await r.store.notes?.read(thread.id, "mail"), undefined);
    });
  }

  test("SEMANTICS 2.6, 9.6: a durable message to one that was taken out, or is gone, is refused and a dead letter; nothing of it is stored", async () => {
    const reader = defineThreadLogic({
      messages: { note: z.object({ n: z.number() }) },
      receive: { note: () => undefined },
      turn: () => "x",
    });
    await using r = await rig({ threadLogic: reader });
    const { thread: sender } = await r.manager.startThread();
    const { threadId: removed } = await r.manager.startThread();
    const held = await r.manager.removeThread(removed);
    const why: string[] = [];
    r.manager.deadLetters$.subscribe((letter) => why.push(letter.why));
    for (const to of [removed, newThreadId()])
      await assert.rejects(sender.send(to, { type: "note", n: 1 }, { durable: true }), { code: "thread_not_found" });
    assert.deepEqual(why, ["thread_not_found", "thread_not_found"]);
    assert.equal(await r.store.notes?.read(removed, "mail"), undefined);
    assert.deepEqual(runtimeOf(r.manager)?.messages.left(), { open: 0, asked: 0, subscriptions: 0, mail: 0 });
    await held?.shutdown();
  });
});

suite("options of calls about trees", () => {
  test("a wrong kind or an unknown name is refused before anything is done", async () => {
    await using r = await rig({ config: { messages: { note: z.object({}) } } });
    const { manager } = r;
    const [{ thread: one }, { thread: other }] = [await manager.startThread(), await manager.startThread()];
    const group = await manager.group();
    const { thread: member } = await group.startThread();
    const control = manager.agentControl();
    const note = { type: "note" };
    const waits: Record<string, (options: never) => unknown> = {
      send: (options) => one.send(other, note, options),
      "send from outside": (options) => manager.send(other, note, options),
      request: (options) => one.request(other, note, options),
      publish: (options) => one.publish("topic", note, options),
      "group.quiet": (options) => group.quiet(options),
      "group.stop": (options) => group.stop(options),
      shutdownTree: (options) => manager.shutdownTree(one.id, options),
      "shutdownTree of a control": (options) => control.shutdownTree(one.id, options),
      shutdownAgent: (options) => control.shutdownAgent(one.id, options),
      waitFor: (options) => control.waitFor([one.id], options),
      map: (options) => manager.map(["x"], options),
      gather: (options) => manager.gather([], options),
      race: (options) => manager.race([Promise.resolve()], options),
    };
    for (const [name, call] of Object.entries(waits)) {
      for (const wrong of [{ deadlineMs: Number.NaN }, { deadlineMs: "5" }, { deadlineMS: 5 }, 5, "x"])
        await assert.rejects(
          async () => call(wrong as never),
          { code: "invalid_request" },
          `${name} ${JSON.stringify(wrong)}`,
        );
    }
    const others: [(options: never) => unknown, object][] = [
      [(options) => one.send(other, note, options), { durable: "yes" }],
      [(options) => one.send(other, note, options), { whenFull: "drop" }],
      [(options) => one.monitor(other, options), { onDown: 5 }],
      [(options) => one.monitor(other, options), { signal: {} }],
      [(options) => one.link(other, options), { traps: true }],
      [(options) => one.link(other, options), { trap: "yes" }],
      [(options) => group.add(one, options), { restart: "sometimes" }],
      [(options) => group.startThread({}, options), { restart: "sometimes" }],
    ];
    for (const [call, wrong] of others)
      await assert.rejects(async () => call(wrong as never), { code: "invalid_request" }, JSON.stringify(wrong));
    assert.deepEqual((await manager.listThreadIds()).toSorted(), [one.id, other.id, member.id].toSorted());
    assert.deepEqual([group.status, group.members.length, manager.deadLetters.total], ["running", 1, 0]);
    assert.deepEqual(runtimeOf(manager)?.leftBeside().watches, 0);
    for (const { id } of [one, other, member]) assert.notEqual((await manager.getThread(id)).actor, undefined);
  });
});

suite("map", () => {
  test("SEMANTICS 11.1: no bound but a whole number from 1 on; a source that throws, at first or later, ends all with its error", async () => {
    await using r = await rig();
    for (const concurrency of [0, -1, Number.NaN, 0.5, "2", null])
      await assert.rejects(
        r.manager.map([1], { concurrency: concurrency as number, run: () => 1 }),
        { code: "invalid_request" },
        String(concurrency),
      );
    for (const good of [0, 2]) {
      let ended = 0;
      const source = function* () {
        for (let n = 0; n < good; n += 1) yield n;
        throw new Error("no more paper");
      };
      const run = async (
        _: number,
        { signal, startThread }: { signal: AbortSignal; startThread: () => Promise<unknown> },
      ) => {
        void startThread().catch(() => undefined);
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ended += 1;
      };
      await assert.rejects(r.manager.map(source(), { concurrency: 9, run: run as never }), /no more paper/);
      await settled();
      assert.deepEqual([ended, r.manager.capacity().residentThreads.used], [good, 0]);
    }
    assert.deepEqual(await r.manager.map([], { run: () => 1 }), []);
  });
});

suite("tournament", () => {
  test("of one fork is that fork; of none, or of no whole number, is refused", async () => {
    await using r = await rig({ script: () => [say("draft")] });
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("go");
    const { winner, entries } = await r.manager.tournament(threadId, 1, { prompt: "on", score: () => 1 });
    assert.deepEqual([entries.length, winner.index], [1, 0]);
    for (const count of [0, -1, 1.5, Number.NaN, "2"])
      await assert.rejects(r.manager.tournament(threadId, count as number, { prompt: "on", score: () => 1 }), {
        code: "invalid_request",
      });
  });
});
