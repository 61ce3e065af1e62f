/** How a thread's life ends: in each cell of state and end, whoever waits is answered, and a turn shows its one end. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import { z } from "zod";
import { StoreIoError, type Thread, ThreadBusyError, ThreadClosedError, tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import type { ThreadEvent } from "../../src/protocol/event.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore, ThreadWriter } from "../../src/store/thread-store.ts";
import type { EndReason } from "../../src/thread/life-end.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { observe, settled } from "../kernel/settled.ts";
import { linesOf, overlaid, type Rig, rig, until, watch } from "../rig.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const isEnd = (type: string) => type === "task_complete" || type === "turn_aborted";

/** Starts and ends of turns, by submission. */
function turnsIn(events: readonly ThreadEvent[]): string[] {
  return events.flatMap(({ id, msg }) => {
    if (msg.type === "task_started") return [`${id} started`];
    return isEnd(msg.type) ? [`${id} ${msg.type}`] : [];
  });
}

const endsIn = (lines: readonly RolloutLine[]): string[] =>
  lines.flatMap((line) => (line.type === "event_msg" && isEnd(line.payload.type) ? [line.payload.type] : []));

/** Puts a thread into a state, and gives those who wait in it. */
const states: Record<string, (r: Rig, thread: Thread) => Promise<Promise<unknown>[]>> = {
  idle: async () => [],
  sampling: async (_, thread) => {
    const run = thread.run("go");
    await until(() => thread.status === "running");
    return [run];
  },
  "sampling, with a task and input behind it": async (_, thread) => {
    const run = thread.run("go");
    await until(() => thread.status === "running");
    await thread.submit(input("joined"));
    await thread.submit({ type: "compact" });
    const late = thread.run("late");
    void run.catch(() => undefined);
    await settled();
    return [late];
  },
  "sampling, with two tasks behind it": async (_, thread) => {
    void thread.run("go");
    await until(() => thread.status === "running");
    for (let n = 0; n < 2; n += 1) await thread.submit({ type: "compact" });
    return [];
  },
  "in a tool": async (r, thread) => {
    const run = thread.run("call");
    await until(() => r.model.asked === 1);
    await settled();
    return [run];
  },
  answering: async (_, thread) => {
    await thread.submit({ type: "list_skills" });
    return [];
  },
};

const stuck = tool({
  name: "stuck",
  description: "",
  input: z.object({}),
  execute: () => new Promise<string>(() => {}),
});

const rigged = (options: Parameters<typeof rig>[0] = {}) =>
  rig({
    script: ({ input: items }) => (JSON.stringify(items).includes('"call"') ? [call("stuck", {})] : [say("a"), hang()]),
    tools: [stuck],
    ...options,
  });

const incarnationOf = (thread: Thread) => (thread as LiveThread).incarnation;

/** The ends of turns that are stored, in order. */
async function storedEnds(store: ThreadStore, threadId: ThreadId): Promise<string[]> {
  const ends: string[] = [];
  for await (const page of store.load(threadId)) {
    for (const { type, payload } of page) {
      if (type !== "event_msg") continue;
      if (payload.type === "task_complete" || payload.type === "turn_aborted") ends.push(payload.type);
    }
  }
  return ends;
}

suite("ends", () => {
  for (const [state, enter] of Object.entries(states)) {
    for (const reason of ["killed", "crashed", "lost"] satisfies EndReason[]) {
      test(`${reason} while ${state}: every wait settles, every turn that began has one end, shown and stored alike`, async () => {
        await using r = await rigged();
        const { thread, threadId } = await r.manager.startThread();
        const seen = watch(thread);
        const waits = (await enter(r, thread)).filter((wait) => wait instanceof Promise).map((wait) => observe(wait));
        const incarnation = incarnationOf(thread);
        const error = reason === "killed" ? undefined : new Error("disk on fire");
        incarnation.end(reason, error);
        await until(() => waits.every(({ outcome }) => outcome !== "pending"));
        const turns = turnsIn(seen);
        const started = turns.filter((turn) => turn.endsWith("started"));
        assert.deepEqual(
          turns.filter((turn) => !turn.endsWith("started")),
          started.map((turn) => turn.replace("started", "turn_aborted")),
        );
        const stored = endsIn(await linesOf(r.store, threadId));
        assert.deepEqual(
          stored,
          started.map(() => "turn_aborted"),
        );
        const errors = seen.flatMap(({ msg }) => (msg.type === "error" ? [msg.message] : []));
        if (reason === "killed")
          assert.equal(
            errors.some((message) => message.includes("disk")),
            false,
          );
        else assert.ok(errors.length > 0 && errors.every((message) => message.includes("disk on fire")));
        assert.deepEqual(incarnation.ended, { reason, epoch: 1, ...(error && { error }) });
        for (const { outcome } of waits) {
          const { value } = outcome as { value: { status: string; error: { message: string } | null } };
          assert.equal(value.status, reason === "killed" ? "interrupted" : "failed");
          assert.equal(value.error?.message.includes("disk on fire") ?? false, reason !== "killed");
        }
      });
    }
  }

  const WAITING = {
    "a rollback": [{ type: "thread_rollback" as const, num_turns: 1 }, input("deferred"), { type: "undo" as const }],
    "an answer": [{ type: "list_skills" as const }, { type: "list_mcp_tools" as const }],
  };
  for (const [what, ops] of Object.entries(WAITING)) {
    for (const reason of ["killed", "crashed", "lost"] satisfies EndReason[]) {
      test(`${reason} while ops wait for ${what}: each of them is told why it won't be done`, async () => {
        await using r = await rigged({ script: [[say("a")]] });
        const { thread } = await r.manager.startThread();
        await thread.run("go");
        const seen = watch(thread);
        const incarnation = incarnationOf(thread);
        const told = ops.map((op) => thread.submit(op));
        const waits = what === "a rollback" ? ops.slice(1) : ops;
        assert.equal(incarnation.waitingOps, waits.length);
        incarnation.end(reason, reason === "killed" ? undefined : new Error("disk on fire"));
        const ids = await Promise.all(told.map((id) => id.catch(() => undefined)));
        const why = (id: string | undefined) =>
          seen.flatMap((event) => (event.id === id && event.msg.type === "error" ? [event.msg.message] : []));
        for (const id of ids) {
          assert.equal(why(id).length, 1);
          assert.match(String(why(id)[0]), reason === "killed" ? /^the thread has ended$/ : /disk on fire/);
        }
      });
    }
  }

  test("T8: a life that ends while its history is being read ends the reading", async () => {
    const inner = memoryStore();
    const first = await rig({ store: inner });
    const { thread: before, threadId } = await first.manager.startThread();
    await before.run("go");
    await first[Symbol.asyncDispose]();
    const signals: AbortSignal[] = [];
    const load: ThreadStore["load"] = async function* (id, options) {
      if (options?.signal !== undefined) signals.push(options.signal);
      await new Promise((resolve) => setImmediate(resolve));
      yield* inner.load(id, options);
    };
    await using r = await rig({ store: overlaid(inner, { load }) });
    const { thread } = await r.manager.resumeThread(threadId);
    const running = thread.run("again");
    await until(() => signals.length > 0);
    incarnationOf(thread).end("killed");
    assert.deepEqual([signals.at(-1)?.aborted, (await running).status], [true, "interrupted"]);
  });

  test("a rollback whose history can't be read says so to whoever asked for it, and the thread goes on", async () => {
    let isBroken = false;
    const inner = memoryStore();
    const broken = new StoreIoError("disk on fire", { cause: new Error("EIO") });
    const load: ThreadStore["load"] = (id, options) => {
      if (isBroken) throw broken;
      return inner.load(id, options);
    };
    const store = overlaid(inner, { load });
    const first = await rig({ store });
    const { thread: before, threadId } = await first.manager.startThread();
    await before.run("go");
    await first[Symbol.asyncDispose]();
    await using r = await rig({ store });
    const { thread } = await r.manager.resumeThread(threadId);
    isBroken = true;
    const seen = watch(thread);
    await assert.rejects(thread.rollback(1), (error) => error === broken);
    const told = { type: "error", message: "disk on fire", codex_error_info: "thread_rollback_failed" };
    assert.deepEqual(seen.at(-1)?.msg, told);
    isBroken = false;
    await thread.rollback(1);
    assert.equal((await thread.run("again")).status, "completed");
  });

  const isClosedBy = (cause: unknown) => (error: unknown) =>
    error instanceof ThreadClosedError && error.cause === cause;

  for (const reason of ["killed", "crashed", "lost"] satisfies EndReason[]) {
    test(`${reason} under a rollback, and one behind it: both callers hear that the thread is closed, and by what`, async () => {
      await using r = await rigged({ script: [[say("a")]] });
      const { thread } = await r.manager.startThread();
      await thread.run("go");
      const calls = [thread.rollback(1), thread.rollback(1)].map((call) => observe(call));
      const error = reason === "killed" ? undefined : new Error("disk on fire");
      incarnationOf(thread).end(reason, error);
      await until(() => calls.every(({ outcome }) => outcome !== "pending"));
      for (const { outcome } of calls)
        assert.ok(isClosedBy(error)((outcome as { reason?: unknown }).reason), String(outcome));
    });
  }

  test("a rollback that comes while the thread closes is refused as closed, and one that a running turn refuses is not", async () => {
    await using r = await rigged();
    const { thread } = await r.manager.startThread();
    const run = thread.run("go");
    await until(() => thread.status === "running");
    await assert.rejects(thread.rollback(1), { code: "invalid_request" });
    await thread.submit({ type: "shutdown" });
    await assert.rejects(thread.rollback(1), ThreadClosedError);
    await run;
  });

  test("a rollback under which a logic of an embedder's own crashes is closed, though the thread lives again", async () => {
    const logic = fromCallback(({ receive, emit }) =>
      receive((command) => {
        const { type, op } = command as unknown as { type: string; op?: { type: string } };
        if (type === "session.configure")
          emit({ type: "session_configured", id: "", msg: { type: "session_configured" } } as never);
        if (op?.type === "thread_rollback") throw new Error("unheard of");
      }),
    );
    await using r = await rig({ threadLogic: logic, supervision: { restart: "permanent" } });
    const { thread } = await r.manager.startThread();
    const asked = observe(thread.rollback(1));
    await settled();
    await r.clock.advanceAsync(5_000);
    await until(() => asked.outcome !== "pending");
    const { reason: error } = asked.outcome as { reason: ThreadClosedError };
    assert.ok(error instanceof ThreadClosedError && /unheard of/.test(String(error.cause)), String(error));
  });

  test("whatever is asked of a thread that was lost, and whatever waits for it, is refused with what it was lost by", async () => {
    const error = new Error("disk on fire");
    await using r = await rigged();
    const { thread } = await r.manager.startThread();
    const { thread: other } = await r.manager.startThread();
    const pull = async () => {
      for (;;) await thread.nextEvent();
    };
    const waiting = { run: thread.run("go"), nextEvent: pull(), watch: thread.monitor(other).down };
    const waits = Object.values(waiting).map((wait) => observe<unknown>(wait));
    await until(() => thread.status === "running");
    await settled();
    incarnationOf(thread).end("lost", error);
    await until(() => waits.every(({ outcome }) => outcome !== "pending"));
    const [ran, ...refused] = waits.map(({ outcome }) => outcome as { value?: { status: string }; reason?: unknown });
    assert.equal(ran?.value?.status, "failed");
    for (const outcome of refused) assert.ok(isClosedBy(error)(outcome.reason), JSON.stringify(outcome));
    const asked: Record<string, () => unknown> = {
      submit: () => thread.submit(input("late")),
      answer: () => thread.submit({ type: "exec_approval", id: "c", decision: "approved" }),
      run: () => thread.run("late"),
      compact: () => thread.compact(),
      review: () => thread.review({ type: "uncommittedChanges" }),
      rollback: () => thread.rollback(1),
      ready: () => thread.ready(),
      nextEvent: () => thread.nextEvent(),
      interrupt: () => thread.interrupt(),
      step: () => thread.step("s", () => 1),
      setPriority: () => thread.setPriority("background"),
      setBudget: () => thread.setBudget({ budget: { turns: 1 } }),
      schedule: () => thread.schedule({ after: 1 }, input("late")),
      monitors: () => thread.monitors(),
      monitor: async () => thread.monitor(other),
      link: async () => thread.link(other),
      send: () => thread.send(other, { type: "m" }),
      request: () => thread.request(other, { type: "m" }),
      publish: () => thread.publish("t", { type: "m" }),
      subscribe: async () => thread.subscribe("t"),
    };
    for (const [name, call] of Object.entries(asked)) await assert.rejects(async () => call(), isClosedBy(error), name);
  });

  test("SEMANTICS 5.1: a turn that is ended by force at the deadline of a shutdown shows its one end, and it is stored", async () => {
    await using r = await rigged({ tools: [stuck] });
    const { thread, threadId } = await r.manager.startThread();
    const seen = watch(thread);
    const run = thread.run("call");
    await until(() => r.model.asked === 1);
    await settled();
    const down = thread.shutdown({ deadlineMs: 50 });
    await r.clock.advanceAsync(50);
    assert.equal(await down, "timedOut");
    assert.equal((await run).status, "interrupted");
    assert.equal(turnsIn(seen).filter((turn) => !turn.endsWith("started")).length, 1);
    assert.equal(endsIn(await linesOf(r.store, threadId)).length, 1);
    await assert.rejects(thread.submit(input("late")), ThreadClosedError);
  });

  test("a crash says why: in the turn's result, in an event, in the log and as the cause of later refusals", async () => {
    const logged: unknown[] = [];
    const logger = { error: (...line: unknown[]) => void logged.push(line) };
    const logic = fromCallback(({ receive, emit }) =>
      receive((command) => {
        const { type, id, op } = command as unknown as { type: string; id: string; op?: { type: string } };
        if (type === "session.configure")
          emit({ type: "session_configured", id: "", msg: { type: "session_configured" } } as never);
        if (op?.type !== "user_input") return;
        emit({ type: "task_started", id, msg: { type: "task_started", turn_id: "t" } } as never);
        throw new Error("disk on fire");
      }),
    );
    const silent = { trace() {}, debug() {}, info() {}, warn() {}, fatal() {} };
    await using r = await rig({
      threadLogic: logic,
      logger: { ...silent, ...logger } as never,
      supervision: { restart: "temporary" },
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const { status, error } = await thread.run("crash");
    assert.deepEqual([status, error?.message], ["failed", "the thread crashed: disk on fire"]);
    assert.deepEqual(turnsIn(seen), ["0 started", "0 turn_aborted"]);
    await assert.rejects(thread.submit(input("late")), (refusal) => {
      assert.ok(refusal instanceof ThreadClosedError);
      return (refusal.cause as Error).message === "disk on fire";
    });
    assert.equal(logged.length, 1);
    assert.deepEqual(thread.status, { errored: "the thread crashed: disk on fire" });
  });

  test("another writer takes the thread over: the turn fails as lost, nothing is shown as complete, and the next resume loads it anew", async () => {
    await using r = await rigged();
    const { thread, threadId } = await r.manager.startThread();
    const seen = watch(thread);
    const run = thread.run("go");
    await until(() => thread.status === "running");
    const other = await r.store.open(threadId, { lease: "takeOver" });
    const { status, error } = await run;
    assert.deepEqual([status, error?.info], ["failed", "lease_lost"]);
    assert.deepEqual(turnsIn(seen), ["0 started", "0 turn_aborted"]);
    await until(() => r.manager.capacity().residentThreads.used === 0);
    await assert.rejects(thread.submit(input("late")), (refusal) => {
      assert.ok(refusal instanceof ThreadClosedError);
      return refusal.cause instanceof ThreadBusyError;
    });
    await assert.rejects(r.manager.resumeThread(threadId), ThreadBusyError);
    await other.close();
    assert.equal((await r.manager.resumeThread(threadId)).thread.epoch, 3);
  });

  test("SEMANTICS 5.1: a turn whose end can't be stored for good fails, shows no completion, and its thread is loaded anew by the next resume", async () => {
    const inner = memoryStore();
    let broken = false;
    const failing = (writer: ThreadWriter) =>
      overlaid(writer, {
        sync: () => (broken ? Promise.reject(new StoreIoError("no disk")) : writer.sync()),
      });
    const store = overlaid<ThreadStore>(inner, {
      create: async (...parts) => failing(await inner.create(...parts)),
      open: async (...parts) => failing(await inner.open(...parts)),
    });
    await using r = await rig({ store, script: [[say("a")], [say("b")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    broken = true;
    const run = observe(thread.run("go"));
    for (let n = 0; n < 40 && run.outcome === "pending"; n += 1) await r.clock.advanceAsync(1_000);
    const { value } = run.outcome as unknown as { value: { status: string; error: { info: string } } };
    assert.deepEqual([value.status, value.error.info], ["failed", "store_failed"]);
    assert.deepEqual(turnsIn(seen), ["0 started", "0 turn_aborted"]);
    broken = false;
    const { thread: again } = await r.manager.resumeThread(thread.id);
    assert.deepEqual([(await again.run("again")).status, again.epoch], ["completed", 2]);
    assert.deepEqual(await storedEnds(store, thread.id), ["task_complete", "task_complete"], "each turn has one end");
  });

  test("a store that fails for a while holds a turn's end up, and no longer", async () => {
    const inner = memoryStore();
    let failures = 2;
    const store = overlaid<ThreadStore>(inner, {
      create: async (...parts) => {
        const writer = await inner.create(...parts);
        return overlaid(writer, {
          sync: () => (failures-- > 0 ? Promise.reject(new StoreIoError("no disk")) : writer.sync()),
        });
      },
    });
    await using r = await rig({ store });
    const { thread } = await r.manager.startThread();
    const run = observe(thread.run("go"));
    for (let n = 0; n < 20 && run.outcome === "pending"; n += 1) await r.clock.advanceAsync(200);
    const { value } = run.outcome as unknown as { value: { status: string } };
    assert.equal(value.status, "completed");
    assert.equal(thread.epoch, 1);
  });
});
