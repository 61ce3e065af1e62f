/** What a definition of a thread's logic has to be, and what its threads say to input, ops and failures. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import { defineThreadLogic, type EventMsg } from "../../src/index.ts";
import { linesOf, rig, until, watch } from "../rig.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const turn = () => "ok";
const note = z.object({ n: z.number() });

suite("a definition", () => {
  const wrong: [definition: unknown, message: RegExp][] = [
    [undefined, /give `turn`, a function/],
    [{}, /give `turn`, a function/],
    [{ turn: "x" }, /give `turn`, a function/],
    [{ turn, trun: turn }, /unknown .*`trun`/],
    [{ turn, start: 1 }, /start/],
    [{ turn, stop: "x" }, /stop/],
    [{ turn, ops: () => 1 }, /ops/],
    [{ turn, messages: { note: {} }, receive: { note: turn } }, /messages: give a Standard Schema/],
    [{ turn, messages: { note } }, /receive: give a function for `note`/],
    [{ turn, messages: { toString: note }, receive: {} }, /receive: give a function for `toString`/],
    [{ turn, messages: { note }, receive: { note: "x" } }, /receive: give a function for `note`/],
    [{ turn, messages: { note }, receive: { note: turn, other: turn } }, /`other` is in receive, and not declared/],
    [{ turn, receive: { note: turn } }, /`note` is in receive, and not declared/],
  ];
  for (const [at, [definition, message]] of wrong.entries()) {
    test(`${at}: ${message}`, () =>
      assert.throws(() => defineThreadLogic(definition as never), { code: "invalid_request", message }));
  }

  test("is given back with what its threads may be told", () => {
    assert.deepEqual(Object.keys(defineThreadLogic({ turn }).messages), []);
    assert.deepEqual(Object.keys(defineThreadLogic({ turn, messages: { note }, receive: { note: turn } }).messages), [
      "note",
    ]);
  });
});

suite("a defined logic", () => {
  async function said(definition: Parameters<typeof defineThreadLogic>[0], ...ops: { type: string }[]) {
    await using r = await rig({ threadLogic: defineThreadLogic(definition) });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const ids: string[] = [];
    for (const op of ops) {
      ids.push(await thread.submit(op as never));
      await until(() => seen.some(({ id }) => id === ids.at(-1)));
      for (let turns = 0; turns < 5; turns += 1) await new Promise(setImmediate);
    }
    const text = (msg: EventMsg) => {
      const { message, last_agent_message: last } = msg as { message?: string; last_agent_message?: string | null };
      return [msg.type, message ?? last]
        .filter((part) => part !== undefined)
        .map(String)
        .join(": ");
    };
    return ids.map((id) => seen.filter((event) => event.id === id).map(({ msg }) => text(msg)));
  }
  const input = (...texts: string[]) => ({
    type: "user_input",
    items: texts.map((text) => ({ type: "text", text })),
  });
  const words = (lines: string[] | undefined) =>
    lines?.filter((line) => /^(task|error|agent_message|turn_aborted|warning)/.test(line));

  test("input without items is over at once, and runs no turn", async () => {
    const [empty] = await said({ turn: () => assert.fail("a turn ran") }, input());
    assert.deepEqual(words(empty), ["task_complete: null"]);
  });

  test("a turn's text is its last message, after what it has said; without one what it said last stays", async () => {
    const speak = ({ text, say }: { text: string; say: (text: string) => void }) => {
      say("one");
      return text === "a\nb" ? "two" : undefined;
    };
    const [both, one] = await said({ turn: speak }, input("a", "b"), input("c"));
    assert.deepEqual(words(both), ["task_started", "agent_message: one", "agent_message: two", "task_complete: two"]);
    assert.deepEqual(words(one), ["task_started", "agent_message: one", "task_complete: one"]);
  });

  test("an op that nobody handles is refused, one that asks for a task within a turn; a handler's failure is told", async () => {
    const ops = { undo: () => Promise.reject(new Error("no luck")) };
    const told = await said({ turn, ops }, { type: "undo" }, { type: "toString" }, { type: "compact" });
    assert.deepEqual(told.map(words), [
      ["error: no luck"],
      ["error: this thread's logic takes no `toString`"],
      ["task_started", "error: this thread's logic takes no `compact`", "task_complete: null"],
    ]);
  });

  test("a state that could not be made fails the turn, and is made anew for the next; what was made is let go of", async () => {
    let tries = 0;
    const stopped: number[] = [];
    const start = () => {
      tries += 1;
      if (tries === 1) throw new Error("not yet");
      return tries;
    };
    const stop = (state: number) => void stopped.push(state);
    const run = ({ state }: { state: unknown }) => `state ${state}`;
    const told = await said({ start, turn: run, stop } as never, input("x"), input("y"), input("z"));
    assert.deepEqual(told.map(words), [
      ["task_started", "error: not yet", "task_complete: null"],
      ["task_started", "agent_message: state 2", "task_complete: state 2"],
      ["task_started", "agent_message: state 2", "task_complete: state 2"],
    ]);
    assert.deepEqual(stopped, [2]);
  });

  test("its thread's signal fires at the end, for those who only listen", async () => {
    const heard: unknown[] = [];
    const turn = ({ thread: { signal } }: { thread: { signal: AbortSignal } }) =>
      signal.addEventListener("abort", () => heard.push(signal.reason));
    await using r = await rig({ threadLogic: defineThreadLogic({ turn: (given) => void turn(given) }) });
    const { thread } = await r.manager.startThread();
    await thread.run("x");
    assert.equal(heard.length, 0);
    await thread.shutdown();
    assert.deepEqual(
      heard.map((reason) => (reason as { code?: string }).code),
      ["thread_closed"],
    );
  });

  test("a turn that was asked for under an id of the caller's has an id of its own, from its start to its end", async () => {
    await using r = await rig({ threadLogic: defineThreadLogic({ turn: () => "ok" }) });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const items = [{ type: "text" as const, text: "x" }];
    await thread.submitWithId({ id: "mine", op: { type: "user_input", items } });
    await until(() => seen.some(({ msg }) => msg.type === "task_complete"));
    const ids = seen.flatMap(({ msg }) =>
      msg.type === "task_started" || msg.type === "task_complete" ? [String(msg.turn_id)] : [],
    );
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
    assert.match(ids[0] ?? "", UUID);
    const stored = (await linesOf(r.store, thread.id)).flatMap((line) => (line.type === "submission" ? [line] : []));
    assert.ok(JSON.stringify(stored).includes(ids[0] ?? "none"), "the submission names its turn");
    assert.equal(await thread.outcomeOf("mine"), "done");
  });

  test("its thread's signal says why it ends, to whoever asks for it before or after", async () => {
    const before: AbortSignal[] = [];
    const after: AbortSignal[] = [];
    const definition = {
      turn: ({ thread }: { thread: { signal: AbortSignal } }) => void before.push(thread.signal),
      start: ({ thread }: { thread: { signal: AbortSignal } }) => thread,
      stop: (thread: { signal: AbortSignal }) => void setTimeout(() => after.push(thread.signal)),
    };
    await said(definition as never, input("x"));
    await until(() => after.length > 0);
    for (const signal of [...before, ...after]) {
      assert.equal(signal.aborted, true);
      assert.equal((signal.reason as { code?: string }).code, "thread_closed");
    }
    assert.equal(before.length, 1);
  });
});
