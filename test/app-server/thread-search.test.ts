/** Search through what was said: in pages, as a stream, within a thread, and given up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

/** Threads whose answers say it, and not their first messages. */
async function spoken(client: TestClient, texts: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const text of texts) {
    const { thread } = await client.request("thread/start", {});
    await client.turn(thread.id, text);
    ids.push(thread.id);
  }
  return ids;
}

const answering = (reply: string) => ({ manager: { model: scriptedClient(() => [say(reply)]) } });
const idsOf = (page: Json): string[] => page.data.map(({ thread }: Json) => thread.id);

test("what only an answer says is found, whatever its case, with the line around it", async () => {
  await using served = await serve(answering("first line\nAn [Ünüsual] answer 😀\nlast line"));
  const { client } = served;
  const [id] = await spoken(client, ["hello"]);
  for (const searchTerm of ["[ünüsual]", "ANSWER 😀"]) {
    const { data } = await client.request("thread/search", { searchTerm });
    assert.deepEqual(
      data.map((hit: Json) => [hit.thread.id, hit.snippet]),
      [[id, "An [Ünüsual] answer 😀"]],
    );
  }
  for (const searchTerm of [".*", "first.line", "[a-z]"]) {
    assert.deepEqual((await client.request("thread/search", { searchTerm })).data, []);
  }
});

test("pages of hits neither repeat nor lose any, in both directions", async () => {
  await using served = await serve(answering("needle"));
  const { client } = served;
  const ids = await spoken(client, ["a", "b", "c", "d", "e"]);
  for (const sortDirection of ["desc", "asc"]) {
    const found: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await client.request("thread/search", { searchTerm: "needle", limit: 2, sortDirection, cursor });
      assert.ok(page.data.length <= 2);
      found.push(...idsOf(page));
      cursor = page.nextCursor;
    }
    assert.deepEqual(found, sortDirection === "asc" ? ids : ids.toReversed());
  }
});

test("a stream tells each hit before its answer, under the request's own id, and to nobody else", async () => {
  await using served = await serve(answering("needle"));
  const { client } = served;
  const other = served.connect();
  await other.initialize();
  await spoken(client, ["a", "b"]);
  client.send({ id: "s", method: "thread/search/stream", params: { searchTerm: "needle" } });
  const { result } = await client.find((message) => message.id === "s");
  const told = client.log.filter(({ method }) => method === "thread/search/partial");
  assert.deepEqual(
    told.map(({ params }) => [params.requestId, params.data.length, params.data[0].thread.id]),
    idsOf(result).map((id) => ["s", 1, id]),
  );
  assert.equal(client.log.at(-1)?.id, "s");
  assert.ok(!other.methods.includes("thread/search/partial"));
});

test("a search is cancelled by its own method, id and client; the answer to that comes first", async () => {
  await using served = await serve(answering("needle"));
  const { client } = served;
  await spoken(client, ["a", "b"]);
  const other = served.connect();
  await other.initialize();
  const params = { searchTerm: "needle" };
  const cancel = (id: number, method: string, requestId: unknown) => ({ id, method, params: { requestId } });
  client.send({ id: 100, method: "thread/search", params });
  client.send({ id: 101, method: "thread/search", params });
  client.send({ id: "101", method: "thread/search", params });
  client.send(cancel(102, "thread/search/stream/cancel", 100));
  other.send(cancel(1, "thread/search/cancel", 100));
  client.send(cancel(103, "thread/search/cancel", 101));
  const answerOf = (id: unknown) => client.find((message) => message.id === id && message.method === undefined);
  const cancelled = await answerOf(101);
  assert.deepEqual([cancelled.error?.code, cancelled.error?.message], [-32600, "thread search cancelled"]);
  assert.ok(client.log.indexOf(await answerOf(103)) < client.log.indexOf(cancelled));
  for (const id of [100, "101"]) assert.equal((await answerOf(id)).result.data.length, 2);
  for (const requestId of [100, 101, "never"]) {
    assert.deepEqual(await client.request("thread/search/cancel", { requestId }), {});
  }
});

test("occurrences within a thread are counted one by one, over items and pages", async () => {
  await using served = await serve(answering("so: aNa ana"));
  const { client } = served;
  const [threadId] = await spoken(client, ["ana and banana"]);
  const all = await client.request("thread/searchOccurrences", { threadId, searchTerm: "ANA" });
  const cuts = all.data.map(({ snippet, snippetMatchRange: { start, end } }: Json) => snippet.slice(start, end));
  assert.deepEqual(cuts, ["ana", "ana", "aNa", "ana"]);
  const found: Json[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.request("thread/searchOccurrences", { threadId, searchTerm: "ANA", limit: 1, cursor });
    found.push(...page.data);
    cursor = page.nextCursor;
  }
  assert.deepEqual(found, all.data);
  const turns = await client.request("thread/turns/list", { threadId, cursor: found[0].turnCursor });
  assert.equal(turns.data[0].id, found[0].turnId);
  const cursor = JSON.stringify({ threadId, searchTerm: "x", nextRolloutOrdinal: 0, nextOccurrenceIndex: 0 });
  const refused = await client.failure("thread/searchOccurrences", { threadId, searchTerm: "ANA", cursor });
  assert.equal(refused.message, `invalid cursor: ${cursor}`);
});

test("a cursor that no page gave out is refused by the number that stock gives each method", async () => {
  await using served = await serve();
  const { client } = served;
  const params = { searchTerm: "a", cursor: "garbage" };
  const refusals = await Promise.all(
    ["thread/search", "thread/search/stream", "thread/list"].map((method) => client.failure(method, params)),
  );
  assert.deepEqual(
    refusals.map(({ code, message }) => [code, message]),
    [-32600, -32602, -32600].map((code) => [code, "invalid cursor: garbage"]),
  );
});

test("a time alone is a cursor too: what lies strictly behind that moment, in each form that stock reads", async () => {
  await using served = await serve(answering("needle"));
  const { client } = served;
  const ids = await spoken(client, ["a", "b", "c"]);
  const places = await Promise.all(
    ids.map(async (id): Promise<[string, number]> => {
      const { backwardsCursor } = await client.request("thread/list", { includedThreadIds: [id] });
      return [id, Date.parse(backwardsCursor.split("|")[0])];
    }),
  );
  const at = places[1]?.[1] ?? 0;
  const iso = new Date(at).toISOString();
  const later = new Date(at + 2 * 3_600_000).toISOString();
  const second = Math.ceil(at / 1000) * 1000;
  const forms: readonly [string, number][] = [
    [iso, at],
    [iso.replace("T", " "), at],
    [later.replace("Z", "+02:00"), at],
    [new Date(second).toISOString().slice(0, 19).replaceAll(":", "-"), second],
    ["0000-01-01T00:00:00Z", 0],
    ["9999-12-31t23:59:59z", Number.POSITIVE_INFINITY],
  ];
  for (const [given, moment] of forms) {
    for (const sortDirection of ["desc", "asc"]) {
      const isBehind = (time: number) => (sortDirection === "asc" ? time > moment : time < moment);
      const behind = places.filter(([, time]) => isBehind(time)).map(([id]) => id);
      const expected = sortDirection === "asc" ? behind : behind.toReversed();
      const params = { cursor: given, sortDirection };
      const { data } = await client.request("thread/list", params);
      assert.deepEqual(
        data.map(({ id }: Json) => id),
        expected,
        `${given} ${sortDirection}`,
      );
      for (const method of ["thread/search", "thread/search/stream"])
        assert.deepEqual(idsOf(await client.request(method, { ...params, searchTerm: "needle" })), expected, method);
    }
  }
  for (const cursor of [
    "2026-11-28",
    "2026-11-28T13:24:56",
    "1795872296",
    `${iso}|`,
    ` ${iso}`,
    "2026-13-01T00:00:00Z",
  ])
    assert.equal((await client.failure("thread/list", { cursor })).message, `invalid cursor: ${cursor}`);
});

test("a list of named threads: only those, without the excluded, page by page", async () => {
  await using served = await serve();
  const { client } = served;
  const [a, b, c, d] = await spoken(client, ["a", "b", "c", "d"]);
  const list = async (params: Json): Promise<string[]> =>
    (await client.request("thread/list", params)).data.map(({ id }: Json) => id);
  assert.deepEqual(await list({ includedThreadIds: [a, c, a] }), [c, a]);
  assert.deepEqual(await list({ includedThreadIds: [a, c], excludedThreadIds: [c] }), [a]);
  assert.deepEqual(await list({ excludedThreadIds: [b, d] }), [c, a]);
  assert.deepEqual(await list({ includedThreadIds: [a, b, c], sortDirection: "asc", limit: 2 }), [a, b]);
  const first = await client.request("thread/list", { includedThreadIds: [a, b, d], limit: 2 });
  assert.deepEqual(await list({ includedThreadIds: [a, b, d], limit: 2, cursor: first.nextCursor }), [a]);
  assert.equal((await client.failure("thread/list", { originators: ["x"] })).code, -32602);
});
