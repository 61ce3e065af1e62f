import assert from "node:assert/strict";
import { test } from "node:test";
import { fail, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { type Message, serve } from "./test-client.ts";

const items = (text: string) => [{ type: "text", data: { text } }];
const events = (log: readonly Message[]) =>
  log.flatMap(({ method }) => (method?.startsWith("codex/event/") ? method.slice(12) : []));

test("a conversation: listener, message, events under the thread's own submission ids", async () => {
  await using served = await serve();
  const { client } = served;
  const { conversationId, model } = await client.request("newConversation", {});
  assert.equal(model, "scripted");
  const { subscriptionId } = await client.request("addConversationListener", { conversationId });
  assert.deepEqual(await client.request("sendUserMessage", { conversationId, items: items("hi") }), {});
  await client.next("turn/completed");
  assert.deepEqual(events(client.log), [
    ...[
      "mcp_startup_complete",
      "task_started",
      "item_started",
      "item_completed",
      "user_message",
      "token_count",
      "item_started",
    ],
    ...["agent_message_content_delta", "agent_message_delta", "agent_message_content_delta", "agent_message_delta"],
    ...["item_completed", "agent_message", "token_count", "task_complete"],
  ]);
  const ids = client.log.flatMap(({ method, params }) =>
    method?.startsWith("codex/event/") ? [params.id, params.conversationId] : [],
  );
  assert.deepEqual([...new Set(ids)], ["", conversationId, "0"]);
  assert.deepEqual(
    client.methods.filter((each) => /^thread|^turn/.test(each)),
    ["thread/tokenUsage/updated", "turn/completed"],
  );
  assert.deepEqual(await client.request("removeConversationListener", { subscriptionId }), {});
  const seen = client.log.length;
  await client.request("sendUserMessage", { conversationId, items: items("unheard") });
  await client.request("getUserAgent");
  assert.deepEqual(events(client.log.slice(seen)), []);
});

test("what a conversation says before its first listener waits for that one", async () => {
  await using served = await serve();
  const { client } = served;
  const { conversationId } = await client.request("newConversation", {});
  await client.request("sendUserMessage", { conversationId, items: items("early") });
  const thread = await served.manager.getThread(conversationId);
  for await (const { msg } of thread.events({ after: -1 })) if (msg.type === "task_complete") break;
  assert.deepEqual(events(client.log), []);
  await client.request("addConversationListener", { conversationId });
  assert.deepEqual(events(client.log).slice(0, 2), ["mcp_startup_complete", "task_started"]);
  assert.equal(events(client.log).at(-1), "task_complete");
});

test("two listeners see all: two clients each everything, two of one client nothing twice", async () => {
  await using served = await serve();
  const { client } = served;
  const other = served.connect();
  await other.initialize();
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  const second = await client.request("addConversationListener", { conversationId });
  await other.request("addConversationListener", { conversationId });
  await client.request("sendUserMessage", { conversationId, items: items("hi") });
  await Promise.all([client.next("turn/completed"), other.next("turn/completed")]);
  // The first listener gets what was said before it came.
  assert.deepEqual(["mcp_startup_complete", ...events(other.log)], events(client.log));
  assert.equal(events(client.log).filter((type) => type === "task_started").length, 1);
  await client.request("removeConversationListener", second);
  await client.request("sendUserMessage", { conversationId, items: items("again") });
  await client.next("turn/completed");
  assert.equal(events(client.log).filter((type) => type === "task_started").length, 2);
});

test("raw items go to listeners that asked for them; codex/event to no v2 client", async () => {
  await using served = await serve();
  const { client } = served;
  const raw = served.connect();
  await raw.initialize();
  const v2 = served.connect();
  await v2.initialize();
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  await raw.request("addConversationListener", { conversationId, experimentalRawEvents: true });
  await v2.request("thread/resume", { threadId: conversationId, excludeTurns: true });
  await client.request("sendUserMessage", { conversationId, items: items("hi") });
  await Promise.all([client, raw, v2].map((each) => each.next("turn/completed")));
  assert.equal(events(client.log).includes("raw_response_item"), false);
  assert.equal(events(raw.log).includes("raw_response_item"), true);
  assert.deepEqual(events(v2.log), []);
});

test("forkConversation: sessionConfigured first, then the answer, both with the source's events", async () => {
  await using served = await serve();
  const { client } = served;
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  await client.request("sendUserMessage", { conversationId, items: items("one") });
  await client.next("turn/completed");
  const fork = await client.request("forkConversation", {
    conversationId,
    overrides: { model: "other", cwd: "/deep", config: { model_reasoning_effort: "high" }, compactPrompt: "c" },
  });
  assert.notEqual(fork.conversationId, conversationId);
  assert.equal(fork.model, "other");
  const { cwd, compactPrompt } = (await served.manager.getThread(fork.conversationId)).config;
  assert.deepEqual({ cwd, compactPrompt }, { cwd: "/deep", compactPrompt: "c" });
  const kinds = fork.initialMessages.map(({ type }: { type: string }) => type);
  assert.deepEqual(
    kinds.filter((type: string) => type !== "token_count"),
    ["user_message", "agent_message"],
  );
  const configured = client.log.findIndex(({ method }) => method === "sessionConfigured");
  assert.deepEqual(client.log[configured]?.params.initialMessages, fork.initialMessages);
  assert.equal(client.log[configured]?.params.reasoningEffort, "high");
  assert.equal(
    client.log.findIndex(({ result }) => result === fork),
    configured + 1,
  );
  await client.request("addConversationListener", { conversationId: fork.conversationId });
  await client.request("sendUserMessage", { conversationId: fork.conversationId, items: items("two") });
  await client.next("turn/completed", ({ threadId }) => threadId === fork.conversationId);
  const again = await client.request("resumeConversation", { conversationId: fork.conversationId });
  const messages = again.initialMessages.filter(({ type }: { type: string }) => type === "user_message");
  assert.deepEqual(
    messages.map(({ message }: { message: string }) => message),
    ["one", "two"],
  );
  const source = await client.request("resumeConversation", { conversationId });
  assert.equal(source.conversationId, conversationId);
  assert.equal(source.initialMessages.filter(({ type }: { type: string }) => type === "user_message").length, 1);
});

test("a history given inline makes a new conversation", async () => {
  await using served = await serve();
  const { client } = served;
  const history = [
    { type: "message", role: "user", content: [{ type: "input_text", text: "h1" }] },
    { type: "message", role: "assistant", content: [{ type: "output_text", text: "h2" }] },
  ];
  const { conversationId, initialMessages, model } = await client.request("resumeConversation", {
    history,
    overrides: { model: "m" },
  });
  assert.deepEqual({ initialMessages, model }, { initialMessages: [], model: "m" });
  await client.request("addConversationListener", { conversationId });
  await client.request("sendUserMessage", { conversationId, items: items("go on") });
  await client.next("turn/completed");
});

test("interruptConversation is answered with the reason; with nothing to interrupt, by an error", async () => {
  const model = scriptedClient(() => [say("part"), hang()]);
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  assert.equal(
    (await client.failure("interruptConversation", { conversationId })).message,
    "no active turn to interrupt",
  );
  await client.request("sendUserMessage", { conversationId, items: items("hang") });
  assert.deepEqual(await client.request("interruptConversation", { conversationId }), { abortReason: "interrupted" });
  assert.equal((await client.next("turn/completed")).params.turn.status, "interrupted");
});

test("sendUserTurn sets what stays; lists, summaries and archive", async () => {
  await using served = await serve();
  const { client } = served;
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  await client.request("sendUserTurn", {
    conversationId,
    items: items("turn"),
    cwd: "/deep",
    approvalPolicy: "never",
    sandboxPolicy: { type: "danger-full-access" },
    model: "m2",
    effort: "low",
    summary: "auto",
    outputSchema: null,
  });
  await client.next("turn/completed");
  const { model, cwd, approvalPolicy } = (await served.manager.getThread(conversationId)).config;
  assert.deepEqual({ model, cwd, approvalPolicy }, { model: "m2", cwd: "/deep", approvalPolicy: "never" });
  const { summary } = await client.request("getConversationSummary", { conversationId });
  const { items: rows, nextCursor } = await client.request("listConversations", { pageSize: 5 });
  assert.deepEqual(rows, [summary]);
  assert.equal(nextCursor, null);
  assert.deepEqual([summary.preview, summary.source, summary.gitInfo], ["turn", "vscode", null]);
  assert.deepEqual(await client.request("archiveConversation", { conversationId, rolloutPath: "" }), {});
  assert.equal(
    (await client.failure("sendUserMessage", { conversationId, items: [] })).message,
    `conversation not found: ${conversationId}`,
  );
  assert.deepEqual(await client.request("getAuthStatus", { includeToken: true }), {
    authMethod: null,
    authToken: null,
    requiresOpenaiAuth: false,
  });
  assert.deepEqual(await client.request("userInfo"), { allegedUserEmail: null });
});

test("a client of both versions is told of its threads as v2 does, and of its conversations as v1 does", async () => {
  await using served = await serve();
  const { client } = served;
  const { conversationId } = await client.request("newConversation", {});
  const { thread } = await client.request("thread/start", {});
  assert.equal((await client.next("thread/started")).params.thread.id, thread.id);
  await client.turn(thread.id, "in v2");
  await client.request("addConversationListener", { conversationId });
  await client.request("sendUserMessage", { conversationId, items: items("in v1") });
  await client.next("turn/completed", ({ threadId }) => threadId === conversationId);
  const told = (id: string) =>
    new Set(client.log.flatMap(({ method, params }) => (params?.threadId === id ? [method] : [])));
  assert.equal(told(thread.id).has("turn/started"), true);
  assert.equal(told(conversationId).has("turn/started"), false);
  assert.equal(events(client.log).filter((type) => type === "task_started").length, 1);
});

test("a failure of a kind that 0.87 does not know is `other` to its clients, and itself to later ones", async () => {
  const kinds = ["rate_limit_exceeded", "server_overloaded", "cyber_policy", "bio_policy", "flex_unavailable"] as const;
  const v2 = ["rateLimitExceeded", "serverOverloaded", "cyberPolicy", "bioPolicy", "flexUnavailable"];
  let asked = 0;
  const model = scriptedClient(() => [fail(new ModelError("no", { info: kinds[asked++] ?? "unauthorized" }))]);
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const later = served.connect();
  await later.initialize();
  const { conversationId } = await client.request("newConversation", {});
  await client.request("addConversationListener", { conversationId });
  await later.request("thread/resume", { threadId: conversationId });
  const infosOf = ({ method, params }: Message): unknown[] => {
    if (method === "codex/event/error") return [params.msg.codex_error_info];
    if (method === "error") return [params.error.codexErrorInfo];
    return method === "turn/completed" ? [params.turn.error.codexErrorInfo] : [];
  };
  for (const [n, kind] of [...v2, "unauthorized"].entries()) {
    const [seen, seenLater] = [client.log.length, later.log.length];
    await client.request("sendUserMessage", { conversationId, items: items(`m${n}`) });
    const isEnd = ({ method }: Message) => method === "turn/completed";
    await Promise.all([client, later].map((each) => each.next("turn/completed")));
    const shown = kind === "unauthorized" ? kind : "other";
    assert.deepEqual(client.log.slice(seen).flatMap(infosOf), [shown, shown, shown]);
    const end = later.log.slice(seenLater).find(isEnd);
    assert.deepEqual(end === undefined ? [] : infosOf(end), [kind]);
  }
});
