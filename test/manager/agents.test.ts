/** AgentControl (SPEC 14), shutdown with its report, restarts, and threads that were removed. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import { AgentControl, tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { observe, settled } from "../kernel/settled.ts";
import { latch, next, overlaid, rig, typesOf, until, watch } from "../rig.ts";

const configured = { type: "session_configured", id: "", msg: { type: "session_configured" } };
type Message = { type: string; op?: { type: string } };
const logic = (receive: (message: Message) => void) =>
  fromCallback<Message>(({ emit, receive: on }) => {
    (emit as (event: object) => void)(configured);
    on(receive);
  });

suite("agent control", () => {
  test("an agent's life: spawned, prompted, watched, waited for, shut down", async () => {
    await using r = await rig();
    const agents = r.manager.agentControl();
    const parent = await r.manager.startThread();
    const id = await agents.spawnAgent({ model: "m" }, "go", { parentThreadId: parent.threadId });
    assert.equal(r.manager.parentOf(id), parent.threadId);
    const statuses: unknown[] = [];
    (await agents.subscribeStatus(id)).subscribe((status) => statuses.push(status));
    assert.deepEqual(await agents.waitFor([id]), { status: { [id]: { completed: "ack: go" } }, timedOut: false });
    assert.equal(await agents.sendPrompt(id, "more"), "1");
    await until(() => r.model.asked === 2);
    await agents.interrupt(id);
    const [stored] = (await r.manager.listThreads({ sourceKinds: ["subagent"] })).threads;
    assert.deepEqual(stored?.source, { subagent: { thread_spawn: { parent_thread_id: parent.threadId, depth: 1 } } });
    await agents.shutdownAgent(id);
    assert.equal(await agents.getStatus(id), "not_found");
    assert.equal(statuses.at(-1), "shutdown");
    await assert.rejects(agents.sendPrompt(id, "x"), { code: "thread_not_found" });
    await assert.rejects(agents.shutdownAgent(id), { code: "thread_not_found" });
    await assert.rejects(agents.spawnAgent(undefined, "  "), { message: "Empty message can't be sent to an agent" });
    await assert.rejects(agents.sendPrompt("nope", "x"), { code: "invalid_request" });
  });

  test("waiting ends with the first final one, and tells of all that are final; unknown ones are", async () => {
    await using r = await rig({ script: [[hang()], [say("b")]] });
    const agents = r.manager.agentControl();
    const a = await agents.spawnAgent(undefined, "a");
    await until(() => r.model.asked === 1);
    const unknown = newThreadId();
    assert.deepEqual(await agents.waitFor([a, unknown]), { status: { [unknown]: "not_found" }, timedOut: false });
    const waiting = observe(agents.waitFor([a], { deadlineMs: 500 }));
    await settled();
    await r.clock.advanceAsync(500);
    assert.deepEqual(waiting.outcome, { value: { status: {}, timedOut: true } });
    const both = agents.waitFor([a, await agents.spawnAgent(undefined, "b")]);
    assert.equal(Object.keys((await both).status).length, 1);
    const controller = new AbortController();
    const aborted = agents.waitFor([a], { signal: controller.signal });
    await settled();
    controller.abort("enough");
    await assert.rejects(aborted, (error) => error === "enough");
    await assert.rejects(agents.waitFor([]), { message: "ids must be non-empty" });
    await assert.rejects(agents.waitFor([a], { deadlineMs: 0 }), { message: "timeout_ms must be greater than zero" });
    const killed = agents.waitFor([a]);
    await settled();
    await agents.interrupt(a);
    assert.deepEqual((await killed).status, { [a]: { errored: "Interrupted" } });
    assert.equal(r.clock.pending <= 1, true);
  });

  test("an agent that has left memory keeps its status, and waiting for it does not load it", async () => {
    await using r = await rig();
    const agents = r.manager.agentControl();
    const id = await agents.spawnAgent(undefined, "a");
    await agents.waitFor([id]);
    await r.clock.advanceAsync(31 * 60_000);
    assert.deepEqual(await agents.waitFor([id]), { status: { [id]: { completed: "ack: a" } }, timedOut: false });
    assert.deepEqual(await r.manager.listThreadIds(), []);
    assert.equal(await agents.sendPrompt(id, "b"), "0");
  });

  test("without a manager, before one and after its end: statuses are not_found, the rest says so", async () => {
    const r = await rig();
    const { threadId } = await r.manager.startThread();
    const controls = [new AgentControl(), r.manager.agentControl()];
    await r.manager.shutdown();
    for (const control of controls) {
      const dropped = { code: "invalid_request", message: "unsupported operation: thread manager dropped" };
      assert.equal(await control.getStatus(threadId), "not_found");
      await assert.rejects(control.spawnAgent(undefined, "x"), dropped);
      await assert.rejects(control.sendPrompt(threadId, "x"), dropped);
      await assert.rejects(control.interrupt(threadId), dropped);
      await assert.rejects(control.subscribeStatus(threadId), dropped);
      await assert.rejects(control.shutdownAgent(threadId), dropped);
      await assert.rejects(control.waitFor([threadId]), dropped);
    }
  });

  test("a prompt that cannot be sent leaves no agent", async () => {
    await using r = await rig({ limits: { mailbox: 0 } });
    await assert.rejects(r.manager.agentControl().spawnAgent(undefined, "x"), { code: "overloaded" });
    assert.deepEqual([await r.manager.listThreadIds(), (await r.manager.listThreads()).threads], [[], []]);
  });
});

suite("shutdown", () => {
  test("the report: those that ended by themselves, and those that were ended; both in time", async () => {
    const deaf = tool({ name: "deaf", description: "", execute: () => new Promise(() => {}) });
    const r = await rig({ tools: [deaf], script: [[call("deaf")]] });
    const idle = await r.manager.startThread();
    const busy = await r.manager.startThread();
    void busy.thread.run("x").catch(() => undefined);
    await until(() => r.model.asked === 1);
    const ending = r.manager.shutdown({ deadlineMs: 1_000 });
    await settled();
    await r.clock.advanceAsync(100);
    assert.deepEqual(await ending, {
      completed: [idle.threadId, busy.threadId].toSorted((a, b) => (a < b ? -1 : 1)),
      failed: [],
      timedOut: [],
    });
    assert.equal(r.clock.pending, 0);
  });

  test("a logic that ignores its ops is stopped at the deadline, also one that was removed, and one that still boots", async () => {
    const r = await rig({ threadLogic: logic(() => {}) });
    const a = await r.manager.startThread();
    const b = await r.manager.startThread();
    await r.manager.removeThread(b.threadId);
    const ending = r.manager.shutdown({ deadlineMs: 1_000 });
    await settled();
    await r.clock.advanceAsync(1_000);
    const report = await ending;
    assert.deepEqual(
      { ...report, completed: report.completed.toSorted() },
      { completed: [a.threadId, b.threadId].toSorted(), failed: [], timedOut: [] },
    );
    assert.deepEqual([a.thread.actor, b.thread.actor, r.clock.pending], [undefined, undefined, 0]);

    const silent = await rig({ threadLogic: fromCallback(() => {}) });
    const starting = observe(silent.manager.startThread());
    await settled();
    const end = silent.manager.shutdown({ deadlineMs: 1_000 });
    await settled();
    await silent.clock.advanceAsync(1_000);
    assert.deepEqual(await end, { completed: [], failed: [], timedOut: [] });
    await settled();
    assert.deepEqual([Object(starting.outcome).reason?.code, silent.clock.pending], ["manager_closed", 0]);
  });

  test("a thread whose last lines could not be stored has failed; a store that cannot close holds nothing up", async () => {
    const inner = memoryStore();
    const store = overlaid<ThreadStore>(inner, {
      async create(...args) {
        const writer = await inner.create(...args);
        return new Proxy(writer, {
          get(target, name) {
            if (name === "failure") return new Error("disk full");
            if (name === "close") return () => Promise.reject(new Error("disk full"));
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    });
    const r = await rig({ store });
    const { threadId } = await r.manager.startThread();
    assert.deepEqual(await r.manager.shutdown(), { completed: [], failed: [threadId], timedOut: [] });
  });

  test("threads that are made while it begins are ended too", async () => {
    const r = await rig();
    const starting = Promise.allSettled([1, 2, 3].map(() => r.manager.startThread()));
    const report = await r.manager.shutdown();
    const started = await starting;
    assert.equal(started.filter(({ status }) => status === "fulfilled").length, report.completed.length);
    assert.equal(r.clock.pending, 0);
  });
});

suite("restarts (S7)", () => {
  const crashing = logic(({ op }) => {
    if (op?.type === "compact") throw new Error("crash");
  });
  const ending = () =>
    fromCallback<Message>(({ emit }) => {
      (emit as (event: object) => void)(configured);
    });

  test("transient: after its back-off, longer each time, up to the intensity; then it is given up", async () => {
    await using r = await rig({
      threadLogic: crashing,
      supervision: { maxRestarts: 2, backoffMs: 100, maxBackoffMs: 1_000, random: () => 0 },
    });
    const { thread, threadId } = await r.manager.startThread();
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
    for (const backoff of [100, 200]) {
      await thread.submit({ type: "compact" });
      await until(() => thread.actor === undefined);
      await r.clock.advanceAsync(backoff - 1);
      assert.equal(thread.actor, undefined);
      await r.clock.advanceAsync(1);
      assert.notEqual(thread.actor, undefined);
    }
    assert.equal(thread.epoch, 3);
    const waiting = observe(thread.nextEvent());
    await thread.submit({ type: "compact" });
    await until(() => closed.length === 1);
    await settled();
    assert.equal(Object(waiting.outcome).value?.msg.message, "the thread crashed: crash");
    assert.deepEqual(closed, [threadId]);
    await assert.rejects(thread.nextEvent(), { code: "thread_closed" });
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    assert.equal((await r.manager.resumeThread(threadId)).threadId, threadId);
  });

  test("temporary: never", async () => {
    await using r = await rig({ threadLogic: crashing, supervision: { restart: "temporary" } });
    const { thread, threadId } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    await until(() => thread.actor === undefined);
    await r.clock.advanceAsync(60_000);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
  });

  test("permanent: after an orderly end as well, but not after its holder's shutdown", async () => {
    await using r = await rig({ supervision: { restart: "permanent", backoffMs: 10 } });
    const { thread, threadId } = await r.manager.startThread();
    await thread.submit({ type: "shutdown" });
    await until(() => thread.actor === undefined);
    await r.clock.advanceAsync(10);
    assert.deepEqual([thread.epoch, (await thread.run("x")).status], [2, "completed"]);
    await thread.shutdown();
    await r.clock.advanceAsync(60_000);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    assert.ok(ending());
  });

  test("what is said to a crashed thread, or asked of the manager, waits for its restart and is not lost", async () => {
    const gate = latch();
    const inner = memoryStore();
    const store = overlaid<ThreadStore>(inner, {
      async create(...args) {
        const writer = await inner.create(...args);
        return overlaid(writer, { close: () => gate.opened.then(() => writer.close()) });
      },
    });
    const heard: string[] = [];
    const listening = logic(({ op }) => {
      if (op?.type === "compact") throw new Error("crash");
      if (op !== undefined) heard.push(op.type);
    });
    await using r = await rig({ store, threadLogic: listening });
    const { thread, threadId } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    const said = thread.submit({ type: "list_models" });
    const got = r.manager.getThread(threadId);
    await settled();
    gate.open();
    const resumed = r.manager.resumeThread(threadId);
    await r.clock.advanceAsync(49);
    assert.deepEqual([heard, thread.epoch, thread.actor], [[], 1, undefined]);
    await r.clock.advanceAsync(51);
    await said;
    assert.deepEqual([heard, thread.epoch, await got], [["list_models"], 2, thread]);
    assert.equal((await resumed).thread, thread);
    await r.clock.advanceAsync(60_000);
    assert.equal(thread.epoch, 2);
  });

  test("a shutdown that is asked for while the thread is down holds: it does not come back", async () => {
    await using r = await rig({ threadLogic: crashing });
    const { thread, threadId } = await r.manager.startThread();
    const seen = watch(thread);
    await thread.submit({ type: "compact" });
    assert.equal(await thread.shutdown(), "completed");
    await r.clock.advanceAsync(60_000);
    assert.deepEqual(typesOf(seen), ["error"]);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    assert.equal(r.manager.capacity().unloadedThreads, 0);
  });
});

suite("removing", () => {
  test("gives a working thread, also of one that hangs or has left memory; the manager knows it no more", async () => {
    await using r = await rig({ script: (_, n) => (n === 0 ? [hang()] : [say("ok")]) });
    const hanging = await r.manager.startThread();
    const running = hanging.thread.run("x");
    await until(() => r.model.asked === 1);
    assert.equal(await r.manager.removeThread(hanging.threadId), hanging.thread);
    await hanging.thread.interrupt();
    assert.equal((await running).status, "interrupted");

    const { thread, threadId } = await r.manager.startThread();
    await r.clock.advanceAsync(31 * 60_000);
    assert.equal(thread.actor, undefined);
    assert.equal(await r.manager.removeThread(threadId), thread);
    const ended = next(thread, "task_complete");
    await thread.run("y");
    await ended;
    assert.deepEqual([await r.manager.listThreadIds(), r.manager.capacity().residentThreads.used], [[], 0]);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    await assert.rejects(r.manager.resumeThread(threadId), { code: "thread_busy" });
    assert.deepEqual((await r.manager.shutdown()).completed.toSorted(), [hanging.threadId, threadId].toSorted());
  });
});
