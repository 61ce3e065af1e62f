/** A server that is asked to end lets its turns end, but waits for no answer that nobody is there to give. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { createGoalTools } from "../../src/app-server/memos/goal-tools.ts";
import { Server } from "../../src/app-server/server.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { call } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { MAIN } from "../cli/skein.ts";
import { homeWithProvider } from "../cli/temp-home.ts";
import { ModelServer } from "../model/model-server.ts";
import { answer, calling, replyOf } from "./model-plays.ts";
import { input } from "./stories.ts";
import { clientOver, type Json, TestClient } from "./test-client.ts";

const LOOKUP = { name: "lookup", description: "", inputSchema: { type: "object" } };
const QUESTION = { header: "h", id: "q", question: "Which?", options: [{ label: "a", description: "" }] };

/** What a turn can wait for, and what its client is asked. */
const QUESTIONS: Readonly<Record<string, readonly [call: Json, method: string]>> = {
  "an approval": [
    call("exec_command", { cmd: "true", sandbox_permissions: "require_escalated", justification: "it has to" }),
    "item/commandExecution/requestApproval",
  ],
  "an answer": [call("request_user_input", { questions: [QUESTION] }), "item/tool/requestUserInput"],
  "a tool of its client's": [call("lookup", {}), "item/tool/call"],
};

/** A thread whose turn waits, and who follows it. */
async function waiting(asked: Json, method: string) {
  const config = {
    cwd: "/tmp",
    approvalPolicy: "on-request",
    builtInTools: ["unified_exec", "request_user_input"],
  } as const;
  const goalTools = createGoalTools();
  const manager = await ThreadManager.create({
    store: memoryStore(),
    model: scriptedClient([[asked], "done"]),
    config,
    tools: goalTools.tools,
  });
  const server = new Server({ threads: manager, manager }, { cwd: "/tmp", goalTools });
  const connect = async () => {
    const wires = linkedWires();
    server.connect(wires.server);
    const client = new TestClient(wires.client);
    await client.initialize();
    return { client, leave: () => wires.client.close() };
  };
  const follower = await connect();
  const { thread } = await follower.client.request("thread/start", { dynamicTools: [LOOKUP] });
  const ended = new Promise<string>((resolve) => {
    manager.events$.subscribe(({ msg }) => {
      if (msg.type === "turn_aborted" || msg.type === "task_complete") resolve(msg.type);
    });
  });
  const collaborationMode = {
    mode: "plan",
    settings: { model: "scripted", reasoning_effort: null, developer_instructions: null },
  };
  await follower.client.request("turn/start", { threadId: thread.id, input: input("go"), collaborationMode });
  await follower.client.next(method);
  const parts = { manager, server, connect, ended, threadId: thread.id as string };
  return {
    ...parts,
    ...follower,
    async [Symbol.asyncDispose]() {
      await server.close();
      await manager.shutdown();
    },
  };
}

for (const [what, [asked, method]] of Object.entries(QUESTIONS)) {
  test(`${what} is not waited for once nobody is there`, async () => {
    for (const steps of [
      ["leave", "drain"],
      ["drain", "leave"],
    ] as const) {
      await using world = await waiting(asked, method);
      // A client that does not follow the thread was not asked.
      await world.connect();
      for (const step of steps) {
        if (step === "leave") world.leave();
        else world.server.drain();
      }
      assert.equal(await world.ended, "turn_aborted");
    }
  });
}

test("nothing new begins in a server that drains, by a client, from a queue or toward a goal; what runs ends by itself", async () => {
  const [asked, method] = QUESTIONS["an answer"] ?? [];
  await using world = await waiting(asked, method ?? "");
  const { client, manager, server, threadId } = world;
  const newThread = async (): Promise<string> => (await client.request("thread/start", {})).thread.id;
  const [queued, aimed] = [await newThread(), await newThread()];
  const queue = (id: string) => ({ threadId: id, input: input("later"), clientUserMessageId: "c" });
  await client.request("thread/queue/add", queue(threadId));
  const begun: string[] = [];
  manager.events$.subscribe(({ msg, threadId: id }) => msg.type === "task_started" && begun.push(id));
  server.drain();
  const beginnings: Readonly<Record<string, Json>> = {
    "turn/start": { threadId: aimed, input: input("go") },
    "turn/steer": { threadId, expectedTurnId: "t", input: input("go") },
    "review/start": { threadId: aimed, target: { type: "uncommittedChanges" } },
    "thread/start": {},
    "thread/resume": { threadId: aimed },
    "thread/fork": { threadId: aimed },
    "thread/compact/start": { threadId: aimed },
    "thread/shellCommand": { threadId: aimed, command: "true" },
    "thread/queue/start": { threadId: queued },
    newConversation: {},
    sendUserMessage: { conversationId: aimed, items: [] },
  };
  for (const [name, params] of Object.entries(beginnings)) {
    const { code, message, data } = await client.failure(name, params);
    const told = [-32600, "Server is draining; retry after reconnecting", "serverShuttingDown"];
    assert.deepEqual([code, message, data.reason], told, name);
  }
  // Such a thread would begin at once otherwise.
  await client.request("thread/queue/add", queue(queued));
  await client.request("thread/goal/set", { threadId: aimed, objective: "ship it" });
  const { id } = await client.find((message) => message.method === method);
  client.send({ id: id ?? 0, result: { answers: { q: { answers: ["a"] } } } });
  assert.equal(await world.ended, "task_complete");
  for (const each of [threadId, queued])
    assert.equal((await client.request("thread/queue/list", { threadId: each })).data.length, 1);
  assert.equal((await client.request("thread/goal/get", { threadId: aimed })).goal.status, "active");
  assert.deepEqual(begun, []);
});

test("an approval is waited for as long as somebody is there who sees those of all threads", async () => {
  const [asked, method] = QUESTIONS["an approval"] ?? [];
  await using world = await waiting(asked, method ?? "");
  const overseer = await world.connect();
  const { opened } = await overseer.client.request("skein/approvals/watch", {});
  world.leave();
  world.server.drain();
  const callId = opened[0]?.callId ?? (await overseer.client.next("skein/approvals/changed")).params.opened[0].callId;
  const answers = [{ threadId: world.threadId, callId, decision: "decline" }];
  await overseer.client.request("skein/approvals/answer", { answers });
  assert.equal(await world.ended, "task_complete");

  await using other = await waiting(asked, method ?? "");
  const second = await other.connect();
  await second.client.request("skein/approvals/watch", {});
  other.leave();
  other.server.drain();
  second.leave();
  assert.equal(await other.ended, "turn_aborted");
});

test("one signal ends a server over a socket whose client has gone and left an approval open", {
  timeout: 60_000,
}, async (t: TestContext) => {
  const asks = { cmd: "true", sandbox_permissions: "require_escalated", justification: "it has to" };
  const model = await ModelServer.start(replyOf([answer(calling("exec_command", asks, { callId: "a" }))]));
  t.after(() => model[Symbol.asyncDispose]());
  const home = await homeWithProvider(t, model.baseUrl, 'approval_policy = "on-request"');
  const child = spawn(process.execPath, [MAIN, "app-server", "--home", home, "--listen", "ws://127.0.0.1:0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const [said] = await once(child.stderr, "data");
  const socket = new WebSocket(/ws:\/\/\S+/.exec(String(said))?.[0] ?? "");
  const client = await clientOver(socket);
  await client.initialize();
  const { thread } = await client.request("thread/start", { cwd: home });
  await client.request("turn/start", { threadId: thread.id, input: input("go") });
  await client.next("item/commandExecution/requestApproval");
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  socket.terminate();
  assert.deepEqual(await ended, [0, null]);
});
