/** docs/thread-logic.md, walked: what each kind of logic gets, owes, and what follows when it breaks its word. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AnyActorLogic, emit, fromCallback, fromObservable, fromPromise, fromTransition, setup } from "xstate";
import { defineThreadLogic, type OwnLogicInput, type Thread, ThreadManager, tool } from "../../src/index.ts";
import { call, fail, say } from "../../src/model/script.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { observe, settled } from "../kernel/settled.ts";
import { assertPaired, linesOf, next, overlaid, type Rig, rig, typesOf, until, watch } from "../rig.ts";

type Emitted = { type: string; id?: unknown; msg?: unknown; [field: string]: unknown };
type Command = { type: string; id: string; msg: { type: string }; op: { type: string; items: unknown[] } };
type Emit = (event: Emitted) => void;
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** What every one of them does: one message for one input, and its end when it is asked for. */
function behave(command: Command, send: Emit): boolean {
  const told = (id: string, msg: { type: string; [field: string]: unknown }) => send({ type: msg.type, id, msg });
  if (command.type === "session.configure") told("", command.msg);
  if (command.type !== "op.submit") return false;
  const { id, op } = command;
  if (op.type === "shutdown") told(id, { type: "shutdown_complete" });
  if (op.type === "user_input") {
    told(id, { type: "task_started", turn_id: `t${id}` });
    told(id, { type: "agent_message", message: `said ${id}` });
    told(id, { type: "task_complete", turn_id: `t${id}`, last_agent_message: `said ${id}` });
  }
  return op.type === "shutdown";
}

const callback = (act: (command: Command, send: Emit) => unknown) =>
  fromCallback(({ emit: send, receive }) => receive((event) => void act(event as Command, send as Emit)));

const kinds: Record<string, AnyActorLogic> = {
  fromCallback: callback(behave),
  fromTransition: fromTransition((state, event, { emit: send }) => {
    behave(event as unknown as Command, send as unknown as Emit);
    return state;
  }, 0),
  fromPromise: fromPromise(async ({ emit: send, input: given }) => {
    const { thread, sessionConfigured: msg } = given as unknown as OwnLogicInput;
    const ops = thread.ops();
    behave({ type: "session.configure", msg } as never, send as unknown as Emit);
    for await (const { id, op } of ops) behave({ type: "op.submit", id, op } as never, send as unknown as Emit);
  }),
  fromObservable: fromObservable(({ input: given }) => {
    const { thread, sessionConfigured } = given as unknown as OwnLogicInput;
    return {
      subscribe: (observer: object) => {
        const { complete } = observer as { complete: () => void };
        const ops = thread.ops();
        const send: Emit = ({ id, msg }) => thread.publish(String(id), msg as never);
        void (async () => {
          behave({ type: "session.configure", msg: sessionConfigured } as never, send);
          for await (const { id, op } of ops) behave({ type: "op.submit", id, op } as never, send);
          complete();
        })();
        return { unsubscribe: () => undefined };
      },
    } as never;
  }),
  machine: setup({ types: { events: {} as Command } }).createMachine({
    initial: "open",
    states: {
      open: {
        on: {
          "session.configure": {
            actions: emit(({ event }) => ({ type: "session_configured", id: "", msg: event.msg })),
          },
          "op.submit": [
            { guard: ({ event }) => event.op.type === "shutdown", target: "closed" },
            {
              guard: ({ event }) => event.op.type === "user_input",
              actions: ["task_started", "agent_message", "task_complete"].map((type) =>
                emit(({ event: { id } }) => ({
                  type,
                  id,
                  msg: { type, turn_id: `t${id}`, message: `said ${id}`, last_agent_message: `said ${id}` },
                })),
              ),
            },
          ],
        },
      },
      closed: { type: "final" },
    },
  }),
  defineThreadLogic: defineThreadLogic({ turn: ({ submissionId }) => `said ${submissionId}` }),
};

suite("a logic that keeps the contract", () => {
  for (const [name, logic] of Object.entries(kinds)) {
    test(`${name}: its turns end, what it says is stored and comes back, and it ends at once`, async () => {
      const store = memoryStore();
      for (const [life, expected] of [
        ["first", "said 0"],
        ["second", "said 0"],
      ] as const) {
        const r = await rig({ store, threadLogic: logic });
        const { thread } =
          life === "first"
            ? await r.manager.startThread()
            : await r.manager.resumeThread((await r.manager.listThreads()).threads[0]?.threadId ?? "");
        const seen = watch(thread);
        const result = await thread.run("hello");
        assert.deepEqual([result.status, result.lastAgentMessage], ["completed", expected]);
        // No clock is moved: nobody waits for a deadline.
        assert.deepEqual(await r.manager.shutdown(), { completed: [thread.id], failed: [], timedOut: [] });
        assert.equal(seen.filter(({ msg }) => msg.type === "shutdown_complete").length, 1);
        assert.deepEqual(seen.at(-1)?.msg, { type: "shutdown_complete" });
        assert.equal(r.clock.pending, 0);
      }
      const [stored] = (await memoryLines(store)).map((lines) =>
        lines.flatMap((line) =>
          line.type === "response_item" && line.payload.type === "message" ? [line.payload.role] : [],
        ),
      );
      assert.deepEqual(stored, ["user", "assistant", "user", "assistant"]);
    });
  }

  test("what is stored comes to the next life as items, and as what the model knows", async () => {
    let given: OwnLogicInput | undefined;
    const logic = defineThreadLogic({
      start: (own) => {
        given = own;
      },
      turn: async ({ thread, text }) => `${text}, after ${(await thread.history()).length}`,
    });
    for (const historyMode of ["paginated", "legacy"] as const) {
      const store = memoryStore();
      await using first = await rig({ store, threadLogic: logic });
      const { thread } = await first.manager.startThread({ extra: { role: "parser" } }, { historyMode });
      assert.equal((await thread.run("one")).lastAgentMessage, "one, after 1");
      assert.deepEqual([given?.extra, given?.items, given?.epoch], [{ role: "parser" }, [], 1]);
      await first.manager.shutdown();
      await using second = await rig({ store, threadLogic: logic });
      const resumed = await second.manager.resumeThread(thread.id);
      assert.equal((await resumed.thread.run("two")).lastAgentMessage, "two, after 3");
      const texts = given?.items?.flatMap((item) =>
        item.type === "response_item" && item.payload.type === "message" ? [item.payload.role] : [],
      );
      assert.deepEqual([texts, given?.epoch], [["user", "assistant"], 2]);
      const told = resumed.sessionConfigured.initial_messages?.map(({ type }) => type);
      assert.deepEqual(
        told?.filter((type) => type.endsWith("_message")),
        ["user_message", "agent_message"],
      );
    }
  });
});

async function memoryLines(store: Rig["store"]) {
  const { threads } = await store.list();
  return Promise.all(threads.map(({ threadId }) => linesOf(store, threadId)));
}

/** What is emitted for an input, and why it is not shown. */
const circular: Record<string, unknown> = { type: "agent_message", message: "x" };
circular.self = circular;
const breaches: Record<string, { emits: unknown; says: RegExp }> = {
  "no type": { emits: { id: "1" }, says: /no text `type`/ },
  "a type unlike msg.type": {
    emits: { type: "foo", id: "1", msg: { type: "bar" } },
    says: /`foo` was not shown: its `msg` is of the type `bar`/,
  },
  "no msg": { emits: { type: "agent_message", id: "1", msg: undefined }, says: /`msg` is no event/ },
  "a message without a text": {
    emits: { type: "agent_message", id: "1", msg: { type: "agent_message" } },
    says: /message must be a string/,
  },
  "an error without a text": {
    emits: { type: "error", id: "1", msg: { type: "error" } },
    says: /message must be a string/,
  },
  "a number as id": {
    emits: { type: "agent_message", id: 5, msg: { type: "agent_message", message: "x" } },
    says: /`id` is no text/,
  },
  "what holds itself": { emits: { type: "agent_message", id: "1", msg: circular }, says: /holds itself/ },
  "a bigint": {
    emits: { type: "agent_message", id: "1", msg: { type: "agent_message", message: 1n } },
    says: /no JSON/,
  },
  "a second session_configured": {
    emits: { type: "session_configured", id: "", msg: { type: "session_configured" } },
    says: /second time/,
  },
  "an item without its parts": {
    emits: { type: "rollout_item", item: { type: "response_item", payload: { type: "message" } } },
    says: /its item/,
  },
  "a header": { emits: { type: "rollout_item", item: { type: "session_meta", payload: {} } }, says: /session_meta/ },
  "a gap": { emits: { type: "lagged", id: "", msg: { type: "lagged", from: 0, to: 1 } }, says: /subscription/ },
  "an end twice": {
    emits: { type: "task_complete", id: "0", msg: { type: "task_complete", last_agent_message: null } },
    says: /the turn has ended already/,
  },
};

suite("breaches", () => {
  for (const [name, { emits, says }] of Object.entries(breaches)) {
    test(`${name} is reported, and neither shown nor stored`, async () => {
      const logic = callback((command, send) => {
        behave(command, send);
        if (command.type === "op.submit" && command.op.type === "user_input") send(emits as Emitted);
      });
      await using r = await rig({ threadLogic: logic });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      await thread.submit(input("x"));
      await settled();
      const types = typesOf(seen);
      assert.deepEqual(
        types.filter((type) => !type.startsWith("item_")),
        ["task_started", "agent_message", "task_complete", "warning"],
      );
      const last = seen.at(-1)?.msg;
      assert.match(last?.type === "warning" ? last.message : "", says);
      const before = (await linesOf(r.store, thread.id)).length;
      assert.equal((await thread.run("y")).status, "completed");
      assert.equal((await linesOf(r.store, thread.id)).length > before, true);
    });
  }

  test("another thread's id in the first event is put right, and told", async () => {
    const logic = callback((command, send) =>
      command.type === "session.configure"
        ? send({ type: "session_configured", id: "", msg: { ...command.msg, session_id: "other", model: 5 } })
        : behave(command, send),
    );
    await using r = await rig({ threadLogic: logic });
    const { thread, threadId, sessionConfigured } = await r.manager.startThread({ model: "mine" });
    assert.deepEqual([sessionConfigured.session_id, sessionConfigured.model], [threadId, "mine"]);
    const told: string[] = [];
    for await (const { msg } of thread.events({ after: 0 })) {
      if (msg.type === "warning") told.push(msg.message);
      if (told.length === 2) break;
    }
    assert.match(told.join(), /session_id.*model/);
  });

  test("an interrupt that is ignored: whoever asked hears so at its deadline", async () => {
    const logic = callback((command, send) => {
      if (command.type === "op.submit" && command.op.type === "user_input") {
        send({ type: "task_started", id: command.id, msg: { type: "task_started", turn_id: "t" } });
      } else behave(command, send);
    });
    await using r = await rig({ threadLogic: logic });
    const { thread } = await r.manager.startThread();
    const run = observe(thread.run("x"));
    await settled();
    assert.deepEqual([thread.activeTurn?.turnId, thread.status], ["t", "running"]);
    const interrupt = observe(thread.interrupt({ turnId: "t" }));
    await settled();
    await r.clock.advanceAsync(10_000);
    assert.equal(Object(interrupt.outcome).reason?.code, "deadline_exceeded");
    assert.equal(run.outcome, "pending");
    assert.deepEqual((await r.manager.shutdown()).completed, [thread.id]);
    assert.equal(Object(run.outcome).value?.status, "interrupted");
  });

  for (const [name, logic, cleaned] of [
    [
      "a callback",
      (clean: () => void) =>
        fromCallback(({ emit: send, receive }) => {
          receive(
            (event) =>
              event.type === "session.configure" &&
              (send as Emit)({ type: "session_configured", id: "", msg: (event as unknown as Command).msg }),
          );
          return clean;
        }),
      true,
    ],
    [
      "a promise",
      () =>
        fromPromise(async ({ input: given }) => {
          const { thread, sessionConfigured } = given as unknown as OwnLogicInput;
          thread.publish("", sessionConfigured);
          await new Promise(() => {});
        }),
      false,
    ],
  ] as const) {
    test(`${name} that does not end: stopped at the deadline, cleaned up, completed since its state is stored`, async () => {
      let cleanups = 0;
      const r = await rig({
        threadLogic: logic(() => {
          cleanups += 1;
        }),
      });
      const { thread } = await r.manager.startThread();
      const other = await r.manager.startThread();
      const seen = watch(thread);
      const one = observe(other.thread.shutdown({ deadlineMs: 50 }));
      await settled();
      await r.clock.advanceAsync(50);
      assert.equal(Object(one.outcome).value, "completed");
      const ending = observe(r.manager.shutdown({ deadlineMs: 100 }));
      await settled();
      await r.clock.advanceAsync(100);
      await settled();
      assert.deepEqual(Object(ending.outcome).value, { completed: [thread.id], failed: [], timedOut: [] });
      assert.deepEqual([typesOf(seen), cleanups, r.clock.pending], [["shutdown_complete"], cleaned ? 2 : 0, 0]);
    });
  }

  test("one that is cut in its turn has timed out, and its turn has an end that is stored", async () => {
    const r = await rig({ threadLogic: defineThreadLogic({ turn: () => new Promise(() => {}) }) });
    const stuck = callback((command, send) => {
      if (command.type !== "op.submit") behave(command, send);
      else if (command.op.type === "user_input")
        send({ type: "task_started", id: command.id, msg: { type: "task_started", turn_id: "t" } });
    });
    const s = await rig({ threadLogic: stuck });
    const { thread } = await s.manager.startThread();
    await thread.submit(input("x"));
    const ending = observe(s.manager.shutdown({ deadlineMs: 100 }));
    await settled();
    await s.clock.advanceAsync(100);
    await settled();
    assert.deepEqual(Object(ending.outcome).value?.timedOut, [thread.id]);
    const lines = await linesOf(s.store, thread.id);
    assert.ok(lines.some((line) => line.type === "event_msg" && line.payload.type === "turn_aborted"));
    await r[Symbol.asyncDispose]();
  });

  test("a crash: the turn gets its one end, whoever waits hears of it, the input is stored once", async () => {
    const logic = callback((command, send) => {
      behave(command.type === "op.submit" && command.op.type === "user_input" ? ({} as Command) : command, send);
      if (command.type === "op.submit" && command.op.type === "user_input") throw new Error("disk on fire");
    });
    await using r = await rig({ threadLogic: logic, supervision: { restart: "temporary" } });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const result = await thread.run("x");
    assert.deepEqual([result.status, result.error?.message.includes("disk on fire")], ["failed", true]);
    assert.deepEqual(
      typesOf(seen).filter((type) => !type.startsWith("item_")),
      ["task_started", "error", "turn_aborted"],
    );
    const users = (await linesOf(r.store, thread.id)).filter(
      (line) => line.type === "response_item" && line.payload.type === "message" && line.payload.role === "user",
    );
    assert.equal(users.length, 1);
  });
});

suite("limits", () => {
  test("runningTurns bounds own logics; an interrupt ends what waits; capacity tells of both", async () => {
    const open: (() => void)[] = [];
    let peak = 0;
    let now = 0;
    const logic = defineThreadLogic({
      turn: async ({ signal }) => {
        now += 1;
        peak = Math.max(peak, now);
        await new Promise<void>((resolve, reject) => {
          open.push(resolve);
          signal.addEventListener("abort", () => reject(signal.reason));
        }).finally(() => {
          now -= 1;
        });
        return "done";
      },
    });
    await using r = await rig({ threadLogic: logic, limits: { runningTurns: 2 } });
    const threads: Thread[] = [];
    for (let n = 0; n < 6; n += 1) threads.push((await r.manager.startThread()).thread);
    const runs = threads.map((thread) => observe(thread.run("x")));
    await until(() => open.length === 2);
    assert.deepEqual(r.manager.capacity().runningTurns, { used: 2, free: 0, waiting: 4, max: 2 });
    await threads[5]?.interrupt();
    await settled();
    assert.deepEqual(
      [Object(runs[5]?.outcome).value?.status, r.manager.capacity().runningTurns.waiting],
      ["interrupted", 3],
    );
    for (let n = 0; n < 5; n += 1) {
      await until(() => open.length > 0);
      open.shift()?.();
    }
    await until(() => runs.every(({ outcome }) => outcome !== "pending"));
    assert.deepEqual([peak, r.manager.capacity().runningTurns.used], [2, 0]);
    assert.deepEqual(
      runs.slice(0, 5).map(({ outcome }) => Object(outcome).value?.status),
      Array(5).fill("completed"),
    );
  });
});

suite("what a logic may do", () => {
  test("it asks the model with its thread's tools, and everything is recorded", async () => {
    const plus = tool({ name: "plus", description: "", execute: ({ a, b }) => Number(a) + Number(b) });
    const logic = defineThreadLogic({ turn: async ({ ask }) => (await ask()).text });
    await using r = await rig({
      threadLogic: logic,
      tools: [plus],
      script: [[call("plus", { a: 1, b: 2 })], [say("3")]],
    });
    const { thread } = await r.manager.startThread();
    assert.equal((await thread.run("1 + 2?")).lastAgentMessage, "3");
    const stored = (await linesOf(r.store, thread.id)).flatMap((line) =>
      line.type === "response_item" ? [line.payload.type] : [],
    );
    assert.deepEqual(stored, ["message", "function_call", "function_call_output", "message"]);
  });

  test("its questions have the tools of the house, their approvals and the retries of a turn", async () => {
    const logic = defineThreadLogic({ turn: async ({ ask }) => (await ask()).text });
    const lost = new ModelError("the stream broke", { retryable: true, info: "other" });
    await using r = await rig({
      threadLogic: logic,
      script: [[fail(lost)], [call("shell_command", { command: "mktemp -u" }, { callId: "c1" })], [say("done")]],
      config: { builtInTools: ["shell"], approvalPolicy: "untrusted", sandboxMode: "danger-full-access" },
    });
    const { thread } = await r.manager.startThread();
    const asked = next(thread, "exec_approval_request");
    const turn = thread.run("x");
    await until(() => r.model.asked === 1);
    await settled();
    await r.clock.advanceAsync(10_000);
    await asked;
    assert.deepEqual(
      thread.pendingApprovals.map(({ callId }) => callId),
      ["c1"],
    );
    await thread.submit({ type: "exec_approval", id: "c1", decision: "denied" });
    assert.equal((await turn).lastAgentMessage, "done");
    assert.deepEqual([r.model.asked, thread.pendingApprovals], [3, []]);
    assertPaired((r.model.requests.at(-1) ?? { input: [] }).input);
  });

  test("what it asks by an event is a pending approval, and the answer comes to it once", async () => {
    const answers: unknown[] = [];
    const logic = callback((command, send) => {
      if (command.type !== "op.submit" || command.op.type === "shutdown") return behave(command, send);
      const { id, op } = command;
      if (op.type === "exec_approval") answers.push(op);
      if (op.type !== "user_input") return undefined;
      send({ type: "task_started", id, msg: { type: "task_started", turn_id: "t" } });
      const asks = { call_id: "q", turn_id: "t", command: ["rm"], cwd: "/", parsed_cmd: [] };
      return send({ type: "exec_approval_request", id, msg: { type: "exec_approval_request", ...asks } });
    });
    await using r = await rig({ threadLogic: logic });
    const { thread } = await r.manager.startThread();
    await thread.submit(input("x"));
    assert.deepEqual(
      thread.pendingApprovals.map(({ callId }) => callId),
      ["q"],
    );
    const answer = () => thread.submit({ type: "exec_approval", id: "q", decision: "denied" });
    await answer();
    await settled();
    assert.deepEqual(answers, [{ type: "exec_approval", id: "q", decision: "denied" }]);
    await assert.rejects(answer(), { code: "invalid_request", message: /answered already/ });
  });

  test("a fork has the logic of its source, unless its settings name another", async () => {
    const [one, two] = ["one", "two"].map((name) => defineThreadLogic({ turn: () => name }));
    assert.ok(one && two);
    await using r = await rig({ logics: { one, two } });
    const { thread } = await r.manager.startThread({ logic: "one" });
    await thread.run("x");
    const same = await r.manager.forkThread({ from: thread.id });
    const other = await r.manager.forkThread({ from: thread.id, config: { logic: "two" } });
    assert.deepEqual(
      [(await same.thread.run("y")).lastAgentMessage, (await other.thread.run("y")).lastAgentMessage],
      ["one", "two"],
    );
  });

  test("it starts threads under its own, with the logic that their config names", async () => {
    const worker = defineThreadLogic({ turn: ({ text, extra }) => `${extra.prefix}${text}` });
    const boss = defineThreadLogic({
      turn: async ({ thread, text }) => {
        const child = await thread.spawn({ logic: "worker", extra: { prefix: "> " } });
        return (await child.run(text)).lastAgentMessage ?? "";
      },
    });
    await using r = await rig({ logics: { boss, worker } });
    const { thread } = await r.manager.startThread({ logic: "boss" });
    assert.equal((await thread.run("hi")).lastAgentMessage, "> hi");
  });

  test("the name is stored, so that a resumed thread has its logic; an unknown one is a typed error that leaves nothing", async () => {
    let created = 0;
    const memory = memoryStore();
    const create: ThreadStore["create"] = (...given) => {
      created += 1;
      return memory.create(...given);
    };
    const store = overlaid(memory, { create });
    const parser = defineThreadLogic({ turn: () => "parsed" });
    const first = await rig({ store, logics: { parser } });
    const { threadId, thread } = await first.manager.startThread({ logic: "parser" });
    assert.equal((await thread.run("x")).lastAgentMessage, "parsed");
    await assert.rejects(first.manager.startThread({ logic: "parsr" }), {
      code: "invalid_request",
      message: /no logic `parsr`; its `logics` are `parser`, `built-in`/,
    });
    assert.equal((await first.manager.listThreads()).threads.length, 1);
    assert.equal(created, 1);
    await first[Symbol.asyncDispose]();
    await using second = await rig({ store, logics: { parser } });
    assert.equal((await (await second.manager.resumeThread(threadId)).thread.run("y")).lastAgentMessage, "parsed");
    await second.manager.shutdown();
    await using third = await rig({ store });
    await assert.rejects(third.manager.resumeThread(threadId), {
      code: "invalid_request",
      message: /no logic `parser`/,
    });
  });

  test("a function of the settings chooses a logic, a name, or the built-in one", async () => {
    const own = defineThreadLogic({ turn: () => "own" });
    const named = defineThreadLogic({ turn: () => "named" });
    await using r = await rig({
      logics: { named },
      threadLogic: ({ model }) => (model === "own" ? own : model === "named" ? "named" : "built-in"),
      script: [[say("model")]],
    });
    for (const [model, answer] of [
      ["own", "own"],
      ["named", "named"],
      ["other", "model"],
    ] as const) {
      assert.equal((await (await r.manager.startThread({ model })).thread.run("x")).lastAgentMessage, answer);
    }
    await using none = await rig({ threadLogic: (() => undefined) as never });
    await assert.rejects(none.manager.startThread(), { code: "invalid_request", message: /must give an XState logic/ });
  });

  test("defineThreadLogic: failures fail the turn, ops have their handlers, state is let go of", async () => {
    const log: string[] = [];
    const logic = defineThreadLogic({
      start: () => ({ turns: 0 }),
      turn: ({ state, text }) => {
        state.turns += 1;
        if (text === "fail") throw new Error("no luck");
        return `turn ${state.turns}`;
      },
      ops: { compact: (op) => void log.push(op.type) },
      stop: ({ turns }) => void log.push(`stopped after ${turns}`),
    });
    await using r = await rig({ threadLogic: logic });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const failed = await thread.run("fail");
    assert.deepEqual([failed.status, failed.error?.message], ["failed", "no luck"]);
    assert.equal((await thread.run("again")).lastAgentMessage, "turn 2");
    await thread.submit({ type: "compact" });
    await thread.submit({ type: "undo" });
    await until(() => typesOf(seen).filter((type) => type === "error").length === 2);
    await thread.shutdown();
    assert.deepEqual(log, ["compact", "stopped after 2"]);
    assert.throws(() => defineThreadLogic({} as never), { code: "invalid_request" });
    assert.ok((await ThreadManager.create({ store: memoryStore() })) instanceof ThreadManager);
  });
});
