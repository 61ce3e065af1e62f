/** The supervisor: what it does with each message and signal, in each of its states. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createActor } from "xstate";
import { type SupervisorEvent, supervisorMachineOf } from "../../machines/supervisor.machine.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";

const threadId = "01990000-0000-7000-8000-000000000001" as ThreadId;
const ACTIONS = [
  "startThread",
  "resumeThread",
  "forkThread",
  "removeThread",
  "findThread",
  "listThreads",
  "sendToThread",
  "endThread",
  "awaitRestart",
  "restartThread",
  "giveUpThread",
  "loseThread",
  "refuse",
  "refuseUnknown",
] as const;

function supervisor() {
  const done: string[] = [];
  let made = 0;
  const actions = Object.fromEntries(ACTIONS.map((name) => [name, () => void done.push(name)]));
  const machine = supervisorMachineOf<{ readonly number: number }>().provide({ actions });
  const makeRegistry = () => {
    made += 1;
    return { number: made };
  };
  const actor = createActor(machine, { input: { makeRegistry } }).start();
  const does = (event: SupervisorEvent): string => {
    done.length = 0;
    actor.send(event);
    return done.join();
  };
  return { actor, does, made: () => made };
}

const EVENTS: Readonly<Record<string, SupervisorEvent>> = {
  "thread.spawn": { type: "thread.spawn" },
  "thread.resume": { type: "thread.resume", threadId },
  "thread.fork": { type: "thread.fork", from: threadId },
  "thread.remove": { type: "thread.remove", threadId },
  "thread.get": { type: "thread.get", threadId },
  "thread.list": { type: "thread.list" },
  "thread.send": { type: "thread.send", threadId, op: { type: "interrupt" } },
  "thread.exited": { type: "thread.exited", threadId },
  "thread.down": { type: "thread.down", threadId },
  "restart.due": { type: "restart.due", threadId },
  "restart.gaveUp": { type: "restart.gaveUp", threadId, crashes: 4 },
  "lease.lost": { type: "lease.lost", threadId, error: new Error("taken over") },
  "message.refused": { type: "message.refused", error: new Error("unknown") },
};

/** By event: what is done while it accepts, while it drains, and when it has stopped. */
const TABLE: Readonly<Record<string, readonly [string, string, string]>> = {
  "thread.spawn": ["startThread", "refuse", "refuse"],
  "thread.resume": ["resumeThread", "refuse", "refuse"],
  "thread.fork": ["forkThread", "refuse", "refuse"],
  "thread.remove": ["removeThread", "removeThread", "refuse"],
  "thread.get": ["findThread", "findThread", "refuse"],
  "thread.list": ["listThreads", "listThreads", "refuse"],
  "thread.send": ["sendToThread", "sendToThread", "refuse"],
  "thread.exited": ["endThread", "endThread", "endThread"],
  "thread.down": ["awaitRestart", "giveUpThread", "giveUpThread"],
  "restart.due": ["restartThread", "giveUpThread", ""],
  "restart.gaveUp": ["giveUpThread", "giveUpThread", "giveUpThread"],
  "lease.lost": ["loseThread", "loseThread", "loseThread"],
  "message.refused": ["refuseUnknown", "refuseUnknown", "refuseUnknown"],
};

suite("supervisor machine", () => {
  for (const [name, expected] of Object.entries(TABLE)) {
    test(`${name}: ${expected.map((action) => action || "nothing").join(", ")}`, () => {
      const { actor, does } = supervisor();
      const event = EVENTS[name];
      assert.ok(event);
      const seen = [does(event)];
      actor.send({ type: "manager.drain" });
      seen.push(does(event));
      actor.send({ type: "manager.stop" });
      seen.push(does(event));
      assert.deepEqual(seen, expected);
      assert.equal(actor.getSnapshot().status, "active");
    });
  }

  test("it accepts, drains and stops in this order only", () => {
    const { actor } = supervisor();
    actor.send({ type: "manager.stop" });
    assert.equal(actor.getSnapshot().value, "accepting");
    actor.send({ type: "manager.drain" });
    actor.send({ type: "manager.drain" });
    assert.equal(actor.getSnapshot().value, "draining");
    actor.send({ type: "manager.stop" });
    actor.send({ type: "manager.drain" });
    assert.equal(actor.getSnapshot().value, "stopped");
  });

  test("its registry is made once, by its input, and stays the same", () => {
    const { actor, made, does } = supervisor();
    const { registry } = actor.getSnapshot().context;
    for (const event of Object.values(EVENTS)) does(event);
    assert.equal(actor.getSnapshot().context.registry, registry);
    assert.equal(made(), 1);
  });
});
