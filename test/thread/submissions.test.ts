/** Ops on their way into a thread: ids, order, bounds, and what becomes of them when it cannot take them. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { OverloadedError, ThreadClosedError } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { INTERRUPTED, latch, next, overlaid, rig, textsOf, until, watch } from "../rig.ts";

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

  test("an id that the thread has seen runs nothing again: a caller's, the counter's, and a stored turn's", async () => {
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
    await assert.rejects(thread.submitWithId({ id: "mine", op: input("c") }), OverloadedError);
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
    const sent = await Promise.allSettled(["b", "c", "d", "e", "f"].map((text) => thread.submit(input(text))));
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

  test("ops keep their order while the thread is loaded again, also those that come as it arrives (T3)", async () => {
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
