/** The thread machine as a pure function: what each op comes to in each state, and that interrupt and shutdown end it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  type AnyMachineSnapshot,
  createActor,
  fromPromise,
  initialTransition,
  type StateFrom,
  transition,
} from "xstate";
import { type ThreadMachineEvent, threadMachine } from "../../machines/thread.machine.ts";
import { turnMachine } from "../../machines/turn.machine.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import type { EventMsg, SessionConfiguredEvent } from "../../src/protocol/event.ts";
import { type ThreadId, toSubmissionId } from "../../src/protocol/ids.ts";
import type { Op } from "../../src/protocol/op.ts";
import { withEmissionShortcut } from "../../src/thread/emission-shortcut.ts";
import { settled } from "../kernel/settled.ts";

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
/** The runtime's part does nothing. */
const machine = threadMachine.provide({
  actors: {
    runTurn: turnMachine.provide({ actors: { prepare: fromPromise(never) } }),
    rollBack: fromPromise(never),
    answer: fromPromise(() => new Promise<EventMsg>(() => {})),
    close: fromPromise(never),
  },
  actions: {
    holdInput: () => {},
    answerOp: () => {},
    refuseRollback: () => {},
    runBeside: () => {},
    reportDefect: () => {},
    abandonTurn: () => {},
  },
});

type Snapshot = StateFrom<typeof threadMachine>;

const NAMED = new Set(["holdInput", "answerOp", "refuseRollback", "runBeside", "reportDefect", "abandonTurn"]);

/** What a transition does, in words: emitted types, interrupts of the turn, and the runtime's actions by name. */
function effectsOf(actions: readonly { type: string; params?: unknown }[]): string[] {
  return actions.flatMap(({ type, params }) => {
    if (type === "xstate.emit") return [`emit ${(params as { event: { type: string } }).event.type}`];
    if (type === "xstate.sendTo") {
      const { event } = params as { event: { type: string; reason?: string } };
      return [`${event.type} ${event.reason ?? ""}`.trim()];
    }
    if (type === "xstate.spawnChild" && (params as { id: string }).id === "answer") return ["spawn answer"];
    if (type === "holdInput") return [`hold for ${(params as { task: string }).task}`];
    return NAMED.has(type) ? [type] : [];
  });
}

const started = () => {
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

const ending = { type: "turn.ending", task: toSubmissionId("a") } as const;
const OPEN = { type: "session.configure", msg: configured } as const;
const tagsOf = (snapshot: AnyMachineSnapshot): string => [...snapshot.tags].toSorted().join(" ");
const placeIn = (snapshot: AnyMachineSnapshot): string => JSON.stringify(snapshot.value);

/** Leads the machine into each of its states. */
const states = {
  configuring: [],
  idle: [OPEN],
  answering: [OPEN, op("q", { type: "list_mcp_tools" })],
  running: [OPEN, input("a")],
  ending: [OPEN, input("a"), ending],
  rollingBack: [OPEN, op("r", { type: "thread_rollback", num_turns: 1 })],
  closing: [OPEN, op("s", { type: "shutdown" })],
} satisfies Record<string, ThreadMachineEvent[]>;

function into(state: keyof typeof states) {
  const { first, step } = started();
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

  const table: Record<keyof typeof states, Record<string, [tags: string, effects: string[]]>> = {
    configuring: {
      interrupt: ["", []],
      shutdown: ["", []],
      user_input: ["", []],
      thread_rollback: ["", []],
      list_skills: ["", []],
      exec_approval: ["", []],
    },
    idle: {
      interrupt: ["idle", ["answerOp"]],
      shutdown: ["closing", []],
      user_input: ["running takesInput", ["hold for x"]],
      thread_rollback: ["rollingBack", []],
      list_skills: ["answering", ["spawn answer"]],
      exec_approval: ["idle", ["answerOp"]],
    },
    answering: {
      interrupt: ["answering", ["answerOp"]],
      shutdown: ["closing", []],
      user_input: ["running takesInput", ["hold for x"]],
      thread_rollback: ["rollingBack", []],
      list_skills: ["answering", []],
      exec_approval: ["answering", ["answerOp"]],
    },
    running: {
      interrupt: ["running", ["turn.interrupt interrupted"]],
      shutdown: ["closing running", ["turn.interrupt interrupted"]],
      user_input: ["running takesInput", ["hold for a"]],
      thread_rollback: ["running takesInput", ["refuseRollback"]],
      list_skills: ["running takesInput", ["spawn answer"]],
      exec_approval: ["running takesInput", ["answerOp"]],
    },
    ending: {
      interrupt: ["running", ["turn.interrupt interrupted"]],
      shutdown: ["closing running", ["turn.interrupt interrupted"]],
      user_input: ["running", ["hold for x"]],
      thread_rollback: ["running", ["refuseRollback"]],
      list_skills: ["running", ["spawn answer"]],
      exec_approval: ["running", ["answerOp"]],
    },
    rollingBack: {
      interrupt: ["rollingBack", ["answerOp"]],
      shutdown: ["closing rollingBack", []],
      user_input: ["rollingBack", []],
      thread_rollback: ["rollingBack", []],
      list_skills: ["rollingBack", []],
      exec_approval: ["rollingBack", ["answerOp"]],
    },
    closing: {
      interrupt: ["closing", []],
      shutdown: ["closing", []],
      user_input: ["closing", ["emit error"]],
      thread_rollback: ["closing", ["emit error"]],
      list_skills: ["closing", ["emit error"]],
      exec_approval: ["closing", ["emit error"]],
    },
  };
  const ops: Record<string, Op> = {
    interrupt: { type: "interrupt" },
    shutdown: { type: "shutdown" },
    user_input: { type: "user_input", items: [{ type: "text", text: "x" }] },
    thread_rollback: { type: "thread_rollback", num_turns: 1 },
    list_skills: { type: "list_skills" },
    exec_approval: { type: "exec_approval", id: "c", decision: "approved" },
  };
  for (const state of Object.keys(states) as (keyof typeof states)[]) {
    for (const [name, wanted] of Object.entries(table[state])) {
      test(`${name} in ${state}`, () => {
        const { snapshot, step } = into(state);
        const asked = ops[name];
        assert.ok(asked);
        const { snapshot: next, effects } = step(snapshot, op("x", asked));
        assert.deepEqual([tagsOf(next), effects], wanted);
      });
    }
  }

  for (const type of ["toString", "constructor", "__proto__", "nonsense"]) {
    test(`an op that nobody knows is answered, and starts no task: ${type}`, () => {
      for (const state of ["idle", "running"] as const) {
        const { snapshot, step } = into(state);
        const after = step(snapshot, op("x", { type } as never));
        assert.deepEqual([after.effects, placeIn(after.snapshot)], [["answerOp"], placeIn(snapshot)]);
      }
    });
  }

  test("empty input completes at once and starts no turn", () => {
    for (const state of ["idle", "running"] as const) {
      const { snapshot, step } = into(state);
      const { snapshot: next, effects } = step(snapshot, op("e", { type: "user_input", items: [] }));
      assert.deepEqual([placeIn(next), effects], [placeIn(snapshot), ["answerOp", "emit task_complete"]]);
    }
  });

  test("input that comes too late for the running turn is the next one's, and later input joins that", () => {
    const { snapshot, step } = into("ending");
    const late = step(snapshot, input("b"));
    assert.deepEqual(late.effects, ["hold for b"]);
    const later = step(late.snapshot, input("c"));
    assert.deepEqual(later.effects, ["hold for b"]);
    const next = step(later.snapshot, turnDone);
    assert.deepEqual(next.snapshot.context.task, { id: "b", kind: "regular" });
    assert.deepEqual(tagsOf(next.snapshot), "running takesInput");
    assert.deepEqual(tagsOf(step(next.snapshot, turnDone).snapshot), "idle");
  });

  test("a task of another kind replaces the running one and all that wait, and none is forgotten", () => {
    const { snapshot, step } = into("ending");
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
    assert.equal(tagsOf(step(into("running").snapshot, op("c", { type: "compact" })).snapshot), "running");
    const begun = step(again.snapshot, turnDone);
    assert.deepEqual(begun.effects, ["turn.interrupt replaced"]);
    assert.equal(begun.snapshot.context.task?.id, "b");
  });

  /** What the end of a turn comes to before anything else: one that broke is told of, and whatever it left is let go. */
  const overBy = { ends: [], breaks: ["reportDefect", "abandonTurn"] };

  for (const [how, turnOver] of Object.entries({ ends: turnDone, breaks: turnBroke })) {
    const told = overBy[how as keyof typeof overBy];
    test(`interrupt reaches the tasks that wait, and input after it is a task of its own; the turn ${how}`, () => {
      const { snapshot, step } = into("ending");
      const queued = step(snapshot, input("b")).snapshot;
      const interrupted = step(queued, op("i", { type: "interrupt" })).snapshot;
      const after = step(interrupted, input("c"));
      assert.deepEqual(after.effects, ["hold for c"]);
      const first = step(after.snapshot, turnOver);
      assert.deepEqual(
        [first.snapshot.context.task?.id, first.effects],
        ["b", [...told, "turn.interrupt interrupted"]],
      );
      assert.notEqual(first.snapshot.children.turn, after.snapshot.children.turn, "another turn runs");
      const second = step(first.snapshot, turnOver);
      assert.deepEqual([second.snapshot.context.task?.id, second.effects], ["c", told]);
    });

    test(`shutdown lets every waiting task end first, and answers under the first shutdown's id; the turn ${how}`, () => {
      const { snapshot, step } = into("ending");
      const queued = step(snapshot, input("b")).snapshot;
      const asked = step(queued, op("s1", { type: "shutdown" })).snapshot;
      const twice = step(asked, op("s2", { type: "shutdown" })).snapshot;
      assert.deepEqual(step(twice, input("no")).effects, ["emit error"]);
      const first = step(twice, turnOver);
      assert.deepEqual(
        [tagsOf(first.snapshot), first.effects],
        ["closing running", [...told, "turn.interrupt interrupted"]],
      );
      const over = step(first.snapshot, turnOver);
      assert.deepEqual(over.effects, told);
      const closing = over.snapshot;
      assert.equal(closing.context.task, null);
      assert.deepEqual([placeIn(closing), closing.context.closingFor], ['{"open":{"closing":"storing"}}', "s1"]);
      const closed = step(closing, { type: "xstate.done.actor.close", output: undefined, actorId: "close" } as never);
      assert.deepEqual([closed.snapshot.status, closed.effects], ["done", ["emit shutdown_complete"]]);
    });
  }

  test("what an earlier life has left is taken up by an idle thread alone, and runs in its order", () => {
    const kind = "regular" as const;
    const [a, b] = [toSubmissionId("a"), toSubmissionId("b")];
    const takeUp = {
      type: "tasks.takeUp",
      task: { id: a, kind },
      queue: [{ id: b, kind, abort: "replaced" }],
    } as const;
    const { snapshot, step } = into("idle");
    const first = step(snapshot, takeUp as never);
    assert.deepEqual([tagsOf(first.snapshot), first.snapshot.context.task?.id], ["running takesInput", a]);
    assert.deepEqual(step(first.snapshot, input("x")).effects, ["hold for x"]);
    const second = step(first.snapshot, turnDone);
    assert.deepEqual([second.snapshot.context.task?.id, second.effects], [b, ["turn.interrupt replaced"]]);
    assert.equal(tagsOf(step(second.snapshot, turnDone).snapshot), "idle");
    for (const state of ["configuring", "running", "ending", "rollingBack", "closing"] as const) {
      const { snapshot: other } = into(state);
      const after = step(other, takeUp as never).snapshot;
      assert.deepEqual([placeIn(after), after.context], [placeIn(other), other.context]);
    }
  });

  test("a turn that breaks ends the turn and not the thread", () => {
    const { snapshot, step } = into("running");
    const broken = step(snapshot, turnBroke);
    assert.deepEqual([tagsOf(broken.snapshot), broken.effects], ["idle", overBy.breaks]);
    const closing = step(snapshot, op("s", { type: "shutdown" })).snapshot;
    assert.equal(tagsOf(step(closing, turnBroke).snapshot), "closing");
  });

  const rolledBack = { type: "xstate.done.actor.rollBack", output: undefined, actorId: "rollBack" } as never;
  const rollbackBroke = {
    type: "xstate.error.actor.rollBack",
    error: new Error("defect"),
    actorId: "rollBack",
  } as never;

  for (const [how, end] of Object.entries({ done: rolledBack, "by a defect": rollbackBroke })) {
    test(`a rollback that ends ${how} is followed at once by what waited for it, in order`, () => {
      const { snapshot, step } = into("rollingBack");
      let waiting = snapshot;
      for (const event of [input("b"), input("c"), op("q", { type: "list_skills" })])
        waiting = step(waiting, event).snapshot;
      assert.deepEqual(
        waiting.context.deferred.map(({ id }) => id),
        ["b", "c", "q"],
      );
      const after = step(waiting, end);
      const told = how === "by a defect" ? ["reportDefect"] : [];
      assert.deepEqual(after.effects, [...told, "hold for b", "hold for b", "spawn answer"]);
      assert.deepEqual([tagsOf(after.snapshot), after.snapshot.context.deferred], ["running takesInput", []]);
    });
  }

  test("a shutdown during a rollback comes after what was asked before it, and nothing comes after the shutdown", () => {
    const { snapshot, step } = into("rollingBack");
    const asked = step(step(snapshot, input("b")).snapshot, op("s", { type: "shutdown" })).snapshot;
    assert.deepEqual(step(asked, input("late")).effects, ["emit error"]);
    assert.deepEqual(step(asked, op("s2", { type: "shutdown" })).snapshot.context, asked.context);
    const after = step(asked, rolledBack);
    assert.deepEqual(after.effects, ["hold for b", "turn.interrupt interrupted"]);
    assert.deepEqual([tagsOf(after.snapshot), after.snapshot.context.closingFor], ["closing running", "s"]);
  });

  test("however often an interrupt comes during a rollback, one of them waits, and only for tasks that wait", () => {
    const { snapshot, step } = into("rollingBack");
    const interrupt = op("i", { type: "interrupt" });
    assert.equal(step(snapshot, interrupt).snapshot.context.deferred.length, 0);
    let flooded = step(snapshot, input("b")).snapshot;
    for (let n = 0; n < 100; n += 1) flooded = step(flooded, interrupt).snapshot;
    assert.equal(flooded.context.deferred.length, 2);
    assert.deepEqual(step(flooded, rolledBack).effects, ["hold for b", "turn.interrupt interrupted"]);
  });

  test("questions are answered in order, whatever the thread does meanwhile; it is idle when all are", () => {
    const answered = { type: "xstate.done.actor.answer", output: { type: "warning", message: "a" } } as const;
    const failed = { type: "xstate.error.actor.answer", error: new Error("no") } as const;
    const { snapshot, step } = into("answering");
    const two = step(snapshot, op("r", { type: "list_skills" })).snapshot;
    const running = step(two, input("a")).snapshot;
    const first = step(running, answered);
    assert.deepEqual(first.effects, ["emit warning", "spawn answer"]);
    const idle = step(first.snapshot, turnDone).snapshot;
    assert.equal(tagsOf(idle), "answering");
    const second = step(idle, failed);
    assert.deepEqual([second.effects, tagsOf(second.snapshot)], [["emit error"], "idle"]);
    assert.deepEqual(step(second.snapshot, answered).effects, []);
  });

  test("a thread that is to end gives its questions a grace, then refuses them", () => {
    const answered = { type: "xstate.done.actor.answer", output: { type: "warning", message: "a" } } as const;
    const { snapshot, step } = into("answering");
    const closing = step(snapshot, op("s", { type: "shutdown" }));
    assert.deepEqual([closing.effects, placeIn(closing.snapshot)], [[], '{"open":{"closing":"answering"}}']);
    const done = step(closing.snapshot, answered);
    assert.deepEqual([done.effects, placeIn(done.snapshot)], [["emit warning"], '{"open":{"closing":"storing"}}']);
    const timeUp = { type: "xstate.after.100.thread.open.closing.answering" } as never;
    const late = step(closing.snapshot, timeUp);
    assert.deepEqual([late.effects, placeIn(late.snapshot)], [["emit error"], '{"open":{"closing":"storing"}}']);
    assert.deepEqual(step(late.snapshot, answered).effects, []);
  });

  test("whoever makes an answer is stopped when it is not wanted any more, and forgotten when it is made", async () => {
    const made: PromiseWithResolvers<EventMsg>[] = [];
    const signals: AbortSignal[] = [];
    const asking = machine.provide({
      actors: {
        answer: fromPromise(({ signal }) => {
          const answer = Promise.withResolvers<EventMsg>();
          made.push(answer);
          signals.push(signal);
          return answer.promise;
        }),
      },
    });
    const clock = new ManualClock();
    const actor = createActor(asking, { clock, input: { threadId, epoch: 1 } }).start();
    const children = () => Object.keys(actor.getSnapshot().children);
    const ask = (id: string) => actor.send(op(id, { type: "list_mcp_tools" }));
    actor.send(OPEN);
    ask("a");
    made[0]?.resolve({ type: "list_custom_prompts_response", custom_prompts: [] });
    await settled();
    assert.deepEqual([children(), actor.getSnapshot().hasTag("idle")], [[], true]);
    ask("b");
    ask("c");
    assert.deepEqual([made.length, children()], [2, ["answer"]]);
    actor.send(op("d", { type: "shutdown" }));
    clock.advance(100);
    assert.deepEqual([signals[1]?.aborted, children()], [true, ["close"]]);
    actor.stop();
  });

  test("a turn that ends says so for itself alone", () => {
    const { snapshot, step } = into("running");
    const other = step(snapshot, { type: "turn.ending", task: toSubmissionId("b") }).snapshot;
    assert.equal(tagsOf(other), "running takesInput");
    assert.equal(tagsOf(step(other, ending).snapshot), "running");
  });

  test("a user's command runs beside a turn that takes input, and after one that ends", () => {
    const shell = op("u", { type: "run_user_shell_command", command: "ls" });
    assert.deepEqual(into("running").step(into("running").snapshot, shell).effects, ["runBeside"]);
    const { snapshot, step } = into("ending");
    const later = step(snapshot, shell);
    assert.deepEqual(
      [later.effects, later.snapshot.context.queue],
      [["hold for u"], [{ id: "u", kind: "user_shell" }]],
    );
  });

  test("the context is plain JSON in every state", () => {
    for (const state of Object.keys(states) as (keyof typeof states)[]) {
      const { context } = into(state).snapshot;
      assert.deepEqual(JSON.parse(JSON.stringify(context)), context);
    }
  });
});

suite("the short way of what a thread says", () => {
  const op = fc.constantFrom<Op>(
    { type: "user_input", items: [{ type: "text", text: "x" }] },
    { type: "user_input", items: [] },
    { type: "interrupt" },
    { type: "thread_rollback", num_turns: 1 },
    { type: "list_skills" },
    { type: "shutdown" },
    { type: "compact" },
  );
  const event = fc.oneof(
    op.map((asked) => ({ type: "op.submit", id: "x", op: asked })),
    fc.record({
      type: fc.constant("event.publish"),
      id: fc.string(),
      msg: fc.record({ type: fc.constantFrom("warning", "task_started"), message: fc.string() }),
      recorded: fc.constantFrom(true, undefined),
    }),
    fc.record({ type: fc.constant("rollout.record"), item: fc.record({ type: fc.constant("compacted") }) }),
    fc.constantFrom({ type: "session.configure", msg: configured }, turnDone, ending, {
      type: "never.heard",
    }),
  );

  /** What an actor of the logic emits, and where it ends up. */
  function heardFrom(logic: typeof machine, events: readonly unknown[]) {
    const actor = createActor(logic, { input: { threadId, epoch: 1 } });
    const heard: unknown[] = [];
    actor.on("*", (emitted) => heard.push(emitted));
    actor.start();
    for (const sent of events) actor.send(sent as ThreadMachineEvent);
    const { value, context, status } = actor.getSnapshot();
    actor.stop();
    return { heard, value, context, status };
  }

  test("comes to the same as the machine's, also after provide()", () => {
    const nothing = machine.implementations;
    const short = withEmissionShortcut(machine.provide({})).provide({ actions: nothing.actions as never });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), fc.boolean(), (events, isConfigured) => {
        const all = isConfigured ? [OPEN, ...events] : events;
        assert.deepEqual(heardFrom(short, all), heardFrom(machine, all));
      }),
      { numRuns: 300 },
    );
    const { transition } = short;
    assert.notEqual(transition, machine.transition);
  });

  test("what the machine does not know costs nothing that stays", () => {
    const short = withEmissionShortcut(machine.provide({}));
    const actor = createActor(short, { input: { threadId, epoch: 1 } }).start();
    actor.send(OPEN);
    const before = actor.getSnapshot();
    for (let n = 0; n < 100; n += 1) actor.send({ type: `made.up.${n}` } as never);
    assert.equal(actor.getSnapshot(), before);
    actor.stop();
  });
});

suite("a persisted thread", () => {
  for (const [name, way] of Object.entries(states)) {
    test(`goes on from its JSON in ${name}`, async () => {
      const done = Promise.withResolvers<EventMsg>();
      const resolved = Promise.withResolvers<void>();
      const lively = machine.provide({
        actors: {
          runTurn: turnMachine.provide({
            actors: {
              prepare: fromPromise(() => resolved.promise),
              settle: fromPromise(async () => {}),
              storeEnd: fromPromise(async () => {}),
            },
            actions: { abortWork: () => {}, publishAborted: () => {} },
          }),
          rollBack: fromPromise(() => resolved.promise),
          answer: fromPromise(() => done.promise),
          close: fromPromise(() => resolved.promise),
        },
      });
      const first = createActor(lively, { input: { threadId, epoch: 7 } }).start();
      for (const event of way) first.send(event);
      const json = JSON.stringify(first.getPersistedSnapshot());
      const tags = [...first.getSnapshot().tags].toSorted();
      first.stop();
      assert.ok(
        !/"x:\d+"/.test(JSON.stringify((JSON.parse(json) as { context: object }).context)),
        "a pointer of one process",
      );
      const second = createActor(lively, { snapshot: JSON.parse(json) as never } as never).start();
      assert.deepEqual([...second.getSnapshot().tags].toSorted(), tags);
      assert.deepEqual(second.getSnapshot().context.epoch, 7);
      const heard: string[] = [];
      second.on("*", ({ type }) => heard.push(type));
      if (name === "configuring") second.send(OPEN);
      second.send({ type: "op.submit", id: toSubmissionId("i"), op: { type: "interrupt" } });
      second.send({ type: "op.submit", id: toSubmissionId("s"), op: { type: "shutdown" } });
      done.resolve({ type: "warning", message: "answered" } as EventMsg);
      resolved.resolve();
      for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(second.getSnapshot().status, "done");
      assert.equal(heard.at(-1), "shutdown_complete");
      assert.equal(heard.includes("warning"), name === "answering");
    });
  }
});
