/** What clients ask a server for and Skein has little or nothing of; inputs that are refused; who comes in the middle of a turn. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { call, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { type Fixture, type Json, serve } from "./test-client.ts";

const UNKNOWN = "01999999-1111-7222-8333-444455556666";

async function begun(t: TestContext, script: Parameters<typeof scriptedClient>[0] = [], home?: string) {
  const config = {
    cwd: tmpdir(),
    approvalPolicy: "never",
    sandboxMode: "danger-full-access",
    builtInTools: ["unified_exec"],
  } as const;
  const served: Fixture = await serve({
    manager: { model: scriptedClient(script), config },
    ...(home === undefined ? {} : { server: { home } }),
  });
  t.after(() => served[Symbol.asyncDispose]());
  return { ...served, threadId: (await served.client.request("thread/start", {})).thread.id as string };
}

test("catalogs that are empty here answer as empty ones", async (t) => {
  const { client, threadId } = await begun(t);
  const answers: readonly (readonly [string, Json, Json])[] = [
    ["plugin/list", {}, { marketplaces: [], marketplaceLoadErrors: [], featuredPluginIds: [] }],
    ["plugin/installed", {}, { marketplaces: [], marketplaceLoadErrors: [] }],
    ["app/list", { cursor: "x" }, { data: [], nextCursor: null }],
    ["app/installed", {}, { apps: [] }],
    ["memory/status", {}, { v2ConsolidatedThreads: 0, v2Ready: true }],
    ["experimentalFeature/enablement/set", { enablement: { nosuch: true } }, { enablement: {} }],
    ["modelProvider/capabilities/read", {}, { imageGeneration: false, webSearch: false }],
    ["thread/goal/get", { threadId }, { goal: null }],
    ["thread/goal/clear", { threadId }, { cleared: false }],
    ["thread/queue/list", { threadId }, { data: [], nextCursor: null }],
  ];
  for (const [method, params, answer] of answers)
    assert.deepEqual(await client.request(method, params), answer, method);
  const refusals: readonly (readonly [string, Json, string])[] = [
    ["account/usage/read", undefined, "codex account authentication required to read token usage"],
    ["account/workspaceMessages/read", undefined, "codex account authentication required to read workspace messages"],
    ["feedback/upload", { classification: "bug", includeLogs: false }, "sending feedback is disabled by configuration"],
    ["thread/goal/set", { threadId, objective: "x" }, "goals are not supported by this server"],
    ["thread/goal/set", { threadId: UNKNOWN, objective: "x" }, `thread not found: ${UNKNOWN}`],
    ["experimentalFeature/list", { threadId: UNKNOWN }, `thread not found: ${UNKNOWN}`],
    ["experimentalFeature/list", { cursor: "garbage" }, "invalid cursor: garbage"],
  ];
  for (const [method, params, text] of refusals) assert.equal((await client.failure(method, params)).message, text);
  assert.equal((await client.request("remoteControl/status/read")).status, "disabled");
});

test("the place where commands run is the server's machine, and there is no other", async (t) => {
  const { client } = await begun(t);
  const { shell, cwd } = await client.request("environment/info", { environmentId: "local" });
  assert.deepEqual([shell.path.endsWith(`/${shell.name}`), cwd.startsWith("file:///")], [true, true]);
  assert.deepEqual(await client.request("environment/status", { environmentId: "local" }), { status: "ready" });
  const error = "unknown environment id `x`";
  assert.deepEqual(await client.request("environment/status", { environmentId: "x" }), { status: "unknown", error });
  assert.equal((await client.failure("environment/info", { environmentId: "x" })).message, error);
});

test("a running turn keeps its settings, and who reviews its approvals is the user", async (t) => {
  const { client, threadId } = await begun(t, [[hang()]]);
  const update = (params: Json) => ["turn/settings/update", { threadId, turnId: UNKNOWN, ...params }] as const;
  const refused = "turn settings updates require the step_model_switching feature";
  const refusals: readonly (readonly [Json, string])[] = [
    [{ effort: "high" }, refused],
    [{ model: "m2", serviceTier: "priority" }, refused],
    [{}, refused],
    [{ approvalsReviewer: "auto_review" }, refused],
    [{ cwd: "/tmp" }, "Invalid request: unknown field `cwd`"],
    [{ threadId: UNKNOWN, effort: "high" }, `thread not found: ${UNKNOWN}`],
  ];
  for (const [params, text] of refusals) assert.equal((await client.failure(...update(params))).message, text);
  const user = { approvalsReviewer: "user" };
  assert.deepEqual(await client.request(...update(user)), { status: "targetUnavailable" });
  const input = [{ type: "text", text: "go" }];
  const { turn } = await client.request("turn/start", { threadId, input });
  await client.next("turn/started");
  assert.deepEqual(await client.request(...update({ ...user, turnId: turn.id })), { status: "applied" });
});

test("features and providers are those of config.toml; the default provider can be set", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "skein-asked-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  await writeFile(
    join(home, "config.toml"),
    '[features]\nmulti_agent = false\nodd = true\n[model_providers.mock]\nname = "Mock"\nbase_url = "http://127.0.0.1:1/v1"\n',
  );
  const { client } = await begun(t, [], home);
  const { data } = await client.request("experimentalFeature/list", {});
  assert.deepEqual(
    data.map((each: Json) => [each.name, each.stage, each.enabled]),
    [
      ["multi_agent", "stable", false],
      ["collab", "stable", false],
      ["odd", "removed", false],
    ],
  );
  assert.deepEqual((await client.request("experimentalFeature/list", { limit: 1 })).nextCursor, "1");
  const set = await client.request("modelProvider/default/set", { providerId: "mock" });
  assert.deepEqual([set.status, set.filePath, set.overriddenMetadata], ["ok", join(home, "config.toml"), null]);
  const listed = await client.request("modelProvider/list", {});
  assert.equal(listed.defaultProviderId, "mock");
  assert.ok(listed.data.some((each: Json) => each.id === "mock" && each.baseUrl === "http://127.0.0.1:1/v1"));
  for (const providerId of ["ghost", ""]) {
    const { message, data: details } = await client.failure("modelProvider/default/set", { providerId });
    assert.equal(message, `Model provider \`${providerId}\` is not configured.`);
    assert.equal(details.config_write_error_code, "configValidationError");
  }
});

test("a provider is made and changed in config.toml, by its fields, in Codex's words", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "skein-asked-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const file = join(home, "config.toml");
  await writeFile(
    file,
    '# mine\n[model_providers.kept]\nname = "Kept" # so\nbase_url = "https://u:p@h.test/v1"\nexperimental_bearer_token = "secret"\n',
  );
  const { client } = await begun(t, [], home);
  const write = async (settings: Json) =>
    (await client.request("modelProvider/config/write", { settings: { type: "customGateway", ...settings } })).provider;
  const baseUrl = "https://example.test/v1";
  const provider = (id: string, name: string, more: Json = {}) => {
    const settings = { type: "customGateway", auth: { mode: "none" } };
    return { id, name, canEdit: true, baseUrl, settings, ...more };
  };
  assert.deepEqual(await write({ name: " My Own! ", baseUrl }), provider("my-own", "My Own!"));
  assert.deepEqual(await write({ name: "my own", baseUrl }), provider("my-own-2", "my own"));
  assert.deepEqual(await write({ name: "***", baseUrl }), provider("custom", "***"));
  const keyed = { type: "customGateway", auth: { mode: "environmentVariable", envKey: "KEY" } };
  const changed = await write({ providerId: "my-own", envKey: "KEY" });
  assert.deepEqual(changed, provider("my-own", "My Own!", { settings: keyed }));
  assert.deepEqual(await write({ providerId: "my-own", envKey: null }), provider("my-own", "My Own!"));
  // What may be a secret is not shown, and what the file says beside it stays.
  const kept = await write({ providerId: "kept", name: "Other" });
  const external = { type: "customGateway", auth: { mode: "externallyConfigured", envKey: null } };
  assert.deepEqual(kept, provider("kept", "Other", { baseUrl: null, settings: external }));
  assert.match(
    await readFile(file, "utf8"),
    /^# mine\n[\s\S]*name = "Other" # so\nbase_url = "https:\/\/u:p@h\.test\/v1"/,
  );
  assert.equal((await client.request("modelProvider/default/set", { providerId: "my-own" })).status, "ok");

  const before = await readFile(file, "utf8");
  for (const [settings, message, code = "configValidationError"] of [
    [{ name: "N" }, "A base URL is required to create a custom provider."],
    [{ baseUrl }, "Enter a provider name."],
    [{ providerId: "my-own", name: " " }, "Enter a provider name."],
    [
      { name: "OpenAI", baseUrl },
      "This name is reserved for a built-in provider. Enter a different custom provider name.",
    ],
    [{ providerId: "openai", name: "N" }, "A custom provider or gateway cannot use a built-in provider ID."],
    [{ providerId: "ghost", name: "N" }, "Unknown provider ID.", "configPathNotFound"],
    [{ providerId: "__proto__", name: "N" }, "Unknown provider ID.", "configPathNotFound"],
    [{ name: "N", baseUrl, envKey: "no name" }, "Invalid API key environment variable name."],
    [{ providerId: "kept", envKey: "KEY" }, "Authentication is configured externally. Omit envKey to preserve it."],
    ...["https://u:p@a.test", "https://a.test?k=1", "ftp://a.test", "a"].map(
      (wrong) =>
        [
          { name: "N", baseUrl: wrong },
          "Enter an HTTP(S) base URL without credentials, a query, or a fragment.",
        ] as const,
    ),
  ] as const) {
    const failure = await client.failure("modelProvider/config/write", {
      settings: { type: "customGateway", ...settings },
    });
    assert.deepEqual([failure.message, failure.data.config_write_error_code], [message, code]);
  }
  assert.equal(await readFile(file, "utf8"), before);
});

test("an input that no model is given is refused before its turn", async (t) => {
  const { client, threadId } = await begun(t, () => "ok");
  const start = (input: Json) => client.failure("turn/start", { threadId, input });
  for (const url of ["http://a/b.png", "HTTPS://a/b.png"]) {
    const { message } = await start([{ type: "image", url }]);
    assert.equal(message, "remote image URLs are not supported; use an inline data URL instead");
  }
  const half = "é".repeat(524_288);
  const long = await start([
    { type: "text", text: half },
    { type: "text", text: `${half}x` },
  ]);
  assert.deepEqual([long.code, long.message], [-32602, "Input exceeds the maximum length of 1048576 characters."]);
  const { input_error_code, max_chars, actual_chars } = long.data;
  assert.deepEqual([input_error_code, max_chars, actual_chars], ["input_too_large", 1_048_576, 1_048_577]);
  // Characters count, not the halves that some are made of.
  const turn = await client.turn(threadId, "😀".repeat(600_000));
  assert.equal(turn.status, "completed");
});

test("a search term that is far too long is refused", async (t) => {
  const { client } = await begun(t);
  for (const method of ["thread/search", "thread/list"]) {
    const { code, message } = await client.failure(method, { searchTerm: "x".repeat(30_000_000) });
    assert.deepEqual([code, message], [-32602, `${method} searchTerm exceeds 65536 UTF-8 bytes`]);
  }
});

test("who comes while a command runs sees what has begun", async (t) => {
  const { client, threadId, connect } = await begun(t, [
    [call("exec_command", { cmd: "sleep 60", login: false, yield_time_ms: 20_000 })],
  ]);
  await client.request("turn/start", { threadId, input: [{ type: "text", text: "go" }] });
  const { params } = await client.next("item/started", ({ item }) => item.type === "commandExecution");
  const late = connect();
  await late.initialize();
  const { thread } = await late.request("thread/resume", { threadId });
  const [turn] = thread.turns;
  assert.deepEqual([thread.status.type, turn.status], ["active", "inProgress"]);
  assert.deepEqual(
    turn.items.map((item: Json) => [item.type, item.id === params.item.id, item.status, item.aggregatedOutput]),
    [
      ["userMessage", false, undefined, undefined],
      ["commandExecution", true, "inProgress", null],
    ],
  );
});

test("items are read by their ids", async (t) => {
  const { client, threadId } = await begun(t, [[say("one")]]);
  const { id: turnId } = await client.turn(threadId, "hello");
  const { data } = await client.request("thread/items/list", { threadId });
  const ids = data.map(({ item }: Json) => item.id);
  const read = await client.request("thread/items/read", { threadId, turnId, itemIds: [ids[1], "nope", ids[0]] });
  assert.deepEqual(
    read.data.map((each: Json) => [each.turnId, each.item.id]),
    ids.map((id: string) => [turnId, id]),
  );
  assert.deepEqual((await client.request("thread/items/read", { threadId, turnId: "x", itemIds: ids })).data, []);
  const { message } = await client.failure("thread/items/read", { threadId, turnId, itemIds: [] });
  assert.equal(message, "itemIds must contain 1 to 100 IDs");
});

test("a thread that waits for somebody says so, also while nobody follows it", async () => {
  const config = { cwd: tmpdir(), approvalPolicy: "untrusted", builtInTools: ["unified_exec"] } as const;
  const model = scriptedClient([[call("exec_command", { cmd: "touch x", login: false })], [hang()]]);
  await using served = await serve({ manager: { model, config } });
  const { client, manager } = served;
  const { thread } = await manager.startThread({});
  const asked = new Promise<void>((resolve) => {
    thread.events$.subscribe(({ msg }) => msg.type === "exec_approval_request" && resolve());
  });
  void thread.run("go").catch(() => undefined);
  await asked;
  const read = await client.request("thread/read", { threadId: thread.id });
  assert.deepEqual(read.thread.status, { type: "active", activeFlags: ["waitingOnApproval"] });
});

test("a file search session tells what it finds with every update, until it is stopped", async (t) => {
  const { client } = await begun(t);
  const root = await mkdtemp(join(tmpdir(), "skein-session-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  await writeFile(join(root, "alpha.txt"), "");
  const of = (method: string, params: Json) => client.request(`fuzzyFileSearch/${method}`, params);
  assert.deepEqual(await of("sessionStart", { sessionId: "s", roots: [root] }), {});
  assert.deepEqual((await client.next("fuzzyFileSearch/sessionUpdated")).params, {
    sessionId: "s",
    query: "",
    files: [],
  });
  await client.next("fuzzyFileSearch/sessionCompleted");
  assert.deepEqual(await of("sessionUpdate", { sessionId: "s", query: "alp" }), {});
  const { params } = await client.next("fuzzyFileSearch/sessionUpdated");
  assert.deepEqual([params.query, params.files.map((each: Json) => each.path)], ["alp", ["alpha.txt"]]);
  assert.deepEqual(await of("sessionStop", { sessionId: "s" }), {});
  assert.deepEqual(await of("sessionStop", { sessionId: "s" }), {});
  const texts = await Promise.all([
    client.failure("fuzzyFileSearch/sessionUpdate", { sessionId: "s", query: "a" }),
    client.failure("fuzzyFileSearch/sessionStart", { sessionId: "", roots: [root] }),
    client.failure("fuzzyFileSearch/sessionStart", { sessionId: "x", roots: [] }),
  ]);
  assert.deepEqual(
    texts.map(({ code, message }) => [code, message]),
    [
      [-32600, "fuzzy file search session not found: s"],
      [-32600, "sessionId must not be empty"],
      [-32603, "failed to start fuzzy file search session: at least one search directory is required"],
    ],
  );
});

test("model/list names a model's service tiers, and the speeds that older clients know them by", async (t) => {
  const { client } = await begun(t, []);
  const { data } = await client.request("model/list", { includeHidden: true });
  const tiersOf = (id: string) => {
    const { serviceTiers, additionalSpeedTiers, defaultServiceTier } = data.find((model: Json) => model.id === id);
    return [serviceTiers.map((tier: Json) => tier.id), additionalSpeedTiers, defaultServiceTier];
  };
  assert.deepEqual(tiersOf("gpt-6.2-sol"), [["priority"], ["fast"], null]);
  assert.deepEqual(tiersOf("gpt-5.2"), [[], [], null]);
});
