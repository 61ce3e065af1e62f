/** A turn of the house that a thread's own logic begins: as the built-in logic runs it, in the thread's place. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import {
  defineThreadLogic,
  InvalidRequestError,
  type OwnLogicInput,
  ThreadClosedError,
  type TurnResult,
  tool,
} from "../../src/index.ts";
import { call, fail, hang, usage } from "../../src/model/script.ts";
import { observe, settled } from "../kernel/settled.ts";
import { linesOf, next, rig, typesOf, until, watch } from "../rig.ts";

/** Hands each input on to a turn of the house that answers it. */
const router = fromCallback<{ type: string }, OwnLogicInput>(({ input: { thread, sessionConfigured }, receive }) => {
  thread.publish("", sessionConfigured);
  receive((event) => {
    if (event.type !== "op.submit") return;
    const { id, op, turnId } = event as unknown as { id: never; op: { type: string; items: never[] }; turnId: never };
    if (op.type === "user_input") {
      void thread.startTurn(op.items, { submission: { id, turnId } }).catch(() => undefined);
    } else if (op.type === "shutdown") thread.publish(id, { type: "shutdown_complete" });
  });
});

const plus = tool({ name: "plus", description: "", execute: ({ a, b }) => Number(a) + Number(b) });
const answers = [
  [call("plus", { a: 1, b: 2 }), usage({ input_tokens: 10, output_tokens: 2, total_tokens: 12 })],
  "three",
];

suite("under the id of the op that it answers", () => {
  test("is the same turn as the built-in logic's: what is told, what is stored, what run() gives", async () => {
    const seen: unknown[] = [];
    for (const logic of ["router", "built-in"]) {
      await using r = await rig({ script: answers, tools: [plus], logics: { router }, limits: { runningTurns: 1 } });
      const { thread } = await r.manager.startThread({ logic });
      const events = watch(thread);
      const result = await thread.run("how much?");
      const again = await thread.run("and now?");
      assert.equal(thread.status !== "running" && thread.activeTurn, undefined);
      const lines = (await linesOf(r.store, thread.id)).slice(1).map(gist).sort();
      seen.push({
        result: [
          result.status,
          result.lastAgentMessage,
          result.usage?.total_tokens,
          result.items.map(({ type }) => type),
        ],
        again: again.status,
        // How fast a tool is says what comes before its end.
        events: typesOf(events).sort(),
        lines,
        used: r.manager.capacity().runningTurns.used,
      });
    }
    assert.deepEqual(seen[0], seen[1]);
  });

  test("an interrupt, a failure of the model and a shutdown end it as they end the built-in one", async () => {
    await using r = await rig({ script: (_request, n) => (n === 1 ? [fail("no")] : [hang()]), logics: { router } });
    const { thread } = await r.manager.startThread({ logic: "router" });
    const first = observe(thread.run("x"));
    await until(() => r.model.requests.length === 1);
    assert.equal(thread.activeTurn !== undefined, true);
    await thread.interrupt();
    await until(() => first.outcome !== "pending");
    const failed = await thread.run("y");
    assert.deepEqual([failed.status, failed.error?.message], ["failed", "no"]);
    const last = observe(thread.run("z"));
    await until(() => r.model.requests.length === 3);
    const down = observe(thread.shutdown());
    await until(() => down.outcome !== "pending");
    await until(() => last.outcome !== "pending");
    assert.deepEqual(
      [Object(first.outcome).value?.status, Object(last.outcome).value?.status],
      ["interrupted", "interrupted"],
    );
  });
});

suite("within a turn of the logic's", () => {
  test("has an id of its own, counts once, and its last message is stored once", async () => {
    let inner: TurnResult | undefined;
    const logic = defineThreadLogic({
      turn: async ({ startTurn, text }) => {
        inner = await startTurn(`please: ${text}`);
        return inner.lastAgentMessage;
      },
    });
    await using r = await rig({ script: answers, tools: [plus], threadLogic: logic, limits: { runningTurns: 1 } });
    const { thread } = await r.manager.startThread();
    const events = watch(thread);
    const result = await thread.run("how much?");
    assert.deepEqual([result.status, result.lastAgentMessage, inner?.status], ["completed", "three", "completed"]);
    assert.notEqual(inner?.turnId, result.turnId);
    assert.deepEqual(
      events.filter(({ msg }) => /^task_/.test(msg.type)).map(({ id, msg }) => [msg.type, id === result.submissionId]),
      [
        ["task_started", true],
        ["task_started", false],
        ["task_complete", false],
        ["task_complete", true],
      ],
    );
    const said = (await linesOf(r.store, thread.id)).filter((line) => JSON.stringify(line).includes('"text":"three"'));
    assert.equal(said.filter(({ type }) => type === "response_item").length, 1);
    assert.equal(r.manager.capacity().runningTurns.used, 0);
  });

  test("its tools ask for approval as in any turn, and the op that answers is theirs", async () => {
    const logic = defineThreadLogic({ turn: async ({ startTurn }) => (await startTurn("go")).lastAgentMessage });
    await using r = await rig({
      script: [[call("shell_command", { command: "touch /nowhere/x" })], "done"],
      threadLogic: logic,
      config: { builtInTools: ["shell"], approvalPolicy: "untrusted", cwd: "/tmp" },
    });
    const { thread } = await r.manager.startThread();
    const asked = next(thread, "exec_approval_request");
    const run = observe(thread.run("x"));
    const { msg } = await asked;
    await thread.submit({ type: "exec_approval", id: String(Object(msg).call_id), decision: "denied" });
    await until(() => run.outcome !== "pending");
    assert.equal(Object(run.outcome).value?.status, "completed");
  });

  test("an interrupt of the thread ends both; a second one at once, and no input, are refused", async () => {
    const errors: unknown[] = [];
    const logic = defineThreadLogic({
      turn: async ({ startTurn, thread }) => {
        errors.push(await startTurn([]).catch((error: unknown) => error));
        const running = startTurn("one");
        errors.push(await thread.startTurn("two").catch((error: unknown) => error));
        await running;
      },
    });
    await using r = await rig({ script: () => [hang()], threadLogic: logic });
    const { thread } = await r.manager.startThread();
    const events = watch(thread);
    const run = observe(thread.run("x"));
    await until(() => r.model.requests.length === 1);
    await thread.interrupt();
    await until(() => run.outcome !== "pending");
    await settled();
    assert.equal(Object(run.outcome).value?.status, "interrupted");
    assert.ok(errors.length === 2 && errors.every((error) => error instanceof InvalidRequestError));
    assert.deepEqual(
      typesOf(events).filter((type) => /^task_|^turn_/.test(type)),
      ["task_started", "task_started", "turn_aborted", "turn_aborted"],
    );
  });

  for (const options of [{}, { signal: new AbortController().signal }]) {
    const whose = "signal" in options ? "a signal of the logic's own" : "no signal";
    test(`one begun with ${whose} ends with its thread, and after that none begins`, async () => {
      const begin: (() => Promise<unknown>)[] = [];
      const deaf = fromCallback<{ type: string }, OwnLogicInput>(({ input: { thread, sessionConfigured } }) => {
        thread.publish("", sessionConfigured);
        begin.push(() => thread.startTurn("go", options));
      });
      await using r = await rig({ script: () => [hang()], threadLogic: deaf });
      const { thread } = await r.manager.startThread();
      const running = observe(begin[0]?.() ?? Promise.reject(new Error("no logic")));
      await until(() => r.model.requests.length === 1);
      const down = observe(thread.shutdown({ deadlineMs: 0 }));
      await r.clock.advanceAsync(10_000);
      await until(() => down.outcome !== "pending" && running.outcome !== "pending");
      const late = observe(begin[0]?.() ?? Promise.resolve());
      await until(() => late.outcome !== "pending");
      for (const { outcome } of [running, late])
        assert.ok(Object(outcome).reason instanceof ThreadClosedError, String(outcome));
      assert.equal(r.model.requests.length, 1);
    });
  }

  test("a thread that is killed under it gives each turn one end, which is stored", async () => {
    const logic = defineThreadLogic({ turn: async ({ startTurn }) => (await startTurn("go")).lastAgentMessage });
    await using r = await rig({ script: () => [hang()], threadLogic: logic });
    const { thread } = await r.manager.startThread();
    const events = watch(thread);
    const run = observe(thread.run("x"));
    await until(() => r.model.requests.length === 1);
    const down = observe(thread.shutdown({ deadlineMs: 0 }));
    await r.clock.advanceAsync(10_000);
    await until(() => down.outcome !== "pending" && run.outcome !== "pending");
    const types = typesOf(events);
    assert.deepEqual(
      [types.filter((t) => t === "task_started").length, types.filter((t) => t === "turn_aborted").length],
      [2, 2],
    );
    const stored = (await linesOf(r.store, thread.id)).filter((line) => JSON.stringify(line).includes("turn_aborted"));
    assert.ok(stored.length >= 2);
  });
});

const gist = (line: { type: string; payload?: unknown }): string => {
  const { type, role, call_id: callId } = Object(line.payload);
  return [line.type, type, role, callId === undefined ? "" : "call"].join(" ");
};
