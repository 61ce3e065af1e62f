/** Who looks at threads is shown what there is, and changes nothing by it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentFacts } from "../../src/manager/thread-options.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Fixture, type Json, serve, type TestClient } from "./test-client.ts";

const idsOf = async (client: TestClient, params: Json): Promise<string[]> =>
  (await client.request("thread/list", params)).data.map(({ id }: Json) => id);

async function spawned({ manager }: Fixture, parentThreadId: ThreadId, agent: AgentFacts = {}): Promise<ThreadId> {
  const agents = manager.agentControl();
  const id = await agents.spawnAgent(undefined, "go", { parentThreadId, agent });
  await agents.waitFor([id]);
  return id;
}

test("a thread without a message is listed for who asks for it", async () => {
  await using served = await serve();
  const { client } = served;
  const empty = (await client.request("thread/start", {})).thread.id;
  const spoken = (await client.request("thread/start", {})).thread.id;
  await client.turn(spoken, "hi");
  assert.deepEqual(await idsOf(client, {}), [spoken]);
  assert.deepEqual(await idsOf(client, { includeEmpty: true }), [spoken, empty]);
  assert.deepEqual(await idsOf(client, { includeEmpty: true, sortDirection: "asc" }), [empty, spoken]);
  assert.deepEqual(await idsOf(client, { includeEmpty: false }), [spoken]);
});

test("a thread's agents at any depth are listed by ancestorThreadId, archived ones apart, page by page", async (t) => {
  const home = await folder(t);
  await using served = await serve({ manager: { store: fileStore({ home }) }, server: { home } });
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  const other = await client.request("thread/start", {});
  await client.turn(thread.id, "hi");
  const child = await spawned(served, thread.id);
  const grandchild = await spawned(served, child);
  const great = await spawned(served, grandchild);
  await spawned(served, other.thread.id);
  const under = (more: Json = {}) => idsOf(client, { ancestorThreadId: thread.id, ...more });
  assert.deepEqual(await under(), [great, grandchild, child]);
  assert.deepEqual(await under({ sortDirection: "asc" }), [child, grandchild, great]);
  assert.deepEqual(await under({ sourceKinds: ["cli"] }), [great, grandchild, child]);
  assert.deepEqual(await idsOf(client, { ancestorThreadId: great }), []);
  const first = await client.request("thread/list", { ancestorThreadId: thread.id, limit: 2 });
  assert.equal(first.data.length, 2);
  assert.deepEqual(await under({ limit: 2, cursor: first.nextCursor }), [child]);
  for (const id of [child, grandchild, great]) await manager.removeThread(id);
  await manager.store.archive(grandchild);
  assert.deepEqual([await under(), await under({ archived: true })], [[great, child], [grandchild]]);
  const refused = await client.failure("thread/list", { ancestorThreadId: "x" });
  assert.match(refused.message, /^invalid ancestor thread id: /);
});

test("an agent with a role and no nickname keeps its role, live and read from its file", async (t) => {
  const home = await folder(t);
  await using served = await serve({ manager: { store: fileStore({ home }) }, server: { home } });
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  const agent = await spawned(served, thread.id, { role: "worker" });
  const check = async () => {
    const { thread: read } = await client.request("thread/read", { threadId: agent });
    assert.deepEqual([read.agentNickname, read.agentRole], [null, "worker"]);
    const [listed] = (await client.request("thread/list", { parentThreadId: thread.id })).data;
    assert.deepEqual([listed.id, listed.agentRole], [agent, "worker"]);
  };
  await check();
  await manager.removeThread(agent);
  await check();
});

test("to look at threads loads none and puts none out of memory, when as many are in it as may be", async (t) => {
  const home = await folder(t);
  await using served = await serve({
    manager: { store: fileStore({ home }), limits: { residentThreads: 3 } },
    server: { home },
  });
  const { client } = served;
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    const { thread } = await client.request("thread/start", {});
    await client.turn(thread.id, `hi ${n}`);
    ids.push(thread.id);
  }
  const loaded = async (): Promise<string[]> => (await client.request("thread/loaded/list", {})).data;
  const before = await loaded();
  const inMemory = () => ids.filter((id) => served.manager.loadedThread(id as ThreadId) !== undefined);
  const resident = inMemory();
  assert.equal(resident.length, 3);
  const told = client.log.length;
  for (const threadId of ids) {
    await client.request("thread/read", { threadId, includeTurns: true });
    assert.equal((await client.request("thread/turns/list", { threadId })).data.length, 1);
    await client.request("thread/items/list", { threadId });
    const terminals = await client.request("thread/backgroundTerminals/list", { threadId });
    assert.deepEqual(terminals.data, []);
    await client.request("skein/thread/watch", { threadId });
  }
  assert.equal((await idsOf(client, {})).length, 5);
  assert.equal((await client.request("thread/search", { searchTerm: "hi" })).data.length, 5);
  assert.deepEqual([inMemory(), await loaded()], [resident, before]);
  assert.deepEqual(
    client.log.slice(told).filter(({ method }) => method?.startsWith("thread/")),
    [],
  );
});

test("who watches a thread sees its next life too", async () => {
  await using served = await serve();
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hi");
  const watcher = served.connect();
  await watcher.initialize();
  await watcher.request("skein/thread/watch", { threadId: thread.id });
  const removed = await manager.removeThread(thread.id);
  await removed?.shutdown();
  await client.request("thread/resume", { threadId: thread.id });
  await client.turn(thread.id, "anew");
  await watcher.next("turn/completed", (params) => params.threadId === thread.id);
});

test("a thread's status is the same whether anybody follows it or not", async () => {
  const model = scriptedClient(() => {
    throw new ModelError("refused");
  });
  await using served = await serve({ manager: { model } });
  const { client, manager } = served;
  const { thread: followed } = await client.request("thread/start", {});
  await client.turn(followed.id, "hi");
  const { thread: alone } = await manager.startThread();
  await alone.run("hi").catch(() => undefined);
  for (const id of [followed.id, alone.id]) {
    const { thread } = await client.request("thread/read", { threadId: id });
    assert.deepEqual(thread.status, { type: "systemError" }, id === alone.id ? "alone" : "followed");
  }
});
