/** What becomes of a submission's input, told from the events of its thread alone. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { EventMsg } from "../../src/protocol/event.ts";
import { newThreadId, type SubmissionId, toSubmissionId } from "../../src/protocol/ids.ts";
import { endOfTurn, type TurnObserver, TurnWatch } from "../../src/thread/turn-watch.ts";
import { settled } from "../kernel/settled.ts";

/** A thread whose events the test says: `ID TYPE`, with the turn `t`. */
function thread(goesOn = false) {
  const observers = new Set<TurnObserver>();
  return {
    id: newThreadId(),
    goesOnWith: () => goesOn,
    observe(observer: TurnObserver) {
      observers.add(observer);
      return () => void observers.delete(observer);
    },
    say(line: string, more: object = {}) {
      const [id, type] = line.split(" ");
      const msg = { type, turn_id: "t", ...more } as unknown as EventMsg;
      for (const observer of [...observers]) observer.event({ id: toSubmissionId(id ?? ""), msg });
    },
    close(cause?: unknown) {
      for (const observer of [...observers]) observer.closed(cause);
    },
    observers,
  };
}

const a = toSubmissionId("a") as SubmissionId;
const stateOf = async (promise: Promise<unknown>) => {
  const pending = Symbol("pending");
  await settled();
  return (await Promise.race([promise, pending])) === pending ? "pending" : promise;
};

suite("a turn that is watched", () => {
  const ends: [line: string, more: object, status: string, message: string | null][] = [
    ["a task_complete", { last_agent_message: "done" }, "completed", "done"],
    ["a task_complete", {}, "completed", null],
    ["a turn_aborted", { reason: "interrupted", last_agent_message: "no" }, "interrupted", null],
  ];
  for (const [line, more, status, message] of ends) {
    test(`is ${status} with ${message} after ${line}`, async () => {
      const t = thread();
      const watch = new TurnWatch(t, a);
      t.say("a task_started");
      t.say("b error", { message: "another's" });
      t.say("b task_complete", { turn_id: "other" });
      t.say("b item_completed", { turn_id: "other", item: { id: "no" } });
      t.say("a item_completed", { item: { id: "i" } });
      assert.deepEqual([await stateOf(watch.result), watch.isRunning], ["pending", true]);
      t.say(line, { turn_token_usage: { total: 1 }, ...more });
      assert.equal(watch.isRunning, false);
      const result = await watch.result;
      assert.deepEqual(result as object, {
        ...{ submissionId: "a", turnId: "t", status, lastAgentMessage: message, error: null },
        ...{ items: [{ id: "i" }], usage: { total: 1 } },
      });
      watch.stop();
      assert.equal(t.observers.size, 0);
    });
  }

  test("has failed with the error that was told under its own submission", async () => {
    const t = thread();
    const watch = new TurnWatch(t, a);
    t.say("a task_started", { turn_id: undefined });
    t.say("a error", { message: "fire", codex_error_info: "bad_request" });
    t.say("a turn_aborted");
    const { status, error, turnId, usage } = await watch.result;
    assert.deepEqual([status, error, turnId, usage], ["failed", { message: "fire", info: "bad_request" }, null, null]);
  });

  test("ends with the running turn that its input has joined, whoever's that is", async () => {
    const t = thread();
    const watch = new TurnWatch(t, a);
    t.say("a item_completed", { item: { id: "input" } });
    t.say("b item_completed", { item: { id: "answer" } });
    t.say("b task_complete", { turn_id: "other" });
    t.say("b task_complete", { last_agent_message: "both" });
    const { items, lastAgentMessage, turnId } = await watch.result;
    assert.deepEqual([items.map(({ id }) => id), lastAgentMessage, turnId], [["input", "answer"], "both", "t"]);
  });

  test("is interrupted by a new life, unless that goes on with it", async () => {
    const cut = thread(false);
    const lost = new TurnWatch(cut, a);
    cut.say("a task_started");
    cut.say(" session_configured");
    assert.equal((await lost.result).status, "interrupted");
    const going = thread(true);
    const watch = new TurnWatch(going, a);
    going.say(" session_configured");
    going.say("a turn_resumed", { turn_id: "t2" });
    assert.equal(await stateOf(watch.result), "pending");
    going.say("a task_complete", { turn_id: "t2" });
    assert.equal((await watch.result).turnId, "t2");
  });

  test("before its submission has a name nothing is its own, and it does not run", async () => {
    const t = thread();
    const watch = new TurnWatch(t);
    t.say("a task_complete");
    t.say(" session_configured");
    assert.deepEqual([await stateOf(watch.result), watch.isRunning], ["pending", false]);
    watch.begin(a);
    assert.equal(watch.isRunning, true);
    t.say("a task_complete");
    assert.equal((await watch.result).status, "completed");
  });

  test("is refused with the cause when its thread closes", async () => {
    const t = thread();
    const watch = new TurnWatch(t, a);
    const cause = new Error("fire");
    t.close(cause);
    assert.equal(watch.isRunning, false);
    await assert.rejects(watch.result, { code: "thread_closed", threadId: t.id, cause });
  });
});

suite("the end of a turn", () => {
  for (const [line, isEnd] of [
    ["a task_complete", true],
    ["a turn_aborted", true],
    [" session_configured", true],
    ["b task_complete", false],
    ["a task_started", false],
  ] as const) {
    test(`${line} is ${isEnd ? "it" : "not"}`, async () => {
      const t = thread();
      const { ended, stop } = endOfTurn(t, a);
      t.say(line);
      assert.equal((await stateOf(ended)) === "pending", !isEnd);
      t.close();
      await ended;
      stop();
      assert.equal(t.observers.size, 0);
    });
  }
});
