/** What goes wrong around the spans: exporters that throw, watchers that are there twice, turns that outlive a life or a process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { type SpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { type ThreadManager, tool } from "../../src/index.ts";
import { call, hang, say, usage } from "../../src/model/script.ts";
import { instrument } from "../../src/otel/instrument.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { rig, until } from "../rig.ts";
import { type Recorder, recorder } from "./recorder.ts";

const echo = tool({ name: "echo", description: "", execute: () => "said" });
const watched = ({ tracerProvider, meterProvider }: Recorder) => instrument({ tracerProvider, meterProvider });
const turnsOf = (record: Recorder) => record.spans().filter(({ name }) => name.startsWith("invoke_agent"));
const errorTypes = (spans: readonly ReadableSpan[]) => spans.map(({ attributes }) => attributes["error.type"]);

/** A processor that throws where it is told to, as an exporter without a network might. */
function throwing(where: "onStart" | "onEnd"): SpanProcessor {
  const fail = () => {
    throw new Error("no space left on the collector");
  };
  const nothing = () => undefined;
  return {
    onStart: where === "onStart" ? fail : nothing,
    onEnd: where === "onEnd" ? fail : nothing,
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}

for (const where of ["onStart", "onEnd"] as const) {
  test(`an exporter that throws in ${where} harms no turn, and what is counted is counted all the same`, async (t) => {
    const record = recorder(t);
    const tracerProvider = new TracerProvider({ spanProcessors: [throwing(where)] });
    const watching = instrument({ tracerProvider, meterProvider: record.meterProvider });
    await using r = await rig({
      script: [[call("echo"), usage({ input_tokens: 7, output_tokens: 3 })], "done", [hang()]],
      tools: [echo],
    });
    const { thread } = await r.manager.startThread({ model: "m" });
    assert.equal((await thread.run("go")).status, "completed");
    const metrics = await record.metrics();
    for (const name of [
      "gen_ai.client.operation.duration",
      "gen_ai.execute_tool.duration",
      "gen_ai.invoke_agent.duration",
      "gen_ai.invoke_agent.inference_calls",
      "skein.spawn.duration",
    ]) {
      assert.equal(metrics[name]?.length, 1, name);
    }
    const running = thread.run("again");
    await until(() => r.model.asked === 3);
    watching.dispose();
    await thread.interrupt();
    await running;
  });
}

test("watched twice, each has the whole tree, agents apart; when one ends, the other goes on", async (t) => {
  const records = [recorder(t), recorder(t)];
  const [first, second] = records.map(watched);
  t.after(() => second?.dispose());
  const agents: { manager?: ThreadManager } = {};
  const delegate = tool({
    name: "delegate",
    description: "",
    execute: async (_, { threadId }) => {
      const control = agents.manager?.agentControl();
      const id = await control?.spawnAgent({}, "look", { parentThreadId: threadId, agent: { role: "explorer" } });
      await control?.waitFor([id ?? ""]);
    },
  });
  await using r = await rig({ script: [[call("delegate")], "found", "done", "alone"], tools: [delegate] });
  agents.manager = r.manager;
  const { thread } = await r.manager.startThread({ model: "m" });
  await thread.run("go");
  for (const record of records) {
    const turn = record.span("invoke_agent explorer");
    assert.equal(turn.parentSpanContext, undefined, "an agent's turn is a trace of its own");
    const asker = turn.links.find(({ attributes }) => attributes?.["skein.link"] === "asked_by");
    assert.equal(asker?.context.spanId, record.span("execute_tool delegate").spanContext().spanId);
    const lead = record.span("invoke_agent");
    const below = record
      .spans()
      .filter(({ parentSpanContext: parent }) => parent?.spanId === lead.spanContext().spanId);
    assert.deepEqual(
      below.map(({ name }) => name.split(" ")[0]).filter((name) => !name?.startsWith("store")),
      ["chat", "execute_tool", "chat"],
    );
  }
  first?.dispose();
  await thread.run("on");
  assert.deepEqual(
    records.map((record) => turnsOf(record).length),
    [2, 3],
  );
});

test("a span that the caller has open is nobody's to end", async (t) => {
  const record = recorder(t);
  const watching = watched(record);
  const own = record.tracerProvider.getTracer("own").startSpan("request");
  await using r = await rig({ script: [[hang()]] });
  const { thread } = await r.manager.startThread();
  const running = context.with(trace.setSpan(context.active(), own), () => thread.run("go"));
  await until(() => r.model.asked === 1);
  watching.dispose();
  assert.ok(own.isRecording());
  own.end();
  await thread.interrupt();
  await running;
  assert.equal(turnsOf(record)[0]?.parentSpanContext?.spanId, own.spanContext().spanId);
});

const goingOn = { config: { recovery: "continue" }, supervision: { backoffMs: 1 } } as const;

test("a turn that a crash cuts and its thread's next life goes on with is two spans, the second a child of none and linked to the first", async (t) => {
  const record = recorder(t);
  const watching = watched(record);
  t.after(() => watching.dispose());
  await using r = await rig({ ...goingOn, script: [[say("a"), hang()], "done"] });
  const { thread } = await r.manager.startThread({ model: "m" });
  const running = thread.run("go");
  await until(() => r.model.asked === 1);
  (thread as LiveThread).incarnation.end("crashed", new Error("out of luck"));
  await r.clock.advanceAsync(5_000);
  assert.equal((await running).status, "completed");
  const [cut, whole] = turnsOf(record);
  assert.ok(cut && whole);
  assert.equal(turnsOf(record).length, 2);
  assert.equal(cut.status.code, SpanStatusCode.ERROR);
  assert.deepEqual(errorTypes([cut, whole]), ["interrupted", undefined]);
  assert.equal(cut.attributes["skein.turn.id"], whole.attributes["skein.turn.id"]);
  assert.deepEqual(
    [cut, whole].map(({ attributes }) => attributes["skein.thread.epoch"]),
    [1, 2],
  );
  assert.deepEqual(
    whole.links.map(({ attributes, context: { spanId } }) => [attributes?.["skein.link"], spanId]).at(-1),
    ["continues", cut.spanContext().spanId],
  );
  const chats = record.spans().filter(({ name }) => name === "chat m");
  assert.deepEqual(
    chats.map(({ parentSpanContext: parent }) => parent?.spanId),
    [cut.spanContext().spanId, whole.spanContext().spanId],
  );
});

test("a turn that another process goes on with is a trace there, of the same turn", async (t) => {
  const store = memoryStore();
  const record = recorder(t);
  const watching = watched(record);
  t.after(() => watching.dispose());
  await using r = await rig({ ...goingOn, store, script: [[hang()]] });
  const { thread } = await r.manager.startThread({ model: "m" });
  const running = thread.run("go").catch(() => undefined);
  await until(() => r.model.asked === 1);
  await until(() => thread.activeTurn !== undefined);
  await (await store.open(thread.id, { lease: "takeOver" })).close();
  await using other = await rig({ ...goingOn, store, script: ["done"] });
  const resumed = await other.manager.resumeThread(thread.id);
  await until(() => resumed.thread.activeTurn === undefined && other.model.asked === 1);
  await until(() => turnsOf(record).length > 0);
  const whole = turnsOf(record).at(-1);
  assert.equal(whole?.parentSpanContext, undefined);
  assert.equal(whole?.status.code, SpanStatusCode.UNSET);
  assert.ok(record.spans().some(({ name }) => name === "load_thread"));
  void running;
});
