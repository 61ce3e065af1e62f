/** Permission profiles, and the settings of a loaded thread. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const READ_ONLY = { type: "readOnly", networkAccess: false };
const WORKSPACE = {
  type: "workspaceWrite",
  writableRoots: [],
  networkAccess: false,
  excludeTmpdirEnvVar: false,
  excludeSlashTmp: false,
};
const OPEN = { type: "dangerFullAccess" };
const profile = (id: string) => ({ id, extends: null });

const sandboxOf = ({ sandbox, activePermissionProfile }: Json) => [sandbox, activePermissionProfile];
const refusal = async (client: TestClient, method: string, params: Json) =>
  (await client.failure(method, params)).message;

test("the built-in profiles can be listed, in pages", async () => {
  await using served = await serve();
  const { client } = served;
  const list = (params: Json = {}) => client.request("permissionProfile/list", params);
  const all = [":read-only", ":workspace", ":danger-full-access"].map((id) => ({
    id,
    description: null,
    allowed: true,
  }));
  assert.deepEqual(await list(), { data: all, nextCursor: null });
  assert.deepEqual(await list({ limit: 0 }), { data: all.slice(0, 1), nextCursor: "1" });
  assert.deepEqual(await list({ limit: 2, cursor: "1" }), { data: all.slice(1), nextCursor: null });
  assert.equal(
    await refusal(client, "permissionProfile/list", { cursor: "9" }),
    "cursor 9 exceeds total permission profiles 3",
  );
  assert.equal(await refusal(client, "permissionProfile/list", { cursor: "x" }), "invalid cursor: x");
});

test("a thread starts, is resumed and forked with a profile, or with a sandbox of no profile", async () => {
  await using served = await serve({ manager: { config: { cwd: "/w", sandboxMode: "danger-full-access" } } });
  const { client } = served;
  const start = (params: Json) => client.request("thread/start", params);
  assert.deepEqual(sandboxOf(await start({})), [OPEN, null]);
  assert.deepEqual(sandboxOf(await start({ permissions: ":read-only" })), [READ_ONLY, profile(":read-only")]);
  assert.deepEqual(sandboxOf(await start({ permissions: ":workspace" })), [WORKSPACE, profile(":workspace")]);
  assert.deepEqual(sandboxOf(await start({ sandbox: "workspace-write" })), [WORKSPACE, null]);
  const config = { default_permissions: ":read-only" };
  assert.deepEqual(sandboxOf(await start({ config })), [READ_ONLY, profile(":read-only")]);
  assert.deepEqual(sandboxOf(await start({ config, sandbox: "workspace-write" })), [WORKSPACE, null]);
  const opened = await start({ permissions: ":danger-full-access" });
  assert.deepEqual(sandboxOf(opened), [OPEN, profile(":danger-full-access")]);
  const threadId = opened.thread.id;
  await client.turn(threadId, "hi");
  const fork = await client.request("thread/fork", { threadId, permissions: ":read-only", excludeTurns: true });
  assert.deepEqual(sandboxOf(fork), [READ_ONLY, profile(":read-only")]);
  assert.equal(
    await refusal(client, "thread/start", { permissions: ":nope" }),
    "failed to load configuration: default_permissions refers to unknown built-in profile `:nope`",
  );
  assert.equal(
    await refusal(client, "thread/fork", { threadId, permissions: "mine" }),
    "failed to load configuration: default_permissions requires a `[permissions]` table",
  );
});

test("without a sandbox in any layer a thread has the profile :read-only; config.toml may name another", async (t) => {
  const home = await folder(t);
  await using served = await serve({ server: { home } });
  const { client } = served;
  const start = async (params: Json = {}) => sandboxOf(await client.request("thread/start", params));
  const toml = (text: string) => writeFile(join(home, "config.toml"), text);
  assert.deepEqual(await start(), [READ_ONLY, profile(":read-only")]);
  await toml('default_permissions = ":workspace"\nsandbox_mode = "danger-full-access"\n');
  assert.deepEqual(await start(), [WORKSPACE, profile(":workspace")]);
  assert.deepEqual(await start({ config: { sandbox_mode: "read-only" } }), [READ_ONLY, null]);
  await toml('default_permissions = "mine"\n[permissions.mine]\ndescription = "My own"\n');
  assert.deepEqual(await start(), [READ_ONLY, profile(":read-only")]);
  const { data } = await client.request("permissionProfile/list", {});
  assert.deepEqual(data.at(-1), { id: "mine", description: "My own", allowed: false });
  assert.equal(
    await refusal(client, "thread/start", { permissions: "mine" }),
    "failed to load configuration: default_permissions refers to `mine`, which is not built in: use :read-only, :workspace, :danger-full-access",
  );
});

test("a turn's settings stay, and whoever follows the thread is told when they change", async () => {
  await using served = await serve({ manager: { config: { cwd: "/w", sandboxMode: "danger-full-access" } } });
  const { client, connect } = served;
  const { thread } = await client.request("thread/start", {});
  const other = connect();
  await other.initialize();
  await other.request("thread/resume", { threadId: thread.id, excludeTurns: true });
  const told = (of: TestClient) => of.log.filter(({ method }) => method === "thread/settings/updated");
  const update = (params: Json) => client.request("thread/settings/update", { threadId: thread.id, ...params });
  const settings = (changes: Json) => ({
    disabledPluginIds: [],
    cwd: "/w",
    environments: [{ environmentId: "local", cwd: "/w", runtimeWorkspaceRoots: ["/w"] }],
    approvalPolicy: "on-request",
    approvalsReviewer: "user",
    sandboxPolicy: OPEN,
    activePermissionProfile: null,
    model: "scripted",
    modelProvider: "scripted",
    serviceTier: null,
    effort: null,
    summary: null,
    collaborationMode: {
      mode: "default",
      settings: { model: "scripted", reasoning_effort: null, developer_instructions: null },
    },
    multiAgentMode: "explicitRequestOnly",
    personality: null,
    ...changes,
  });
  assert.deepEqual(await update({}), {});
  assert.deepEqual(await update({ approvalPolicy: "on-request" }), {});
  assert.equal(told(client).length, 0);
  await update({ approvalPolicy: "never", permissions: ":read-only" });
  const changed = {
    approvalPolicy: "never",
    sandboxPolicy: READ_ONLY,
    activePermissionProfile: profile(":read-only"),
  };
  for (const each of [client, other]) {
    const [first] = told(each);
    assert.deepEqual(first?.params, { threadId: thread.id, threadSettings: settings(changed) });
  }
  const input = [{ type: "text", text: "hi" }];
  await client.request("turn/start", { threadId: thread.id, input, sandboxPolicy: { type: "readOnly" }, cwd: "sub" });
  await client.next("turn/completed");
  assert.deepEqual(
    told(client).map(({ params }) => [params.threadSettings.cwd, params.threadSettings.activePermissionProfile]),
    [
      ["/w", profile(":read-only")],
      ["/w/sub", null],
    ],
  );
  const resumed = await client.request("thread/resume", { threadId: thread.id, excludeTurns: true });
  assert.deepEqual(sandboxOf(resumed), [READ_ONLY, null]);
  await client.request("turn/start", { threadId: thread.id, input, serviceTier: "flex" });
  await client.next("turn/completed");
  assert.equal(told(client).at(-1)?.params.threadSettings.serviceTier, "flex");
  await update({ serviceTier: null });
  assert.equal(told(client).at(-1)?.params.threadSettings.serviceTier, null);
  assert.equal((await client.request("thread/start", { serviceTier: "flex" })).serviceTier, "flex");
});

test("settings that cannot be are refused, and clients without experimentalApi hear of none", async () => {
  await using served = await serve();
  const { client, connect } = served;
  const { thread } = await client.request("thread/start", {});
  const threadId = thread.id;
  assert.equal(
    await refusal(client, "thread/settings/update", { threadId, permissions: ":workspace", sandboxPolicy: OPEN }),
    "`permissions` cannot be combined with `sandboxPolicy`",
  );
  assert.equal(
    await refusal(client, "turn/start", { threadId, input: [], permissions: ":zz" }),
    "failed to load configuration: default_permissions refers to unknown built-in profile `:zz`",
  );
  const unknown = "01999999-1111-7222-8333-444455556666";
  assert.equal(
    await refusal(client, "thread/settings/update", { threadId: unknown, model: "x" }),
    `thread not found: ${unknown}`,
  );
  const plain = connect();
  await plain.initialize({});
  assert.equal(
    await refusal(plain, "thread/settings/update", { threadId }),
    "thread/settings/update requires experimentalApi capability",
  );
  await plain.request("thread/resume", { threadId });
  await client.request("thread/settings/update", { threadId, model: "other" });
  await client.next("thread/settings/updated");
  await client.request("thread/queue/add", {
    threadId,
    input: [{ type: "text", text: "x" }],
    clientUserMessageId: "c",
  });
  await plain.next("turn/completed");
  const hidden = ["thread/settings/updated", "thread/queue/changed"];
  assert.ok(hidden.every((method) => client.methods.includes(method) && !plain.methods.includes(method)));
});
