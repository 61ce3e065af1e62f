import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type HomeOptions, type OpenedHome, openHome } from "../../src/manager/home.ts";
import type { ModelSource } from "../../src/manager/options.ts";
import { resolveThreadConfig, type ThreadConfig } from "../../src/protocol/thread-config.ts";

type Opened = OpenedHome & { clientFor: (config: ThreadConfig) => ReturnType<ModelSource["clientFor"]> };

async function opened(t: TestContext, config = "", env: HomeOptions["env"] = {}): Promise<Opened> {
  const home = await mkdtemp(join(tmpdir(), "skein-home-"));
  await writeFile(join(home, "config.toml"), config);
  const found = await openHome({ home, env, cwd: home });
  t.after(async () => {
    await found.close();
    await rm(home, { recursive: true });
  });
  const models = found.options.model as ModelSource;
  return { ...found, clientFor: (config) => models.clientFor(resolveThreadConfig({ cwd: "/w", ...config })) };
}

const URL = "http://127.0.0.1:1/v1";
const mine = (fields: object = {}) => ({
  model_provider: "mine",
  model_providers: { mine: { base_url: URL, ...fields } },
});

/** The client of a thread that a request makes. */
const asked = async (home: Opened, config: object = {}) => home.clientFor((await home.reload({ config })).config);

test("a provider that one request names is known to its threads, whatever other requests name", async (t) => {
  const home = await opened(t);
  const one = await home.reload({ config: { model_provider: "one", model_providers: { one: { base_url: URL } } } });
  await home.reload({ config: { model_provider: "two", model_providers: { two: { base_url: URL } } } });
  await home.reload();
  assert.equal(home.clientFor(one.config).providerId, "one");
  for (const modelProvider of ["one", "two", "three"]) {
    const message = `Model provider \`${modelProvider}\` not found`;
    assert.throws(() => home.clientFor({ modelProvider }), { code: "invalid_request", message });
  }
});

test("a provider that config.toml names later can be used", async (t) => {
  const home = await opened(t);
  await writeFile(join(home.home, "config.toml"), `[model_providers.late]\nbase_url = "${URL}"\n`);
  await home.reload();
  assert.equal(home.clientFor({ modelProvider: "late" }).providerId, "late");
});

test("threads share a client exactly where nothing of it differs", async (t) => {
  const home = await opened(t, "", { A: "key-a", B: "key-b" });
  const plain = await asked(home, mine());
  assert.equal(await asked(home, mine()), plain);
  assert.equal(await asked(home, mine({ name: "another name for people" })), plain);
  const others = [
    { base_url: "http://127.0.0.1:2/v1" },
    { base_url: "http://u:p@127.0.0.1:1/v1" },
    { wire_api: "chat" },
    { env_key: "A" },
    { env_key: "B" },
    { experimental_bearer_token: "one" },
    { experimental_bearer_token: "two" },
    { http_headers: { authorization: "Bearer mine" } },
    { http_headers: { "x-tenant": "1" } },
    { env_http_headers: { "x-tenant": "A" } },
    { query_params: { "api-version": "1" } },
    { request_max_retries: 1 },
    { stream_idle_timeout_ms: 1_000 },
    { requires_openai_auth: true },
  ];
  const clients = new Set([plain]);
  for (const fields of others) clients.add(await asked(home, mine(fields)));
  assert.equal(clients.size, others.length + 1);
});

test("an agent's or a reloaded thread's settings keep the providers of the request that made its parent", async (t) => {
  const home = await opened(t);
  const { config } = await home.reload({ config: mine({ http_headers: { "x-tenant": "1" } }) });
  await home.reload({ config: mine({ http_headers: { "x-tenant": "2" } }) });
  const resolved = resolveThreadConfig({ cwd: "/w", extra: { other: 1 } }, config);
  assert.equal(home.clientFor({ ...resolved, model: "other" }), home.clientFor(config));
});

test("what config.toml says anew counts for new threads; those that live keep what they began with", async (t) => {
  const toml = (token: string) => `model_provider = "p"
[model_providers.p]
base_url = "${URL}"
experimental_bearer_token = "${token}"`;
  const home = await opened(t, toml("old"));
  const before = await home.reload();
  const old = home.clientFor(before.config);
  await writeFile(join(home.home, "config.toml"), toml("new"));
  assert.notEqual(home.clientFor((await home.reload()).config), old);
  assert.equal(home.clientFor(before.config), old);
});

const CHOICES: [what: string, config: string, env: HomeOptions["env"], provider: string][] = [
  ["nothing", "", {}, "scripted"],
  ["a key in the environment", "", { OPENAI_API_KEY: "k" }, "openai"],
  ["an empty key in the environment", "", { OPENAI_API_KEY: " " }, "scripted"],
  ["an address of its own for OpenAI", `openai_base_url = "${URL}"`, {}, "openai"],
];
for (const [what, config, env, provider] of CHOICES) {
  test(`with ${what} threads ask ${provider}`, async (t) => {
    const home = await opened(t, config, env);
    assert.equal(home.isScripted, provider === "scripted");
    assert.equal((home.options.model as ModelSource).providerId, provider);
  });
}

test("a profile is read from its own file beside config.toml, and names what it overlays", async (t) => {
  const path = await mkdtemp(join(tmpdir(), "skein-home-"));
  t.after(() => rm(path, { recursive: true }));
  await writeFile(join(path, "config.toml"), 'model = "usual"\nmodel_reasoning_effort = "low"\n');
  await writeFile(join(path, "deep.config.toml"), 'model = "other"\n');
  for (const [profile, model] of [
    [undefined, "usual"],
    ["deep", "other"],
  ] as const) {
    const found = await openHome({ home: path, env: {}, cwd: path, ...(profile !== undefined && { profile }) });
    const { config } = await found.reload();
    assert.deepEqual([config.model, config.reasoningEffort], [model, "low"]);
    await found.close();
  }
});
