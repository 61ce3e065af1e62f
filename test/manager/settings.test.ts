/** Every setting that is read takes effect: in the body that the model's server gets, or where the table says. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { openHome } from "../../src/manager/home.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { chatBody } from "../../src/model/chat-body.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { THREAD_CONFIG_KEYS, type ThreadConfig } from "../../src/protocol/thread-config.ts";
import { layerConfig } from "../../src/services/config-layers.ts";
import { CONFIG_KEYS } from "../../src/services/config-schema.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { ModelServer, sse, streaming } from "../model/model-server.ts";
import { asking } from "../model/requests.ts";
import { tempHome, writeTree } from "../services/temp-home.ts";

const answer = streaming(sse({ type: "response.created" }, { type: "response.completed", response: { id: "r" } }));

/** Starts threads of a home, and gives the body of the first request of each. */
async function bodies(t: TestContext, toml = "", files: Record<string, string> = {}) {
  const home = await tempHome(t);
  await writeTree(home, files);
  const server = await ModelServer.start(answer);
  t.after(() => server[Symbol.asyncDispose]());
  const file = (more: string) =>
    `model_provider = "mine"\nmodel = "m"\n${more}\n[model_providers.mine]\nbase_url = "${server.baseUrl}"\n`;
  const write = (more: string) => writeFile(join(home, "config.toml"), file(more));
  await write(toml);
  const opened = await openHome({ home, env: {}, cwd: home });
  t.after(() => opened.close());
  const manager = await ThreadManager.create({ ...opened.options, store: memoryStore() });
  t.after(() => manager.shutdown());
  const bodyOf = async (request: { config?: object; typed?: ThreadConfig } = {}) => {
    const { thread } = await manager.startThread((await opened.reload(request)).config);
    assert.equal((await thread.run("hi")).status, "completed");
    return JSON.parse(server.requests.at(-1)?.body ?? "{}");
  };
  return { home, write, bodyOf };
}

type Body = Record<string, unknown>;
const CASES: [
  name: string,
  key: string,
  value: unknown,
  typed: ThreadConfig | undefined,
  seen: (body: Body) => unknown,
  is: unknown,
][] = [
  [
    "a summary of none is not asked for",
    "model_reasoning_summary",
    "none",
    { reasoningSummary: "none" },
    (b) => b.reasoning,
    null,
  ],
  [
    "a summary",
    "model_reasoning_summary",
    "detailed",
    { reasoningSummary: "detailed" },
    (b) => b.reasoning,
    { summary: "detailed" },
  ],
  ["the verbosity", "model_verbosity", "low", { modelVerbosity: "low" }, (b) => b.text, { verbosity: "low" }],
  ["the service tier", "service_tier", "flex", { serviceTier: "flex" }, (b) => b.service_tier, "flex"],
  [
    "the service tier in Codex's own word",
    "service_tier",
    "fast",
    { serviceTier: "fast" },
    (b) => b.service_tier,
    "priority",
  ],
  ["instructions", "instructions", "be kind", { baseInstructions: "be kind" }, (b) => b.instructions, "be kind"],
  ["a file of instructions", "model_instructions_file", "base.md", undefined, (b) => b.instructions, "FROM FILE"],
  ["its older name", "experimental_instructions_file", "base.md", undefined, (b) => b.instructions, "FROM FILE"],
  ["no project documents", "project_doc_max_bytes", 0, { projectDocMaxBytes: 0 }, docs, []],
  ["a part of them", "project_doc_max_bytes", 4, { projectDocMaxBytes: 4 }, docs, ["ROOT"]],
  [
    "other names for them",
    "project_doc_fallback_filenames",
    ["OTHER.md"],
    { projectDocFallbackNames: ["OTHER.md"] },
    docs,
    ["ROOTDOC", "OTHERDOC"],
  ],
];
function docs(body: Body): string[] {
  return JSON.stringify(body.input).match(/ROOTDOC|OTHERDOC|ROOT/g) ?? [];
}

for (const [name, key, value, typed, seen, expected] of CASES) {
  test(`${name}: by config.toml, by a request, and typed`, async (t) => {
    const { home, write, bodyOf } = await bodies(t, "", {
      "project/.git/HEAD": "",
      "project/AGENTS.md": "ROOTDOC",
      "project/sub/OTHER.md": "OTHERDOC",
      "base.md": "FROM FILE\n",
    });
    const cwd = join(home, "project/sub");
    assert.notDeepEqual(seen(await bodyOf({ typed: { cwd } })), expected, "without it, something else");
    assert.deepEqual(seen(await bodyOf({ typed: { cwd }, config: { [key]: value } })), expected);
    if (typed !== undefined) assert.deepEqual(seen(await bodyOf({ typed: { cwd, ...typed } })), expected);
    await write(`${key} = ${JSON.stringify(value)}`);
    assert.deepEqual(seen(await bodyOf({ typed: { cwd } })), expected, "written while the home is open");
  });
}

test("a thread's service tier is changed and cleared between its turns", async () => {
  const model = scriptedClient(() => "ok", { recordRequests: 9 });
  await using manager = await ThreadManager.create({ model, store: memoryStore() });
  const { thread } = await manager.startThread({ serviceTier: "flex", modelVerbosity: "high" });
  await thread.run("a");
  for (const service_tier of ["priority", undefined, null]) {
    await thread.submit({ type: "override_turn_context", service_tier });
    await thread.run("b");
  }
  const asked = model.requests.map(({ serviceTier, verbosity }) => [serviceTier, verbosity]);
  assert.deepEqual(asked, [
    ["flex", "high"],
    ["priority", "high"],
    ["priority", "high"],
    [undefined, "high"],
  ]);
  const body = chatBody(asking("x", { serviceTier: "fast", verbosity: "low" }));
  assert.deepEqual([body.service_tier, body.verbosity], ["priority", "low"], "a chat server is told as well");
});

test("the nearest layer's instructions win, as a text or as a file; a file that is not there, or empty, is told of", async (t) => {
  const { home, bodyOf } = await bodies(t, 'model_instructions_file = "base.md"', {
    "base.md": "one",
    "empty.md": " \n",
  });
  assert.equal((await bodyOf()).instructions, "one");
  await writeFile(join(home, "base.md"), "two");
  assert.equal((await bodyOf()).instructions, "two", "read anew for each thread");
  assert.equal((await bodyOf({ config: { instructions: "mine" } })).instructions, "mine");
  assert.equal((await bodyOf({ typed: { baseInstructions: "typed" } })).instructions, "typed");
  for (const [file, why] of [
    ["gone.md", /^failed to read model instructions file .*gone\.md: No such file or directory/],
    ["empty.md", /^model instructions file is empty: /],
    [".", /^failed to read model instructions file /],
  ] as const) {
    await assert.rejects(bodyOf({ config: { model_instructions_file: file } }), {
      code: "invalid_request",
      message: why,
    });
  }
});

/** A value for each key of config.toml, and what of the loaded settings it changes. */
const EFFECTS: Record<string, [value: unknown, changes: string]> = {
  model: ["x", "model"],
  model_provider: ["openai", "modelProvider"],
  review_model: ["x", "reviewModel"],
  openai_base_url: ["http://x", "(where the built-in provider is)"],
  model_providers: [{ p: { base_url: "http://x" } }, "(the providers)"],
  approval_policy: ["never", "approvalPolicy"],
  allow_unix_sockets: [true, "allowUnixSockets"],
  sandbox_mode: ["read-only", "sandboxMode"],
  sandbox_workspace_write: [{ network_access: true }, "sandboxPolicy"],
  default_permissions: [":workspace", "permissionProfile"],
  permissions: [{ own: {} }, "(what default_permissions may name)"],
  model_reasoning_effort: ["low", "reasoningEffort"],
  model_reasoning_summary: ["none", "reasoningSummary"],
  model_verbosity: ["low", "modelVerbosity"],
  service_tier: ["flex", "serviceTier"],
  model_context_window: [1, "modelContextWindow"],
  model_auto_compact_token_limit: [1, "modelAutoCompactTokenLimit"],
  instructions: ["x", "baseInstructions"],
  model_instructions_file: ["FILE", "baseInstructions"],
  experimental_instructions_file: ["FILE", "baseInstructions"],
  developer_instructions: ["x", "developerInstructions"],
  compact_prompt: ["x", "compactPrompt"],
  show_raw_agent_reasoning: [true, "showRawReasoning"],
  project_doc_max_bytes: [1, "projectDocMaxBytes"],
  project_doc_fallback_filenames: [["x"], "projectDocFallbackNames"],
  features: [{ multi_agent: false }, "builtInTools"],
  tools: [{ view_image: false }, "builtInTools"],
  agents: [{ max_depth: 3 }, "agentMaxDepth"],
  mcp_servers: [{ s: { command: "x" } }, "mcpServers"],
  shell_environment_policy: [{ inherit: "none" }, "shellEnvironmentPolicy"],
  recovery: ["continue", "recovery"],
  profile: ["p", "(which of the profiles counts)"],
  profiles: [{ p: { model: "x" } }, "(what profile may name)"],
};

test("every key of config.toml that is checked is of use", async (t) => {
  const cwd = await tempHome(t);
  await writeFile(join(cwd, "FILE"), "text");
  assert.deepEqual(Object.keys(EFFECTS).toSorted(), CONFIG_KEYS.toSorted(), "a new key needs its line here");
  const defaults: ThreadConfig = { builtInTools: ["shell", "view_image", "multi_agent"] };
  for (const [key, [value, changed]] of Object.entries(EFFECTS)) {
    if (changed.startsWith("(")) continue;
    const below = key === "sandbox_workspace_write" ? { sandbox_mode: "workspace-write" } : {};
    const without: ThreadConfig = layerConfig({ cwd, defaults, request: below }).config;
    const loaded: ThreadConfig = layerConfig({ cwd, defaults, request: { ...below, [key]: value } }).config;
    const field = changed as keyof ThreadConfig;
    assert.notDeepEqual(loaded[field], without[field], key);
  }
});

test("every setting of a thread is read by something that runs threads", () => {
  const root = join(import.meta.dirname, "../../src");
  const passedOn = ["config-layers.ts", "config-schema.ts", "thread-config.ts"];
  const code = ["turn", "thread", "manager", "model", "process", "services"]
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => join(root, folder, name)),
    )
    .filter((path) => path.endsWith(".ts") && !passedOn.includes(basename(path)))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  const unread = THREAD_CONFIG_KEYS.filter((key) => !new RegExp(`\\b${key}\\b`).test(code));
  assert.deepEqual(unread, []);
});
