/** The order of a turn's events: plain, with tools, failing and retried (SPEC 4). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import { assistantMessage, ModelError, tool, userMessage } from "../../src/index.ts";
import { call, cut, fail, hang, raw, say, think, usage } from "../../src/model/script.ts";
import { assertPaired, latch, linesOf, next, rig, textsOf, typesOf, until, watch } from "../rig.ts";

suite("a turn's events", () => {
  test("a plain turn (SPEC 4.2)", async () => {
    await using r = await rig({ script: [[say("hi you", { deltas: ["hi ", "you"] })]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const result = await thread.run("hello");
    assert.deepEqual(typesOf(seen), [
      "task_started",
      "item_started",
      "item_completed",
      "user_message",
      "token_count",
      "item_started",
      "agent_message_content_delta",
      "agent_message_delta",
      "agent_message_content_delta",
      "agent_message_delta",
      "item_completed",
      "agent_message",
      "token_count",
      "task_complete",
    ]);
    assert.ok(seen.every(({ id, msg }) => id === "0" || (msg.type === "raw_response_item" && id === "auto-compact-0")));
    assert.deepEqual(
      [result.status, result.lastAgentMessage, result.submissionId, result.items.map((item) => item.type)],
      ["completed", "hi you", "0", ["UserMessage", "AgentMessage"]],
    );
    assert.deepEqual(
      (await linesOf(r.store, thread.id)).map(({ type, payload }) =>
        type === "event_msg" ? payload.type : type === "response_item" ? `item ${payload.type}` : type,
      ),
      [
        "session_meta",
        "item message",
        "task_started",
        "item message",
        "item_completed",
        "turn_context",
        "token_count",
        "item_completed",
        "item message",
        "token_count",
        "task_complete",
      ],
    );
  });

  test("reasoning is told as it comes, to those who follow items and to those who do not", async () => {
    await using r = await rig({ script: [[think("first this, then that"), say("done")]] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    await thread.run("go");
    const deltas = (type: "agent_reasoning_delta" | "reasoning_content_delta") =>
      seen.map(({ msg }) => (msg.type === type ? msg.delta : "")).join("");
    assert.equal(deltas("agent_reasoning_delta"), "first this, then that");
    assert.equal(deltas("reasoning_content_delta"), "first this, then that");
  });

  test("a turn with tools (SPEC 4.3): side by side, outputs in the order of the calls", async () => {
    const slow = latch();
    const began: string[] = [];
    const lookUp = tool({
      name: "look_up",
      description: "",
      input: z.object({ key: z.string() }),
      execute: async ({ key }) => {
        began.push(key);
        if (key === "slow") await slow.opened;
        return { key };
      },
    });
    await using r = await rig({
      tools: [lookUp],
      script: [[think("hm"), call("look_up", { key: "slow" }), call("look_up", { key: "fast" })], [say("done")]],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const running = thread.run("go");
    await next(thread, ({ msg }) => msg.type === "item_completed" && msg.item.type === "DynamicToolCall");
    assert.deepEqual(began, ["slow", "fast"]);
    slow.open();
    const result = await running;
    assert.equal(result.lastAgentMessage, "done");
    assert.deepEqual(
      seen.flatMap(({ msg }) =>
        msg.type === "item_completed" && msg.item.type === "DynamicToolCall"
          ? [[msg.item.status, msg.item.output]]
          : [],
      ),
      [
        ["completed", '{"key":"fast"}'],
        ["completed", '{"key":"slow"}'],
      ],
    );
    const types = typesOf(seen);
    const firstAnswer = types.slice(types.indexOf("token_count"), types.lastIndexOf("item_completed"));
    assert.ok(firstAnswer.includes("agent_reasoning_section_break") && firstAnswer.includes("agent_reasoning"));
    const [, second] = r.model.requests;
    assert.ok(second);
    assertPaired(second.input);
    assert.deepEqual(
      second.input.flatMap((item) => (item.type === "function_call_output" ? [item.output] : [])),
      ['{"key":"slow"}', '{"key":"fast"}'],
    );
    assert.deepEqual(second.input.map((item) => item.type).slice(-5), [
      "reasoning",
      "function_call",
      "function_call",
      "function_call_output",
      "function_call_output",
    ]);
  });

  test("bad calls never fail the turn: the output tells the model", async () => {
    const strict = tool({
      name: "strict",
      description: "",
      input: z.object({ n: z.number() }),
      execute: () => {
        throw new Error("no luck");
      },
    });
    const odd = tool({
      name: "odd",
      description: "",
      execute: () => {
        throw Object.create(null);
      },
    });
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const round = tool({ name: "round", description: "", execute: () => circle });
    const silent = tool({ name: "silent", description: "", execute: () => undefined });
    await using r = await rig({
      tools: [strict, odd, round, silent],
      script: [
        [
          call("strict", "{not json"),
          call("strict", { n: "x" }),
          call("strict", { n: 1 }),
          call("nobody", {}),
          call("odd", {}),
          call("round", {}),
          call("silent", ""),
          call("silent", {}, { callId: "twice" }),
          call("silent", {}, { callId: "twice" }),
        ],
        [say("ok")],
      ],
    });
    const { thread } = await r.manager.startThread();
    const result = await thread.run("go");
    assert.equal(result.status, "completed");
    const [, second] = r.model.requests;
    assert.ok(second);
    assertPaired(second.input);
    const outputs = second.input.flatMap((item) => (item.type === "function_call_output" ? [String(item.output)] : []));
    const wanted = [
      /^failed to parse function arguments: .*JSON/,
      /^failed to parse function arguments: n: /,
      /^no luck$/,
      /^unsupported call: nobody$/,
      /^a value that has no text was thrown$/,
      /circular/i,
      /^$/,
      /^$/,
      /^duplicate call id: twice$/,
    ];
    assert.equal(outputs.length, wanted.length);
    for (const [at, pattern] of wanted.entries()) assert.match(outputs[at] ?? "", pattern);
  });

  test("retries: stream_error each, back-off, the server's own delay, then the answer", async () => {
    await using r = await rig({
      script: [
        [fail(new ModelError("busy", { retryable: true, httpStatus: 500 }))],
        [fail(new ModelError("slow down", { retryable: true, retryAfterMs: 7_000 }))],
        [say("half"), cut()],
        [say("there")],
      ],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const running = thread.run("hello");
    const waits: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      await until(() => seen.filter(({ msg }) => msg.type === "stream_error").length === n + 1 && r.clock.pending > 1);
      const now = r.clock.now();
      await until(() => (r.clock.nextDueAt ?? now) > now);
      waits.push((r.clock.nextDueAt ?? 0) - now);
      await r.clock.advanceAsync(waits[n] ?? 0);
    }
    const result = await running;
    assert.equal(result.lastAgentMessage, "there");
    assert.ok((waits[0] ?? 0) >= 180 && (waits[0] ?? 0) <= 220, String(waits));
    assert.equal(waits[1], 7_000);
    assert.ok((waits[2] ?? 0) >= 720 && (waits[2] ?? 0) <= 880, String(waits));
    const errors = seen.flatMap(({ msg }) => (msg.type === "stream_error" ? [msg] : []));
    assert.deepEqual(errors[0], {
      type: "stream_error",
      message: "Reconnecting... 1/5",
      codex_error_info: { response_stream_disconnected: { http_status_code: 500 } },
      additional_details: "busy",
    });
    assert.deepEqual(
      errors.map(({ message }) => message),
      ["Reconnecting... 1/5", "Reconnecting... 2/5", "Reconnecting... 3/5"],
    );
  });

  test("an error that is not to be retried: error, then task_complete with null, once; the input stays", async () => {
    await using r = await rig({
      script: [[fail(new ModelError("no", { info: "usage_limit_exceeded" }))], [say("now")]],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const failed = await thread.run("first");
    assert.deepEqual(typesOf(seen).slice(-2), ["error", "task_complete"]);
    assert.deepEqual(
      [failed.status, failed.lastAgentMessage, failed.error],
      ["failed", null, { message: "no", info: "usage_limit_exceeded" }],
    );
    assert.deepEqual(thread.status, { completed: null });
    await thread.run("second");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["first", "second"]);
  });

  test("retries end: with the last one the error is told", async () => {
    await using r = await rig({
      config: { cwd: "/work", streamMaxRetries: 1 },
      script: () => [fail(new ModelError("down", { retryable: true }))],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const running = thread.run("x");
    await until(() => seen.some(({ msg }) => msg.type === "stream_error"));
    await r.clock.advanceAsync(1_000);
    assert.equal((await running).status, "failed");
    assert.equal(r.model.asked, 2);
    assert.deepEqual(typesOf(seen).slice(-4), ["stream_error", "token_count", "error", "task_complete"]);
  });

  test("what a model throws that is no error of ours is told, whatever it is", async () => {
    await using r = await rig({
      script: () => {
        throw Object.create(null);
      },
    });
    const { thread } = await r.manager.startThread();
    const result = await thread.run("x");
    assert.deepEqual([result.status, result.error?.message], ["failed", "a value that has no text was thrown"]);
    assert.equal((await thread.run("y")).status, "failed");
  });

  test("empty input completes at once without a turn (SPEC 4.8)", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const result = await thread.run([]);
    assert.deepEqual([result.status, result.turnId, typesOf(seen)], ["completed", null, ["task_complete"]]);
    assert.equal(r.model.asked, 0);
  });

  test("empty input while a turn runs completes at once, and the thread runs on", async () => {
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("one");
    await until(() => r.model.asked === 1);
    assert.deepEqual((await thread.run([])).status, "completed");
    assert.equal(thread.status, "running");
    await thread.interrupt();
    assert.equal((await running).status, "interrupted");
    assert.deepEqual(thread.status, { errored: "Interrupted" });
  });

  test("settings: user_turn sets them for good, an override for the next turn, and the model is told what changed", async () => {
    const gate = latch();
    await using r = await rig({
      tools: [tool({ name: "wait", description: "", execute: () => gate.opened })],
      script: [[say("1")], [call("wait")], [say("2")], [say("3")]],
    });
    const { thread } = await r.manager.startThread({ model: "a" });
    await thread.run("one");
    const ended = next(thread, "task_complete");
    await thread.submit({
      type: "user_turn",
      items: [{ type: "text", text: "two" }],
      cwd: "/other",
      approval_policy: "never",
      sandbox_policy: { type: "read-only" },
      model: "b",
      summary: "auto",
    });
    await until(() => r.model.asked === 2);
    await thread.submit({ type: "override_turn_context", model: "c", effort: "high" });
    gate.open();
    await ended;
    await thread.run("three");
    assert.deepEqual(
      r.model.requests.map(({ model, reasoning }) => [model, reasoning.effort]),
      [
        ["a", null],
        ["b", null],
        ["b", null],
        ["c", "high"],
      ],
    );
    const updates = (r.model.requests[3]?.input ?? []).filter(
      (item) => item.type === "message" && JSON.stringify(item.content).includes("<environment_context>"),
    );
    assert.equal(updates.length, 2);
    assert.match(JSON.stringify(updates[1]), /<cwd>\/other<\/cwd>/);
    const seen = watch(thread);
    await thread.submit({ type: "override_turn_context", cwd: "relative" });
    assert.deepEqual(
      seen.map(({ msg }) => msg),
      [{ type: "error", message: "cwd is not absolute: relative", codex_error_info: "bad_request" }],
    );
    assert.equal(thread.config.cwd, "/other");
  });

  test("token counts add up, and a message without deltas is whole", async () => {
    await using r = await rig({
      script: [
        [usage({ input_tokens: 10, output_tokens: 5 }), say("a", { deltas: [] })],
        [
          raw({ type: "item_done", item: assistantMessage("b") }),
          raw({
            type: "completed",
            usage: {
              input_tokens: 1,
              cached_input_tokens: 0,
              output_tokens: 1,
              reasoning_output_tokens: 0,
              total_tokens: 2,
            },
          }),
        ],
      ],
    });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const first = await thread.run("x");
    const second = await thread.run("y");
    assert.deepEqual([first.usage?.total_tokens, second.usage?.total_tokens, second.lastAgentMessage], [15, 2, "b"]);
    const last = seen.findLast(({ msg }) => msg.type === "token_count");
    assert.equal(last?.msg.type === "token_count" ? last.msg.info?.total_token_usage.total_tokens : 0, 17);
    assert.deepEqual(userMessage("x"), r.model.requests[0]?.input.at(-1));
  });
});

test("the models on offer are asked for by an op and told by an event, as what a thread is asked for else", async () => {
  await using r = await rig();
  const { thread } = await r.manager.startThread();
  const [told] = await Promise.all([
    next(thread, "list_models_response"),
    thread.submitWithId({ id: "ask", op: { type: "list_models" } }),
  ]);
  const models = await r.manager.listModels();
  assert.deepEqual([told.id, told.msg], ["ask", { type: "list_models_response", models }]);
  assert.ok(models.length > 0);
});
