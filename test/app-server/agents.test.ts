/** Agents as clients see them: whose they are, what they ask, and what a client can do to them. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { call, type Play } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { serve, type TestClient } from "./test-client.ts";

const namespace = "multi_agent_v1";
const config = {
  cwd: tmpdir(),
  approvalPolicy: "untrusted",
  sandboxMode: "danger-full-access",
  builtInTools: ["shell", "multi_agent"],
} as const;

/** The lead starts an agent, which asks before its command, and waits for it. */
function script(): (
  request: Parameters<Exclude<Parameters<typeof scriptedClient>[0], readonly Play[] | undefined>>[0],
) => Play {
  return ({ input }) => {
    const texts = input.map(textOf);
    if (!texts.includes("lead")) {
      return input.at(-1)?.type === "function_call_output"
        ? "not allowed to"
        : [call("shell_command", { command: "touch made.txt" }, { callId: "touch" })];
    }
    const id = /"agent_id":"([^"]+)"/.exec(texts.join("\n"))?.[1];
    if (id === undefined) return [call("spawn_agent", { message: "make it" }, { callId: "spawn", namespace })];
    return texts.some((text) => text.includes("timed_out"))
      ? "done"
      : [call("wait_agent", { targets: [id] }, { callId: "wait", namespace })];
  };
}

const start = async (client: TestClient): Promise<string> => {
  const { thread } = await client.request("thread/start", {});
  await client.request("turn/start", { threadId: thread.id, input: [{ type: "text", text: "lead" }] });
  return thread.id;
};

const endOf = (client: TestClient, threadId: string) =>
  client.find(({ method, params }) => method === "turn/completed" && params.threadId === threadId);

test("an agent is told of before it says anything, asks its parent's clients, and the parent waits for it", async () => {
  await using served = await serve({ manager: { model: scriptedClient(script()), config } });
  const { client } = served;
  const lead = await start(client);
  const asked = await client.next("item/commandExecution/requestApproval");
  const agent = asked.params.threadId;
  assert.notEqual(agent, lead);
  const first = client.log.find(({ params }) => (params?.threadId ?? params?.thread?.id) === agent);
  assert.deepEqual(
    [first?.method, first?.params.thread.parentThreadId, first?.params.thread.sessionId],
    ["thread/started", lead, lead],
  );
  const { agentNickname, threadSource, source } = first?.params.thread ?? {};
  assert.equal(threadSource, "subagent");
  assert.equal(source.subAgent.thread_spawn.agent_nickname, agentNickname);
  client.send({ id: asked.id ?? 0, result: { decision: "decline" } });
  const ended = await endOf(client, lead);
  assert.equal(ended.params.turn.status, "completed");
  const wait = client.log.findLast(({ method, params }) => method === "item/completed" && params.item.id === "wait");
  assert.deepEqual(wait?.params.item.agentsStates, { [agent]: { status: "completed", message: "not allowed to" } });
  const turns = client.log.filter(({ method, params }) => method === "turn/started" && params.threadId === agent);
  assert.deepEqual(
    turns.map(({ params }) => params.turn.rootTurnId),
    [ended.params.turn.id],
  );
});

test("an interrupt of the parent leaves the agent asking; a client may talk to it and interrupt it", async () => {
  await using served = await serve({ manager: { model: scriptedClient(script()), config } });
  const { client } = served;
  const lead = await start(client);
  const asked = await client.next("item/commandExecution/requestApproval");
  const agent = asked.params.threadId;
  await client.find(({ method, params }) => method === "item/started" && params.item.id === "wait");
  const turnOf = (id: string) =>
    client.log.findLast(({ method, params }) => method === "turn/started" && params.threadId === id)?.params.turn.id;
  await client.request("turn/interrupt", { threadId: lead, turnId: turnOf(lead) });
  const ended = await endOf(client, lead);
  assert.equal(ended.params.turn.status, "interrupted");
  const { thread } = await client.request("thread/read", { threadId: agent });
  assert.deepEqual(thread.status, { type: "active", activeFlags: ["waitingOnApproval"] });
  await client.request("turn/interrupt", { threadId: agent, turnId: turnOf(agent) });
  await endOf(client, agent);
  const page = async (params: object) =>
    (await client.request("thread/list", params)).data.map(({ id }: { id: string }) => id);
  assert.deepEqual([await page({}), await page({ parentThreadId: lead })], [[lead], [agent]]);
  assert.deepEqual(await page({ sourceKinds: ["subAgentThreadSpawn"] }), [agent]);
});
