import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { parseThreadConfig, resolveThreadConfig, type ThreadConfig } from "../../src/protocol/thread-config.ts";
import { tool } from "../../src/turn/tool.ts";

const refuses = (run: () => unknown, ...parts: string[]) =>
  assert.throws(run, (error) => {
    assert.ok(error instanceof InvalidRequestError);
    for (const part of parts) assert.ok(error.message.includes(part), `${error.message} should name ${part}`);
    return true;
  });

test("a config is read key by key; tools and extra stay the same objects", () => {
  const tools = [{ name: "t", execute: () => 1 }];
  const extra = { a: new Map() };
  const read = parseThreadConfig({ model: "m", tools, extra, cwd: undefined, reasoningEffort: null });
  assert.deepEqual(read, { model: "m", tools, extra, reasoningEffort: null });
  assert.equal(read.tools, tools);
  assert.equal(read.extra, extra);
  assert.deepEqual(parseThreadConfig(undefined), {});
});

test("a wrong type, a wrong value and an unknown key are named, all at once", () => {
  refuses(() => parseThreadConfig(7), "config", "object");
  refuses(() => parseThreadConfig([]), "config", "object");
  refuses(() => parseThreadConfig({ model: 7, ephemeral: "yes" }), "model: ", "ephemeral: ", "expected boolean");
  refuses(() => parseThreadConfig({ approvalPolicy: "always" }), "approvalPolicy: ", "on-request");
  refuses(() => parseThreadConfig({ streamMaxRetries: -1 }), "streamMaxRetries: ");
  refuses(() => parseThreadConfig({ tools: {} }), "tools: ", "array");
  refuses(() => parseThreadConfig({ sandboxPolicy: { type: "nowhere" } }), "sandboxPolicy: type");
  refuses(() => parseThreadConfig({ model: null }), "model: ");
});

test("an unknown key gets the nearest known one, if any is near", () => {
  refuses(
    () => parseThreadConfig({ approval_policy: "never" }),
    "unknown key `approval_policy`",
    "did you mean `approvalPolicy`?",
  );
  refuses(() => parseThreadConfig({ modle: "m" }), "did you mean `model`?");
  assert.throws(
    () => parseThreadConfig({ zzzzzz: 1 }),
    (error: Error) => !error.message.includes("did you mean"),
  );
  refuses(() => parseThreadConfig({ toString: 1 }), "unknown key `toString`");
  refuses(() => parseThreadConfig(JSON.parse('{"__proto__": 1}')), "unknown key `__proto__`");
});

test("the defaults", () => {
  assert.deepEqual(resolveThreadConfig({ cwd: "/w" }), {
    model: "scripted",
    modelProvider: "scripted",
    cwd: "/w",
    approvalPolicy: "on-request",
    allowUnixSockets: false,
    sandboxMode: "read-only",
    sandboxPolicy: { type: "read-only" },
    permissionProfile: ":read-only",
    baseInstructions: null,
    developerInstructions: null,
    userInstructions: null,
    collaborationMode: null,
    compactPrompt: null,
    reasoningEffort: null,
    reasoningSummary: null,
    modelVerbosity: null,
    serviceTier: null,
    reviewModel: null,
    projectDocMaxBytes: null,
    projectDocFallbackNames: [],
    modelContextWindow: null,
    modelAutoCompactTokenLimit: null,
    ephemeral: false,
    showRawReasoning: false,
    streamMaxRetries: 5,
    requestMaxRetries: 4,
    tools: [],
    builtInTools: [],
    agentMaxThreads: 6,
    agentMaxDepth: 1,
    mcpServers: {},
    recovery: "interrupt",
    extra: {},
  });
});

test("the later layer wins; undefined never overrides, null does", () => {
  const [first, second] = ["1", "2"].map((name) => tool({ name, description: "", execute: () => "" }));
  assert.ok(first && second);
  const defaults: ThreadConfig = {
    cwd: "/w",
    model: "a",
    reasoningEffort: "high",
    tools: [first],
    extra: { a: 1, b: 1 },
  };
  const resolved = resolveThreadConfig(defaults, {
    cwd: undefined,
    model: undefined,
    reasoningEffort: null,
    tools: [second],
    extra: { b: 2 },
  });
  assert.equal(resolved.cwd, "/w");
  assert.equal(resolved.model, "a");
  assert.equal(resolved.reasoningEffort, null);
  assert.equal(resolved.tools[0], second);
  assert.deepEqual(resolved.extra, { a: 1, b: 2 });
  assert.deepEqual(defaults.extra, { a: 1, b: 1 });
});

test("of mode and policy the nearest layer decides, and in one layer the policy", () => {
  const policy = { type: "danger-full-access" } as const;
  const both = (defaults: ThreadConfig, override: ThreadConfig) => {
    const { sandboxMode, sandboxPolicy } = resolveThreadConfig({ cwd: "/w", ...defaults }, override);
    return [sandboxMode, sandboxPolicy.type];
  };
  assert.deepEqual(both({ sandboxPolicy: policy }, {}), ["danger-full-access", "danger-full-access"]);
  assert.deepEqual(both({ sandboxPolicy: policy }, { sandboxMode: "workspace-write" }), [
    "workspace-write",
    "workspace-write",
  ]);
  assert.deepEqual(both({ sandboxMode: "read-only" }, { sandboxPolicy: policy }), [
    "danger-full-access",
    "danger-full-access",
  ]);
  assert.deepEqual(both({}, { sandboxMode: "read-only", sandboxPolicy: policy }), [
    "danger-full-access",
    "danger-full-access",
  ]);
});

test("cwd must be given and absolute", () => {
  refuses(() => resolveThreadConfig({}), "cwd");
  refuses(() => resolveThreadConfig({ cwd: "work" }), "cwd is not absolute: work");
  assert.equal(resolveThreadConfig({}, { cwd: "C:\\w" }).cwd, "C:\\w");
});
