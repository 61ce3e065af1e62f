/** The history that a model gets: calls with outputs (H1, T6), rollback (SPEC 6.4), compaction (SPEC 5.4, 6.3). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { tool } from "../../src/index.ts";
import { call, fail, hang, say, usage } from "../../src/model/script.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import {
  assistantMessage,
  functionCallOutput,
  type ResponseItem,
  turnAbortedMessage,
  userMessage,
} from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { History } from "../../src/turn/history.ts";
import { assertPaired, INTERRUPTED, linesOf, next, rig, textsOf, until, watch } from "../rig.ts";

const callItem = (id: string): ResponseItem => ({ type: "function_call", call_id: id, name: "f", arguments: "{}" });

/** Calls, outputs and messages in any order, with ids that repeat. */
const itemArb: fc.Arbitrary<ResponseItem> = fc.oneof(
  fc.constantFrom("a", "b", "c").map(callItem),
  fc.constantFrom("a", "b", "c", "d").map((id) => functionCallOutput(id, id)),
  fc.constantFrom("u", "v").map((text) => userMessage(text)),
  fc.constant(assistantMessage("w")),
);

suite("history", () => {
  test("whatever is appended, what goes to the model is paired, keeps its order and its snapshots (H1, H2)", () => {
    fc.assert(
      fc.property(fc.array(itemArb, { maxLength: 30 }), (items) => {
        const history = new History();
        const snapshots = items.map((item) => {
          history.append(item);
          const snapshot = history.forModel();
          assertPaired(snapshot);
          return [snapshot, snapshot.slice()] as const;
        });
        for (const [snapshot, copy] of snapshots) assert.deepEqual(snapshot, copy);
        for (const item of history.missingOutputs()) history.append(item);
        assert.deepEqual(history.missingOutputs(), []);
        assertPaired(history.forModel());
        const spoken = (list: readonly ResponseItem[]) => list.filter(({ type }) => type === "message");
        assert.deepEqual(spoken(history.forModel()), spoken(items));
      }),
    );
  });

  test("a late output stands directly behind its call, others behind the answer's calls", () => {
    const history = new History([callItem("a"), userMessage("u"), callItem("b"), callItem("c")]);
    for (const id of ["b", "a", "c"]) history.append(functionCallOutput(id, id));
    const told = history.forModel().map((item) => ("call_id" in item ? `${item.type} ${item.call_id}` : item.type));
    assert.deepEqual(told, [
      "function_call a",
      "function_call_output a",
      "message",
      "function_call b",
      "function_call c",
      "function_call_output b",
      "function_call_output c",
    ]);
  });

  test("an output that names its tool, and no call, stands for itself", () => {
    const plan: ResponseItem = { type: "function_call_output", name: "proposed_plan", output: "1. a" };
    const history = new History([userMessage("u"), plan, functionCallOutput("gone", "x")]);
    assert.deepEqual(history.forModel(), [userMessage("u"), plan]);
  });

  test("rolling back n turns keeps what precedes the n-th last user message; what is rolled back is not counted again", () => {
    fc.assert(
      fc.property(fc.array(itemArb, { maxLength: 30 }), fc.integer({ min: 0, max: 6 }), (items, turns) => {
        const history = new History(items);
        const whole = history.forModel();
        history.rollBack(turns);
        const kept = history.forModel();
        const users = (list: readonly ResponseItem[]) =>
          list.filter((item) => item.type === "message" && item.role === "user").length;
        assert.equal(users(kept), Math.max(0, users(whole) - turns));
        assertPaired(kept);
      }),
    );
  });

  test("a rollback takes the program's notes that stand before the first message that goes, as 0.169 does", () => {
    const note = turnAbortedMessage();
    const items = [note, userMessage("u"), note, assistantMessage("w"), note, note, userMessage("v"), note];
    const after = (turns: number) => {
      const history = new History(items);
      history.rollBack(turns);
      return history.forModel().length;
    };
    // Those before the first message of all belong to no turn, and those behind the last one to nothing that goes.
    assert.deepEqual([after(0), after(1), after(2), after(3)], [8, 4, 1, 1]);
  });
});

suite("loading a history", () => {
  /** A run with tools, a rollback and a compaction; recorded as far as a hanging tool. */
  async function recorded(): Promise<RolloutItem[]> {
    const echo = tool({ name: "echo", description: "", execute: () => "echoed" });
    const deaf = tool({ name: "deaf", description: "", execute: () => new Promise(() => {}) });
    await using r = await rig({
      tools: [echo, deaf],
      script: [
        [say("1")],
        [call("echo"), call("echo")],
        [say("2")],
        [say("3")],
        [say("the summary")],
        [call("echo")],
        [say("4")],
        [call("echo"), call("deaf")],
      ],
    });
    const { thread } = await r.manager.startThread();
    await thread.run("alpha");
    await thread.run("beta");
    await thread.run("gamma");
    await thread.submit({ type: "thread_rollback", num_turns: 1 });
    const compacted = next(thread, "task_complete");
    await thread.submit({ type: "compact" });
    await compacted;
    await thread.run("delta");
    const stuck = thread.run("epsilon").catch(() => undefined);
    await until(() => r.model.asked === 8);
    const items = (await linesOf(r.store, thread.id)).map(({ type, payload }) => ({ type, payload }) as RolloutItem);
    void stuck;
    return items;
  }

  test("cut off after any line, a run loads as a valid history; the repair is stored once and no tool runs again", async () => {
    const items = await recorded();
    const [header, ...lines] = items;
    assert.ok(header?.type === "session_meta");
    let ran = 0;
    const tools = ["echo", "deaf"].map((name) => tool({ name, description: "", execute: () => ++ran }));
    const store = memoryStore();
    await using r = await rig({ store, tools, script: () => [say("back")] });
    for (let end = 0; end <= lines.length; end += 1) {
      const id = newThreadId();
      const writer = await store.adopt({ ...header.payload, id }, lines.slice(0, end));
      await writer.close();
      const { thread } = await r.manager.resumeThread(id);
      assert.equal((await thread.run("go on")).lastAgentMessage, "back", `after line ${end}`);
      const request = r.model.requests.at(-1);
      assert.ok(request);
      assertPaired(request.input);
      assert.equal(textsOf(request).at(-1), "go on");
      await thread.shutdown();
      const before = await linesOf(store, id);
      const again = await r.manager.resumeThread(id);
      await again.thread.run("and on");
      const repeated = r.model.requests.at(-1);
      assert.ok(repeated);
      assert.deepEqual(repeated.input.slice(0, request.input.length), request.input, `after line ${end}`);
      const added = (await linesOf(store, id)).slice(before.length);
      assert.deepEqual(
        added.filter((line) => line.type === "response_item" && line.payload.type === "function_call_output"),
        [],
      );
      await again.thread.shutdown();
    }
    assert.equal(ran, 0);
  });

  test("what the model is told is the same before and after the thread left memory", async () => {
    const items = await recorded();
    const [header, ...lines] = items;
    assert.ok(header?.type === "session_meta");
    await using r = await rig({ script: () => [say("x")] });
    const { thread } = await r.manager.forkThread({ from: { history: { type: "forked", items: lines } } });
    await thread.run("one");
    const live = r.model.requests.at(-1)?.input ?? [];
    await r.clock.advanceAsync(31 * 60_000);
    assert.equal(thread.actor, undefined);
    await thread.run("two");
    assert.deepEqual((r.model.requests.at(-1)?.input ?? []).slice(0, live.length), live);
  });
});

suite("rollback (SPEC 6.4)", () => {
  const told = async (rollbacks: readonly number[], { reload = false } = {}) => {
    await using r = await rig({ script: () => [say("ok")] });
    const { thread } = await r.manager.startThread();
    for (const text of ["a", "b", "c"]) await thread.run(text);
    for (const num_turns of rollbacks) await thread.submit({ type: "thread_rollback", num_turns });
    if (reload) await r.clock.advanceAsync(31 * 60_000);
    await thread.run("z");
    return textsOf(r.model.requests.at(-1) ?? { input: [] });
  };

  for (const reload of [false, true]) {
    test(`drops the last turns, with more than there are all of them${reload ? "; after a reload too" : ""}`, async () => {
      assert.deepEqual(await told([1], { reload }), ["a", "ok", "b", "ok", "z"]);
      assert.deepEqual(await told([1, 1], { reload }), ["a", "ok", "z"]);
      assert.deepEqual(await told([3], { reload }), ["z"]);
      assert.deepEqual(await told([99], { reload }), ["z"]);
    });
  }

  test("0 and a running turn are refused; the marker is stored before it is shown, and says what was asked", async () => {
    await using r = await rig({ script: [[say("ok")], [hang()]] });
    const { thread } = await r.manager.startThread();
    await thread.run("a");
    const seen = watch(thread);
    await thread.submit({ type: "thread_rollback", num_turns: 0 });
    assert.deepEqual(
      seen.map(({ msg }) => msg),
      [{ type: "error", message: "num_turns must be >= 1", codex_error_info: "thread_rollback_failed" }],
    );
    const shown = next(thread, "thread_rolled_back");
    let storedFirst = false;
    thread.events$.subscribe(({ msg }) => {
      if (msg.type !== "thread_rolled_back") return;
      void linesOf(r.store, thread.id).then((lines) => {
        const last = lines.at(-1);
        storedFirst = last?.type === "event_msg" && last.payload.type === "thread_rolled_back";
      });
    });
    await thread.submit({ type: "thread_rollback", num_turns: 7 });
    assert.deepEqual((await shown).msg, { type: "thread_rolled_back", num_turns: 7 });
    await until(() => storedFirst);
    void thread.run("b");
    await until(() => r.model.asked === 2);
    const refused = next(thread, "error");
    await thread.submit({ type: "thread_rollback", num_turns: 1 });
    assert.deepEqual((await refused).msg, {
      type: "error",
      message: "Cannot rollback while a turn is in progress.",
      codex_error_info: "thread_rollback_failed",
    });
    await thread.interrupt();
  });

  test("ops that come meanwhile wait, and keep their order", async () => {
    await using r = await rig({ script: () => [say("ok")] });
    const { thread } = await r.manager.startThread();
    await thread.run("a");
    const rollingBack = thread.submit({ type: "thread_rollback", num_turns: 1 });
    const setting = thread.submit({ type: "override_turn_context", model: "other" });
    const result = await thread.run("b");
    await Promise.all([rollingBack, setting]);
    assert.equal(result.lastAgentMessage, "ok");
    const [, request] = r.model.requests;
    assert.deepEqual([textsOf(request ?? { input: [] }), request?.model], [["b"], "other"]);
  });

  test("over a compaction it takes the summary as a turn (SPEC 6.3)", async () => {
    for (const [turns, wanted] of [
      [1, ["alpha", "SUM", "z"]],
      [2, ["alpha", "z"]],
      [3, ["z"]],
    ] as const) {
      await using r = await rig({ script: (_, n) => [say(n === 1 ? "SUM" : "ok")] });
      const { thread } = await r.manager.startThread();
      await thread.run("alpha");
      const done = next(thread, "task_complete");
      await thread.submit({ type: "compact" });
      await done;
      await thread.run("beta");
      await thread.submit({ type: "thread_rollback", num_turns: turns });
      await thread.run("z");
      const texts = textsOf(r.model.requests.at(-1) ?? { input: [] }).map((text) => text.split("\n").at(-1));
      assert.deepEqual(texts, wanted);
    }
  });
});

test("over a compaction that stored its summary alone a rollback takes the summary as a turn (SPEC 6.3)", async () => {
  const said = (text: string): RolloutItem => ({ type: "response_item", payload: userMessage(text) });
  for (const [turns, wanted] of [
    [1, ["alpha", "SUM", "z"]],
    [2, ["alpha", "z"]],
    [3, ["z"]],
  ] as const) {
    const store = memoryStore();
    await using r = await rig({ store, script: () => [say("ok")] });
    const id = newThreadId();
    const meta = {
      id,
      timestamp: new Date(0).toISOString(),
      cwd: "/work",
      originator: "codex_cli_rs",
      cli_version: "0.80.0",
    };
    const marker: RolloutItem = { type: "event_msg", payload: { type: "thread_rolled_back", num_turns: turns } };
    const summary: RolloutItem = { type: "compacted", payload: { message: "SUM" } };
    await (await store.adopt(meta, [said("alpha"), summary, said("beta"), marker])).close();
    const { thread } = await r.manager.resumeThread(id);
    await thread.run("z");
    assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }), wanted);
  }
});

suite("compaction", () => {
  test("by itself, when the last answer has filled the context; the input that brought it on comes after the summary", async () => {
    await using r = await rig({
      config: { cwd: "/work", modelContextWindow: 1_000 },
      script: [[usage({ input_tokens: 950 }), say("long")], [say("SUM")], [say("short")]],
    });
    const { thread } = await r.manager.startThread();
    await thread.run("one");
    const seen = watch(thread);
    assert.equal((await thread.run("two")).lastAgentMessage, "short");
    assert.deepEqual(
      textsOf(r.model.requests[2] ?? { input: [] }).map((text) => text.split("\n").at(-1)),
      ["one", "SUM", "two"],
    );
    const types = seen.map(({ msg }) => msg.type);
    assert.ok(types.indexOf("context_compacted") < types.indexOf("user_message"));
    assert.equal(types.filter((type) => type === "task_complete").length, 1);
  });

  for (const [before, tokens] of [
    ["in a thread's first turn", []],
    ["after an answer that left room", [300]],
    ["after more tokens than the context holds, over many answers", [600, 600]],
  ] as const) {
    test(`by itself, when the request before was refused as too long ${before}`, async () => {
      const tooLong = new ModelError("too long", { info: "context_window_exceeded" });
      const answers = tokens.map((input_tokens) => [usage({ input_tokens, total_tokens: input_tokens }), say("fine")]);
      await using r = await rig({
        config: { cwd: "/work", modelContextWindow: 1_000 },
        script: [...answers, [fail(tooLong)], [say("SUM")], [say("short")]],
      });
      const { thread } = await r.manager.startThread();
      for (const _ of tokens) await thread.run("before");
      const seen = watch(thread);
      assert.equal((await thread.run("one")).status, "failed");
      const told = seen
        .map(({ msg }) => (msg.type === "token_count" ? msg.info : null))
        .findLast((info) => info !== null);
      assert.equal(told?.last_token_usage.total_tokens, 1_000, "what clients show as left");
      assert.equal((await thread.run("two")).lastAgentMessage, "short");
      assert.equal(seen.filter(({ msg }) => msg.type === "context_compacted").length, 1);
    });
  }

  test("what the model refuses to sum up as too long loses its oldest part, until it fits", async () => {
    const tooLong = new ModelError("too long", { info: "context_window_exceeded" });
    await using r = await rig({
      script: [
        ...["one", "two", "three"].map((text) => [say(text)]),
        [fail(tooLong)],
        [fail(tooLong)],
        [say("SUM")],
        [say("on")],
      ],
    });
    const { thread } = await r.manager.startThread();
    for (const text of ["a", "b", "c"]) await thread.run(text);
    const done = next(thread, "task_complete");
    await thread.submit({ type: "compact" });
    await done;
    const lengths = r.model.requests.slice(3).map(({ input }) => input.length);
    assert.ok((lengths[0] ?? 0) > (lengths[1] ?? 0) && (lengths[1] ?? 0) > (lengths[2] ?? 0), String(lengths));
    assert.equal((await thread.run("d")).lastAgentMessage, "on");
  });

  test("a context of no known bound is never full, and nothing is told of how full it is", async () => {
    const tooLong = new ModelError("too long", { info: "context_window_exceeded" });
    await using r = await rig({
      config: { cwd: "/work", model: "scripted" },
      script: [[fail(tooLong)], [say("short")]],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    assert.equal((await thread.run("one")).status, "failed");
    assert.ok(seen.every(({ msg }) => msg.type !== "token_count" || msg.info === null));
    assert.equal((await thread.run("two")).lastAgentMessage, "short");
  });

  test("a second one keeps the user's words and drops the first summary; it loads the same", async () => {
    await using r = await rig({ script: (_, n) => [say(n % 2 === 1 ? `SUM${n}` : "ok")] });
    const { thread } = await r.manager.startThread();
    for (const text of ["a", "b"]) {
      await thread.run(text);
      const done = next(thread, "task_complete");
      await thread.submit({ type: "compact" });
      await done;
    }
    await r.clock.advanceAsync(31 * 60_000);
    await thread.run("c");
    assert.deepEqual(
      textsOf(r.model.requests.at(-1) ?? { input: [] }).map((text) => text.split("\n").at(-1)),
      ["a", "b", "SUM3", "c"],
    );
  });

  test("an interrupted one changes nothing", async () => {
    await using r = await rig({ script: [[say("ok")], [say("half a summary"), hang()], [say("ok")]] });
    const { thread } = await r.manager.startThread();
    await thread.run("a");
    await thread.submit({ type: "compact" });
    await until(() => r.model.asked === 2);
    await thread.interrupt();
    await thread.run("b");
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }), ["a", "ok", INTERRUPTED, "b"]);
  });
});

test("the size of a history follows the text in it, at whatever depth that stands", () => {
  const history = new History();
  const text = "word ".repeat(2_000);
  history.append(callItem("a"));
  let before = history.bytes;
  for (const item of [userMessage(text), assistantMessage(text), functionCallOutput("a", text)]) {
    history.append(item);
    const grown = history.bytes - before;
    assert.ok(grown >= text.length && grown < 1.1 * text.length, `${item.type}: ${grown}`);
    before = history.bytes;
  }
});

test("an item of a kind that nobody knows is no call, whatever its name", () => {
  for (const type of ["constructor", "toString", "__proto__", "valueOf"]) {
    const history = new History();
    const item = { type, call_id: "a" } as unknown as ResponseItem;
    history.append(item);
    assert.deepEqual(history.openCalls(), []);
    assert.deepEqual(history.forModel(), [item]);
  }
});
