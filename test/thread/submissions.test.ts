/** Ops on their way into a thread: ids, order, bounds, and what becomes of them when it cannot take them. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import { ask, OverloadedError, type Thread, ThreadClosedError, tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { observe, settled } from "../kernel/settled.ts";
import { INTERRUPTED, latch, linesOf, next, overlaid, type Rig, rig, textsOf, until, watch } from "../rig.ts";

const HALF_AN_HOUR = 31 * 60_000;
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

suite("submitting", () => {
  test("ids count from 0 in each incarnation, past those that callers took", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    assert.equal(await thread.submitWithId({ id: "1", op: { type: "interrupt" } }), "1");
    const ids = [];
    for (let n = 0; n < 3; n += 1) ids.push(await thread.submit({ type: "interrupt" }));
    assert.deepEqual(ids, ["0", "2", "3"]);
    await r.clock.advanceAsync(HALF_AN_HOUR);
    assert.equal(await thread.submit({ type: "interrupt" }), "0");
  });

  test("SEMANTICS 2.2: an id that the thread has seen runs nothing again: a caller's, the counter's, and a stored turn's", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const id = newThreadId();
    const ended = next(thread, "task_complete");
    await Promise.all([thread.submitWithId({ id, op: input("a") }), thread.submitWithId({ id, op: input("a") })]);
    assert.equal((await ended).id, id);
    await thread.submitWithId({ id: "0", op: { type: "interrupt" } });
    await thread.submit({ type: "interrupt" });
    await thread.submitWithId({ id: "1", op: input("never") });
    await thread.submitWithId({ id, op: input("never") });
    await r.clock.advanceAsync(HALF_AN_HOUR);
    assert.equal(thread.actor, undefined);
    await thread.submitWithId({ id, op: input("never") });
    await thread.run("b");
    assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }), ["a", "ack: a", "b"]);
    assert.equal(r.model.asked, 2);
  });

  test("what was refused was not seen: the same id may be tried again", async () => {
    await using r = await rig({ limits: { mailbox: 1 }, script: [[hang()], [hang()], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    void thread.run("a");
    await until(() => r.model.asked === 1);
    const joining = thread.submit(input("b"));
    await assert.rejects(thread.submitWithId({ id: "mine", op: input("c") }, { whenFull: "reject" }), OverloadedError);
    await joining;
    await until(() => r.model.asked === 2);
    await thread.interrupt();
    await thread.submitWithId({ id: "mine", op: input("c") });
    await next(thread, "task_complete");
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }), ["a", "b", INTERRUPTED, "c"]);
  });

  test("the mailbox is bounded; urgent ops always pass", async () => {
    await using r = await rig({ limits: { mailbox: 3 }, script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("a");
    await until(() => r.model.asked === 1);
    const sent = await Promise.allSettled(
      ["b", "c", "d", "e", "f"].map((text) => thread.submit(input(text), { whenFull: "reject" })),
    );
    assert.deepEqual(
      sent.map(({ status }) => status),
      ["fulfilled", "fulfilled", "fulfilled", "rejected", "rejected"],
    );
    await thread.interrupt();
    assert.equal((await running).status, "interrupted");
  });

  test("malformed ops and ids are typed errors, and change nothing", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    await assert.rejects(thread.submit({ type: "user_input" } as never), { code: "invalid_request", message: /items/ });
    await assert.rejects(thread.submit(undefined as never), { code: "invalid_request" });
    await assert.rejects(thread.submitWithId({ id: "", op: { type: "interrupt" } }), { code: "invalid_request" });
    await thread.submit({ type: "no_such_op" } as never);
    assert.deepEqual(
      seen.map(({ msg }) => msg),
      [{ type: "error", message: "unsupported operation: no_such_op", codex_error_info: "bad_request" }],
    );
  });

  test("a closed thread gives the op back", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    assert.equal(await thread.shutdown(), "completed");
    const op = input("late");
    for (const late of [() => thread.submit(op), () => thread.submitWithId({ id: "x", op })]) {
      await assert.rejects(late, (error) => {
        assert.ok(error instanceof ThreadClosedError);
        assert.deepEqual(error.op, op);
        return true;
      });
    }
    await assert.rejects(thread.run("late"), ThreadClosedError);
    await assert.rejects(thread.interrupt(), ThreadClosedError);
    assert.deepEqual((await thread.nextEvent()).msg, { type: "shutdown_complete" });
    await assert.rejects(thread.nextEvent(), ThreadClosedError);
    await assert.rejects(thread.nextEvent(), ThreadClosedError);
    assert.equal(await thread.shutdown(), "completed");
    assert.deepEqual([thread.status, thread.actor, thread.activeTurn], ["shutdown", undefined, undefined]);
  });

  test("SEMANTICS 1.1: ops keep their order while the thread is loaded again, also those that come as it arrives (T3)", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    await r.clock.advanceAsync(HALF_AN_HOUR);
    const seen = watch(thread);
    const list = ["a", "b", "c"].map((id) => thread.submitWithId({ id, op: { type: "list_mcp_tools" } }));
    let late: Promise<unknown> | undefined;
    thread.events$.subscribe(({ msg }) => {
      if (msg.type === "session_configured") late = thread.submitWithId({ id: "d", op: { type: "list_mcp_tools" } });
    });
    await Promise.all(list);
    await late;
    await until(() => seen.length === 5);
    assert.deepEqual(
      seen.map(({ id }) => id),
      ["", "a", "b", "c", "d"],
    );
  });

  test("an op that is sent as the thread leaves memory is not lost", async () => {
    const gate = latch();
    const inner = memoryStore();
    const slow = overlaid<ThreadStore>(inner, {
      async create(...args) {
        const writer = await inner.create(...args);
        return overlaid(writer, {
          async close() {
            await gate.opened;
            await writer.close();
          },
        });
      },
    });
    await using r = await rig({ store: slow });
    const { thread, threadId } = await r.manager.startThread();
    await r.clock.advanceAsync(HALF_AN_HOUR);
    const answer = thread.run("wait for me");
    const got = r.manager.getThread(threadId);
    await settled();
    gate.open();
    assert.equal((await answer).lastAgentMessage, "ack: wait for me");
    assert.equal(await got, thread);
    assert.equal(thread.epoch, 2);
  });

  test("the next submission throws a store's failure, and takes nothing that cannot be stored", async () => {
    const inner = memoryStore();
    let failure: Error | undefined;
    const failing = overlaid<ThreadStore>(inner, {
      async create(...args) {
        const writer = await inner.create(...args);
        return new Proxy(writer, {
          get(target, name) {
            if (name === "failure") return failure;
            if (name === "flush") return () => (failure === undefined ? Promise.resolve() : Promise.reject(failure));
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    });
    await using r = await rig({ store: failing });
    const { thread } = await r.manager.startThread();
    failure = new Error("disk full");
    await assert.rejects(thread.submit(input("x")), /disk full/);
    await assert.rejects(thread.submitWithId({ id: "mine", op: input("z") }), /disk full/);
    assert.equal(r.model.asked, 0);
    await thread.interrupt();
    failure = undefined;
    assert.equal((await thread.run("y")).lastAgentMessage, "ack: y");
    const ended = next(thread, "task_complete");
    await thread.submitWithId({ id: "mine", op: input("z") });
    assert.equal((await ended).id, "mine");
  });
});

/** A thread whose running turn takes no input until it is interrupted: what is submitted stays in its mailbox. */
async function stuck(mailbox: number, roomDeadlineMs = 60_000): Promise<{ r: Rig; thread: Thread }> {
  const running = latch();
  const execute = () => {
    running.open();
    return new Promise<never>(() => {});
  };
  const deaf = tool({ name: "deaf", description: "", execute });
  const r = await rig({ tools: [deaf], limits: { mailbox, roomDeadlineMs }, script: [[call("deaf")]] });
  const { thread } = await r.manager.startThread();
  void thread.run("first").catch(() => undefined);
  await running.opened;
  return { r, thread };
}

async function interrupt({ r, thread }: { r: Rig; thread: Thread }): Promise<void> {
  const done = thread.interrupt();
  await settled();
  // The tool's grace.
  await r.clock.advanceAsync(200);
  await done;
}

suite("back-pressure", () => {
  test("3,000 ops that are awaited one by one are all taken, and 5,000 that are not are refused past the bound", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    for (let n = 0; n < 3_000; n += 1) await thread.submit(input(`a${n}`));
    const sent = await Promise.allSettled(
      Array.from({ length: 5_000 }, (_, n) => thread.submit(input(`b${n}`), { whenFull: "reject" })),
    );
    const refused = sent.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    assert.ok(refused.length >= 5_000 - 2 * 1_024 && refused.length < 5_000, String(refused.length));
    assert.ok(refused.every((error) => error instanceof OverloadedError && error.code === "overloaded"));
  });

  test("SEMANTICS 1.1: those that wait go in the order of their submission, and nobody overtakes them", async () => {
    const { r, thread } = await stuck(2);
    const waiting = ["a", "b", "c", "d", "e"].map((id) => thread.submitWithId({ id, op: input(id) }));
    await settled();
    await assert.rejects(thread.submit(input("x"), { whenFull: "reject" }), OverloadedError);
    const late = thread.submitWithId({ id: "f", op: input("f") });
    // What was taken is answered without room; what is urgent needs none.
    assert.equal(await thread.submitWithId({ id: "a", op: input("a") }, { whenFull: "reject" }), "a");
    await interrupt({ r, thread });
    assert.deepEqual(await Promise.all([...waiting, late]), ["a", "b", "c", "d", "e", "f"]);
    await until(() => r.model.requests.some((request) => textsOf(request).includes("f")));
    const texts = textsOf(r.model.requests.at(-1) ?? { input: [] }).filter((text) => /^[a-f]$/.test(text));
    assert.deepEqual(texts, ["a", "b", "c", "d", "e", "f"]);
    await r[Symbol.asyncDispose]();
  });

  test("one that gives up leaves no trace; a deadline is its own error; without either, patience ends by overloaded", async () => {
    const { r, thread } = await stuck(1, 200);
    await thread.submit(input("fills it"));
    const leave = new AbortController();
    const waiting = thread.submitWithId({ id: "gone", op: input("gone") }, { signal: leave.signal });
    const patient = thread.submit(input("patient"));
    const late = observe(thread.submit(input("late"), { deadlineMs: 50 }));
    leave.abort("enough");
    await assert.rejects(waiting, (error) => error === "enough");
    await r.clock.advanceAsync(50);
    assert.equal(Object(late.outcome).reason?.code, "deadline_exceeded");
    await assert.rejects(patient, OverloadedError);
    await interrupt({ r, thread });
    await thread.run("after");
    const lines = JSON.stringify(await linesOf(r.store, thread.id));
    assert.deepEqual(
      ["fills it", "gone", "patient", "late", "after"].map((text) => lines.includes(`"${text}"`)),
      [true, false, false, false, true],
    );
    assert.equal(await thread.outcomeOf("gone"), undefined);
    await r[Symbol.asyncDispose]();
  });

  test("ready resolves when there is room, behind those that wait, and at once where there is some", async () => {
    const { r, thread } = await stuck(1);
    await thread.submit(input("a"));
    const order: string[] = [];
    const waiting = thread.submit(input("b")).then(() => order.push("b"));
    const ready = thread.ready().then(() => order.push("ready"));
    await settled();
    assert.deepEqual(order, []);
    await assert.rejects(thread.ready({ signal: AbortSignal.timeout(5) }), { name: "TimeoutError" });
    await interrupt({ r, thread });
    await Promise.all([waiting, ready]);
    assert.deepEqual(order, ["b", "ready"]);
    await thread.ready();
    const late = new Error("too late");
    await assert.rejects(thread.ready({ signal: AbortSignal.abort(late) }), late, "though there is room");
    await r[Symbol.asyncDispose]();
  });

  test("a shutdown answers those that wait; a crash hands them to the next life", async () => {
    const { r, thread } = await stuck(1);
    await thread.submit(input("a"));
    const refused = [thread.submit(input("b")), thread.ready()].map((one) => observe<unknown>(one));
    await settled();
    const closing = observe(thread.shutdown());
    await r.clock.advanceAsync(200);
    await until(() => refused.every(({ outcome }) => outcome !== "pending"));
    assert.deepEqual(
      refused.map(({ outcome }) => Object(outcome).reason?.code),
      ["thread_closed", "thread_closed"],
    );
    await until(() => closing.outcome !== "pending");
    await r[Symbol.asyncDispose]();

    let lives = 0;
    const crashing = fromCallback(({ emit, receive }) => {
      lives += 1;
      const life = lives;
      receive((event) => {
        const { type, id, op, msg } = event as unknown as {
          type: string;
          id: string;
          op: { type: string };
          msg: object;
        };
        const say = emit as unknown as (emitted: object) => void;
        if (type === "session.configure") say({ type: "session_configured", id: "", msg });
        if (op?.type === "shutdown") say({ type: "shutdown_complete", id, msg: { type: "shutdown_complete" } });
        if (op?.type === "crash") throw new Error("no luck");
        if (op?.type === "user_input" && life > 1)
          for (const kind of ["task_started", "task_complete"])
            say({ type: kind, id, msg: { type: kind, last_agent_message: null } });
      });
    });
    const c = await rig({ threadLogic: crashing, limits: { mailbox: 1 } });
    const { thread: own } = await c.manager.startThread();
    const seen = watch(own);
    await own.submit(input("held"));
    const waits = own.submitWithId({ id: "waits", op: input("waits") });
    await settled();
    own.actor?.send({ type: "op.submit", id: "crash", op: { type: "crash" } });
    await settled();
    await c.clock.advanceAsync(1_000);
    assert.equal(await waits, "waits");
    assert.ok(seen.some(({ id, epoch, msg }) => id === "waits" && epoch === 2 && msg.type === "task_complete"));
    await c[Symbol.asyncDispose]();
  });

  test("the supervisor's mailbox is bounded: a message beyond it is refused, and ask waits for its turn", async () => {
    const opened = latch();
    const inner = memoryStore();
    const slow = overlaid<ThreadStore>(inner, {
      async create(...args) {
        await opened.opened;
        return inner.create(...args);
      },
    });
    await using r = await rig({ store: slow, limits: { supervisorMailbox: 2 } });
    const { supervisor } = r.manager;
    const answers: unknown[] = [];
    for (let n = 0; n < 4; n += 1) {
      supervisor.send({
        type: "thread.spawn",
        reply: (outcome) => answers.push(outcome.ok ? "made" : Object(outcome.error).code),
      });
    }
    await settled();
    assert.deepEqual(answers, ["overloaded", "overloaded"]);
    const left = new AbortController();
    const given = observe(ask(supervisor, { type: "thread.spawn" }, { signal: left.signal }));
    const waiting = [r.manager.startThread(), r.manager.startThread()];
    await assert.rejects(ask(supervisor, { type: "thread.spawn" }, { whenFull: "reject" }), { code: "overloaded" });
    assert.deepEqual(await r.manager.listThreadIds(), []);
    left.abort("left");
    await settled();
    assert.equal(Object(given.outcome).reason, "left");
    opened.open();
    await Promise.all(waiting);
    assert.deepEqual([answers.slice(2), (await r.manager.listThreadIds()).length], [["made", "made"], 4]);
  });
});
