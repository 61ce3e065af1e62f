/** Collaboration modes: what the model is told, plans as items, and questions to the user. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import type { BuiltInToolName } from "../../src/protocol/built-in-tool-names.ts";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { input } from "./stories.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

type Plays = Parameters<typeof scriptedClient>[0];

async function served(plays: Plays, builtInTools: BuiltInToolName[] = ["request_user_input", "update_plan"]) {
  const model = scriptedClient(plays, { recordRequests: 100 });
  return { ...(await serve({ manager: { model, config: { cwd: "/w", builtInTools } } })), model };
}

const PLAN = { mode: "plan", settings: { model: "m", reasoning_effort: "high", developer_instructions: null } };
const DEFAULT = { mode: "default", settings: { model: "m" } };
const QUESTIONS = { questions: [{ id: "q1", header: "Pick", question: "Which?", options: [] }] };
const asking = [call("request_user_input", QUESTIONS, { callId: "c1" })];

const modesIn = ({ input: items }: ModelRequest): string[] =>
  items.flatMap((item) =>
    item.type === "message" && item.role === "developer" && textOf(item).startsWith("<collaboration_mode>")
      ? (/# (\w+) mode/.exec(textOf(item))?.[1] ?? textOf(item))
      : [],
  );
const outputsIn = ({ input: items }: ModelRequest): unknown[] =>
  items.flatMap((item) => (item.type === "function_call_output" ? [item.output] : []));

const start = (client: TestClient, threadId: string, more: Json = {}): Promise<Json> =>
  client.request("turn/start", { threadId, input: input("go"), ...more });

test("a mode stays until another is chosen, and the model is told of each change once, after a resume too", async () => {
  const { client, model, ...rest } = await served(() => [say("ok")]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  const threadId: string = thread.id;
  const turn = async (more: Json = {}) => {
    const { turn } = await start(client, threadId, more);
    await client.next("turn/completed", (params) => params.turn.id === turn.id);
    return modesIn(model.requests.at(-1) as ModelRequest);
  };
  assert.deepEqual(await turn(), [], "nobody has chosen");
  assert.deepEqual(await turn({ collaborationMode: DEFAULT }), [], "which is as the default");
  assert.deepEqual(await turn({ collaborationMode: PLAN }), ["Plan"]);
  assert.equal(model.requests.at(-1)?.reasoning?.effort, "high");
  assert.deepEqual(await turn(), ["Plan"], "still, and told once");
  const own = { ...PLAN, settings: { ...PLAN.settings, developer_instructions: "Own rules." } };
  const told = ["Plan", "<collaboration_mode>Own rules.</collaboration_mode>"];
  assert.deepEqual(await turn({ collaborationMode: own }), told);
  await client.request("thread/unsubscribe", { threadId });
  await client.request("thread/resume", { threadId });
  assert.deepEqual(await turn({ collaborationMode: { ...DEFAULT, mode: "code" } }), [...told, "Default"]);
  assert.equal(model.requests.at(-1)?.reasoning?.effort ?? null, null, "the effort is that of the mode");
  const updates = client.log.filter(({ method }) => method === "thread/settings/updated");
  assert.deepEqual(
    updates.map(({ params }) => params.threadSettings.collaborationMode.mode),
    ["default", "plan", "plan", "default"],
  );
});

test("a plan is an item of its own, live and when it is read; the model keeps its message as it was", async () => {
  const message = "Intro.\n<proposed_plan>\n# P\n</proposed_plan>\n";
  const { client, model, ...rest } = await served([[say(message)], [say("ok")]]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await start(client, thread.id, { collaborationMode: PLAN });
  const { params } = await client.next("turn/completed", ({ turn: { id } }) => id === turn.id);
  assert.deepEqual(
    params.turn.items.map(({ text }: Json) => text),
    ["Intro.\n"],
  );
  const completed = client.log.flatMap(({ method, params: { item } = {} as Json }) =>
    method === "item/completed" ? [[item.type, item.text]] : [],
  );
  const items = [
    ["plan", "# P\n"],
    ["agentMessage", "Intro.\n"],
  ];
  assert.deepEqual(completed.slice(1), items);
  const { data } = await client.request("thread/turns/list", { threadId: thread.id, itemsView: "full" });
  assert.deepEqual(
    data[0].items.slice(1).map(({ type, text }: Json) => [type, text]),
    items,
  );
  await client.turn(thread.id, "and now");
  assert.ok(model.requests.at(-1)?.input.some((item) => item.type === "message" && textOf(item) === message));
});

test("a question goes to all who follow, one who comes late too; the first answer counts", async () => {
  const { client, model, connect, manager, ...rest } = await served([asking, [say("thanks")]]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await start(client, thread.id, { collaborationMode: PLAN });
  const asked = await client.next("item/tool/requestUserInput");
  assert.equal(asked.params.itemId, "c1");
  assert.deepEqual(asked.params.questions, [{ ...QUESTIONS.questions[0], isOther: true, isSecret: false }]);
  const late = connect();
  await late.initialize();
  const resumed = await late.request("thread/resume", { threadId: thread.id });
  assert.deepEqual(resumed.thread.status, { type: "active", activeFlags: ["waitingOnUserInput"] });
  const again = await late.next("item/tool/requestUserInput");
  assert.equal(again.id, asked.id);
  client.close();
  const answers = { q1: { answers: ["A"] } };
  late.send({ id: again.id as number, result: { answers } });
  await late.next("serverRequest/resolved", ({ requestId }) => requestId === asked.id);
  await late.next("turn/completed", (params) => params.turn.id === turn.id);
  assert.deepEqual(outputsIn(model.requests.at(-1) as ModelRequest), [JSON.stringify({ answers })]);
  const op = { type: "user_input_answer" as const, id: "c1", response: { answers: {} } };
  const loaded = manager.loadedThread(thread.id);
  await assert.rejects(async () => loaded?.submit(op), InvalidRequestError);
});

test("what is no answer, or an error, answers nothing; the end of the turn withdraws the question", async () => {
  const { client, model, ...rest } = await served([asking, asking, [say("so be it")], asking, [hang()]]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  await start(client, thread.id, { collaborationMode: PLAN });
  const first = await client.next("item/tool/requestUserInput");
  client.send({ id: first.id as number, result: { answers: "yes" } });
  const second = await client.next("item/tool/requestUserInput");
  client.send({ id: second.id as number, error: { code: -1, message: "no" } });
  await client.next("turn/completed");
  const none = JSON.stringify({ answers: {} });
  assert.deepEqual(outputsIn(model.requests.at(-1) as ModelRequest), [none, none]);
  const { turn } = await start(client, thread.id);
  const third = await client.next("item/tool/requestUserInput");
  await client.request("turn/interrupt", { threadId: thread.id, turnId: turn.id });
  await client.find(({ method, params }) => method === "serverRequest/resolved" && params.requestId === third.id);
  const { params } = await client.next("turn/completed");
  assert.equal(params.turn.status, "interrupted");
});

test("outside of plan mode nobody is asked; in it there is no list of steps", async () => {
  const steps = call("update_plan", { plan: [] }, { callId: "c2" });
  const { client, model, ...rest } = await served([[...asking, steps], [say("a")], [steps], [say("b")]]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "go");
  const outputs = outputsIn(model.requests.at(-1) as ModelRequest);
  assert.deepEqual(outputs, ["request_user_input is unavailable in Default mode", "Plan updated"]);
  const { turn } = await start(client, thread.id, { collaborationMode: PLAN });
  await client.next("turn/completed", (params) => params.turn.id === turn.id);
  assert.match(String(outputsIn(model.requests.at(-1) as ModelRequest).at(-1)), /cannot be used in Plan mode/);
  assert.equal(client.methods.filter((method) => method === "turn/plan/updated").length, 1);
});

test("an agent works in no mode", async () => {
  const spawn = call("spawn_agent", { message: "look" }, { callId: "s", namespace: "multi_agent_v1" });
  const { client, model, ...rest } = await served(
    ({ input: items }) => {
      const said = items.map((item) => textOf(item as Parameters<typeof textOf>[0]));
      if (said.includes("look")) return [say("seen")];
      return items.some(({ type }) => type === "function_call_output") ? [say("done")] : [spawn];
    },
    ["multi_agent"],
  );
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  await start(client, thread.id, { collaborationMode: PLAN });
  await client.find(({ method, params }) => method === "turn/completed" && params.threadId !== thread.id);
  const ofAgent = model.requests.find(({ threadId }) => threadId !== thread.id);
  assert.deepEqual(modesIn(ofAgent as ModelRequest), []);
});

test("an approved plan is known to the model before the first turn, and nobody sees it as said", async () => {
  const { client, model, ...rest } = await served([[say("on it")], [hang()]]);
  await using _ = rest;
  const { thread } = await client.request("thread/start", {});
  const threadId: string = thread.id;
  const prepare = { threadId, markdown: "# Plan\n1. do it" };
  assert.deepEqual(await client.request("thread/prepareApprovedPlan", prepare), { prompt: "Implement the plan." });
  await client.turn(threadId, "Implement the plan.");
  const [request] = model.requests;
  const at = request?.input.findIndex((item) => item.type === "message" && textOf(item).includes("1. do it")) ?? -1;
  assert.equal(at, (request?.input.length ?? 0) - 2, "right before the user's message");
  const { data } = await client.request("thread/turns/list", { threadId, itemsView: "full" });
  assert.deepEqual(
    data.map(({ items }: Json) => items.map(({ type }: Json) => type)),
    [["userMessage", "agentMessage"]],
  );
  const failed = async (params: Json) => (await client.failure("thread/prepareApprovedPlan", params)).message;
  assert.equal(await failed({ ...prepare, markdown: " \n" }), "The approved plan is empty.");
  await start(client, threadId);
  assert.equal(await failed(prepare), "The thread already has an active turn.");
});
