/**
 * Every message of a session through v1's methods, checked against the JSON schemas that stock Codex 0.87 prints: the life
 * of a conversation as its editor extension and other clients of that time led it.
 */
import { join } from "node:path";
import { codexBinary } from "../oracle/codex-binary.ts";
import { Place } from "./place.ts";
import { Schemas } from "./schemas.ts";
import { type Json, StdioClient } from "./stdio-client.ts";

/** What a session like this one has to bring, so that it has been checked. */
const TO_HEAR = [
  ...["sessionConfigured", "execCommandApproval", "applyPatchApproval", "authStatusChange", "item/started"],
  ...["item/completed", "item/agentMessage/delta", "turn/completed", "thread/tokenUsage/updated", "error"],
  ...["task_started", "task_complete", "turn_aborted", "user_message", "agent_message", "agent_message_delta"],
  ...["agent_reasoning", "exec_command_begin", "exec_command_end", "exec_approval_request", "patch_apply_begin"],
  ...["patch_apply_end", "apply_patch_approval_request", "turn_diff", "token_count", "raw_response_item", "error"],
];
/** Told before the server knows which version a client speaks. */
const BEFORE_V1 = new Set(["remoteControl/status/changed"]);

const items = (words: string) => [{ type: "text", data: { text: words } }];

/** undefined where the binary can't be had. */
export async function checkSchemasOfV1(): Promise<string[] | undefined> {
  const binary = codexBinary("0.87.0");
  if (binary === undefined) return undefined;
  await using place = await Place.create();
  const schemas = Schemas.printedBy(binary, { folder: join(place.folder, "schemas") });
  await using client = new StdioClient(place.spawnStdio());
  await session(client, place).catch((error: unknown) => client.failed.push(`the session ended: ${error}`));
  const heard = client.heard.filter(({ message }) => !BEFORE_V1.has(message.method ?? ""));
  const problems = heard.flatMap(({ message, answered }) => schemas.problemsOf(message, answered));
  const methods = new Set(heard.map(({ message }) => message.method?.replace("codex/event/", "")));
  const missed = TO_HEAR.filter((method) => !methods.has(method)).map((method) => `${method}: never came`);
  return [...new Set([...problems, ...client.failed, ...missed])];
}

async function session(client: StdioClient, { work: cwd, model }: Place): Promise<void> {
  await client.ask("initialize", { clientInfo: { name: "schema-check", title: "Schema check", version: "1.0.0" } });
  await account(client);
  const settings = { cwd, approvalPolicy: "untrusted", sandbox: "danger-full-access" };
  const { conversationId, rolloutPath } = await client.ask("newConversation", settings);
  const { subscriptionId } = await listen(client, conversationId);
  await said(client, conversationId, ["hello", "think hard", "fail now"]);
  client.decision = "approved";
  await said(client, conversationId, ["run touch made.txt", "patch also-made.txt"]);
  client.decision = "denied";
  await said(client, conversationId, ["run touch never.txt"]);
  await client.ask("sendUserMessage", { conversationId, items: items("wait for me") });
  await client.nth("codex/event/agent_message_delta", ({ msg }) => msg.delta.startsWith("waiting"));
  await client.ask("interruptConversation", { conversationId });
  model.release();
  await turn(client, conversationId, cwd);
  const overrides = { model: "gpt-5.1", developerInstructions: "be exact", config: { model_reasoning_effort: "high" } };
  const fork = await client.ask("forkConversation", { conversationId, overrides });
  await listen(client, fork.conversationId);
  await said(client, fork.conversationId, ["on the fork"]);
  await client.ask("forkConversation", { path: rolloutPath });
  await client.ask("resumeConversation", { conversationId: fork.conversationId });
  await client.ask("getConversationSummary", { conversationId });
  await client.ask("getConversationSummary", { rolloutPath });
  await client.ask("listConversations", { pageSize: 1 });
  await client.ask("removeConversationListener", { subscriptionId });
  await client.ask("archiveConversation", { conversationId, rolloutPath });
}

async function account(client: StdioClient): Promise<void> {
  await client.ask("loginApiKey", { apiKey: "sk-of-the-schema-check" });
  await client.ask("getAuthStatus", { includeToken: true, refreshToken: false });
  await client.ask("logoutChatGpt");
  await client.ask("userInfo");
  await client.ask("getUserAgent");
  await client.ask("getUserSavedConfig");
}

const listen = (client: StdioClient, conversationId: string): Promise<Json> =>
  client.ask("addConversationListener", { conversationId, experimentalRawEvents: true });

async function said(client: StdioClient, conversationId: string, texts: readonly string[]): Promise<void> {
  for (const words of texts) {
    const from = client.heard.length;
    await client.ask("sendUserMessage", { conversationId, items: items(words) });
    await client.nth("turn/completed", (params) => isAfter(client, { from, params }));
  }
}

async function turn(client: StdioClient, conversationId: string, cwd: string): Promise<void> {
  const from = client.heard.length;
  const sandboxPolicy = { type: "workspace-write", writable_roots: [], network_access: false };
  const settings = { cwd, approvalPolicy: "never", sandboxPolicy, model: "gpt-5.1", effort: "low", summary: "auto" };
  await client.ask("sendUserTurn", { conversationId, items: items("with settings"), ...settings, outputSchema: null });
  await client.nth("turn/completed", (params) => isAfter(client, { from, params }));
}

/** Whether the notification with these params came after so many others. */
const isAfter = ({ heard }: StdioClient, { from, params }: { from: number; params: Json }): boolean =>
  heard.findIndex(({ message }) => message.params === params) >= from;
