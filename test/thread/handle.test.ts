/** A thread's handle: events and runs, over unloading, restarts and the end. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { type Thread, ThreadClosedError, tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { observe, settled } from "../kernel/settled.ts";
import { INTERRUPTED, next, overlaid, rig, textsOf, until } from "../rig.ts";

const HALF_AN_HOUR = 31 * 60_000;
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

const incarnationOf = (thread: Thread) => (thread as LiveThread).incarnation;

suite("events", () => {
  test("an iterator that sleeps through whole lives is told of each that it has missed", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const events = thread.events({ after: -1 });
    await events.next();
    const said: number[] = [];
    // However many there are.
    const lives = 70;
    for (let life = 1; life <= lives; life += 1) {
      await thread.run(`text ${life}`);
      said.push(incarnationOf(thread).door.log.next);
      if (life < lives) await r.clock.advanceAsync(HALF_AN_HOUR);
    }
    await thread.shutdown();
    const seen: string[] = [];
    const counts = new Map<number, number>();
    for await (const { epoch, msg } of events) {
      if (msg.type === "lagged") seen.push(`${epoch}: ${msg.from} to ${msg.to}`);
      else counts.set(epoch, (counts.get(epoch) ?? 0) + 1);
    }
    assert.deepEqual(
      seen,
      said.slice(1, -1).map((count, n) => `${n + 2}: 0 to ${count - 1}`),
    );
    assert.deepEqual(counts.get(1), (said[0] ?? 0) - 1);
    assert.equal(counts.get(lives), (said.at(-1) ?? 0) + 1);
  });

  test("nextEvent pulls every event once, in order, from behind SessionConfigured on; overlapping calls share them out", async () => {
    await using r = await rig({ script: [[say("a")]] });
    const { thread } = await r.manager.startThread();
    await thread.run("x");
    const all = [];
    for await (const event of thread.events({ after: 0 })) {
      all.push({ id: event.id, msg: event.msg });
      if (event.msg.type === "task_complete") break;
    }
    const pulled = await Promise.all(all.map(() => thread.nextEvent()));
    assert.deepEqual(pulled, all);
    const waiting = observe(thread.nextEvent());
    const controller = new AbortController();
    const aborted = thread.nextEvent({ signal: controller.signal });
    controller.abort("enough");
    await assert.rejects(aborted, (error) => error === "enough");
    const late = thread.nextEvent({ deadlineMs: 10 });
    late.catch(() => undefined);
    await r.clock.advanceAsync(10);
    await assert.rejects(late, { code: "deadline_exceeded" });
    await thread.submit({ type: "list_mcp_tools" });
    await until(() => waiting.outcome !== "pending");
    assert.equal("value" in Object(waiting.outcome), true);
  });

  test("SEMANTICS 2.4: replay, then live, from any place; over epochs; the end of the thread ends them", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const follow = async (after: Parameters<typeof thread.events>[0]) => {
      const places: string[] = [];
      for await (const { epoch, seq, msg } of thread.events(after)) {
        places.push(`${epoch}/${msg.type === "lagged" ? "lagged" : seq}`);
      }
      return places;
    };
    const whole = follow({ after: -1 });
    await thread.run("a");
    const at = 5;
    const part = follow({ after: at });
    const placed = follow({ after: { epoch: 1, seq: at } });
    await r.clock.advanceAsync(HALF_AN_HOUR);
    await thread.run("b");
    const earlier = follow({ after: { epoch: 1, seq: at } });
    await thread.shutdown();
    const places = await whole;
    const lengths = [1, 2].map((epoch) => places.filter((place) => place.startsWith(`${epoch}/`)).length);
    assert.deepEqual(
      places,
      [1, 2].flatMap((epoch) => Array.from({ length: lengths[epoch - 1] ?? 0 }, (_, seq) => `${epoch}/${seq}`)),
    );
    assert.deepEqual(await part, places.slice(at + 1));
    assert.deepEqual(await placed, places.slice(at + 1));
    assert.deepEqual(
      await earlier,
      places.filter((place) => place.startsWith("2/")),
    );
    assert.deepEqual(
      await follow({ after: -1 }),
      places.filter((place) => place.startsWith("2/")),
    );
    assert.throws(() => thread.events({ after: 10_000 }), { code: "invalid_request" });
  });

  test("a slow reader gets one lagged event that names what it missed; run misses nothing (T2)", async () => {
    await using r = await rig({ limits: { events: 4 }, script: [[say("one two three four five six")]] });
    const { thread } = await r.manager.startThread();
    const reader = thread.events({ after: -1 });
    const result = await thread.run("x");
    assert.equal(result.lastAgentMessage, "one two three four five six");
    const { value } = await reader.next();
    assert.ok(value?.msg.type === "lagged");
    assert.equal(value.msg.from, 0);
    const following = await reader.next();
    assert.equal(following.value?.seq, value.msg.to + 1);
  });

  test("seq has no gaps whatever the thread is told", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("input", "interrupt", "compact", "list_mcp_tools", "unload", "settings", "rollback"), {
          maxLength: 12,
        }),
        async (steps) => {
          await using r = await rig({
            tools: [tool({ name: "t", description: "", execute: () => 1 })],
            script: (_, n) => (n % 2 === 0 ? [call("t")] : [say("ok")]),
          });
          const { thread } = await r.manager.startThread();
          const seen: string[] = [];
          r.manager.events$.subscribe(({ epoch, seq, msg }) =>
            seen.push(`${epoch}/${seq}${seq === 0 ? msg.type : ""}`),
          );
          for (const step of steps) {
            if (step === "unload") await r.clock.advanceAsync(HALF_AN_HOUR);
            else if (step === "input") await thread.submit(input("x"));
            else if (step === "settings") await thread.submit({ type: "override_turn_context", model: "m" });
            else if (step === "rollback") await thread.submit({ type: "thread_rollback", num_turns: 1 });
            else await thread.submit({ type: step } as { type: "compact" });
          }
          await until(() => thread.activeTurn === undefined);
          await r.clock.advanceAsync(1_000);
          const expected: string[] = [];
          let epoch = 1;
          let seq = 1;
          for (const place of seen) {
            if (place.endsWith("/0session_configured")) {
              epoch += 1;
              seq = 0;
            }
            expected.push(`${epoch}/${seq}${seq === 0 ? "session_configured" : ""}`);
            seq += 1;
          }
          assert.deepEqual(seen, expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("an iterator that is ended while it waits, in any place, lets its waiter go and leaves nothing", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const live = thread.events();
    const waiting = live.next();
    await live.return?.();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    await r.clock.advanceAsync(HALF_AN_HOUR);
    const unloaded = thread.events();
    const alsoWaiting = Promise.all([unloaded.next(), unloaded.next()]);
    await settled();
    await unloaded.return?.();
    assert.deepEqual(await alsoWaiting, [
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    const controller = new AbortController();
    const aborted = thread.events({ signal: controller.signal }).next();
    aborted.catch(() => undefined);
    await settled();
    controller.abort("enough");
    await assert.rejects(aborted, (error) => error === "enough");
  });

  test("overlapping next calls get each event once, over an unload too", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const reader = thread.events();
    const pulled = Array.from({ length: 4 }, () => reader.next());
    await r.clock.advanceAsync(HALF_AN_HOUR);
    for (const id of ["a", "b", "c"]) await thread.submitWithId({ id, op: { type: "list_mcp_tools" } });
    const values = (await Promise.all(pulled)).map(({ value }) => `${value?.epoch}/${value?.seq}`);
    assert.deepEqual(values, ["2/0", "2/1", "2/2", "2/3"]);
  });

  test("so do those that come when an earlier one is answered and another still waits", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const reader = thread.events();
    const pulled = [reader.next(), reader.next()];
    await thread.submit({ type: "list_mcp_tools" });
    const first = await pulled.shift();
    await settled();
    for (let n = 0; n < 3; n += 1) pulled.push(reader.next());
    await r.clock.advanceAsync(HALF_AN_HOUR);
    for (const id of ["a", "b", "c"]) await thread.submitWithId({ id, op: { type: "list_mcp_tools" } });
    const values = (await Promise.all(pulled)).map(({ value }) => `${value?.epoch}/${value?.seq}`);
    assert.deepEqual([first?.value?.epoch, ...values], [1, "2/0", "2/1", "2/2", "2/3"]);
  });

  test("status: now and each change, over the thread's lives; an unloaded thread keeps it", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    const seen: unknown[] = [];
    let complete = false;
    thread.status$.subscribe({ next: (status) => seen.push(status), complete: () => (complete = true) });
    await thread.run("a");
    await r.clock.advanceAsync(HALF_AN_HOUR);
    assert.deepEqual(await r.manager.agentControl().getStatus(threadId), { completed: "ack: a" });
    await thread.submit({ type: "list_mcp_tools" });
    assert.deepEqual(thread.status, { completed: "ack: a" });
    await thread.shutdown();
    assert.deepEqual(
      [seen.filter((status, at) => at === 0 || JSON.stringify(status) !== JSON.stringify(seen[at - 1])), complete],
      [["pending_init", "running", { completed: "ack: a" }, "shutdown"], true],
    );
  });
});

suite("run and its ends", () => {
  test("SEMANTICS 3.2: an abort interrupts the turn and rejects with the reason; a deadline does so with its error", async () => {
    await using r = await rig({ script: [[hang()], [hang()], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    const controller = new AbortController();
    const aborted = thread.run("a", { signal: controller.signal });
    await until(() => r.model.asked === 1);
    const ended = next(thread, "turn_aborted");
    controller.abort("enough");
    await assert.rejects(aborted, (error) => error === "enough");
    await ended;
    const late = thread.run("b", { deadlineMs: 50 });
    late.catch(() => undefined);
    await until(() => r.model.asked === 2);
    await r.clock.advanceAsync(50);
    await assert.rejects(late, { code: "deadline_exceeded" });
    await until(() => thread.activeTurn === undefined);
    await assert.rejects(thread.run("never", { signal: AbortSignal.abort("before") }), (error) => error === "before");
    assert.equal((await thread.run("c")).lastAgentMessage, "ok");
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }), ["a", INTERRUPTED, "b", INTERRUPTED, "c"]);
  });

  test("the end of the thread ends a run, an interrupt and a wait for events", async () => {
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const running = observe(thread.run("a"));
    await until(() => r.model.asked === 1);
    await thread.shutdown();
    await settled();
    assert.equal(Object(running.outcome).value?.status, "interrupted");
  });

  test("SEMANTICS 3.3: a thread that hangs is ended by force after its deadline; nothing of it is left (T8)", async () => {
    const inner = memoryStore();
    const stuck = overlaid<ThreadStore>(inner, {
      async create(...args) {
        const writer = await inner.create(...args);
        return overlaid(writer, { close: () => new Promise(() => {}) });
      },
    });
    await using r = await rig({ store: stuck });
    const { thread, threadId } = await r.manager.startThread();
    const running = r.manager.capacity().residentThreads.used;
    const ending = thread.shutdown({ deadlineMs: 500 });
    for (let n = 0; n < 4; n += 1) await r.clock.advanceAsync(500);
    assert.deepEqual([running, await ending], [1, "timedOut"]);
    await until(() => r.manager.capacity().residentThreads.used === 0);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
  });

  test("shutting an unloaded thread down takes it out of the manager; an explicit undefined deadline is the default one", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    await r.clock.advanceAsync(HALF_AN_HOUR);
    assert.equal(thread.actor, undefined);
    assert.equal(await thread.shutdown({ deadlineMs: undefined }), "completed");
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    assert.deepEqual(r.manager.capacity(), {
      residentThreads: { used: 0, free: 100_000, max: 100_000 },
      runningTurns: { used: 0, free: Number.POSITIVE_INFINITY, waiting: 0, max: Number.POSITIVE_INFINITY },
      spawnRate: null,
      unloadedThreads: 0,
    });
    await assert.rejects(thread.submit({ type: "interrupt" }), ThreadClosedError);
  });

  test("a manager that is shut down leaves no timer, listener or handle", async () => {
    const before = process.getActiveResourcesInfo().toSorted();
    const r = await rig({
      tools: [tool({ name: "deaf", description: "", execute: () => new Promise(() => {}) })],
      script: [[call("deaf")], [hang()]],
    });
    const threads = await Promise.all([1, 2, 3].map(async () => (await r.manager.startThread()).thread));
    for (const thread of threads) void thread.run("x").catch(() => undefined);
    await until(() => r.model.asked === 3);
    await r[Symbol.asyncDispose]();
    assert.equal(r.clock.pending, 0);
    assert.deepEqual(process.getActiveResourcesInfo().toSorted(), before);
  });
});
