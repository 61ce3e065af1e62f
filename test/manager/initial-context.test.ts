/** The model is told once where it works, however its thread came to be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assistantMessage,
  memoryStore,
  type ResponseItem,
  scriptedClient,
  ThreadManager,
  type ThreadStore,
  userMessage,
} from "../../src/index.ts";
import type { SandboxPolicy } from "../../src/protocol/policy.ts";

const shown = (items: readonly ResponseItem[] = []): string[] =>
  items.map((item) => {
    const text = JSON.stringify(item);
    if (text.includes("<environment_context>")) return text.includes("<sandbox_mode>") ? "environment" : "change";
    if (text.includes("<turn_aborted>")) return "interrupted";
    return item.type === "message" ? `${item.role}: ${text.match(/"text":"([^"]*)"/)?.[1]}` : item.type;
  });

test("a history given inline is followed by the initial context, once", async () => {
  const model = scriptedClient(undefined, { recordRequests: 10 });
  await using manager = await ThreadManager.create({ store: memoryStore(), model, config: { cwd: "/w" } });
  const said = [userMessage("before"), assistantMessage("ok")];
  const items = said.map((payload) => ({ type: "response_item" as const, payload }));
  const { thread } = await manager.resumeThreadWithHistory(undefined, { type: "forked", items });
  await thread.run("one");
  await thread.run("two");
  const first = ["user: before", "assistant: ok", "environment", "user: one"];
  assert.deepEqual(shown(model.requests[0]?.input), first);
  assert.deepEqual(shown(model.requests[1]?.input), [...first, "assistant: ack: one", "user: two"]);
});

test("so is a thread that was stored before its first turn; one that knows is told nothing again", async () => {
  const store = memoryStore();
  const model = scriptedClient(undefined, { recordRequests: 10 });
  const options = { store, model, config: { cwd: "/w" } };
  const ids: string[] = [];
  for (const text of [undefined, "one", "two"]) {
    await using manager = await ThreadManager.create(options);
    const { threadId, thread } =
      ids[0] === undefined ? await manager.startThread() : await manager.resumeThread(ids[0]);
    ids.push(threadId);
    if (text !== undefined) await thread.run(text);
  }
  assert.deepEqual(shown(model.requests[0]?.input), ["environment", "user: one"]);
  assert.deepEqual(shown(model.requests[1]?.input), ["environment", "user: one", "assistant: ack: one", "user: two"]);
});

test("an interrupt while the history is still being loaded repeats nothing", async () => {
  const inner = memoryStore();
  const model = scriptedClient(undefined, { recordRequests: 10 });
  const config = { cwd: "/w" };
  const first = await ThreadManager.create({ store: inner, model, config });
  const { threadId, thread: before } = await first.startThread();
  await before.run("one");
  await first.shutdown();

  const gate = Promise.withResolvers<void>();
  async function* load(...args: Parameters<ThreadStore["load"]>) {
    await gate.promise;
    yield* inner.load(...args);
  }
  const store = new Proxy(inner, {
    get: (target, name) => {
      const member: unknown = name === "load" ? load : Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  await using manager = await ThreadManager.create({ store, model, config });
  const { thread } = await manager.resumeThread(threadId, undefined, { initialMessages: "none" });
  const running = thread.run("two");
  await thread.interrupt();
  assert.equal((await running).status, "interrupted");
  gate.resolve();
  await thread.run("three");
  assert.deepEqual(shown(model.requests.at(-1)?.input), [
    "environment",
    "user: one",
    "assistant: ack: one",
    "user: two",
    "interrupted",
    "user: three",
  ]);
});

test("a fork or resume with other instructions tells the model of those that changed, once", async () => {
  const store = memoryStore();
  const model = scriptedClient(undefined, { recordRequests: 10 });
  const config = { cwd: "/w", developerInstructions: "be brief", userInstructions: "tabs" };
  await using manager = await ThreadManager.create({ store, model, config });
  const source = await manager.startThread();
  await source.thread.run("one");
  const fork = await manager.forkThread({ from: source.threadId, config: { developerInstructions: "be exact" } });
  await fork.thread.run("two");
  await fork.thread.run("three");
  await fork.thread.shutdown();
  await manager.removeThread(fork.threadId);
  const again = await manager.resumeThread(fork.threadId, {
    developerInstructions: "be exact",
    userInstructions: "spaces",
  });
  await again.thread.run("four");
  const told = [
    "developer: be brief",
    "user: # AGENTS.md instructions for /w\\n\\n<INSTRUCTIONS>\\ntabs\\n</INSTRUCTIONS>",
  ];
  const first = [...told, "environment", "user: one"];
  const forked = [...first, "assistant: ack: one", "developer: be exact", "user: two"];
  assert.deepEqual(shown(model.requests[0]?.input), first);
  assert.deepEqual(shown(model.requests[1]?.input), forked);
  assert.deepEqual(shown(model.requests[3]?.input), [
    ...forked,
    ...["assistant: ack: two", "user: three", "assistant: ack: three"],
    "user: # AGENTS.md instructions for /w\\n\\n<INSTRUCTIONS>\\nspaces\\n</INSTRUCTIONS>",
    "user: four",
  ]);
});

const WORKSPACE = {
  type: "workspace-write",
  exclude_tmpdir_env_var: false,
  exclude_slash_tmp: false,
} as const;
const workspace = (network_access: boolean): SandboxPolicy => ({ ...WORKSPACE, writable_roots: [], network_access });
const POLICIES: [string, SandboxPolicy, string][] = [
  ["read-only", { type: "read-only" }, "restricted"],
  ["workspace-write", workspace(false), "restricted"],
  ["workspace-write with network", workspace(true), "enabled"],
  ["danger-full-access", { type: "danger-full-access" }, "enabled"],
  ["external-sandbox", { type: "external-sandbox", network_access: "restricted" }, "restricted"],
  ["external-sandbox with network", { type: "external-sandbox", network_access: "enabled" }, "enabled"],
];
for (const [what, sandboxPolicy, told] of POLICIES) {
  test(`under ${what} the model is told that network access is ${told}`, async () => {
    const model = scriptedClient(undefined, { recordRequests: 1 });
    const config = { cwd: "/w", sandboxPolicy };
    await using manager = await ThreadManager.create({ store: memoryStore(), model, config });
    const { thread } = await manager.startThread();
    await thread.run("one");
    const [, network] = JSON.stringify(model.requests[0]?.input).match(/<network_access>(.*?)</) ?? [];
    assert.equal(network, told);
  });
}
