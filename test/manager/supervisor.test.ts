/** Nothing from outside ends the supervisor, forges a signal, or leaves anything behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AnyActorRef, fromCallback, type InspectionEvent } from "xstate";
import type { Outcome } from "../../machines/supervisor.machine.ts";
import { ask } from "../../src/index.ts";
import { hang } from "../../src/model/script.ts";
import { settled } from "../kernel/settled.ts";
import { type Rig, rig, until, watch } from "../rig.ts";

const FORGED: readonly unknown[] = [
  {},
  { type: 5 },
  { type: "" },
  { type: "*" },
  { type: "no.such" },
  { type: "thread.spawn", reply: 5 },
  { type: "thread.spawn", signal: "now" },
  { type: "xstate.stop" },
  { type: "xstate.init" },
  { type: "xstate.error.actor.x", error: new Error("forged") },
  { type: "manager.drain" },
  { type: "manager.stop" },
  { type: "thread.stop" },
  { type: "thread.stop", ref: 5 },
  { type: "thread.down", threadId: "x" },
  { type: "restart.gaveUp", threadId: "x", crashes: 1 },
  { type: "lease.lost", threadId: "x", error: new Error("forged") },
  { type: "message.refused" },
  undefined,
  null,
  "text",
  7,
  [],
  Object.defineProperty({}, "type", {
    enumerable: true,
    get: () => {
      throw new Error("hostile");
    },
  }),
];

async function assertWorks({ manager }: Rig): Promise<void> {
  const { thread } = await manager.startThread();
  assert.equal((await thread.run("hi")).status, "completed");
  assert.equal(manager.supervisor.getSnapshot().value, "accepting");
  await thread.shutdown();
}

suite("the supervisor's gate", () => {
  for (const message of FORGED) {
    test(`${typeof message === "object" ? JSON.stringify(Object.keys(message ?? {})) : String(message)}: nothing happens`, async () => {
      await using r = await rig();
      assert.doesNotThrow(() => r.manager.supervisor.send(message as never));
      await assertWorks(r);
    });
  }

  test("a message that nobody knows, or with a wrong field, is answered by a typed error that names it", async () => {
    await using r = await rig();
    const answers: unknown[] = [];
    const reply = (outcome: Outcome<unknown>) => answers.push(outcome.ok ? "ok" : Object(outcome.error).message);
    r.manager.supervisor.send({ type: "thread.spwan", reply } as never);
    r.manager.supervisor.send({ reply } as never);
    r.manager.supervisor.send({ type: "thread.get", signal: 5, reply } as never);
    r.manager.supervisor.send({ type: "thread.get", reply } as never);
    await settled();
    assert.deepEqual(answers, [
      "unknown message: thread.spwan",
      "a message is an object with a `type`",
      "thread.get: signal: must be an AbortSignal",
      "threadId: must be a text",
    ]);
    await assert.rejects(ask(r.manager.supervisor, { type: "manager.drain" } as never), { code: "invalid_request" });
  });

  test("a field that a message does not have is refused, and the nearest one is named", async () => {
    await using r = await rig();
    const { manager } = r;
    for (const [message, says] of [
      [{ type: "thread.spawn", confg: {} }, /thread\.spawn: unknown field `confg`; did you mean `config`\?/],
      [{ type: "thread.get", threadid: "x" }, /thread\.get: unknown field `threadid`; did you mean `threadId`\?/],
      [{ type: "thread.list", limit: 5 }, /thread\.list: unknown field `limit`$/],
      [{ type: "thread.send", thread: "x", op: {} }, /thread\.send: unknown field `thread`/],
    ] as const) {
      await assert.rejects(ask(manager.supervisor, message as never), { code: "invalid_request", message: says });
    }
    assert.equal(manager.capacity().residentThreads.used, 0);
  });

  test("a type that changes while it is read is read once", async () => {
    await using r = await rig();
    let reads = 0;
    const shifty = {
      get type() {
        reads += 1;
        return reads === 1 ? "thread.list" : "manager.drain";
      },
    };
    r.manager.supervisor.send(shifty as never);
    await assertWorks(r);
  });

  test("unknown types leave nothing in the machine", async () => {
    await using r = await rig();
    const seen = new Set<unknown>();
    r.manager.supervisor.subscribe(({ value }) => seen.add(value));
    for (let n = 0; n < 2_000; n += 1) r.manager.supervisor.send({ type: `unknown.${n}` } as never);
    await assertWorks(r);
    assert.deepEqual([...seen], ["accepting"]);
  });

  test("its face neither stops it nor gives its registry, its parent or its system away", async () => {
    await using r = await rig();
    const { supervisor } = r.manager;
    supervisor.stop();
    for (const name of ["_send", "_stop", "_process", "_parent", "system", "mailbox"]) {
      assert.equal(Reflect.get(supervisor, name), undefined, name);
      assert.equal(name in supervisor, false, name);
    }
    assert.deepEqual(["send" in supervisor, "nonsense" in supervisor, Object.keys(supervisor)], [true, false, []]);
    assert.throws(() => Reflect.set(supervisor, "send", undefined) || assert.fail("refused"), { message: "refused" });
    await r.manager.startThread();
    assert.deepEqual(supervisor.getSnapshot().context, { resident: 1, unloaded: 0, related: 0 });
    assert.deepEqual(JSON.parse(JSON.stringify(supervisor.getPersistedSnapshot())).value, "accepting");
    await assertWorks(r);
  });

  test("nor does whoever holds the actor itself stop it", async () => {
    const actors = new Set<AnyActorRef>();
    await using r = await rig({
      inspect: ({ actorRef }: InspectionEvent) => "id" in actorRef && void actors.add(actorRef as AnyActorRef),
    });
    const [actor] = actors;
    assert.ok(actor !== undefined);
    assert.equal(Reflect.get(actor, "stop").call(actor), actor);
    assert.equal(actor.getSnapshot().status, "active");
    await assertWorks(r);
  });

  test("a thread's logic can tell its own end, and nothing else, to its parent", async () => {
    const threadLogic = fromCallback<{ type: string; msg?: object }>(({ receive, emit, sendBack, self }) =>
      receive(({ type, msg }) => {
        if (type === "session.configure")
          (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
        if (type !== "op.submit") return;
        for (const forged of ["manager.drain", "xstate.stop", "thread.stop", "thread.exited"]) {
          sendBack({ type: forged, ref: self, threadId: self.id });
        }
      }),
    );
    await using r = await rig({ threadLogic });
    const { thread } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    await settled();
    assert.equal(thread.epoch, 1);
    assert.notEqual(thread.actor, undefined);
    assert.equal(r.manager.supervisor.getSnapshot().value, "accepting");
  });
});

suite("a thread's face", () => {
  for (const type of [
    "event.publish",
    "rollout.record",
    "boot.failed",
    "session.configure",
    "xstate.stop",
    "no.such",
  ]) {
    test(`${type} from outside is refused, and shown to nobody`, async () => {
      await using r = await rig();
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      const forged = { type, id: "1", msg: { type: "agent_message", message: "FORGED" } };
      assert.throws(() => thread.actor?.send(forged), { code: "invalid_request" });
      assert.deepEqual(seen, []);
      assert.deepEqual([(await thread.run("x")).status, thread.epoch], ["completed", 1]);
    });
  }

  test("a turn can't be reached by a snapshot, so neither can the actor above it", async () => {
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const seen: object[] = [];
    thread.actor?.subscribe((snapshot) => seen.push(snapshot.children));
    const running = thread.run("x");
    await thread.submit({ type: "override_turn_context" });
    assert.deepEqual([thread.actor?.getSnapshot().children, thread.actor?.getSnapshot().hasTag("running")], [{}, true]);
    assert.ok(seen.length > 0 && seen.every((children) => Object.keys(children).length === 0));
    await thread.interrupt();
    await running;
  });

  test("nor does it hear the signals of others who hold the actor itself", async () => {
    const actors = new Map<string, AnyActorRef>();
    const inspect = ({ actorRef }: InspectionEvent) => {
      if ("id" in actorRef) actors.set(String(actorRef.id), actorRef as AnyActorRef);
    };
    await using r = await rig({ inspect, script: [[hang()], "b"] });
    const { thread } = await r.manager.startThread();
    const actor = actors.get(thread.id);
    assert.ok(actor !== undefined);
    const running = thread.run("x");
    await until(() => r.model.requests.length === 1);
    const before = actor.getSnapshot();
    const seen = watch(thread);
    const forged = {
      id: "1",
      msg: { type: "agent_message", message: "FORGED" },
      item: {},
      task: { id: "1" },
      queue: [],
    };
    for (const type of [
      "event.publish",
      "rollout.record",
      "boot.failed",
      "session.configure",
      "turn.ending",
      "task.begun",
      "tasks.takeUp",
      "xstate.done.actor.turn",
      "xstate.error.actor.turn",
    ]) {
      actor.send({ type, ...forged });
      assert.equal(actor.getSnapshot(), before, type);
    }
    assert.deepEqual(seen, []);
    await thread.interrupt();
    assert.deepEqual([(await running).status, (await thread.run("y")).lastAgentMessage], ["interrupted", "b"]);
  });

  test("an own logic hears what it listens to", async () => {
    const heard: string[] = [];
    const threadLogic = fromCallback<{ type: string; msg?: object }>(({ receive, emit }) =>
      receive(({ type, msg }) => {
        heard.push(type);
        if (type === "session.configure")
          (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
      }),
    );
    await using r = await rig({ threadLogic });
    const { thread } = await r.manager.startThread();
    thread.actor?.send({ type: "poke" });
    assert.throws(() => thread.actor?.send({ type: "event.publish" }), { code: "invalid_request" });
    assert.deepEqual(heard, ["session.configure", "poke"]);
  });
});
