/** What a tool of a client's own has come to (`toolOutput`): a turn begins with it, or a running one takes it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { input } from "./stories.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const PICTURE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const begun = async (client: TestClient, threadId: string, toolOutput: Json): Promise<string> => {
  const { turn } = await client.request("turn/start", { threadId, input: [], toolOutput });
  await client.find(({ method, params }) => method === "turn/completed" && params.turn.id === turn.id);
  return turn.id;
};

const outputsIn = ({ input }: { readonly input: readonly Json[] } = { input: [] }): Json[] =>
  input.filter(({ type }) => type === "function_call_output").map(({ id: _, ...item }) => item);

const shown = (turns: Json[]): Json[] =>
  turns.flatMap(({ items }) =>
    items.map(({ type, name, namespace, output }: Json) => ({ type, name, namespace, output })),
  );

test("a turn begins with it, tells it as an item, and the model hears of it; so do later lives and forks", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "skein-tool-output-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const model = scriptedClient(() => [say("seen")], { recordRequests: 10 });
  const served = () => serve({ manager: { store: fileStore({ home }), model }, server: { home } });
  const parts = [
    { type: "input_text", text: "a" },
    { type: "input_image", image_url: PICTURE },
  ];
  const items = [
    { type: "functionCallOutput", name: "its_tool", namespace: "ns", output: parts },
    { type: "agentMessage", name: undefined, namespace: undefined, output: undefined },
  ];
  const heard = [{ type: "function_call_output", name: "its_tool", namespace: "ns", output: parts }];
  const first = await served();
  const { thread } = await first.client.request("thread/start", {});
  const threadId = thread.id as string;
  const turnId = await begun(first.client, threadId, { name: "its_tool", namespace: "ns", output: parts });
  const told = first.client.log.filter(
    ({ method }) => method?.startsWith("item/") && method !== "item/agentMessage/delta",
  );
  const [started, completed] = told;
  assert.deepEqual([started?.method, completed?.method], ["item/started", "item/completed"]);
  assert.equal(started?.params.turnId, turnId);
  assert.match(started?.params.item.id, /^fco_/);
  assert.deepEqual(completed?.params.item, { ...started?.params.item, completedAtMs: completed?.params.completedAtMs });
  assert.deepEqual(outputsIn(model.requests[0]), heard);
  assert.ok(!model.requests[0]?.input.some((item: Json) => item.role === "user" && item.content.length === 0));
  await first[Symbol.asyncDispose]();
  await using again = await served();
  const resumed = await again.client.request("thread/resume", { threadId });
  assert.deepEqual(shown(resumed.thread.turns), items);
  assert.equal(resumed.thread.turns[0].items[0].id, started?.params.item.id);
  const { thread: fork } = await again.client.request("thread/fork", { threadId });
  assert.deepEqual(shown(fork.turns), items);
  await again.client.turn(fork.id, "go on");
  assert.deepEqual(outputsIn(model.requests[1]), heard);
});

test("a running turn takes it", async () => {
  const model = scriptedClient([[say("part", { deltas: ["part"] }), hang()], [say("whole")]], { recordRequests: 10 });
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: input("hi") });
  await client.next("item/agentMessage/delta");
  const joined = await begun(client, thread.id, { name: "late", output: "out" });
  assert.equal(joined, turn.id);
  assert.deepEqual(outputsIn(model.requests[1]), [{ type: "function_call_output", name: "late", output: "out" }]);
});

test("one that a process had taken and not told the model of when it died is told of by the next", async () => {
  const store = memoryStore();
  const dead = await ThreadManager.create({ store, model: scriptedClient(() => [say("ok")]) });
  const { thread, threadId } = await dead.startThread();
  await thread.run("hi");
  await dead.shutdown();
  const writer = await store.open(threadId);
  const items = [{ type: "tool_output", name: "late", output: "out" }, ...input("and this")];
  const op = { type: "user_input", items };
  writer.append({ type: "submission", payload: { thread_id: threadId, id: "job", turn_id: newThreadId(), op } });
  await writer.close();
  const model = scriptedClient(() => [say("ok")], { recordRequests: 1 });
  await using manager = await ThreadManager.create({ store, model });
  const { thread: next } = await manager.resumeThread(threadId);
  await next.run("go on");
  assert.deepEqual(outputsIn(model.requests[0]), [{ type: "function_call_output", name: "late", output: "out" }]);
  assert.match(JSON.stringify(model.requests[0]?.input), /"late".*and this.*go on/);
});

test("when the conversation is summed up, what was to be retained stays, over a second time too", async () => {
  const model = scriptedClient(() => [say("ok")], { recordRequests: 10 });
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await begun(client, thread.id, { name: "kept", output: "1", retain: true });
  await begun(client, thread.id, { name: "gone", output: "2" });
  for (const time of [1, 2]) {
    await client.request("thread/compact/start", { threadId: thread.id });
    await client.next("item/completed", ({ item }) => item.type === "contextCompaction");
    await client.next("turn/completed");
    await client.turn(thread.id, `after ${time}`);
    const names = outputsIn(model.requests.at(-1)).map(({ name }) => name);
    assert.deepEqual(names, ["kept"]);
  }
});

test("what is wrong with it is told in stock's words, and nothing begins", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const refused = async (toolOutput: Json, given: Json[] = []) => {
    const { code, message } = await client.failure("turn/start", { threadId: thread.id, input: given, toolOutput });
    return `${code} ${message}`;
  };
  const fine = { name: "its_tool", output: "out" };
  assert.equal(await refused(fine, input("a")), "-32600 `toolOutput` cannot be combined with nonempty `input`");
  assert.equal(await refused({ ...fine, name: "" }), "-32600 `toolOutput.name` must not be empty");
  assert.equal(await refused({ name: "a" }), "-32600 Invalid request: missing field `output`");
  assert.equal(await refused({ output: "a" }), "-32600 Invalid request: missing field `name`");
  const untagged = "-32600 Invalid request: data did not match any variant of untagged enum FunctionCallOutputBody";
  for (const output of [3, [{ type: "what" }], [{ type: "input_image" }], { content: "a" }])
    assert.equal(await refused({ ...fine, output }), untagged);
  assert.match(await refused({ ...fine, retain: 3 }), /expected a boolean/);
  const remote = [{ type: "input_image", image_url: "https://example.com/a.png" }];
  assert.match(await refused({ ...fine, output: remote }), /remote image URLs are not supported/);
  assert.match(await refused({ ...fine, output: "z".repeat(1_048_577) }), /-32602 .*maximum length/);
  assert.deepEqual((await client.request("thread/turns/list", { threadId: thread.id })).data, []);
});
