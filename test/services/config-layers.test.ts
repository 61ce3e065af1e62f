import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { resolveThreadConfig } from "../../src/protocol/thread-config.ts";
import { createConfigFile } from "../../src/services/config-file.ts";
import { type ConfigSources, layerConfig } from "../../src/services/config-layers.ts";
import { parseOverride } from "../../src/services/config-overrides.ts";
import { tempHome } from "./temp-home.ts";

const load = async (t: Parameters<typeof tempHome>[0], toml: string, sources: Partial<ConfigSources> = {}) => {
  const home = await tempHome(t);
  await writeFile(join(home, "config.toml"), toml);
  const file = await createConfigFile(home).read();
  return { home, loaded: layerConfig({ cwd: "/work", ...sources, file }) };
};
const lineOf = (text: string) => FILE.slice(0, FILE.indexOf(text)).split("\n").length;
const overrides = (...texts: string[]) => texts.map(parseOverride);

const FILE = `
model = "from-file"
model_provider = "local"
approval_policy = "never"
sandbox_mode = "workspace-write"
model_reasoning_effort = "low"
model_reasoning_summary = "concise"
model_context_window = 1000
model_auto_compact_token_limit = 900
developer_instructions = "dev"
compact_prompt = "sum up"
instructions = "base"
show_raw_agent_reasoning = true
project_doc_max_bytes = 10
project_doc_fallback_filenames = ["CLAUDE.md"]
profile = "quick"

[sandbox_workspace_write]
writable_roots = ["/abs", "below"]
network_access = true

[model_providers.local]
name = "Local"
base_url = "http://127.0.0.1:1/v1"
env_key = "LOCAL_KEY"
wire_api = "chat"
http_headers = { a = "1" }
env_http_headers = { b = "B" }
query_params = { v = "2" }
request_max_retries = 7
stream_max_retries = 1000
stream_idle_timeout_ms = 1500

[profiles.quick]
model = "from-profile"
model_reasoning_effort = "minimal"

[profiles.slow]
model = "slow-one"

[features]
web = true

[mcp_servers.files]
command = "mcp-files"

[tui]
theme = "kept"
`;

test("config.toml and its profile become a thread's settings, providers and data", async (t) => {
  const { home, loaded } = await load(t, FILE);
  assert.deepEqual(loaded.config, {
    model: "from-profile",
    modelProvider: "local",
    approvalPolicy: "never",
    sandboxMode: "workspace-write",
    sandboxPolicy: {
      type: "workspace-write",
      writable_roots: ["/abs", join(home, "below")],
      network_access: true,
      exclude_tmpdir_env_var: false,
      exclude_slash_tmp: false,
    },
    reasoningEffort: "minimal",
    reasoningSummary: "concise",
    projectDocMaxBytes: 10,
    projectDocFallbackNames: ["CLAUDE.md"],
    modelContextWindow: 1000,
    modelAutoCompactTokenLimit: 900,
    developerInstructions: "dev",
    compactPrompt: "sum up",
    baseInstructions: "base",
    showRawReasoning: true,
    mcpServers: { files: { command: "mcp-files" } },
    requestMaxRetries: 7,
    streamMaxRetries: 100,
    cwd: "/work",
  });
  assert.deepEqual(loaded.providers.get("local"), {
    id: "local",
    name: "Local",
    baseUrl: "http://127.0.0.1:1/v1",
    wireApi: "chat",
    envKey: "LOCAL_KEY",
    envKeyInstructions: undefined,
    bearerToken: undefined,
    queryParams: { v: "2" },
    httpHeaders: { a: "1" },
    envHttpHeaders: { b: "B" },
    requestMaxRetries: 7,
    streamMaxRetries: 100,
    streamIdleTimeoutMs: 1500,
    requiresOpenaiAuth: false,
  });
  assert.equal(loaded.profile, "quick");
  assert.deepEqual(loaded.features, { web: true });
  assert.equal(loaded.mcpServers.files?.command, "mcp-files");
  assert.deepEqual(loaded.warnings, ["model_providers.local.stream_max_retries: 1000 is more than 100, which is used"]);
  assert.deepEqual(JSON.parse(JSON.stringify(loaded.raw)).tui, { theme: "kept" });
  assert.deepEqual(loaded.origins.get("model"), {
    layer: "profile",
    file: join(home, "config.toml"),
    line: lineOf("from-profile"),
  });
  assert.deepEqual(loaded.origins.get("approval_policy"), {
    layer: "file",
    file: join(home, "config.toml"),
    line: lineOf("approval_policy"),
  });
});

test("every layer beats the one below it, and one that is silent beats none", async (t) => {
  const steps: [Partial<ConfigSources>, string][] = [
    [{}, "from-file"],
    [{ profile: "slow" }, "slow-one"],
    [{ overrides: overrides("model=from-process") }, "from-process"],
    [{ request: { model: "from-request" } }, "from-request"],
    [{ typed: { model: "typed" } }, "typed"],
  ];
  let sources: Partial<ConfigSources> = {
    defaults: { model: "default", tools: [] },
    typed: { model: undefined },
    request: { model: null },
  };
  const file = FILE.replace('profile = "quick"', "");
  for (const [layer, model] of steps) {
    sources = { ...sources, ...layer };
    const { loaded } = await load(t, file, sources);
    assert.equal(loaded.config.model, model);
    assert.equal(loaded.config.approvalPolicy, "never");
    assert.deepEqual(loaded.config.tools, []);
  }
});

test("the profile may be named by each layer, the nearest wins", async (t) => {
  const model = async (sources: Partial<ConfigSources>) => (await load(t, FILE, sources)).loaded.config.model;
  assert.equal(await model({ overrides: overrides("profile=slow") }), "slow-one");
  assert.equal(await model({ overrides: overrides("profile=slow"), request: { profile: "quick" } }), "from-profile");
  assert.equal(await model({ request: { profile: "quick" }, profile: "slow" }), "slow-one");
  assert.equal(await model({ request: { "profiles.new.model": "made-up", profile: "new" } }), "made-up");
});

test("overrides are TOML, or a plain text; dotted keys reach into tables", () => {
  const read = (text: string) => {
    const { keyPath, value } = parseOverride(text);
    return [keyPath, value];
  };
  assert.deepEqual(read("model=gpt-5.2"), [["model"], "gpt-5.2"]);
  assert.deepEqual(read(" a . b = 'x=y' "), [["a", "b"], "x=y"]);
  assert.deepEqual(read('model_providers."x.y".n=[1, true]'), [
    ["model_providers", "x.y", "n"],
    [1, true],
  ]);
  assert.deepEqual(read("a=1\nb=2"), [["a"], "1\nb=2"]);
  assert.deepEqual(read("a="), [["a"], ""]);
  assert.deepEqual(read('a="x'), [["a"], '"x']);
  for (const text of ["a", "=1", ".a=1", "a.=1", 'a"b=1', "a..b=1"])
    assert.throws(() => parseOverride(text), InvalidRequestError);
});

test("tables merge across layers, and a half provider is completed by another layer", async (t) => {
  const { loaded } = await load(t, FILE, {
    overrides: overrides("model_providers.local.base_url=http://process", "features.shell=true"),
    request: {
      "model_providers.local.http_headers": { c: "3" },
      "features.web": false,
      mcp_servers: { other: { url: "u" } },
    },
  });
  const { baseUrl, name, httpHeaders } = loaded.providers.get("local") ?? assert.fail();
  assert.deepEqual(
    { baseUrl, name, httpHeaders },
    { baseUrl: "http://process", name: "Local", httpHeaders: { a: "1", c: "3" } },
  );
  assert.deepEqual(loaded.features, { web: false, shell: true });
  assert.deepEqual(Object.keys(loaded.mcpServers), ["files", "other"]);
  assert.deepEqual(loaded.origins.get("features.web"), { layer: "request" });
  assert.deepEqual(loaded.origins.get("features.shell"), { layer: "process" });
});

test("the built-in providers are there, and a table overrides their fields one by one", () => {
  const { providers } = layerConfig({ cwd: "/", request: { "model_providers.openai.base_url": "http://proxy" } });
  assert.deepEqual([...providers.keys()], ["openai", "ollama", "lmstudio"]);
  const { name, baseUrl, requiresOpenaiAuth, wireApi } = providers.get("openai") ?? assert.fail();
  assert.deepEqual([name, baseUrl, requiresOpenaiAuth, wireApi], ["OpenAI", "http://proxy", true, "responses"]);
});

test("unknown providers and profiles are refused in Codex's words", () => {
  const refused = (sources: Partial<ConfigSources>, message: string) =>
    assert.throws(() => layerConfig({ cwd: "/", ...sources }), { code: "invalid_request", message });
  refused({ request: { model_provider: "ghost" } }, "Model provider `ghost` not found");
  refused({ typed: { modelProvider: "ghost" } }, "Model provider `ghost` not found");
  refused({ overrides: overrides("profile=ghost") }, "config profile `ghost` not found");
  refused({ profile: "ghost", request: { "profiles.ghost": null } }, "config profile `ghost` not found");
  refused({ typed: { modelProvider: "constructor" } }, "Model provider `constructor` not found");
  const own = { typed: { modelProvider: "mine" }, embeddedProviders: ["mine"] };
  assert.equal(layerConfig({ cwd: "/", ...own }).config.modelProvider, "mine");
  assert.equal(layerConfig({ cwd: "/", typed: { modelProvider: "scripted" } }).config.modelProvider, "scripted");
});

test("a wrong value is refused with its layer and key", () => {
  const refused = (sources: Partial<ConfigSources>, message: RegExp) =>
    assert.throws(
      () => layerConfig({ cwd: "/", ...sources }),
      (error) => error instanceof InvalidRequestError && message.test(error.message),
    );
  refused({ overrides: overrides("sandbox_mode=bogus") }, /^-c: sandbox_mode: Invalid option/);
  refused({ request: { approval_policy: 7 } }, /^config: approval_policy: Invalid/);
  refused({ request: { "profiles.x.model": [] } }, /^config: profiles\.x\.model: Invalid/);
  refused({ request: { "a..b": 1 } }, /^config key `a\.\.b` must be names joined by dots$/);
  refused({ request: [] }, /^config: must be an object$/);
});

test("of the sandbox's settings the nearest layer that names one decides", () => {
  const policy = { type: "read-only" } as const;
  const settle = (sources: Partial<ConfigSources>) => {
    const { sandboxMode, sandboxPolicy } = resolveThreadConfig(layerConfig({ cwd: "/w", ...sources }).config);
    return [sandboxMode, sandboxPolicy];
  };
  const workspace = (over: object = {}) => ({
    type: "workspace-write",
    writable_roots: [],
    network_access: false,
    exclude_tmpdir_env_var: false,
    exclude_slash_tmp: false,
    ...over,
  });
  const request = { sandbox_mode: "workspace-write", "sandbox_workspace_write.writable_roots": ["x"] };
  assert.deepEqual(settle({}), ["read-only", policy]);
  assert.deepEqual(settle({ defaults: { sandboxMode: "danger-full-access" } }), [
    "danger-full-access",
    { type: "danger-full-access" },
  ]);
  assert.deepEqual(settle({ defaults: { sandboxPolicy: policy }, request }), [
    "workspace-write",
    workspace({ writable_roots: ["/w/x"] }),
  ]);
  assert.deepEqual(settle({ request, typed: { sandboxMode: "read-only" } }), ["read-only", policy]);
  assert.deepEqual(
    settle({ request, typed: { sandboxPolicy: { type: "danger-full-access" } } })[0],
    "danger-full-access",
  );
  assert.deepEqual(
    settle({
      request: { "sandbox_workspace_write.network_access": true },
      defaults: { sandboxMode: "workspace-write" },
    }),
    ["workspace-write", workspace({ network_access: true })],
  );
});

test("the retries of the chosen provider lie between the defaults and the typed ones", () => {
  const request = { "model_providers.p.stream_max_retries": 0, model_provider: "p" };
  const retries = (sources: Partial<ConfigSources>) => {
    const { requestMaxRetries, streamMaxRetries } = layerConfig({ cwd: "/", ...sources }).config;
    return [requestMaxRetries, streamMaxRetries];
  };
  assert.deepEqual(retries({}), [undefined, undefined]);
  assert.deepEqual(retries({ request, defaults: { streamMaxRetries: 9, requestMaxRetries: 8 } }), [8, 0]);
  assert.deepEqual(retries({ request, typed: { streamMaxRetries: 3 } }), [undefined, 3]);
});

test("the directory becomes absolute by the process's", () => {
  const cwd = (sources: Partial<ConfigSources>) => layerConfig({ cwd: "/proc-dir", ...sources }).config.cwd;
  assert.equal(cwd({}), "/proc-dir");
  assert.equal(cwd({ defaults: { cwd: "d" } }), "/proc-dir/d");
  assert.equal(cwd({ defaults: { cwd: "d" }, typed: { cwd: "../t" } }), "/t");
});

test("[agents] bounds the agents; two features decide which tools there are for them", () => {
  const typed = { builtInTools: ["shell", "multi_agent"] } as const;
  const configOf = (request: Record<string, unknown>) => {
    const { agentMaxThreads, agentMaxDepth, builtInTools } = layerConfig({ cwd: "/work", typed, request }).config;
    return { agentMaxThreads, agentMaxDepth, builtInTools };
  };
  const none = { agentMaxThreads: undefined, agentMaxDepth: undefined, builtInTools: ["shell", "multi_agent"] };
  assert.deepEqual(configOf({}), none);
  const roles = { reviewer: { description: "reviews" } };
  assert.deepEqual(configOf({ agents: { max_threads: 3, max_depth: 0, ...roles } }), {
    ...none,
    agentMaxThreads: 3,
    agentMaxDepth: 0,
  });
  assert.deepEqual(configOf({ "agents.max_concurrent_threads_per_session": 2 }), { ...none, agentMaxThreads: 2 });
  assert.deepEqual(configOf({ "features.multi_agent": false }), { ...none, builtInTools: ["shell"] });
  assert.deepEqual(configOf({ "features.collab": true }), { ...none, builtInTools: ["shell", "collab"] });
  assert.throws(() => configOf({ agents: { max_threads: 0 } }), /config: agents\.max_threads: /);
});
