/** Settings of a request, layer over layer (SPEC 9.5): on start, resume and fork, in both versions. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseOverride } from "../../src/services/config-overrides.ts";
import { type Fixture, type Json, serve } from "./test-client.ts";

const U = "01999999-1111-7222-8333-444455556666";

const CONFIG = `model = "from-file"
approval_policy = "untrusted"
model_reasoning_effort = "low"
sandbox_mode = "read-only"

[model_providers.mock]
name = "mock"
base_url = "http://127.0.0.1:1/v1"

[profiles.quick]
model = "from-profile"
`;

async function served(t: TestContext, flags: string[] = []): Promise<Fixture & { home: string }> {
  const home = await mkdtemp(join(tmpdir(), "skein-app-"));
  await writeFile(join(home, "config.toml"), CONFIG);
  const fixture = await serve({
    manager: { config: { cwd: "/w", model: "from-manager", developerInstructions: "manager's" } },
    server: { home, overrides: flags.map(parseOverride) },
  });
  t.after(async () => {
    await fixture[Symbol.asyncDispose]();
    await rm(home, { recursive: true });
  });
  return { ...fixture, home };
}

/** Each way to make a thread with settings; all layer them alike. */
const WAYS: Record<string, (fixture: Fixture, source: string, given: Json) => Promise<Json>> = {
  "thread/start": ({ client }, _, given) => client.request("thread/start", given),
  "thread/fork": ({ client }, threadId, given) => client.request("thread/fork", { threadId, ...given }),
  "thread/resume of inline history": ({ client }, threadId, given) =>
    client.request("thread/resume", {
      threadId,
      history: [{ type: "message", role: "user", content: [{ type: "input_text", text: "h" }] }],
      ...given,
    }),
  newConversation: ({ client }, _, given) => client.request("newConversation", given),
  forkConversation: ({ client }, conversationId, overrides) =>
    client.request("forkConversation", { conversationId, overrides }),
};

async function source({ client }: Fixture): Promise<string> {
  const { thread } = await client.request("thread/start", {
    model: "source's",
    cwd: "/source",
    approvalPolicy: "never",
  });
  await client.turn(thread.id, "one");
  return thread.id;
}

const settingsOf = ({ manager }: Fixture, answer: Json) => {
  const id = answer.thread?.id ?? answer.conversationId;
  const config = manager.loadedThread(id)?.config;
  const { model, approvalPolicy, reasoningEffort, sandboxMode, cwd, developerInstructions } = config ?? {};
  return { model, approvalPolicy, reasoningEffort, sandboxMode, cwd, developerInstructions };
};

for (const [name, make] of Object.entries(WAYS)) {
  test(`${name}: typed params over config over the file over the manager's own`, async (t) => {
    const fixture = await served(t);
    const from = await source(fixture);
    const answer = await make(fixture, from, {
      model: "typed",
      cwd: "/typed",
      config: {
        model: "from-config",
        model_reasoning_effort: "high",
        "sandbox_workspace_write.network_access": true,
        sandbox_mode: "workspace-write",
      },
    });
    assert.deepEqual(settingsOf(fixture, answer), {
      model: "typed",
      approvalPolicy: "untrusted",
      reasoningEffort: "high",
      sandboxMode: "workspace-write",
      cwd: "/typed",
      developerInstructions: "manager's",
    });
    const policy = fixture.manager.loadedThread(answer.thread?.id ?? answer.conversationId)?.config.sandboxPolicy;
    assert.equal(policy?.type === "workspace-write" && policy.network_access, true);
  });

  test(`${name}: without settings, those of the server, and none of the source's`, async (t) => {
    const fixture = await served(t);
    const answer = await make(fixture, await source(fixture), {});
    assert.deepEqual(settingsOf(fixture, answer), {
      model: "from-file",
      approvalPolicy: "untrusted",
      reasoningEffort: "low",
      sandboxMode: "read-only",
      cwd: "/w",
      developerInstructions: "manager's",
    });
  });

  test(`${name}: the process's flags lie between the file and the request`, async (t) => {
    const fixture = await served(t, ["model=from-flag", "approval_policy=never"]);
    const from = await source(fixture);
    assert.equal(settingsOf(fixture, await make(fixture, from, {})).model, "from-flag");
    const answer = await make(fixture, from, { config: { model: "from-config" } });
    assert.deepEqual(
      [settingsOf(fixture, answer).model, settingsOf(fixture, answer).approvalPolicy],
      ["from-config", "never"],
    );
  });
}

test("a fork with a setting reads config.toml anew, one without keeps what the process began with; a start always reads", async (t) => {
  const fixture = await served(t);
  const from = await source(fixture);
  await writeFile(join(fixture.home, "config.toml"), CONFIG.replace("from-file", "changed").replace('"low"', '"high"'));
  const { client } = fixture;
  const plain = await client.request("thread/fork", { threadId: from });
  assert.equal(plain.model, "from-file");
  const given = await client.request("thread/fork", { threadId: from, approvalPolicy: "never" });
  assert.deepEqual([given.model, given.reasoningEffort], ["changed", "high"]);
  assert.equal((await client.request("thread/start", {})).model, "changed");
  assert.equal((await client.request("newConversation", {})).model, "changed");
});

const REFUSALS: [string, (settings: Json) => Json, string][] = [
  ["thread/start", (settings) => settings, "failed to load configuration"],
  ["thread/fork", (settings) => ({ threadId: U, ...settings }), "failed to load configuration"],
  [
    "thread/fork",
    (settings) => ({ threadId: "malformed", path: "/nowhere.jsonl", ...settings }),
    "failed to load configuration",
  ],
  ["thread/resume", (settings) => ({ threadId: U, ...settings }), "failed to load configuration"],
  ["newConversation", (settings) => settings, "error deriving config"],
  ["forkConversation", (settings) => ({ conversationId: U, overrides: settings }), "error deriving config"],
  ["resumeConversation", (settings) => ({ conversationId: U, overrides: settings }), "error deriving config"],
];

for (const [method, params, failure] of REFUSALS) {
  test(`${method} ${JSON.stringify(params({}))}: settings are checked before the thread is looked up`, async (t) => {
    const { client } = await served(t);
    const why = async (settings: Json) => (await client.failure(method, params(settings))).message;
    assert.equal(await why({ modelProvider: "ghost" }), `${failure}: Model provider \`ghost\` not found`);
    assert.equal(await why({ config: { model_provider: "ghost" } }), `${failure}: Model provider \`ghost\` not found`);
    assert.match(
      await why({ config: { approval_policy: "sometimes" } }),
      new RegExp(`^${failure}: config: approval_policy: `),
    );
    assert.match(await why({ config: { "": 1 } }), new RegExp(`^${failure}: `));
  });
}

test("a typed param wins over a wrong value in config of another key only", async (t) => {
  const { client } = await served(t);
  const answer = await client.request("thread/start", { modelProvider: "mock", config: { model_provider: "mock" } });
  assert.equal(answer.modelProvider, "mock");
});

test("v1: a profile, and one that is none", async (t) => {
  const { client } = await served(t);
  assert.equal((await client.request("newConversation", { profile: "quick" })).model, "from-profile");
  const both = { profile: "quick", config: { model: "from-config" } };
  assert.equal((await client.request("newConversation", both)).model, "from-profile");
  assert.equal((await client.request("newConversation", { ...both, model: "typed" })).model, "typed");
  assert.equal(
    (await client.failure("newConversation", { profile: "ghost" })).message,
    "error deriving config: config profile `ghost` not found",
  );
});
