/** Threads as spans and metrics, against OpenTelemetry's own SDK. */
import assert from "node:assert/strict";
import { channel, tracingChannel } from "node:diagnostics_channel";
import { suite, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { fromCallback } from "xstate";
import { ModelError, type ThreadManager, tool } from "../../src/index.ts";
import { call, fail, hang, say, usage, wait } from "../../src/model/script.ts";
import { type Instrumentation, type InstrumentOptions, instrument } from "../../src/otel/instrument.ts";
import { settled } from "../kernel/settled.ts";
import { latch, next, rig, until } from "../rig.ts";
import { answering, bench } from "../turn/tools/tool-turn.ts";
import { type Recorder, recorder } from "./recorder.ts";

const CHANNELS = ["spawn", "turn", "model-request", "tool", "approval", "slot", "store-write", "lease"].map(
  (one) => `skein:${one}`,
);
const NOTICES = ["skein:submit", "skein:mcp-request"];

const watched = (): string[] => [
  ...CHANNELS.filter((name) => tracingChannel(name).hasSubscribers),
  ...NOTICES.filter((name) => channel(name).hasSubscribers),
];

function watching(t: TestContext, options: InstrumentOptions = {}): Recorder & { watch: Instrumentation } {
  const record = recorder(t);
  const { tracerProvider, meterProvider } = record;
  const watch = instrument({ tracerProvider, meterProvider, ...options });
  t.after(() => watch.dispose());
  return { ...record, watch };
}

const linksOf = (span: ReadableSpan): unknown[] =>
  span.links.map((link) => [link.attributes?.["skein.link"], link.context.spanId]);

/** Where tokens cost something: 7 in, 5 of them cached, 3 out. */
const spent = usage({ input_tokens: 7, cached_input_tokens: 5, output_tokens: 3 });
const echo = tool({ name: "echo", description: "", execute: ({ text }: { text?: string }) => text ?? "nothing" });

suite("a turn as spans", () => {
  test("tree, names and attributes are those of the GenAI conventions", async (t) => {
    const record = watching(t);
    await using r = await rig({
      script: [
        [call("echo", { text: "hi" }), spent],
        [say("done"), spent],
      ],
      tools: [echo],
    });
    const { thread } = await r.manager.startThread({ model: "m-1" });
    await thread.run("go");
    assert.deepEqual(record.tree(), [
      "create_agent(lease_take)",
      "invoke_agent(chat m-1, execute_tool echo, chat m-1, store_flush, store_sync)",
    ]);
    const turn = record.span("invoke_agent");
    assert.equal(turn.kind, SpanKind.INTERNAL);
    assert.equal(turn.status.code, SpanStatusCode.UNSET);
    const { "skein.turn.id": turnId, ...rest } = turn.attributes;
    assert.deepEqual(rest, {
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.id": thread.id,
      "gen_ai.conversation.id": thread.id,
      "gen_ai.provider.name": "scripted",
      "gen_ai.request.model": "m-1",
      "skein.submission.id": "0",
      "skein.thread.epoch": 1,
      "gen_ai.usage.input_tokens": 14,
      "gen_ai.usage.cache_read.input_tokens": 10,
      "gen_ai.usage.output_tokens": 6,
      "gen_ai.usage.reasoning.output_tokens": 0,
    });
    const [chat] = record.spans().filter(({ name }) => name === "chat m-1");
    assert.equal(chat?.kind, SpanKind.CLIENT);
    assert.deepEqual(chat?.attributes, {
      "gen_ai.operation.name": "chat",
      "gen_ai.agent.id": thread.id,
      "gen_ai.conversation.id": thread.id,
      "gen_ai.provider.name": "scripted",
      "gen_ai.request.model": "m-1",
      "skein.turn.id": turnId,
      "gen_ai.response.id": "resp_1",
      "gen_ai.usage.input_tokens": 7,
      "gen_ai.usage.cache_read.input_tokens": 5,
      "gen_ai.usage.output_tokens": 3,
      "gen_ai.usage.reasoning.output_tokens": 0,
    });
    const called = record.span("execute_tool echo");
    assert.deepEqual(called.attributes, {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.agent.id": thread.id,
      "gen_ai.conversation.id": thread.id,
      "skein.turn.id": turnId,
      "gen_ai.tool.name": "echo",
      "gen_ai.tool.type": "function",
      "gen_ai.tool.call.id": "call_1",
    });
  });

  test("waiting for a place among the running turns is a span of the turn that waits, and nothing where none waits", async (t) => {
    const record = watching(t);
    const gate = latch();
    await using r = await rig({
      script: [[wait(gate.opened), say("one")], "two", "three"],
      limits: { runningTurns: 1 },
    });
    const { thread: first } = await r.manager.startThread();
    const { thread: second } = await r.manager.startThread();
    const running = first.run("a");
    await until(() => r.manager.capacity().runningTurns.used === 1);
    const waiting = second.run("b");
    await until(() => r.manager.capacity().runningTurns.waiting === 1);
    gate.open();
    await Promise.all([running, waiting]);
    const slots = record.spans().filter(({ name }) => name === "await_slot");
    assert.deepEqual(
      slots.map(({ attributes }) => [attributes["gen_ai.agent.id"], attributes["skein.kind"]]),
      [[second.id, "first"]],
    );
    const turn = record
      .spans()
      .find(({ name, attributes }) => name === "invoke_agent" && attributes["gen_ai.agent.id"] === second.id);
    assert.equal(slots[0]?.parentSpanContext?.spanId, turn?.spanContext().spanId);
    assert.equal((await record.metrics())["skein.slot.duration"]?.length, 1);
    const cut = first.run("c");
    await cut;
    assert.equal(record.spans().filter(({ name }) => name === "await_slot").length, 1);
  });

  test("it is a child of whatever its caller was in, also where it had to wait for its turn", async (t) => {
    const record = watching(t);
    const gate = latch();
    await using r = await rig({ script: [[wait(gate.opened), say("one")], "two"] });
    const { thread } = await r.manager.startThread();
    const tracer = record.tracerProvider.getTracer("test");
    const under = async (name: string, op: () => Promise<unknown>) => {
      const span = tracer.startSpan(name);
      await context.with(trace.setSpan(context.active(), span), op);
      span.end();
    };
    await under("first", () => thread.submit({ type: "user_input", items: [{ type: "text", text: "a" }] }));
    await under("second", () => thread.submit({ type: "compact" }));
    gate.open();
    await until(() => record.spans().filter(({ name }) => name === "invoke_agent").length === 2);
    const parents = record
      .spans()
      .filter(({ name }) => name === "invoke_agent")
      .map(
        ({ parentSpanContext: parent }) => record.spans().find((s) => s.spanContext().spanId === parent?.spanId)?.name,
      );
    assert.deepEqual(parents, ["first", "second"]);
  });

  test("parallel turns do not mix: each span is under its own thread's turn", async (t) => {
    const record = watching(t);
    await using r = await rig({
      script: (request) =>
        request.input.some(({ type }) => type === "function_call_output") ? "done" : [call("echo"), call("echo")],
      tools: [tool({ name: "echo", description: "", execute: () => settled() })],
    });
    const threads = await Promise.all(Array.from({ length: 8 }, () => r.manager.startThread()));
    await Promise.all(threads.map(({ thread }) => thread.run("go")));
    const turns = record.spans().filter(({ name }) => name === "invoke_agent");
    assert.equal(turns.length, 8);
    for (const turn of turns) {
      const { traceId, spanId } = turn.spanContext();
      const below = record.spans().filter((span) => span.parentSpanContext?.spanId === spanId);
      const kinds = below.map(({ name }) => name.split(" ")[0]).filter((name) => !name?.startsWith("store"));
      assert.deepEqual(kinds.toSorted(), ["chat", "chat", "execute_tool", "execute_tool"]);
      for (const span of below) {
        assert.equal(span.spanContext().traceId, traceId);
        assert.equal(span.attributes["gen_ai.agent.id"], turn.attributes["gen_ai.agent.id"]);
      }
    }
    assert.equal(new Set(turns.map((turn) => turn.spanContext().traceId)).size, 8);
  });

  test("a tool has its span active, and a model's client that of its request", async (t) => {
    const record = watching(t);
    const seen: Record<string, string | undefined> = {};
    const look = (who: string) => {
      seen[who] = trace.getSpanContext(context.active())?.spanId;
    };
    const looking = tool({
      name: "look",
      description: "",
      execute: async () => {
        await settled();
        look("tool");
        record.tracerProvider.getTracer("test").startSpan("inner").end();
      },
    });
    const script = [[wait(async () => look("model")), call("look")], "done"];
    await using r = await rig({ script, tools: [looking] });
    const { thread } = await r.manager.startThread({ model: "m" });
    await thread.run("go");
    const called = record.span("execute_tool look");
    assert.equal(seen.tool, called.spanContext().spanId);
    const asked = record.spans().find(({ name }) => name === "chat m");
    assert.equal(seen.model, asked?.spanContext().spanId);
    assert.equal(record.span("inner").parentSpanContext?.spanId, called.spanContext().spanId);
  });
});

suite("what goes wrong", () => {
  const failing = tool({
    name: "bad",
    description: "",
    execute: () => {
      throw new TypeError("the sky is sk-abcdef0123456789abcd");
    },
  });

  test("a tool's failure is its span's alone; its words are content", async (t) => {
    const record = watching(t);
    await using r = await rig({ script: [[call("bad"), call("none")], "done"], tools: [failing] });
    const { thread } = await r.manager.startThread();
    await thread.run("go");
    const bad = record.span("execute_tool bad");
    assert.deepEqual(bad.status, { code: SpanStatusCode.ERROR });
    assert.equal(bad.attributes["error.type"], "TypeError");
    assert.equal(record.span("execute_tool none").attributes["error.type"], "invalid_request");
    assert.equal(record.span("invoke_agent").status.code, SpanStatusCode.UNSET);
  });

  test("a model's failure is its request's and its turn's", async (t) => {
    const record = watching(t);
    const broken = new ModelError("too much", { info: "usage_limit_exceeded" });
    await using r = await rig({ script: [[fail(broken)]] });
    const { thread } = await r.manager.startThread({ model: "m" });
    await thread.run("go");
    for (const name of ["chat m", "invoke_agent"]) {
      assert.deepEqual(record.span(name).status, { code: SpanStatusCode.ERROR }, name);
      assert.equal(record.span(name).attributes["error.type"], "usage_limit_exceeded", name);
    }
  });

  test("an interrupt is the status of all that it ends", async (t) => {
    const record = watching(t);
    const begun = latch();
    const hanging = tool({
      name: "hangs",
      description: "",
      execute: (_, { signal }) => {
        begun.open();
        return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    });
    await using r = await rig({ script: [[call("hangs")]], tools: [hanging] });
    const { thread } = await r.manager.startThread();
    const running = thread.run("go");
    await begun.opened;
    await thread.interrupt();
    await running;
    for (const name of ["execute_tool hangs", "invoke_agent"]) {
      assert.equal(record.span(name).status.code, SpanStatusCode.ERROR, name);
      assert.equal(record.span(name).attributes["error.type"], "interrupted", name);
    }
  });

  test("an interrupted request ends, and one that input joins", async (t) => {
    const record = watching(t);
    await using r = await rig({ script: [[say("a"), hang()], [hang()]] });
    const { thread } = await r.manager.startThread({ model: "m" });
    const running = thread.run("go");
    await until(() => r.model.asked === 1);
    await thread.submit({ type: "user_input", items: [{ type: "text", text: "more" }] });
    await until(() => r.model.asked === 2);
    await thread.interrupt();
    await running;
    const chats = () => record.spans().filter(({ name }) => name === "chat m");
    await until(() => chats().length === 2);
    const requests = chats();
    assert.deepEqual(
      requests.map(({ attributes }) => attributes["error.type"]),
      ["interrupted", "interrupted"],
    );
  });

  test("a thread that does not come to be has a span with its reason", async (t) => {
    const record = watching(t);
    const wrong = fromCallback(({ emit }) => emit({ type: "agent_message" } as never));
    await using r = await rig({ threadLogic: wrong });
    await assert.rejects(r.manager.startThread());
    const made = record.span("create_agent");
    assert.equal(made.attributes["error.type"], "session_configured_not_first_event");
    assert.equal(made.status.code, SpanStatusCode.ERROR);
  });

  test("a thread that is killed in the middle of a turn leaves no span open", async (t) => {
    const record = watching(t);
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread({ model: "m" });
    void thread.run("go").catch(() => undefined);
    await until(() => r.model.asked === 1);
    const down = r.manager.shutdown({ deadlineMs: 0 });
    await r.clock.advanceAsync(5_000);
    await down;
    await until(() => record.spans().some(({ name }) => name === "chat m"));
    assert.equal(record.span("invoke_agent").status.code, SpanStatusCode.ERROR);
  });
});

suite("agents and forks", () => {
  test("an agent's turn is a trace of its own, linked to the call that asked and to its making", async (t) => {
    const record = watching(t);
    const agents: { manager?: ThreadManager } = {};
    const delegate = tool({
      name: "delegate",
      description: "",
      execute: async (_, { threadId }) => {
        const control = agents.manager?.agentControl();
        const id = await control?.spawnAgent({}, "look into it", {
          parentThreadId: threadId,
          agent: { role: "explorer" },
        });
        await control?.waitFor([id ?? ""]);
      },
    });
    await using r = await rig({ script: [[call("delegate")], "found", "done"], tools: [delegate] });
    agents.manager = r.manager;
    const { thread } = await r.manager.startThread();
    await thread.run("go");
    const called = record.span("execute_tool delegate");
    const made = record.span("create_agent explorer");
    const turn = record.span("invoke_agent explorer");
    assert.equal(made.parentSpanContext?.spanId, called.spanContext().spanId);
    assert.equal(made.attributes["skein.thread.parent_id"], thread.id);
    assert.equal(turn.parentSpanContext, undefined);
    assert.notEqual(turn.spanContext().traceId, called.spanContext().traceId);
    assert.deepEqual(linksOf(turn), [
      ["created_by", made.spanContext().spanId],
      ["asked_by", called.spanContext().spanId],
    ]);
    assert.equal(turn.attributes["gen_ai.agent.name"], "explorer");
  });

  test("a fork is linked to the last turn of its source, and its first turn to the fork", async (t) => {
    const record = watching(t);
    await using r = await rig({ script: ["one", "two"] });
    const { thread } = await r.manager.startThread();
    await thread.run("go");
    const source = record.span("invoke_agent");
    const fork = await r.manager.forkThread({ from: thread.id });
    await fork.thread.run("on");
    const made = record.spans().find(({ attributes }) => attributes["skein.thread.forked_from_id"] === thread.id);
    assert.ok(made);
    assert.equal(made.attributes["skein.thread.origin"], "forked");
    assert.deepEqual(linksOf(made), [["forked_from", source.spanContext().spanId]]);
    const [, turn] = record.spans().filter(({ name }) => name === "invoke_agent");
    assert.ok(turn);
    assert.deepEqual(linksOf(turn), [["created_by", made.spanContext().spanId]]);
  });
});

suite("calls of the house's own tools", () => {
  test("waiting for an approval is a span under its call", async (t) => {
    const record = watching(t);
    const { thread } = await bench(t, [[call("shell_command", { command: "touch x", login: false })], "done"], {
      approvalPolicy: "untrusted",
    });
    answering(thread, "approved");
    await thread.run("go");
    const asked = record.span("await_approval");
    assert.equal(asked.parentSpanContext?.spanId, record.span("execute_tool shell_command").spanContext().spanId);
    assert.equal(asked.attributes["skein.approval.decision"], "approved");
    assert.equal(asked.status.code, SpanStatusCode.UNSET);
  });

  const server = {
    command: process.execPath,
    args: [fileURLToPath(new URL("mcp-meta-child.ts", import.meta.url))],
    startup_timeout_sec: 30,
  };

  test("an MCP server gets the call's span in _meta, and its failure is the call's", async (t) => {
    const record = watching(t);
    const { thread, outputs } = await bench(
      t,
      [[call("mcp__meta__meta"), call("mcp__meta__meta", { fail: true })], "done"],
      { mcpServers: { meta: server } },
    );
    await thread.run("go");
    const [first, second] = record.spans().filter(({ name }) => name === "execute_tool mcp__meta__meta");
    const { traceId, spanId } = first?.spanContext() ?? {};
    assert.equal(JSON.parse(outputs()[0] ?? "").traceparent, `00-${traceId}-${spanId}-01`);
    assert.deepEqual(
      [first?.attributes["mcp.method.name"], first?.attributes["gen_ai.tool.type"]],
      ["tools/call", "extension"],
    );
    assert.deepEqual([first?.attributes["error.type"], second?.attributes["error.type"]], [undefined, "tool_error"]);
  });
});

suite("content", () => {
  const secret = "sk-abcdef0123456789abcd";
  const play = async (t: TestContext, options: InstrumentOptions) => {
    const record = watching(t, options);
    await using r = await rig({
      script: [[call("echo", { text: `CONTENT ${secret}` })], "CONTENT answer"],
      tools: [echo],
    });
    const { thread } = await r.manager.startThread({ model: "m", baseInstructions: `CONTENT ${secret}` });
    await thread.run(`CONTENT ${secret}`);
    return JSON.stringify(
      record.spans().map(({ attributes, events, status, links }) => ({ attributes, events, status, links })),
    );
  };

  test("none by default", async (t) => {
    assert.doesNotMatch(await play(t, {}), /CONTENT|sk-abc/);
  });

  test("on request, in the conventions' form, and without secrets", async (t) => {
    const told = await play(t, { recordContent: true });
    assert.doesNotMatch(told, /sk-abc/);
    const record = JSON.parse(told) as { attributes: Record<string, string> }[];
    const chats = record.filter(({ attributes }) => attributes["gen_ai.operation.name"] === "chat");
    const input = JSON.parse(chats.at(-1)?.attributes["gen_ai.input.messages"] ?? "[]") as {
      role: string;
      parts: object[];
    }[];
    assert.deepEqual(input.slice(-3), [
      { role: "user", parts: [{ type: "text", content: "CONTENT [redacted]" }] },
      {
        role: "assistant",
        parts: [{ type: "tool_call", id: "call_1", name: "echo", arguments: '{"text":"CONTENT [redacted]"}' }],
      },
      { role: "tool", parts: [{ type: "tool_call_response", id: "call_1", result: "CONTENT [redacted]" }] },
    ]);
    assert.deepEqual(JSON.parse(chats.at(-1)?.attributes["gen_ai.output.messages"] ?? ""), [
      { role: "assistant", parts: [{ type: "text", content: "CONTENT answer" }] },
    ]);
    assert.match(chats[0]?.attributes["gen_ai.system_instructions"] ?? "", /CONTENT \[redacted\]/);
    const called = record.find(({ attributes }) => attributes["gen_ai.tool.name"] === "echo")?.attributes;
    assert.match(called?.["gen_ai.tool.call.arguments"] ?? "", /CONTENT/);
    assert.match(called?.["gen_ai.tool.call.result"] ?? "", /CONTENT/);
  });
});

suite("metrics", () => {
  test("tokens, durations and counts, under the conventions' names", async (t) => {
    const record = watching(t);
    await using r = await rig({
      script: [
        [call("echo"), spent],
        [say("done"), spent],
      ],
      tools: [echo],
    });
    const { thread } = await r.manager.startThread({ model: "m" });
    await thread.run("go");
    const metrics = await record.metrics();
    const about = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "scripted", "gen_ai.request.model": "m" };
    const sums = (name: string) =>
      metrics[name]?.map(({ attributes, value }) => [attributes, (value as { sum: number; count: number }).sum]);
    const counts = (name: string) =>
      metrics[name]?.map(({ attributes, value }) => [attributes, (value as { count: number }).count]);
    assert.deepEqual(sums("gen_ai.client.token.usage"), [
      [{ ...about, "gen_ai.token.type": "input" }, 14],
      [{ ...about, "gen_ai.token.type": "output" }, 6],
    ]);
    assert.deepEqual(counts("gen_ai.client.operation.duration"), [[about, 2]]);
    assert.deepEqual(counts("gen_ai.client.operation.time_to_first_chunk"), [[about, 1]]);
    assert.deepEqual(counts("gen_ai.execute_tool.duration"), [[{ "gen_ai.tool.name": "echo" }, 1]]);
    assert.deepEqual(sums("gen_ai.invoke_agent.inference_calls"), [[{}, 2]]);
    assert.deepEqual(sums("gen_ai.invoke_agent.tool_calls"), [[{}, 1]]);
    assert.deepEqual(counts("gen_ai.invoke_agent.duration"), [[{ "gen_ai.request.model": "m" }, 1]]);
    assert.deepEqual(counts("skein.spawn.duration"), [[{ "skein.spawn.purpose": "create" }, 1]]);
    assert.ok((metrics["skein.store.write.duration"]?.length ?? 0) > 0);
    assert.ok((metrics["skein.lease.duration"]?.length ?? 0) > 0);
  });

  test("of one manager: how many threads and turns it has", async (t) => {
    const { tracerProvider, meterProvider, ...record } = recorder(t);
    await using r = await rig();
    using _ = instrument(r.manager, { tracerProvider, meterProvider });
    await r.manager.startThread();
    const metrics = await record.metrics();
    assert.deepEqual(metrics["skein.threads.resident"], [{ attributes: {}, value: 1 }]);
    assert.deepEqual(metrics["skein.turns.running"], [{ attributes: {}, value: 0 }]);
  });
});

suite("whose, and for how long", () => {
  test("one manager's alone, where one is given", async (t) => {
    const { tracerProvider, meterProvider, ...record } = recorder(t);
    await using mine = await rig();
    await using other = await rig();
    using _ = instrument(mine.manager, { tracerProvider, meterProvider });
    for (const { manager } of [mine, other]) await (await manager.startThread()).thread.run("go");
    const ids = new Set(record.spans().map(({ attributes }) => attributes["gen_ai.agent.id"]));
    assert.deepEqual([...ids], [...(await mine.manager.listThreadIds())]);
  });

  test("disposed, it has no subscription, and what was open is ended", async (t) => {
    assert.deepEqual(watched(), []);
    const record = watching(t);
    assert.equal(watched().length, CHANNELS.length + NOTICES.length);
    await using r = await rig({ script: [[hang()]] });
    const { thread } = await r.manager.startThread({ model: "m" });
    const running = thread.run("go");
    await until(() => r.model.asked === 1);
    record.watch.dispose();
    record.watch.dispose();
    assert.deepEqual(watched(), []);
    assert.deepEqual(
      record
        .spans()
        .map(({ name }) => name)
        .toSorted()
        .slice(0, 2),
      ["chat m", "create_agent"],
    );
    await thread.interrupt();
    await running;
    assert.equal(record.spans().filter(({ name }) => name === "invoke_agent").length, 1);
  });

  test("what began unseen ends without a span", async (t) => {
    await using r = await rig({ script: [[hang()], "two"] });
    const { thread } = await r.manager.startThread({ model: "m" });
    const running = thread.run("go");
    await until(() => r.model.asked === 1);
    const record = watching(t);
    await thread.interrupt();
    await running;
    await thread.run("again");
    assert.equal(record.spans().filter(({ name }) => name === "invoke_agent").length, 1);
  });

  test("an option that does not exist is refused", () => {
    assert.throws(() => instrument({ recordcontent: true } as never), { code: "invalid_request" });
  });
});

suite("the channels", () => {
  test("a turn is told as Node tells of work: begun, and over", async () => {
    const seen: string[] = [];
    const tell = (what: string) => (facts: object) => void seen.push(`${what} ${"turnId" in facts}`);
    const subscribers = {
      ...{ start: tell("start"), end: tell("end"), asyncStart: tell("asyncStart"), asyncEnd: tell("asyncEnd") },
      error: tell("error"),
    };
    const turns = tracingChannel("skein:turn");
    turns.subscribe(subscribers);
    try {
      await using r = await rig();
      const { thread } = await r.manager.startThread();
      const over = next(thread, "task_complete");
      await thread.run("go");
      await over.catch(() => undefined);
    } finally {
      turns.unsubscribe(subscribers);
    }
    assert.deepEqual(seen, ["start true", "end true", "asyncStart true", "asyncEnd true"]);
  });
});
