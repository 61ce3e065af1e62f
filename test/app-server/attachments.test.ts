/** thread/attachment/*: what clients pin to threads; held against stock 0.171's answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileStore } from "../../src/store/file/file-store.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Fixture, type Json, serve } from "./test-client.ts";

const UNKNOWN = "01999999-1111-7222-8333-444455556666";
const PR = { attachmentType: "pr", identityKey: "k1" };

const open = (home: string): Promise<Fixture> =>
  serve({ manager: { store: fileStore({ home }), config: { cwd: "/w" } }, server: { home } });
const begin = async ({ client }: Fixture): Promise<string> => {
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hello");
  return thread.id;
};
const add = ({ client }: Fixture, threadId: string, given: Json = {}): Promise<Json> =>
  client.request("thread/attachment/add", { threadId, ...PR, payload: { n: 1 }, ...given });
const list = async ({ client }: Fixture, params: Json): Promise<Json[]> =>
  (await client.request("thread/attachment/list", params)).data;
const owners = ({ client }: Fixture, params: Json = {}): Promise<Json> =>
  client.request("thread/attachmentOwner/list", { ...PR, ...params });

test("one of a type and a key is there once; every client is told when it comes and when it goes", async (t) => {
  await using served = await open(await folder(t));
  const { client, connect } = served;
  const threadId = await begin(served);
  const other = connect();
  await other.initialize();
  const { outcome, attachment } = await add(served, threadId);
  const { id, createdAt, ...rest } = attachment;
  assert.deepEqual([outcome, rest, Number.isInteger(createdAt)], ["created", { ...PR, payload: { n: 1 } }, true]);
  assert.deepEqual(await add(served, threadId, { payload: 2 }), { outcome: "existing", attachment });
  await add(served, threadId, { identityKey: "k2", payload: null });
  const remove = () => client.request("thread/attachment/remove", { threadId, ...PR });
  assert.deepEqual([await remove(), await remove()], [{}, {}]);
  assert.deepEqual(
    (await list(served, { threadId })).map(({ identityKey, payload }) => [identityKey, payload]),
    [["k2", null]],
  );
  const told = { threadId, ...PR, attachmentId: id };
  await other.next("thread/attachment/updated", ({ operation }) => operation === "deleted");
  const updates = other.log.filter(({ method }) => method === "thread/attachment/updated").map(({ params }) => params);
  assert.deepEqual(
    [updates[0], updates.at(-1), updates.length],
    [{ ...told, operation: "created" }, { ...told, operation: "deleted" }, 3],
  );
});

test("they outlast the server, forks have copies of their own, and a deleted thread has none", async (t) => {
  const home = await folder(t);
  let fork = "";
  let threadId = "";
  let before: Json[] = [];
  {
    await using served = await open(home);
    threadId = await begin(served);
    await add(served, threadId);
    fork = (await served.client.request("thread/fork", { threadId })).thread.id;
    before = await list(served, { threadId });
    const [copy] = await list(served, { threadId: fork });
    assert.deepEqual([copy.identityKey, copy.payload], ["k1", { n: 1 }]);
    assert.notEqual(copy.id, before[0]?.id);
  }
  await using served = await open(home);
  assert.deepEqual(
    (await owners(served)).data.map(({ threadId: id }: Json) => id),
    [threadId, fork].toSorted(),
  );
  assert.deepEqual(await list(served, { threadId }), before);
  await served.client.request("thread/archive", { threadId: fork });
  const archived = { data: [{ threadId: fork, archived: true }], nextCursor: null };
  assert.deepEqual(await owners(served, { archived: true }), archived);
  assert.deepEqual((await owners(served, { archived: false })).data, [{ threadId, archived: false }]);
  assert.equal((await add(served, fork, { identityKey: "late" })).outcome, "created");
  await served.client.request("thread/delete", { threadId });
  assert.deepEqual(await owners(served), archived);
  assert.deepEqual(await list(served, { threadId }), []);
});

test("pages of them, and of whose they are", async (t) => {
  await using served = await open(await folder(t));
  const { client } = served;
  const ids = [await begin(served), await begin(served), await begin(served)].toSorted();
  for (const id of ids) await add(served, id);
  const [threadId = ""] = ids;
  for (const identityKey of ["k2", "k3"]) await add(served, threadId, { identityKey });
  for (const [method, params, all] of [
    ["thread/attachment/list", { threadId }, ["k1", "k2", "k3"]],
    ["thread/attachmentOwner/list", PR, ids],
  ] as const) {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Json = await client.request(method, { ...params, limit: 0, cursor });
      seen.push(...page.data.map(({ identityKey, threadId: owner }: Json) => identityKey ?? owner));
      cursor = page.nextCursor;
    } while (cursor !== null);
    assert.deepEqual(seen, all);
  }
});

test("what stock Codex refuses, in its words", async (t) => {
  await using served = await open(await folder(t));
  const { client } = served;
  const threadId = await begin(served);
  const { thread: ephemeral } = await client.request("thread/start", { ephemeral: true });
  const long = "é".repeat(129);
  const cases: [string, Json, string][] = [
    ["add", { attachmentType: "" }, "-32602 attachmentType must not be empty"],
    ["add", { identityKey: "" }, "-32602 identityKey must not be empty"],
    ["remove", { identityKey: "" }, "-32602 identityKey must not be empty"],
    ["add", { attachmentType: long }, "-32602 attachmentType must not exceed 256 bytes"],
    ["add", { payload: "é".repeat(32_768) }, "-32602 attachment payload must not exceed 65536 bytes"],
    ["add", { payload: undefined }, "-32600 Invalid request: missing field `payload`"],
    ["add", { threadId: UNKNOWN }, `-32602 thread not found: ${UNKNOWN}`],
    ["remove", { threadId: UNKNOWN }, `-32602 thread not found: ${UNKNOWN}`],
    ["add", { threadId: ephemeral.id }, `-32602 thread not found: ${ephemeral.id}`],
    [
      "list",
      { threadId: "bad" },
      "-32602 invalid thread id: invalid length: expected length 32 for simple format, found 3",
    ],
    ["list", { cursor: "x" }, "-32602 invalid pagination cursor"],
  ];
  for (const [method, params, text] of cases) {
    const given = { threadId, ...PR, payload: 1, ...params };
    const { code, message } = await client.failure(`thread/attachment/${method}`, given);
    assert.equal(`${code} ${message}`, text);
  }
  assert.deepEqual([await list(served, { threadId: UNKNOWN }), await list(served, { threadId })], [[], []]);
  const { code, message } = await client.failure("thread/attachmentOwner/list", { ...PR, cursor: "x" });
  assert.deepEqual([code, message], [-32602, "invalid pagination cursor"]);
});

test("a thread has no more than can be kept with it", async (t) => {
  await using served = await open(await folder(t));
  const threadId = await begin(served);
  for (let n = 0; n < 256; n += 1) await add(served, threadId, { identityKey: `${n}` });
  const { message } = await served.client.failure("thread/attachment/add", { threadId, ...PR, payload: 1 });
  assert.equal(message, "a thread has at most 256 attachments");
  assert.equal((await add(served, threadId, { identityKey: "7" })).outcome, "existing");
});
