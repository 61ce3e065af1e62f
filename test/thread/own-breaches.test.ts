/** The table of breaches in docs/thread-logic.md, walked for every kind of logic. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  type AnyActorLogic,
  enqueueActions,
  fromCallback,
  fromObservable,
  fromPromise,
  fromTransition,
  setup,
} from "xstate";
import { type OwnLogicInput, SessionConfiguredNotFirstEventError } from "../../src/index.ts";
import { observe, settled } from "../kernel/settled.ts";
import { linesOf, type Rig, rig, typesOf, until, watch } from "../rig.ts";

type Emit = (event: unknown) => void;
type Command = { type: string; id: string; msg: { type: string }; op: { type: string } };
/** What a logic does with a command; `"end"` ends it by itself. */
type Act = (command: Command, send: Emit) => unknown;

const told = (send: Emit, id: string, msg: { type: string; [field: string]: unknown }) =>
  send({ type: msg.type, id, msg });
const text = (said: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text: said }] });
const isInput = (command: Command) => command.type === "op.submit" && command.op.type === "user_input";
const isOp = (command: Command, type: string) => command.type === "op.submit" && command.op.type === type;

/** A logic that keeps the contract. */
const keep: Act = (command, send) => {
  if (command.type === "session.configure") told(send, "", command.msg);
  if (isOp(command, "shutdown")) told(send, command.id, { type: "shutdown_complete" });
  if (!isInput(command)) return undefined;
  told(send, command.id, { type: "task_started", turn_id: "t" });
  told(send, command.id, { type: "agent_message", message: "said" });
  told(send, command.id, { type: "task_complete", turn_id: "t", last_agent_message: "said" });
  return undefined;
};

/** All commands, for logics that receive nothing by themselves. */
async function serve(input: OwnLogicInput, send: Emit, act: Act): Promise<void> {
  const ops = input.thread.ops();
  if (act({ type: "session.configure", msg: input.sessionConfigured } as never, send) === "end") return;
  for await (const { id, op } of ops) if (act({ type: "op.submit", id, op } as never, send) === "end") return;
  act({ type: "op.submit", id: "end", op: { type: "shutdown" } } as never, send);
}

const kinds: Record<string, (act: Act) => AnyActorLogic> = {
  machine: (act) =>
    setup({ types: { context: {} as { ended: boolean } } }).createMachine({
      context: { ended: false },
      initial: "open",
      on: {
        "*": {
          actions: enqueueActions(({ enqueue, event }) => {
            const end = act(event as never, (emitted) => enqueue.emit(emitted as never));
            if (end === "end") enqueue.raise({ type: "own.end" });
          }),
        },
      },
      states: { open: { on: { "own.end": "done" } }, done: { type: "final" } },
      output: undefined,
    }),
  callback: (act) =>
    fromCallback(({ receive, emit }) => receive((event) => void act(event as never, emit as unknown as Emit))),
  transition: (act) =>
    fromTransition((state, event, { emit }) => {
      act(event as never, emit as unknown as Emit);
      return state;
    }, 0),
  promise: (act) => fromPromise<void, OwnLogicInput>(({ input, emit }) => serve(input, emit as unknown as Emit, act)),
  observable: (act) =>
    fromObservable<void, OwnLogicInput>(({ input, emit }) => ({
      subscribe: ((observer: { complete(): void; error(error: unknown): void }) => {
        serve(input, emit as unknown as Emit, act).then(
          () => observer.complete(),
          (error) => observer.error(error),
        );
        return { unsubscribe: () => undefined };
      }) as never,
    })),
};

const nothingLeft = async ({ manager }: Rig) => {
  assert.deepEqual((await manager.listThreads()).threads, []);
  assert.equal(manager.capacity().residentThreads.used, 0);
};

/** What is emitted in a breach after an input was answered, and what the warning says. */
const breaches: Record<string, readonly [emitted: unknown, says: RegExp]> = {
  "a second session_configured": [
    { type: "session_configured", id: "", msg: { type: "session_configured" } },
    /second time/,
  ],
  "no msg": [{ type: "agent_message", id: "0" }, /broke its contract/],
  "a type unlike the msg's": [
    { type: "warning", id: "0", msg: { type: "agent_message", message: "x" } },
    /broke its contract/,
  ],
  "an id that is no text": [
    { type: "agent_message", id: 5, msg: { type: "agent_message", message: "x" } },
    /broke its contract/,
  ],
  "an event without what it needs": [
    { type: "agent_message", id: "0", msg: { type: "agent_message" } },
    /broke its contract/,
  ],
  "what is no JSON": [{ type: "agent_message", id: "0", msg: { type: "agent_message", message: 1n } }, /no JSON/],
  lagged: [{ type: "lagged", id: "", msg: { type: "lagged", from: 0, to: 1 } }, /subscription/],
  "a header": [{ type: "rollout_item", item: { type: "session_meta", payload: {} } }, /session_meta/],
  "a step's line": [{ type: "rollout_item", item: { type: "durable_step", payload: {} } }, /durable_step/],
  "a second end": [
    { type: "task_complete", id: "0", msg: { type: "task_complete", last_agent_message: null } },
    /ended already/,
  ],
};

for (const [kind, logicOf] of Object.entries(kinds)) {
  suite(kind, () => {
    test("something else first, or nothing, or a throw: a typed refusal, and nothing is left", async () => {
      const other: Act = (_command, send) => told(send, "", { type: "warning", message: "first" });
      const nothing: Act = () => undefined;
      const throws: Act = () => {
        throw new Error("no");
      };
      for (const act of [other, nothing, throws]) {
        await using r = await rig({ threadLogic: logicOf(act) });
        const starting = observe(r.manager.startThread());
        for (let n = 0; n < 20 && starting.outcome === "pending"; n += 1) {
          await settled();
          await r.clock.advanceAsync(5_000);
        }
        assert.ok(Object(starting.outcome).reason instanceof SessionConfiguredNotFirstEventError, String(act));
        await nothingLeft(r);
      }
    });

    for (const [name, [emitted, says]] of Object.entries(breaches)) {
      test(`${name}: not shown, not stored, and a warning`, async () => {
        const act: Act = (command, send) => {
          keep(command, send);
          if (isInput(command) && command.id === "0") send(emitted);
        };
        await using r = await rig({ threadLogic: logicOf(act) });
        const { thread } = await r.manager.startThread();
        const seen = watch(thread);
        await thread.run("x");
        await until(() => seen.some(({ msg }) => msg.type === "warning"));
        const shown = typesOf(seen).filter((type) => !type.startsWith("item_"));
        assert.deepEqual(shown, ["task_started", "agent_message", "task_complete", "warning"]);
        const warning = seen.find(({ msg }) => msg.type === "warning")?.msg;
        assert.match(warning?.type === "warning" ? warning.message : "", says);
        assert.equal((await thread.run("y")).status, "completed");
      });
    }

    test("no end for an input: run waits, the place is held; an interrupt that is ignored is told at its deadline", async () => {
      const act: Act = (command, send) =>
        isInput(command) ? told(send, command.id, { type: "task_started", turn_id: "t" }) : keep(command, send);
      await using r = await rig({ threadLogic: logicOf(act), limits: { runningTurns: 1 } });
      const { thread } = await r.manager.startThread();
      const run = observe(thread.run("x"));
      await until(() => thread.activeTurn !== undefined);
      assert.equal(r.manager.capacity().runningTurns.used, 1);
      const interrupt = observe(thread.interrupt());
      await settled();
      await r.clock.advanceAsync(10_000);
      await until(() => interrupt.outcome !== "pending");
      assert.equal(Object(interrupt.outcome).reason?.code, "deadline_exceeded");
      assert.equal(run.outcome, "pending");
      // It says shutdown_complete with the turn open.
      const down = observe(thread.shutdown());
      await until(() => down.outcome !== "pending" && run.outcome !== "pending");
      assert.equal(Object(run.outcome).value?.status, "interrupted");
      const types = (await linesOf(r.store, thread.id)).map((line) => Object(line.payload).type);
      assert.equal(types.filter((type) => type === "turn_aborted").length, 1);
      assert.equal(r.manager.capacity().runningTurns.used, 0);
    });

    for (const turn of [false, true]) {
      test(`no shutdown_complete ${turn ? "while a turn runs: timed out, its turn aborted" : "and no turn: completed at the deadline"}`, async () => {
        const act: Act = (command, send) => {
          if (command.type === "session.configure") told(send, "", command.msg);
          if (turn && isInput(command)) told(send, command.id, { type: "task_started", turn_id: "t" });
        };
        // Promises and observables that hang in place of ending.
        const hangs: Act = (command, send) => (isOp(command, "shutdown") ? undefined : act(command, send));
        const logic = kind === "promise" || kind === "observable" ? hanging(kind, hangs) : logicOf(act);
        const r = await rig({ threadLogic: logic });
        const { thread } = await r.manager.startThread();
        if (turn) {
          void thread.run("x").catch(() => undefined);
          await until(() => thread.activeTurn !== undefined);
        }
        const seen = watch(thread);
        const ending = observe(r.manager.shutdown({ deadlineMs: 100 }));
        await settled();
        await r.clock.advanceAsync(100);
        await until(() => ending.outcome !== "pending");
        const report = Object(ending.outcome).value;
        assert.deepEqual([report.completed, report.timedOut], turn ? [[], [thread.id]] : [[thread.id], []]);
        const types = typesOf(seen);
        assert.ok(turn ? types.includes("turn_aborted") : types.includes("shutdown_complete"), types.join());
      });
    }

    test("it throws in a turn: error, one turn_aborted, stored, and whoever waits hears it", async () => {
      const act: Act = (command, send) => {
        if (!isInput(command)) return keep(command, send);
        told(send, command.id, { type: "task_started", turn_id: "t" });
        throw new Error("disk on fire");
      };
      // A machine emits what an action has asked for when the action is done: one that throws has said nothing.
      await using r = await rig({ threadLogic: logicOf(act), supervision: { restart: "temporary" } });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      const run = observe(thread.run("x"));
      await until(() => run.outcome !== "pending");
      assert.deepEqual(
        [Object(run.outcome).value?.status, /disk on fire/.test(Object(run.outcome).value?.error?.message)],
        ["failed", true],
      );
      assert.deepEqual(
        typesOf(seen).filter((type) => !type.startsWith("item_")),
        ["task_started", "error", "turn_aborted"],
      );
    });

    test("a compaction and a review that it knows nothing of wait as an input does, until their deadline or an interrupt", async () => {
      await using r = await rig({ threadLogic: logicOf(keep), limits: { runningTurns: 2 } });
      const { thread } = await r.manager.startThread();
      const asked = [
        thread.compact({ deadlineMs: 500 }),
        thread.review({ type: "custom", instructions: "look" }, { deadlineMs: 500 }),
      ].map(observe);
      await settled();
      assert.deepEqual(
        asked.map(({ outcome }) => outcome),
        ["pending", "pending"],
      );
      await r.clock.advanceAsync(500);
      await until(() => asked.every(({ outcome }) => outcome !== "pending"));
      assert.deepEqual(
        asked.map(({ outcome }) => Object(outcome).reason?.code),
        ["deadline_exceeded", "deadline_exceeded"],
      );
      assert.equal((await thread.run("goes on")).status, "completed");
    });

    test("a full mailbox: who waits is served in order, reject is told at once, what is urgent passes, nothing is lost", async () => {
      const unread: string[] = [];
      let isHolding = true;
      const act: Act = (command, send) => {
        if (!isInput(command) && !isOp(command, "interrupt")) return keep(command, send);
        if (isInput(command)) unread.push(command.id);
        else isHolding = false;
        while (!isHolding && unread[0] !== undefined)
          keep({ ...command, id: unread.shift() ?? "", op: text("") }, send);
        return undefined;
      };
      await using r = await rig({ threadLogic: logicOf(act), limits: { mailbox: 4 } });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      const ids = Array.from({ length: 20 }, (_, n) => `op-${n}`);
      const sent = ids.map((id) => thread.submitWithId({ id, op: text(id) }));
      await settled();
      await assert.rejects(thread.submit(text("x"), { whenFull: "reject" }), { code: "overloaded" });
      assert.ok(unread.length > 0 && unread.length < ids.length, String(unread.length));
      await thread.submit({ type: "interrupt" });
      assert.deepEqual(await Promise.all(sent), ids);
      const starts = () => seen.filter(({ msg }) => msg.type === "task_started").map(({ id }) => id);
      await until(() => starts().length === ids.length);
      assert.deepEqual(starts(), ids);
    });

    test("a rollback that it knows nothing of is told at its deadline, and the thread goes on", async () => {
      const r = await rig({ threadLogic: logicOf(keep) });
      const { thread } = await r.manager.startThread();
      await thread.run("one");
      const asked = thread.rollback(1);
      asked.catch(() => undefined);
      await settled();
      await r.clock.advanceAsync(10_000);
      await assert.rejects(asked, { code: "deadline_exceeded" });
      assert.equal((await thread.run("two")).status, "completed");
      await r[Symbol.asyncDispose]();
    });

    test("what it says after shutdown_complete is dropped", async () => {
      const act: Act = (command, send) => {
        keep(command, send);
        if (isOp(command, "shutdown")) told(send, "late", { type: "agent_message", message: "late" });
      };
      const r = await rig({ threadLogic: logicOf(act) });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      await thread.shutdown();
      assert.equal(typesOf(seen).at(-1), "shutdown_complete");
      assert.ok(!(await linesOf(r.store, thread.id)).some((line) => JSON.stringify(line).includes("late")));
      await r[Symbol.asyncDispose]();
    });
  });
}

/** As the kind, but it goes on for ever once its ops have ended. */
function hanging(kind: "promise" | "observable", act: Act): AnyActorLogic {
  const forever = async (input: OwnLogicInput, emit: Emit) => {
    await serve(input, emit, act);
    await new Promise(() => undefined);
  };
  if (kind === "promise") {
    return fromPromise<void, OwnLogicInput>(({ input, emit }) => forever(input, emit as unknown as Emit));
  }
  return fromObservable<void, OwnLogicInput>(({ input, emit }) => ({
    subscribe: (() => {
      void forever(input, emit as unknown as Emit);
      return { unsubscribe: () => undefined };
    }) as never,
  }));
}
