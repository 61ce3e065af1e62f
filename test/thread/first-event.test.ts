/** Rule S4 for any thread logic: SessionConfigured first, or a typed error and nothing left behind. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { suite, test } from "node:test";
import { NEVER } from "rxjs";
import { type AnyActorLogic, emit, fromCallback, fromObservable, fromPromise, fromTransition, setup } from "xstate";
import { SessionConfiguredNotFirstEventError, type Thread } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { next, type Rig, rig, until, watch } from "../rig.ts";

type Emit = (event: { type: string; [field: string]: unknown }) => void;

/** A logic of one function that may emit at its start, and at each message. */
const callback = (start: (emit: Emit) => void, receive: (event: { type: string }, emit: Emit) => void = () => {}) =>
  fromCallback(({ emit, receive: onEvent }) => {
    start(emit as Emit);
    onEvent((event) => receive(event, emit as Emit));
  });

const configured = { type: "session_configured", id: "", msg: { type: "session_configured" } };
const say = (emit: Emit, message: string) => emit({ type: "warning", id: "", msg: { type: "warning", message } });

async function assertNothingLeft(r: Rig): Promise<void> {
  assert.deepEqual(await r.manager.listThreadIds(), []);
  assert.deepEqual((await r.manager.listThreads()).threads, []);
  assert.deepEqual(r.manager.capacity().residentThreads.used, 0);
  assert.equal(r.clock.pending, 0);
  assert.deepEqual(runtimeOf(r.manager)?.left(), { incarnations: 0, handles: 0, removed: 0 });
}

const broken: Record<string, { logic: AnyActorLogic; received: string | undefined; says: RegExp; isSilent?: true }> = {
  "says something else first": {
    logic: callback((emit) => say(emit, "hello")),
    received: "warning",
    says: /got `warning`/,
  },
  "says it under another submission": {
    logic: callback((emit) => emit({ ...configured, id: "7" })),
    received: "session_configured",
    says: /got/,
  },
  "emits what is no event": {
    logic: callback((emit) => emit({ type: "noise", msg: { no: "type" } })),
    received: "noise",
    says: /got `noise`/,
  },
  "records before it": {
    logic: callback((emit) => emit({ type: "rollout_item", item: { type: "response_item", payload: {} } })),
    received: "rollout_item",
    says: /got `rollout_item`/,
  },
  "says nothing": {
    logic: callback(() => {}),
    received: undefined,
    says: /no event came within 500 ms/,
    isSilent: true,
  },
  "observes nothing": {
    logic: fromObservable(() => NEVER),
    received: undefined,
    says: /no event came/,
    isSilent: true,
  },
  "throws at its start": {
    logic: callback(() => {
      throw new Error("no start");
    }),
    received: undefined,
    says: /the thread logic failed: no start/,
  },
  "ends at once": {
    logic: fromTransition(() => undefined, undefined),
    received: undefined,
    says: /no event came/,
    isSilent: true,
  },
  "resolves at once": { logic: fromPromise(async () => "done"), received: undefined, says: /the thread logic ended/ },
  "rejects later": {
    logic: fromPromise(async () => {
      throw Object.create(null);
    }),
    received: undefined,
    says: /a value that has no text was thrown/,
  },
};

/** Logics of every kind that keep the contract: each answers a user's input with a completed turn. */
const answer = (emit: Emit, { id, op }: { id?: string; op?: { type: string } }) => {
  if (op?.type !== "user_input") return;
  emit({ type: "task_started", id, msg: { type: "task_started", turn_id: "t" } });
  emit({ type: "task_complete", id, msg: { type: "task_complete", last_agent_message: "echo", turn_id: "t" } });
};

type Message = { type: string; id?: string; op?: { type: string } };
const configuring = { type: "session_configured", id: "", msg: { type: "session_configured" } } as const;
const keeping: Record<string, AnyActorLogic> = {
  fromCallback: callback(
    (emit) => emit(configured),
    (event, emit) => answer(emit, event as Message),
  ),
  fromTransition: fromTransition((state, event: Message, { emit }) => {
    if (event.type === "session.configure") (emit as Emit)(configured);
    else answer(emit as Emit, event);
    return state;
  }, undefined),
  fromPromise: fromPromise(({ emit, self }) => {
    (emit as Emit)(configured);
    (self as unknown as { heard: unknown }).heard = true;
    return new Promise(() => {});
  }),
  machine: setup({ types: { events: {} as Message } }).createMachine({
    initial: "new",
    states: {
      new: { on: { "session.configure": { target: "ready", actions: emit(configuring) } } },
      ready: {
        on: {
          "op.submit": {
            actions: [
              emit(({ event }) => ({
                type: "task_started",
                id: event.id,
                msg: { type: "task_started", turn_id: "t" },
              })),
              emit(({ event }) => ({
                type: "task_complete",
                id: event.id,
                msg: { type: "task_complete", last_agent_message: "echo", turn_id: "t" },
              })),
            ],
          },
        },
      },
    },
  }),
};

suite("the first event (S4)", () => {
  for (const [name, { logic, received, says, isSilent }] of Object.entries(broken)) {
    test(`a logic that ${name} is refused, and nothing is left`, async () => {
      const r = await rig({ threadLogic: logic, limits: { bootDeadlineMs: 500 } });
      const created: Thread[] = [];
      r.manager.threadCreated$.subscribe((thread) => created.push(thread));
      const starting = r.manager.startThread();
      starting.catch(() => undefined);
      if (isSilent) {
        await until(() => r.clock.pending === 1);
        await r.clock.advanceAsync(500);
      }
      await assert.rejects(starting, (error) => {
        assert.ok(error instanceof SessionConfiguredNotFirstEventError);
        assert.deepEqual([error.received, says.test(error.message)], [received, true], error.message);
        return true;
      });
      assert.deepEqual(created, []);
      await assertNothingLeft(r);
      await r[Symbol.asyncDispose]();
    });
  }

  for (const [name, logic] of Object.entries(keeping)) {
    test(`a ${name} that keeps the contract is a thread`, async () => {
      await using r = await rig({ threadLogic: logic });
      const { thread, threadId, sessionConfigured } = await r.manager.startThread({ model: "mine" });
      assert.deepEqual([sessionConfigured.session_id, sessionConfigured.model, thread.epoch], [threadId, "mine", 1]);
      if (name !== "fromPromise") assert.equal((await thread.run("hi")).lastAgentMessage, "echo");
      const [first] = await take(thread, 1);
      assert.deepEqual([first?.seq, first?.id, first?.msg.type], [0, "", "session_configured"]);
    });
  }

  test("a logic cannot give itself another thread's id", async () => {
    const logic = callback((emit) => emit({ ...configured, msg: { type: "session_configured", session_id: "other" } }));
    await using r = await rig({ threadLogic: logic });
    const { threadId, sessionConfigured } = await r.manager.startThread();
    assert.equal(sessionConfigured.session_id, threadId);
  });

  test("one that ends right after its first event was a thread, and is one no more", async () => {
    const logic = fromPromise(async ({ emit }) => void (emit as Emit)(configured));
    await using r = await rig({ threadLogic: logic });
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe((end) => closed.push(end.threadId));
    const { thread, threadId } = await r.manager.startThread();
    await until(() => closed.length === 1);
    assert.deepEqual([closed, await r.manager.listThreadIds()], [[threadId], []]);
    await assert.rejects(thread.submit({ type: "interrupt" }), { code: "thread_closed" });
  });

  test("one that throws in its first breath after the first event crashes, and is restarted within its intensity", async () => {
    let lives = 0;
    const logic = callback((emit) => {
      lives += 1;
      emit(configured);
      throw new Error("crash");
    });
    await using r = await rig({
      threadLogic: logic,
      supervision: { maxRestarts: 2, backoffMs: 10, maxBackoffMs: 10 },
    });
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe((end) => closed.push(end.threadId));
    const { threadId } = await r.manager.startThread();
    for (let n = 0; n < 5; n += 1) await r.clock.advanceAsync(10);
    await until(() => closed.length === 1);
    assert.deepEqual([lives, closed, r.manager.capacity().unloadedThreads], [3, [threadId], 0]);
  });

  test("SEMANTICS 5.2: one that crashes at a message comes back with a higher epoch, under the same handle and for the same observers", async () => {
    const logic = callback(
      (emit) => emit(configured),
      (event, emit) => {
        if ((event as Message).op?.type === "compact") throw new Error("crash");
        answer(emit, event as Message);
      },
    );
    await using r = await rig({ threadLogic: logic });
    const { thread, threadId } = await r.manager.startThread();
    const seen = watch(thread);
    const following = take(thread, 5);
    await thread.run("one");
    await thread.submit({ type: "compact" });
    await until(() => thread.actor === undefined);
    const again = next(thread, "session_configured");
    await r.clock.advanceAsync(1_000);
    assert.equal((await again).epoch, 2);
    assert.equal((await thread.run("two")).lastAgentMessage, "echo");
    assert.equal(await r.manager.getThread(threadId), thread);
    const placed = seen.map(({ epoch, seq, msg }) => `${epoch}/${seq} ${msg.type}`);
    assert.deepEqual(placed, [
      "1/1 task_started",
      "1/2 task_complete",
      "1/3 error",
      "2/0 session_configured",
      "2/1 task_started",
      "2/2 task_complete",
    ]);
    assert.deepEqual(
      (await following).map(({ epoch, seq }) => `${epoch}/${seq}`),
      ["1/0", "1/1", "1/2", "1/3", "2/0"],
    );
  });

  test("SEMANTICS 5.2: what an old incarnation still says is dropped", async () => {
    const emits: Emit[] = [];
    const logic = callback(
      (emit) => {
        emits.push(emit);
        emit(configured);
      },
      (event) => {
        if ((event as Message).op?.type === "compact") throw new Error("crash");
      },
    );
    await using r = await rig({ threadLogic: logic });
    const { thread } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    await until(() => thread.actor === undefined);
    await r.clock.advanceAsync(1_000);
    await until(() => thread.epoch === 2);
    const seen = watch(thread);
    const [old, young] = emits;
    assert.ok(old && young);
    say(old, "from the grave");
    say(young, "alive");
    assert.deepEqual(
      seen.map(({ msg }) => msg),
      [{ type: "warning", message: "alive" }],
    );
  });

  test("an abort while a silent logic boots: the signal's reason, and nothing is left, no listener either", async () => {
    const r = await rig({ threadLogic: callback(() => {}) });
    const controller = new AbortController();
    const starting = r.manager.startThread(undefined, { signal: controller.signal });
    starting.catch(() => undefined);
    await until(() => r.clock.pending === 1);
    controller.abort("enough");
    await assert.rejects(starting, (error) => error === "enough");
    await until(() => r.manager.capacity().residentThreads.used === 0);
    await assertNothingLeft(r);
    await r[Symbol.asyncDispose]();
  });

  test("an abort in the moment of the first event undoes the thread, its actor included", async () => {
    const logic = fromCallback(({ emit, self }) => {
      actors.push(self);
      (emit as Emit)(configured);
    });
    const actors: { getSnapshot(): { status: string } }[] = [];
    const r = await rig({ threadLogic: logic });
    const controller = new AbortController();
    r.manager.events$.subscribe(() => controller.abort("enough"));
    await assert.rejects(
      r.manager.startThread(undefined, { signal: controller.signal }),
      (error) => error === "enough",
    );
    await until(() => r.manager.capacity().residentThreads.used === 0);
    await assertNothingLeft(r);
    assert.deepEqual(
      actors.map((actor) => actor.getSnapshot().status),
      ["stopped"],
    );
    await r[Symbol.asyncDispose]();
  });

  test("a signal that outlives a boot keeps no listener of it", async () => {
    const logic = fromCallback(({ emit }) => queueMicrotask(() => (emit as Emit)(configured)));
    await using r = await rig({ threadLogic: logic });
    const { signal } = new AbortController();
    await r.manager.startThread(undefined, { signal });
    assert.equal(EventEmitter.getEventListeners(signal, "abort").length, 0);
  });
});

async function take(thread: Thread, count: number) {
  const events = [];
  for await (const event of thread.events({ after: -1 })) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}
