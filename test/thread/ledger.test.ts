/** A submission id is spent for ever; what is acknowledged is stored. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { fromCallback } from "xstate";
import type { OwnLogicInput, Thread } from "../../src/index.ts";
import { IdFilter } from "../../src/kernel/id-filter.ts";
import { hang, say, wait } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore, ThreadWriter } from "../../src/store/thread-store.ts";
import { latch, linesOf, next as nextOf, overlaid, rig, textsOf, typesOf, until, watch } from "../rig.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const HALF_AN_HOUR = 31 * 60_000;

/** Submits under the id, and waits for the turn's end where it makes one. */
async function runUnder(thread: Thread, id: string, text: string): Promise<void> {
  await thread.submitWithId({ id, op: input(text) });
  await until(() => thread.activeTurn === undefined);
}

const forms: Record<string, () => string> = { "a UUID": newThreadId, "a name": () => "job-1" };

suite("SEMANTICS 2.2: submission ids", () => {
  for (const [form, make] of Object.entries(forms)) {
    test(`${form} that was seen runs nothing again: after 300 others, after an unload, after a rollback, in another process`, async () => {
      const store = memoryStore();
      const r = await rig({ store });
      const { thread, threadId } = await r.manager.startThread();
      const id = make();
      await runUnder(thread, id, "first");
      const asked = () => r.model.asked;
      const before = asked();
      for (let n = 0; n < 300; n += 1) await thread.submitWithId({ id: `other-${n}`, op: { type: "interrupt" } });
      await runUnder(thread, id, "first");
      assert.equal(asked(), before);
      await r.clock.advanceAsync(HALF_AN_HOUR);
      assert.equal(thread.actor, undefined);
      await runUnder(thread, id, "first");
      assert.equal(asked(), before);
      await thread.submit({ type: "thread_rollback", num_turns: 1 });
      await r.clock.advanceAsync(HALF_AN_HOUR);
      await runUnder(thread, id, "first");
      await runUnder(thread, "other-7", "x");
      assert.equal(asked(), before);
      assert.equal(await thread.outcomeOf(id), "done");
      assert.equal(await thread.outcomeOf("never"), undefined);
      await r[Symbol.asyncDispose]();

      await using again = await rig({ store });
      const resumed = (await again.manager.resumeThread(threadId)).thread;
      await runUnder(resumed, id, "first");
      assert.equal(again.model.asked, 0);
      await runUnder(resumed, "fresh", "second");
      assert.equal(again.model.asked, 1);
    });
  }

  test("an id whose turn was cut runs again when that is asked for, and only then; then it is done", async () => {
    await using r = await rig({ script: [[hang()], [say("again")]] });
    const { thread } = await r.manager.startThread();
    const id = newThreadId();
    await thread.submitWithId({ id, op: input("go") });
    assert.equal(await thread.outcomeOf(id), "running");
    await until(() => r.model.asked === 1);
    await thread.interrupt();
    assert.equal(await thread.outcomeOf(id), "cut");
    await runUnder(thread, id, "go");
    assert.equal(r.model.asked, 1);
    for (let n = 0; n < 2; n += 1) {
      await thread.submitWithId({ id, op: input("go"), rerun: true });
      await until(() => thread.activeTurn === undefined);
      assert.equal(r.model.asked, 2);
      assert.equal(await thread.outcomeOf(id), "done");
    }
  });

  test("what joined a turn that still waits for its turn is running, and is cut with it", async () => {
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    void thread.run("a");
    await until(() => r.model.asked === 1);
    await thread.submit({ type: "compact" });
    const ids = ["starts", "joins"];
    for (const id of ids) await thread.submitWithId({ id, op: input(id) });
    const outcomes = () => Promise.all(ids.map((id) => thread.outcomeOf(id)));
    assert.deepEqual(await outcomes(), ["running", "running"]);
    await thread.interrupt();
    await until(() => thread.activeTurn === undefined);
    assert.deepEqual(await outcomes(), ["cut", "cut"]);
  });

  test("what joined a turn is spent too, under whatever id, and shares the turn's fate", async () => {
    await using r = await rig({ script: [[hang()], [say("both")]] });
    const { thread } = await r.manager.startThread();
    const run = thread.run("a");
    await until(() => r.model.asked === 1);
    await thread.submitWithId({ id: "joined", op: input("b") });
    assert.equal(await thread.outcomeOf("joined"), "running");
    await run;
    assert.equal(await thread.outcomeOf("joined"), "done");
    await r.clock.advanceAsync(HALF_AN_HOUR);
    await runUnder(thread, "joined", "b");
    assert.equal(r.model.asked, 2);
  });

  for (const [form, make] of Object.entries(forms)) {
    test(`a command that runs beside a turn runs once under ${form}, in another process too`, async () => {
      const store = memoryStore();
      const command = { id: make(), op: { type: "run_user_shell_command", command: "true" } } as const;
      const config = { cwd: "/" };
      const r = await rig({ store, config, script: [[hang()]] });
      const { thread, threadId } = await r.manager.startThread();
      await thread.submit(input("go"));
      await until(() => r.model.asked === 1);
      const ended = nextOf(thread, "exec_command_end");
      for (let n = 0; n < 2; n += 1) await thread.submitWithId(command);
      await ended;
      await thread.interrupt();
      await r[Symbol.asyncDispose]();

      await using again = await rig({ store, config });
      const resumed = (await again.manager.resumeThread(threadId)).thread;
      const seen = watch(resumed);
      await resumed.submitWithId(command);
      await resumed.run("on");
      assert.ok(!typesOf(seen).includes("exec_command_begin"));
    });

    test(`a command beside a turn under ${form} shares the turn's fate, and is not begun again by a life that goes on with the turn`, async () => {
      const config = { cwd: "/", recovery: "continue" } as const;
      const gate = latch();
      const supervision = { backoffMs: 1, random: () => 0 };
      await using r = await rig({ config, supervision, script: [[hang()], [wait(gate.opened), say("on")]] });
      const { thread } = await r.manager.startThread();
      const seen = watch(thread);
      await thread.submit(input("go"));
      await until(() => r.model.asked === 1);
      const id = make();
      const op = { type: "run_user_shell_command", command: "true" } as const;
      const ended = nextOf(thread, "exec_command_end");
      await thread.submitWithId({ id, op });
      await thread.submit(op);
      await ended;
      assert.equal(await thread.outcomeOf(id), "running");
      thread.actor?.send({ type: "op.submit", id: "broken" });
      await until(() => thread.actor === undefined);
      await r.clock.advanceAsync(10);
      await until(() => r.model.asked === 2);
      const over = nextOf(thread, "task_complete");
      gate.open();
      await over;
      assert.equal(await thread.outcomeOf(id), "done");
      await r.clock.advanceAsync(HALF_AN_HOUR);
      await thread.submitWithId({ id, op });
      await thread.run("next");
      assert.equal(typesOf(seen).filter((type) => type === "exec_command_begin").length, 2);
      assert.equal(typesOf(seen).filter((type) => type === "task_started").length, 2);
    });

    test(`an input without items under ${form} is done at once, and once for all`, async () => {
      const store = memoryStore();
      const r = await rig({ store });
      const { thread, threadId } = await r.manager.startThread();
      const nothing = { id: make(), op: { type: "user_input" as const, items: [] } };
      await thread.submitWithId(nothing);
      assert.equal(await thread.outcomeOf(nothing.id), "done");
      await r[Symbol.asyncDispose]();

      await using again = await rig({ store });
      const resumed = (await again.manager.resumeThread(threadId)).thread;
      const seen = watch(resumed);
      assert.equal(await resumed.outcomeOf(nothing.id), "done");
      await resumed.submitWithId({ ...nothing, rerun: true });
      assert.deepEqual(typesOf(seen), []);
    });
  }

  test("a rollback takes back once for each id: asked twice at once, after an unload, in another process", async () => {
    const store = memoryStore();
    const r = await rig({ store });
    const { thread, threadId } = await r.manager.startThread();
    for (const text of ["a", "b", "c", "d"]) await thread.run(text);
    const told = watch(thread);
    await Promise.all([thread.rollback(1, { id: "back" }), thread.rollback(1, { id: "back" })]);
    const markers = async () =>
      (await linesOf(store, threadId)).filter(
        (line) => line.type === "event_msg" && line.payload.type === "thread_rolled_back",
      ).length;
    assert.equal(await markers(), 1);
    assert.deepEqual(
      told.filter(({ msg }) => msg.type === "thread_rolled_back").map(({ id }) => id),
      ["back"],
    );
    await r.clock.advanceAsync(HALF_AN_HOUR);
    await thread.rollback(1, { id: "back" });
    await thread.submitWithId({ id: "back", op: { type: "thread_rollback", num_turns: 1 } });
    assert.equal(await thread.outcomeOf("back"), "done");
    assert.equal(await markers(), 1);
    await r[Symbol.asyncDispose]();

    await using again = await rig({ store });
    const resumed = (await again.manager.resumeThread(threadId)).thread;
    await resumed.rollback(1, { id: "back" });
    assert.equal(await markers(), 1);
    await resumed.rollback(1, { id: "further" });
    await resumed.run("e");
    assert.deepEqual(textsOf(again.model.requests[0] ?? { input: [] }), ["a", "ack: a", "b", "ack: b", "e"]);
  });

  test("a rollback that was refused has not been done: its id takes back when it is tried again", async () => {
    await using r = await rig({ script: [[say("one")], [hang()]] });
    const { thread } = await r.manager.startThread();
    await thread.run("a");
    await thread.submit(input("b"));
    const refused = { code: "invalid_request", message: "Cannot rollback while a turn is in progress." };
    for (let n = 0; n < 2; n += 1) await assert.rejects(thread.rollback(1, { id: "back" }), refused);
    await thread.interrupt();
    const told = watch(thread);
    await thread.rollback(1, { id: "back" });
    assert.equal(told.filter(({ msg }) => msg.type === "thread_rolled_back").length, 1);
  });

  test("an id of the thread that a fork was made of is the fork's own to use", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    await runUnder(thread, "job", "a");
    const { thread: fork } = await r.manager.forkThread({ from: threadId, at: "full" });
    await runUnder(fork, "job", "b");
    assert.equal(r.model.asked, 2);
  });

  test("the filter finds everything that was added, and little else", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 200 }), (texts) => {
        const filter = new IdFilter();
        for (const text of texts) filter.add(text);
        assert.ok(texts.every((text) => filter.mayHave(text)));
      }),
      { numRuns: 50 },
    );
    const filter = new IdFilter();
    for (let n = 0; n < 5_000; n += 1) filter.add(`id-${n}`);
    const wrong = Array.from({ length: 5_000 }, (_, n) => `other-${n}`).filter((text) => filter.mayHave(text));
    assert.ok(wrong.length < 250, String(wrong.length));
  });
});

suite("SEMANTICS 2.1: what is acknowledged is stored", () => {
  /** What the thread's file would hold if the process died now: flushed lines alone. */
  function crashable() {
    const inner = memoryStore();
    const flushed = new Map<string, number>();
    const wrap = (writer: ThreadWriter): ThreadWriter => {
      let dirty = true;
      const note = <T>(done: T): T => {
        flushed.set(writer.threadId, writer.position().ordinal);
        dirty = false;
        return done;
      };
      return new Proxy(writer, {
        get(target, name) {
          if (name === "dirty") return dirty;
          if (name === "append")
            return (...parts: Parameters<ThreadWriter["append"]>) => {
              dirty = true;
              target.append(...parts);
            };
          if (name === "flush" || name === "sync" || name === "close")
            return async () => note(await target[name as "flush"]());
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    };
    const store = overlaid<ThreadStore>(inner, {
      create: async (...parts) => wrap(await inner.create(...parts)),
      open: async (...parts) => wrap(await inner.open(...parts)),
    });
    /** A store of what was flushed. */
    const survivor = async (threadId: Thread["id"]): Promise<ThreadStore> => {
      const lines = (await linesOf(inner, threadId)).slice(0, flushed.get(threadId));
      const next = memoryStore();
      const [header, ...items] = lines;
      assert.ok(header?.type === "session_meta");
      await (await next.adopt(header.payload, items)).close();
      return next;
    };
    return { store, survivor };
  }

  const waiting: Record<string, (thread: Thread) => Promise<void>> = {
    "starts a turn": async () => {},
    "joins a turn": async (thread) => void (await thread.submit(input("before"))),
    "waits for a task": async (thread) => {
      await thread.submit(input("before"));
      await thread.submit({ type: "run_user_shell_command", command: "sleep 60" });
      await thread.submit({ type: "compact" });
    },
  };

  test("what a thread that is closing has refused is nothing that waits: no later life goes on with it, or tells the model of it", async () => {
    const store = memoryStore();
    const config = { recovery: "continue" } as const;
    const slow = latch();
    const holding = overlaid<ThreadStore>(store, {
      create: async (...parts) => {
        const writer = await store.create(...parts);
        return overlaid(writer, { close: () => slow.opened.then(() => writer.close()) });
      },
    });
    const r = await rig({ store: holding, config });
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("first");
    const closing = thread.shutdown();
    const seen = watch(thread);
    await thread.submitWithId({ id: "late", op: input("refused") });
    await thread.submit(input("refused too"));
    assert.deepEqual(typesOf(seen), ["error", "error"]);
    slow.open();
    await closing;
    await r[Symbol.asyncDispose]();

    await using again = await rig({ store, config });
    const resumed = (await again.manager.resumeThread(threadId)).thread;
    await again.clock.advanceAsync(10);
    assert.deepEqual([again.model.asked, await resumed.outcomeOf("late")], [0, "cut"]);
    await resumed.run("next");
    assert.deepEqual(
      textsOf(again.model.requests[0] ?? assert.fail()).filter((text) => text.startsWith("refused")),
      [],
    );
  });

  test("items that are to be known behind a rollback are stored before they are acknowledged, and told once", async () => {
    const { store, survivor } = crashable();
    const slow = latch();
    let isSlow = false;
    const holding = overlaid<ThreadStore>(store, {
      create: async (...parts) => {
        const writer = await store.create(...parts);
        return overlaid(writer, {
          sync: async () => (isSlow ? slow.opened : undefined)?.then(() => writer.sync()) ?? writer.sync(),
        });
      },
    });
    await using r = await rig({ store: holding });
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("first");
    isSlow = true;
    const rolling = thread.rollback(1);
    const content = [{ type: "input_text" as const, text: "known" }];
    await thread.submit({ type: "inject_items", items: [{ type: "message", role: "developer", content }] });
    const dead = await survivor(threadId);
    slow.open();
    await rolling;
    await until(() => thread.status !== "running");
    for (const left of [dead, await survivor(threadId)]) {
      await using again = await rig({ store: left });
      const resumed = (await again.manager.resumeThread(threadId)).thread;
      await resumed.run("next");
      assert.equal(textsOf(again.model.requests[0] ?? assert.fail()).filter((text) => text === "known").length, 1);
    }
  });

  test("input that an own logic was given, and has not begun with, is in the history after the process died, once", async () => {
    const deaf = fromCallback<{ type: string }, OwnLogicInput>(({ input: { thread, sessionConfigured } }) =>
      thread.publish("", sessionConfigured),
    );
    const { store, survivor } = crashable();
    await using r = await rig({ store, threadLogic: deaf });
    const { thread, threadId } = await r.manager.startThread();
    await thread.submit(input("acknowledged"));
    await using next = await rig({ store: await survivor(threadId) });
    const { thread: resumed } = await next.manager.resumeThread(threadId);
    await resumed.run("now");
    assert.deepEqual(textsOf(next.model.requests[0] ?? { input: [] }), ["acknowledged", "now"]);
    await next.clock.advanceAsync(HALF_AN_HOUR);
    await resumed.run("later");
    const later = textsOf(next.model.requests[1] ?? { input: [] });
    assert.equal(later.filter((text) => text === "acknowledged").length, 1);
  });

  test("a rollback under an id and what says that it was done are stored together: a process that dies between them does it once", async () => {
    const { store, survivor } = crashable();
    await using r = await rig({ store });
    const { thread, threadId } = await r.manager.startThread();
    for (const text of ["a", "b", "c"]) await thread.run(text);
    let isDone = false;
    const asked = thread.rollback(1, { id: "back" }).then(() => {
      isDone = true;
    });
    const seen = new Set<number>();
    for (let steps = 0; ; steps += 1) {
      const isOver = isDone;
      await using next = await rig({ store: await survivor(threadId) });
      const { thread: resumed } = await next.manager.resumeThread(threadId);
      await resumed.rollback(1, { id: "back" });
      await resumed.run("now");
      assert.deepEqual(
        textsOf(next.model.requests[0] ?? { input: [] }),
        ["a", "ack: a", "b", "ack: b", "now"],
        `step ${steps}`,
      );
      seen.add((await linesOf(next.store, threadId)).length);
      if (isOver) break;
    }
    await asked;
    assert.ok(seen.size > 0);
  });

  for (const [what, prepare] of Object.entries(waiting)) {
    test(`input that ${what} is in the history after the process died, once`, async () => {
      const { store, survivor } = crashable();
      await using r = await rig({ store, script: () => [hang()] });
      const { thread, threadId } = await r.manager.startThread();
      await prepare(thread);
      await thread.submit(input("acknowledged"));
      const left = await survivor(threadId);
      await using next = await rig({ store: left });
      const { thread: resumed } = await next.manager.resumeThread(threadId);
      await resumed.run("now");
      const texts = textsOf(next.model.requests.at(-1) ?? { input: [] });
      assert.equal(texts.filter((text) => text === "acknowledged").length, 1, texts.join());
      await next.clock.advanceAsync(HALF_AN_HOUR);
      await resumed.run("later");
      const later = textsOf(next.model.requests.at(-1) ?? { input: [] });
      assert.equal(later.filter((text) => text === "acknowledged").length, 1);
    });
  }
});
