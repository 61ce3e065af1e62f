/** The newest models are asked in the form in which stock Codex 0.171 asks them (SPEC 30). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { responsesClient } from "../../src/model/responses-client.ts";
import { functionCallOutput, type ResponseItem, userMessage } from "../../src/protocol/response-item.ts";
import { resolveThreadConfig, type ThreadConfig } from "../../src/protocol/thread-config.ts";
import { unknownKind } from "../../src/protocol/unknown-kind.ts";
import { askedOf } from "../../src/turn/asked-model.ts";
import { completed, created, ModelServer, sse, streaming, wholeAnswer } from "../model/model-server.ts";
import { answer, asking, THREAD_ID } from "../model/requests.ts";

type Body = { input: { [field: string]: unknown }[]; [field: string]: unknown };
type Recorded = { model: string; body: object; hasTools: boolean; first: string[]; lite: string | null };

/** One turn of each model that stock 0.171 lists offline, of one of a later date, and of one that it does not know. */
const RECORDED = readFileSync(new URL("../data/model/0.171-asked-models.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Recorded);

const TOOL = { type: "function", name: "run", description: "Runs.", parameters: {}, strict: false } as const;
const AGENTS = { type: "namespace", name: "agents", description: "Agents.", tools: [TOOL] } as const;

const asked = (config: ThreadConfig) => askedOf(resolveThreadConfig({ ...config, cwd: "/" }));

async function requestOf(config: ThreadConfig, fields: Parameters<typeof asking>[1] = {}) {
  await using server = await ModelServer.start(streaming(wholeAnswer("hi")));
  const client = responsesClient({ baseUrl: server.baseUrl });
  await answer(
    client,
    asking("hello", { tools: [TOOL, AGENTS], parallelToolCalls: true, ...asked(config), ...fields }),
  );
  await client.close();
  const [request] = server.requests;
  return { body: JSON.parse(request?.body ?? "null") as Body, headers: request?.headers ?? {} };
}

for (const recorded of RECORDED) {
  test(`as stock Codex asks it: ${recorded.model}`, async () => {
    const { body, headers } = await requestOf({ model: recorded.model });
    const { input, model, prompt_cache_key, tools, instructions: _, ...rest } = body;
    assert.deepEqual(rest, recorded.body);
    assert.equal(model, recorded.model);
    assert.equal(prompt_cache_key, THREAD_ID);
    assert.equal(tools !== undefined, recorded.hasTools);
    assert.equal(headers["x-openai-internal-codex-responses-lite"] ?? null, recorded.lite);
    if (recorded.lite !== null) assert.deepEqual([input[0]?.type, input[0]?.role], recorded.first);
  });
}

/** What stock 0.171 sent for a turn of that effort. */
const ULTRA: Readonly<Record<string, string>> = {
  "gpt-6.2-sol": "xhigh",
  "gpt-6.1-terra": "xhigh",
  "gpt-6-astra": "xhigh",
  "gpt-6-sol": "max",
  "gpt-6-luna": "max",
  "gpt-5.6-terra": "max",
  "codex-auto-review": "max",
  "gpt-5.5": "xhigh",
  "gpt-5.1-codex": "medium",
};
for (const [model, effort] of Object.entries(ULTRA)) {
  test(`the effort ultra is ${effort} to a server: ${model}`, async () => {
    const { body } = await requestOf({ model, reasoningEffort: "ultra" });
    assert.equal((body.reasoning as { effort: string }).effort, effort);
  });
}

const NEWEST = { model: "gpt-6.2-sol" };

test("tools and instructions open the input, with one id in each request of a thread", async () => {
  const { body, headers } = await requestOf({ ...NEWEST, baseInstructions: "Be brief." });
  assert.deepEqual(body.input, [
    {
      type: "additional_tools",
      id: `at_${THREAD_ID}`,
      role: "developer",
      tools: [{ type: "namespace", name: "functions", description: "", tools: [TOOL] }, AGENTS],
    },
    { type: "message", role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
    { type: "message", role: "user", content: [{ type: "input_text", text: "hello" }] },
  ]);
  assert.equal(headers["x-client-request-id"], THREAD_ID);
  assert.ok(!("instructions" in body) && !("tools" in body));
});

test("without tools and instructions the input is the conversation", async () => {
  const { body } = await requestOf(NEWEST, { tools: [] });
  assert.deepEqual(
    body.input.map(({ type }) => type),
    ["message"],
  );
});

test("what the settings say goes before what is known of the model", async () => {
  const settings = { reasoningEffort: "high", reasoningSummary: "auto", modelVerbosity: "high" } as const;
  const { body } = await requestOf({ ...NEWEST, ...settings });
  assert.deepEqual(body.reasoning, { effort: "high", summary: "auto", context: "all_turns" });
  assert.deepEqual(body.text, { verbosity: "high" });
  const none = await requestOf({ ...NEWEST, reasoningSummary: "none" });
  assert.deepEqual(none.body.reasoning, { effort: "low", context: "all_turns" });
});

test("pictures say nothing of their detail, wherever they stand", async () => {
  const picture = { type: "input_image", image_url: "data:image/png;base64,AA", detail: "high" } as const;
  const call = { type: "function_call", name: "view", arguments: "{}", call_id: "c" } as const;
  const input: ResponseItem[] = [userMessage([picture]), call, functionCallOutput("c", [picture])];
  const { body } = await requestOf(NEWEST, { input, tools: [] });
  const { detail: _, ...plain } = picture;
  assert.deepEqual([body.input[0]?.content, body.input[2]?.output], [[plain], [plain]]);
  const full = await requestOf({ model: "gpt-9" }, { input, tools: [] });
  assert.deepEqual(full.body.input[0]?.content, [picture]);
});

test("an approved plan that stock has given its model goes on to ours", async () => {
  const plan: ResponseItem = { type: "function_call_output", id: "fco", name: "proposed_plan", output: "1. a" };
  const { body } = await requestOf(NEWEST, { input: [plan], tools: [] });
  assert.deepEqual(body.input, [{ type: "function_call_output", name: "proposed_plan", output: "1. a" }]);
  const kept: ResponseItem = { ...plan, namespace: "ns", retain: true };
  const { body: next } = await requestOf(NEWEST, { input: [kept], tools: [] });
  const told = { type: "function_call_output", name: "proposed_plan", namespace: "ns", output: "1. a" };
  assert.deepEqual(next.input, [told]);
});

test("what stock has stored of a request's form does not come back as part of the conversation", async () => {
  const stored = ["additional_tools", "configuration_update", "compaction_trigger", "other"];
  const input = [...stored.map((type) => unknownKind(type, { role: "developer", tools: [] })), userMessage("go on")];
  for (const model of ["gpt-6.2-sol", "gpt-9"]) {
    const { body } = await requestOf({ model }, { input, tools: [] });
    assert.deepEqual(
      body.input.map(({ type }) => type),
      ["message"],
    );
  }
});

test("a call of a tool that stood in the namespace of functions comes under the tool's own name", async () => {
  const call = { type: "function_call", id: "fc", call_id: "c", name: "run", arguments: "{}" };
  const done = (namespace: string) => ({ type: "response.output_item.done", item: { ...call, namespace } });
  await using server = await ModelServer.start(streaming(sse(created, done("functions"), done("agents"), completed)));
  const client = responsesClient({ baseUrl: server.baseUrl });
  const events = await answer(client, asking("hello", NEWEST));
  await client.close();
  const items = events.flatMap((event) => (event.type === "item_done" ? [event.item] : []));
  assert.deepEqual(items, [call, { ...call, namespace: "agents" }]);
});
