/**
 * Every message of a session that goes through the methods of v2, checked against the JSON schemas that the stock binary
 * prints: what it asks for is there, and no optional member is left out.
 */
import { join } from "node:path";
import { Place } from "./place.ts";
import { Schemas } from "./schemas.ts";
import { type Json, StdioClient } from "./stdio-client.ts";

const text = (words: string) => [{ type: "text", text: words, text_elements: [] }];

/** What a session like this one has to bring, so that it has been checked. */
const TO_HEAR = [
  ...["thread/started", "thread/status/changed", "thread/tokenUsage/updated", "thread/name/updated", "thread/reverted"],
  ...["thread/archived", "thread/unarchived", "thread/deleted", "turn/started", "turn/completed", "turn/diff/updated"],
  ...["item/started", "item/completed", "item/agentMessage/delta", "item/reasoning/summaryTextDelta", "error"],
  ...["item/commandExecution/outputDelta", "item/commandExecution/requestApproval", "item/fileChange/requestApproval"],
  ...["item/plan/delta", "thread/goal/updated", "thread/goal/cleared", "thread/queue/changed"],
  ...["process/outputDelta", "process/exited", "thread/attachment/updated", "thread/section/changed"],
  ...["serverRequest/resolved", "account/updated", "account/login/completed", "deprecationNotice"],
];

export async function checkSchemas(binary: string): Promise<string[]> {
  await using place = await Place.create();
  const schemas = Schemas.printedBy(binary, { folder: join(place.folder, "schemas"), args: ["--experimental"] });
  await using client = new StdioClient(place.spawnStdio());
  await session(client, place).catch((error: unknown) => client.failed.push(`the session ended: ${error}`));
  const problems = client.heard.flatMap(({ message, answered }) => schemas.problemsOf(message, answered));
  const heard = new Set(client.heard.map(({ message }) => message.method));
  const missed = TO_HEAR.filter((method) => !heard.has(method)).map((method) => `${method}: never came`);
  return [...new Set([...problems, ...client.failed, ...missed])];
}

async function session(client: StdioClient, { work: cwd, model }: Place): Promise<void> {
  const clientInfo = { name: "schema-check", title: "Schema check", version: "1.0.0" };
  await client.ask("initialize", { clientInfo, capabilities: { experimentalApi: true } });
  client.send({ method: "initialized" });
  await catalogs(client, cwd);
  const { thread } = await client.ask("thread/start", { cwd });
  const threadId: string = thread.id;
  for (const words of ["hello", "think hard", "run echo hi; exit 3", "patch made.txt", "fail now", "bye"]) {
    await client.turn(threadId, words);
  }
  await runningTurns(client, threadId, () => model.release());
  await approvals(client, cwd);
  const { thread: read } = await client.ask("thread/read", { threadId, includeTurns: true });
  const [first, second] = read.turns.map(({ id }: Json) => id);
  await client.ask("thread/name/set", { threadId, name: "A name" });
  await client.ask("thread/compact/start", { threadId });
  await client.nth("turn/completed", ({ turn }) => turn.items.length === 0 || turn.status === "completed");
  await forks(client, threadId, first, second);
  await client.ask("thread/shellCommand", { threadId, command: "echo by-hand" });
  await client.nth("item/completed", ({ item }) => item.source === "userShell");
  await lists(client, threadId);
  await commands(client, cwd);
  await attachments(client, threadId);
  await settings(client, threadId);
  await modes(client);
  await client.ask("thread/inject_items", {
    threadId,
    items: [{ type: "message", role: "user", content: [{ type: "input_text", text: "put in" }] }],
  });
  await client.ask("thread/unsubscribe", { threadId });
  await client.ask("thread/unsubscribe", { threadId });
  await client.ask("thread/resume", {
    threadId,
    initialTurnsPage: { limit: 2, itemsView: "full" },
    excludeTurns: true,
  });
  await client.ask("thread/resume", { threadId });
  await client.ask("thread/revert", { threadId, beforeTurnId: second });
  await client.ask("thread/metadata/update", { threadId, gitInfo: { branch: "trunk" } });
  await client.ask("thread/archive", { threadId });
  await client.ask("thread/list", { archived: true });
  await client.ask("thread/unarchive", { threadId });
  await client.ask("thread/resume", { threadId, model: "gpt-5.1" });
  await client.turn(threadId, "once more");
  const { thread: last } = await client.ask("thread/start", { ephemeral: true });
  await client.turn(last.id, "nothing stays");
  await client.ask("thread/delete", { threadId });
  await client.nth("thread/deleted", (params) => params.threadId === threadId);
}

async function catalogs(client: StdioClient, cwd: string): Promise<void> {
  const requests: [string, Json][] = [
    ["model/list", { includeHidden: true }],
    ["skills/list", { cwds: [cwd] }],
    ["hooks/list", { cwds: [cwd] }],
    ["config/read", { includeLayers: true, cwd }],
    ["config/value/write", { keyPath: "model_verbosity", value: "low", mergeStrategy: "replace" }],
    ["config/batchWrite", { edits: [{ keyPath: "model_verbosity", value: null, mergeStrategy: "replace" }] }],
    ["configRequirements/read", null],
    ["account/read", { refreshToken: false }],
    ["account/login/start", { type: "apiKey", apiKey: "sk-of-the-schema-check" }],
    ["account/read", {}],
    ["account/logout", undefined],
    ["collaborationMode/list", {}],
    ["permissionProfile/list", {}],
    ["mcpServerStatus/list", {}],
    ["plugin/installed", {}],
    ["plugin/list", {}],
    ["app/list", {}],
    ["app/installed", {}],
    ["experimentalFeature/list", {}],
    ["modelProvider/list", {}],
    ["modelProvider/capabilities/read", {}],
    ["memory/status", {}],
    ["thread/list", {}],
    ["thread/loaded/list", {}],
  ];
  for (const [method, params] of requests) await client.ask(method, params);
}

async function commands(client: StdioClient, cwd: string): Promise<void> {
  await client.ask("fuzzyFileSearch", { query: "made", roots: [cwd] });
  const run = { streamStdin: true, streamStdoutStderr: true, processId: "p" };
  const answer = client.ask("command/exec", { command: ["cat"], ...run });
  await client.ask("command/exec/write", { processId: "p", deltaBase64: "aGk=" });
  await client.nth("command/exec/outputDelta", (params) => params.processId === "p");
  await client.ask("command/exec/terminate", { processId: "p" });
  await answer;
  await client.ask("command/exec", { command: ["true"], permissionProfile: ":danger-full-access" });
  const spawned = { processHandle: "h", command: ["cat"], cwd };
  await client.ask("process/spawn", { ...spawned, streamStdin: true, streamStdoutStderr: true });
  await client.ask("process/writeStdin", { processHandle: "h", deltaBase64: "aGk=" });
  await client.nth("process/outputDelta", (params) => params.processHandle === "h");
  await client.ask("process/kill", { processHandle: "h" });
  await client.nth("process/exited", (params) => params.processHandle === "h");
  await client.ask("environment/info", { environmentId: "local" });
}

/** What a client pins to a thread, and where it sorts it. */
async function attachments(client: StdioClient, threadId: string): Promise<void> {
  const named = { attachmentType: "note", identityKey: "1" };
  await client.ask("thread/attachment/add", { threadId, ...named, payload: { words: ["a"] } });
  await client.ask("thread/attachment/list", { threadId, limit: 1 });
  await client.ask("thread/attachmentOwner/list", named);
  await client.ask("thread/attachment/remove", { threadId, ...named });
  const { section } = await client.ask("threadSection/create", { name: "one", appearance: { icon: "star" } });
  await client.ask("threadSection/update", { sectionId: section.id, name: "two" });
  await client.ask("thread/section/move", { threadId, sectionId: section.id });
  await client.ask("thread/list", { sectionId: section.id, sortKey: "section_position" });
  await client.ask("threadSection/delete", { sectionId: section.id });
  await client.ask("threadSection/list", {});
}

async function settings(client: StdioClient, threadId: string): Promise<void> {
  await client.ask("thread/settings/update", { threadId, permissions: ":workspace", effort: "low" });
  await client.nth("thread/settings/updated", (params) => params.threadId === threadId);
}

/** A plan, a review, a goal and a queue: on a thread of their own. */
async function modes(client: StdioClient): Promise<void> {
  const { thread } = await client.ask("thread/start", {});
  const threadId: string = thread.id;
  await client.ask("thread/prepareApprovedPlan", { threadId, markdown: "# Plan" });
  const collaborationMode = { mode: "plan", settings: { model: "gpt-5.1-codex" } };
  const input = text("plan\n<proposed_plan>\n# Plan\n</proposed_plan>\n");
  const { turn } = await client.ask("turn/start", { threadId, input, collaborationMode });
  await client.nth("turn/completed", (params) => params.turn.id === turn.id);
  const target = { type: "custom", instructions: "look" };
  const review = await client.ask("review/start", { threadId, target });
  await client.nth("turn/completed", (params) => params.turn.id === review.turn.id);
  await client.ask("thread/goal/set", { threadId, objective: "x", status: "paused" });
  await client.ask("thread/goal/get", { threadId });
  await client.ask("thread/goal/clear", { threadId });
  await client.ask("thread/queue/add", { threadId, input: text("queued"), clientUserMessageId: "q" });
  await client.nth("turn/completed", (params) => params.threadId === threadId && params.turn.id !== review.turn.id);
  await client.ask("thread/queue/list", { threadId });
  await client.ask("thread/turns/list", { threadId, itemsView: "full" });
}

/** A turn that is steered, and one that is interrupted. */
async function runningTurns(client: StdioClient, threadId: string, release: () => void): Promise<void> {
  const { turn } = await client.ask("turn/start", { threadId, input: text("wait for me") });
  await client.nth("item/agentMessage/delta", (params) => params.turnId === turn.id);
  const input = text("go on");
  await client.ask("turn/steer", { threadId, input, expectedTurnId: turn.id, clientUserMessageId: "mine" });
  release();
  await client.nth("turn/completed", (params) => params.turn.id === turn.id);
  const waiting = await client.ask("turn/start", { threadId, input: text("wait again") });
  await client.nth("item/agentMessage/delta", (params) => params.turnId === waiting.turn.id);
  await client.ask("thread/read", { threadId, includeTurns: true });
  await client.ask("turn/interrupt", { threadId, turnId: waiting.turn.id });
  await client.nth("turn/completed", (params) => params.turn.id === waiting.turn.id);
}

async function approvals(client: StdioClient, cwd: string): Promise<void> {
  const policy = { approvalPolicy: "untrusted", sandbox: "read-only" };
  const { thread } = await client.ask("thread/start", { cwd, ...policy });
  client.decision = "accept";
  await client.turn(thread.id, "run touch asked.txt");
  await client.turn(thread.id, "patch asked-too.txt");
  client.decision = "decline";
  await client.turn(thread.id, "run touch never.txt");
}

async function forks(client: StdioClient, threadId: string, first: string, second: string): Promise<void> {
  const forms: Json[] = [
    { threadId },
    { threadId, excludeTurns: true },
    { threadId, lastTurnId: first },
    { threadId, beforeTurnId: second, excludeTurns: true },
    { threadId, beforeTurnId: first },
    { threadId, ephemeral: true, excludeTurns: true },
    { threadId, model: "gpt-5.1", sandbox: "read-only", approvalPolicy: "on-request", threadSource: "user" },
  ];
  for (const params of forms) {
    const { thread } = await client.ask("thread/fork", params);
    if (params.ephemeral === true) continue;
    await client.ask("thread/read", { threadId: thread.id });
  }
  const { thread } = await client.ask("thread/read", { threadId });
  await client.ask("thread/fork", { threadId: "", path: thread.path });
}

async function lists(client: StdioClient, threadId: string): Promise<void> {
  await client.ask("thread/list", { limit: 2, sortKey: "updated_at", sourceKinds: ["cli", "vscode"], archived: false });
  await client.ask("thread/list", { sortDirection: "asc" });
  await client.ask("thread/search", { searchTerm: "hello" });
  await client.ask("thread/loaded/list", { limit: 1 });
  for (const itemsView of ["notLoaded", "summary", "full"]) {
    await client.ask("thread/turns/list", { threadId, limit: 2, itemsView });
    await client.ask("thread/turns/list", { threadId, sortDirection: "asc", itemsView });
  }
  await client.ask("thread/items/list", { threadId, limit: 3 });
  await client.ask("thread/items/list", { threadId, sortDirection: "desc" });
  await client.ask("thread/goal/get", { threadId });
  await client.ask("thread/backgroundTerminals/list", { threadId });
}
