/** The thread machine as a pure function: what each op comes to in each state, and that interrupt and shutdown end it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AnyMachineSnapshot, fromPromise, initialTransition, type StateFrom, transition } from "xstate";
import { type ThreadMachineEvent, threadMachine } from "../../machines/thread.machine.ts";
import { turnMachine } from "../../machines/turn.machine.ts";
import type { SessionConfiguredEvent } from "../../src/protocol/event.ts";
import { type ThreadId, toSubmissionId } from "../../src/protocol/ids.ts";
import type { Op } from "../../src/protocol/op.ts";

const threadId = "01990000-0000-7000-8000-000000000001" as ThreadId;
const configured: SessionConfiguredEvent = {
  type: "session_configured",
  session_id: threadId,
  model: "m",
  model_provider_id: "p",
  approval_policy: "never",
  sandbox_policy: { type: "read-only" },
  cwd: "/",
  history_log_id: 0,
  history_entry_count: 0,
  rollout_path: null,
};

const never = () => new Promise<void>(() => {});
/** Implementations that do nothing; `takesInput` is what the runtime would know of the turn. */
const machineWith = (takesInput: boolean) =>
  threadMachine.provide({
    actors: {
      runTurn: turnMachine.provide({ actors: { prepare: fromPromise(never) } }),
      rollBack: fromPromise(never),
      close: fromPromise(never),
    },
    actions: {
      holdInput: () => {},
      answerOp: () => {},
      refuseOp: () => {},
      refuseRollback: () => {},
      deferOp: () => {},
      replayDeferred: () => {},
      reportDefect: () => {},
      abandonTurn: () => {},
    },
    guards: { turnTakesInput: () => takesInput },
  });

type Snapshot = StateFrom<typeof threadMachine>;

const NAMED = new Set(["holdInput", "answerOp", "refuseOp", "refuseRollback", "deferOp"]);

/** What a transition does, in words: emitted types, interrupts of the turn, and the runtime's actions by name. */
function effectsOf(actions: readonly { type: string; params?: unknown }[]): string[] {
  return actions.flatMap(({ type, params }) => {
    if (type === "xstate.emit") return [`emit ${(params as { event: { type: string } }).event.type}`];
    if (type === "xstate.sendTo") {
      const { event } = params as { event: { type: string; reason?: string } };
      return [`${event.type} ${event.reason ?? ""}`.trim()];
    }
    if (type === "holdInput") return [`hold for ${(params as { task: string }).task}`];
    return NAMED.has(type) ? [type] : [];
  });
}

const started = (takesInput = true) => {
  const machine = machineWith(takesInput);
  const [first] = initialTransition(machine, { threadId, epoch: 1 });
  const step = (snapshot: Snapshot, event: ThreadMachineEvent): { snapshot: Snapshot; effects: string[] } => {
    const [next, actions] = transition(machine, snapshot as never, event);
    return { snapshot: next as Snapshot, effects: effectsOf(actions) };
  };
  return { first: first as Snapshot, step };
};

const op = (id: string, op: Op): ThreadMachineEvent => ({ type: "op.submit", id: toSubmissionId(id), op });
const input = (id: string) => op(id, { type: "user_input", items: [{ type: "text", text: id }] });
const turnDone = { type: "xstate.done.actor.turn", output: undefined, actorId: "turn" } as never;
const turnBroke = { type: "xstate.error.actor.turn", error: new Error("defect"), actorId: "turn" } as never;

const OPEN = { type: "session.configure", msg: configured } as const;
const placeIn = (snapshot: AnyMachineSnapshot): string => JSON.stringify(snapshot.value);

/** Leads the machine into each of its states. */
const states = {
  configuring: [],
  idle: [OPEN],
  running: [OPEN, input("a")],
  rollingBack: [OPEN, op("r", { type: "thread_rollback", num_turns: 1 })],
  closing: [OPEN, op("s", { type: "shutdown" })],
} satisfies Record<string, ThreadMachineEvent[]>;

function into(state: keyof typeof states, takesInput = true) {
  const { first, step } = started(takesInput);
  let snapshot = first;
  for (const event of states[state]) snapshot = step(snapshot, event).snapshot;
  return { snapshot, step };
}

suite("thread machine", () => {
  test("session_configured is the first emission, and nothing is said before it", () => {
    const { first, step } = started();
    const publish = { type: "event.publish", id: toSubmissionId(""), msg: { type: "warning", message: "w" } } as const;
    assert.deepEqual(step(first, publish).effects, []);
    assert.deepEqual(step(first, { type: "rollout.record", item: {} as never }).effects, []);
    const open = step(first, OPEN);
    assert.deepEqual(open.effects, ["emit session_configured"]);
    assert.deepEqual(step(open.snapshot, publish).effects, ["emit warning"]);
    assert.equal(step(first, { type: "boot.failed", reason: "x" }).snapshot.value, "failed");
  });

  const table: Record<keyof typeof states, Record<string, [value: string, effects: string[]]>> = {
    configuring: {
      interrupt: ['"configuring"', []],
      shutdown: ['"configuring"', []],
      user_input: ['"configuring"', []],
      thread_rollback: ['"configuring"', []],
    },
    idle: {
      interrupt: ['{"open":"idle"}', ["answerOp"]],
      shutdown: ['{"open":"closing"}', []],
      user_input: ['{"open":"running"}', ["hold for x"]],
      thread_rollback: ['{"open":"rollingBack"}', []],
    },
    running: {
      interrupt: ['{"open":"running"}', ["turn.interrupt interrupted"]],
      shutdown: ['{"open":"running"}', ["turn.interrupt interrupted"]],
      user_input: ['{"open":"running"}', ["hold for a"]],
      thread_rollback: ['{"open":"running"}', ["refuseRollback"]],
    },
    rollingBack: {
      interrupt: ['{"open":"rollingBack"}', ["deferOp"]],
      shutdown: ['{"open":"rollingBack"}', ["deferOp"]],
      user_input: ['{"open":"rollingBack"}', ["deferOp"]],
      thread_rollback: ['{"open":"rollingBack"}', ["deferOp"]],
    },
    closing: {
      interrupt: ['{"open":"closing"}', []],
      shutdown: ['{"open":"closing"}', []],
      user_input: ['{"open":"closing"}', ["refuseOp"]],
      thread_rollback: ['{"open":"closing"}', ["refuseOp"]],
    },
  };
  const ops: Record<string, Op> = {
    interrupt: { type: "interrupt" },
    shutdown: { type: "shutdown" },
    user_input: { type: "user_input", items: [{ type: "text", text: "x" }] },
    thread_rollback: { type: "thread_rollback", num_turns: 1 },
  };
  for (const state of Object.keys(states) as (keyof typeof states)[]) {
    for (const [name, wanted] of Object.entries(table[state])) {
      test(`${name} in ${state}`, () => {
        const { snapshot, step } = into(state);
        const asked = ops[name];
        assert.ok(asked);
        const { snapshot: next, effects } = step(snapshot, op("x", asked));
        assert.deepEqual([placeIn(next), effects], wanted);
      });
    }
  }

  test("empty input completes at once and starts no turn", () => {
    for (const state of ["idle", "running"] as const) {
      const { snapshot, step } = into(state);
      const { snapshot: next, effects } = step(snapshot, op("e", { type: "user_input", items: [] }));
      assert.deepEqual([placeIn(next), effects], [placeIn(snapshot), ["answerOp", "emit task_complete"]]);
    }
  });

  test("input that comes too late for the running turn is the next one's, and later input joins that", () => {
    const { snapshot, step } = into("running", false);
    const late = step(snapshot, input("b"));
    assert.deepEqual(late.effects, ["hold for b"]);
    const later = step(late.snapshot, input("c"));
    assert.deepEqual(later.effects, ["hold for b"]);
    const next = step(later.snapshot, turnDone);
    assert.deepEqual(next.snapshot.context.task, { id: "b", kind: "regular" });
    assert.deepEqual(placeIn(step(next.snapshot, turnDone).snapshot), '{"open":"idle"}');
  });

  test("a task of another kind replaces the running one and all that wait, and none is forgotten", () => {
    const { snapshot, step } = into("running", false);
    const queued = step(snapshot, input("b")).snapshot;
    const replaced = step(queued, op("c", { type: "compact" }));
    assert.deepEqual(replaced.effects, ["hold for c", "turn.interrupt replaced"]);
    const again = step(replaced.snapshot, input("d"));
    assert.deepEqual(again.effects, ["hold for d", "turn.interrupt replaced"]);
    assert.deepEqual(again.snapshot.context.queue, [
      { id: "b", kind: "regular", abort: "replaced" },
      { id: "c", kind: "compact", abort: "replaced" },
      { id: "d", kind: "regular" },
    ]);
    const begun = step(again.snapshot, turnDone);
    assert.deepEqual(begun.effects, ["turn.interrupt replaced"]);
    assert.equal(begun.snapshot.context.task?.id, "b");
  });

  test("interrupt reaches the tasks that wait, and input after it is a task of its own", () => {
    const { snapshot, step } = into("running", false);
    const queued = step(snapshot, input("b")).snapshot;
    const interrupted = step(queued, op("i", { type: "interrupt" })).snapshot;
    const after = step(interrupted, input("c"));
    assert.deepEqual(after.effects, ["hold for c"]);
    const first = step(after.snapshot, turnDone);
    assert.deepEqual([first.snapshot.context.task?.id, first.effects], ["b", ["turn.interrupt interrupted"]]);
    const second = step(first.snapshot, turnDone);
    assert.deepEqual([second.snapshot.context.task?.id, second.effects], ["c", []]);
  });

  test("shutdown lets every waiting task end first, and answers under the first shutdown's id", () => {
    const { snapshot, step } = into("running", false);
    const queued = step(snapshot, input("b")).snapshot;
    const asked = step(queued, op("s1", { type: "shutdown" })).snapshot;
    const twice = step(asked, op("s2", { type: "shutdown" })).snapshot;
    assert.deepEqual(step(twice, input("no")).effects, ["refuseOp"]);
    const first = step(twice, turnDone);
    assert.deepEqual([placeIn(first.snapshot), first.effects], ['{"open":"running"}', ["turn.interrupt interrupted"]]);
    const closing = step(first.snapshot, turnDone).snapshot;
    assert.deepEqual([placeIn(closing), closing.context.closingFor], ['{"open":"closing"}', "s1"]);
    const closed = step(closing, { type: "xstate.done.actor.close", output: undefined, actorId: "close" } as never);
    assert.deepEqual([closed.snapshot.status, closed.effects], ["done", ["emit shutdown_complete"]]);
  });

  test("a turn that breaks ends the turn and not the thread", () => {
    const { snapshot, step } = into("running");
    assert.equal(placeIn(step(snapshot, turnBroke).snapshot), '{"open":"idle"}');
    const closing = step(snapshot, op("s", { type: "shutdown" })).snapshot;
    assert.equal(placeIn(step(closing, turnBroke).snapshot), '{"open":"closing"}');
  });

  test("the context is plain JSON in every state", () => {
    for (const state of Object.keys(states) as (keyof typeof states)[]) {
      const { context } = into(state).snapshot;
      assert.deepEqual(JSON.parse(JSON.stringify(context)), context);
    }
  });
});
