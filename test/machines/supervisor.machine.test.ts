import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createActor } from "xstate";
import { supervisorMachine } from "../../machines/supervisor.machine.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";

const threadId = "01990000-0000-7000-8000-000000000001" as ThreadId;

function supervisor() {
  const log: string[] = [];
  const machine = supervisorMachine.provide({
    actions: {
      serve: ({ event }) => void log.push(`serve ${event.type}`),
      refuse: ({ event }) => void log.push(`refuse ${event.type}`),
      refuseUnknown: ({ event }) => void log.push(`unknown ${event.type}`),
      reap: ({ event }) => void log.push(`reap ${event.type}`),
    },
  });
  const actor = createActor(machine).start();
  return { actor, log };
}

const making = [
  { type: "thread.spawn" },
  { type: "thread.resume", threadId },
  { type: "thread.fork", from: threadId },
] as const;
const using = [
  { type: "thread.get", threadId },
  { type: "thread.list" },
  { type: "thread.send", threadId, op: { type: "interrupt" } },
  { type: "thread.remove", threadId },
] as const;

suite("supervisor machine", () => {
  test("it serves everything, and counts what it admits", () => {
    const { actor, log } = supervisor();
    for (const message of [...making, ...using]) actor.send(message);
    assert.deepEqual(
      log,
      [...making, ...using].map(({ type }) => `serve ${type}`),
    );
    assert.deepEqual(actor.getSnapshot().context, { admitted: 3, refused: 0, exited: 0 });
  });

  test("while it drains nothing new is made; what exists is served", () => {
    const { actor, log } = supervisor();
    actor.send({ type: "manager.drain" });
    for (const message of [...making, ...using]) actor.send(message);
    assert.deepEqual(log, [...making.map(({ type }) => `refuse ${type}`), ...using.map(({ type }) => `serve ${type}`)]);
  });

  test("stopped, it lives on and refuses everything", () => {
    const { actor, log } = supervisor();
    actor.send({ type: "manager.drain" });
    actor.send({ type: "manager.stop" });
    for (const message of [...making, ...using]) actor.send(message);
    assert.deepEqual(
      log,
      [...making, ...using].map(({ type }) => `refuse ${type}`),
    );
    assert.equal(actor.getSnapshot().status, "active");
  });

  test("ends of threads are reaped, in their own words and in XState's; what it does not know it says so", () => {
    const { actor, log } = supervisor();
    actor.send({ type: "thread.exited", threadId, epoch: 1 });
    actor.send({ type: `xstate.done.actor.${threadId}` } as never);
    actor.send({ type: `xstate.error.actor.${threadId}` } as never);
    actor.send({ type: "thread.bogus" } as never);
    assert.deepEqual(log, [
      "reap thread.exited",
      `reap xstate.done.actor.${threadId}`,
      `reap xstate.error.actor.${threadId}`,
      "unknown thread.bogus",
    ]);
    assert.equal(actor.getSnapshot().context.exited, 3);
  });
});
