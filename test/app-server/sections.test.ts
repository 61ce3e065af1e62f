/** Sections: what clients sort threads into, in what order, and what becomes of it. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { Sections } from "../../src/app-server/memos/sections.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const PINNED = "01984de2-8f74-7c91-a3b2-5c5e937cf318";
const STRANGER = "01990000-0000-7000-8000-0000000000dd";

async function homeOf(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "skein-sections-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  return home;
}

const servedAt = (home: string) => serve({ manager: { store: fileStore({ home }) }, server: { home } });

const made = async (client: TestClient, name: string): Promise<string> =>
  (await client.request("threadSection/create", { name })).section.id;

const started = async (client: TestClient): Promise<ThreadId> => (await client.request("thread/start", {})).thread.id;

const idsOf = ({ data }: Json): string[] => data.map(({ id }: Json) => id);

const inOrder = async (client: TestClient, sectionId: string, rest: Json = {}): Promise<string[]> =>
  idsOf(await client.request("thread/list", { sectionId, sortKey: "section_position", ...rest }));

test("sections are made, named, dressed, listed by pages and deleted; the pinned one is there from the first and stays", async () => {
  await using served = await serve();
  const { client } = served;
  assert.deepEqual((await client.request("threadSection/list", {})).data, [
    { id: PINNED, name: "Pinned", appearance: null },
  ]);
  const appearance = { icon: "star" };
  const first = await client.request("threadSection/create", { name: " \u0085one\u00a0", appearance });
  assert.deepEqual([first.section.name, first.section.appearance], ["one", { icon: "star", color: null }]);
  const two = await made(client, "Pinned");
  const page = await client.request("threadSection/list", { limit: 2 });
  assert.deepEqual([idsOf(page), page.nextCursor], [[PINNED, first.section.id], first.section.id]);
  const rest = await client.request("threadSection/list", { limit: 2, cursor: page.nextCursor });
  assert.deepEqual([idsOf(rest), rest.nextCursor], [[two], null]);
  const rename = (params: Json) => client.request("threadSection/update", { sectionId: first.section.id, ...params });
  assert.deepEqual((await rename({ name: " uno " })).section.appearance, { icon: "star", color: null });
  assert.deepEqual((await rename({ name: "uno", appearance: null })).section, {
    ...{ id: first.section.id, name: "uno", appearance: null },
  });
  await client.request("threadSection/delete", { sectionId: two });
  assert.deepEqual(idsOf(await client.request("threadSection/list", {})), [PINNED, first.section.id]);
});

test("what is wrong with a section is told in stock's words and by its numbers", async () => {
  await using served = await serve();
  const { client } = served;
  const wrong = async (method: string, params: Json) => {
    const { code, message } = await client.failure(method, params);
    return [code, message];
  };
  assert.deepEqual(await wrong("threadSection/create", { name: " \n" }), [-32602, "section name must not be empty"]);
  assert.deepEqual(await wrong("threadSection/create", {}), [-32600, "Invalid request: missing field `name`"]);
  for (const [method, params] of [
    ["threadSection/update", { sectionId: "x", name: "y" }],
    ["threadSection/delete", { sectionId: "x" }],
  ] as const)
    assert.deepEqual(await wrong(method, params), [-32602, "thread section not found: x"]);
  const onPinned = { sectionId: PINNED, name: "Pinned" };
  assert.match(String(await wrong("threadSection/update", onPinned)), /-32602.*built-in.*renamed/);
  assert.match(String(await wrong("threadSection/delete", { sectionId: PINNED })), /-32602.*built-in.*deleted/);
  const threadId = await started(client);
  const { thread: passing } = await client.request("thread/start", { ephemeral: true });
  const moved = (params: Json) => wrong("thread/section/move", { threadId, sectionId: PINNED, ...params });
  assert.deepEqual(await moved({ sectionId: "x" }), [-32600, "section x does not exist"]);
  assert.deepEqual(await moved({ threadId: STRANGER }), [-32600, `thread not found: ${STRANGER}`]);
  assert.match(String(await moved({ threadId: passing.id })), /ephemeral thread does not support section moves/);
  assert.match(String(await moved({ beforeThreadId: threadId })), /cannot be moved before itself/);
  assert.match(String(await moved({ beforeThreadId: STRANGER })), /before thread .* is not in section/);
  assert.match(String(await moved({ beforeThreadId: "x" })), /invalid before thread id/);
  assert.match(String(await moved({ sectionId: null, beforeThreadId: STRANGER })), /requires a non-null sectionId/);
  assert.match(String(await moved({ sectionId: "" })), /must not be empty/);
  const byPosition = { sortKey: "section_position" };
  assert.match(String(await wrong("thread/list", byPosition)), /requires a section filter/);
  assert.match(String(await wrong("thread/list", { ...byPosition, sectionId: null })), /requires a section filter/);
  const badCursor = { ...byPosition, sectionId: PINNED, cursor: `x|${threadId}` };
  assert.match(String(await wrong("thread/list", badCursor)), /invalid cursor/);
});

test("threads stand in a section as they were moved, every client hears of a move, and pages go either way", async () => {
  await using served = await serve();
  const { client, connect } = served;
  const other = connect();
  await other.initialize();
  const section = await made(client, "s");
  const [a, b, c] = [await started(client), await started(client), await started(client)];
  const move = (threadId: string, beforeThreadId: string | null = null, sectionId: string | null = section) =>
    client.request("thread/section/move", { threadId, sectionId, beforeThreadId });
  for (const each of [a, b, c]) await move(each);
  assert.deepEqual((await other.next("thread/section/changed")).params, { threadId: a, sectionId: section });
  await move(c, a);
  assert.deepEqual(await inOrder(client, section), [c, a, b]);
  assert.deepEqual(await inOrder(client, section, { sortDirection: "desc" }), [b, a, c]);
  assert.deepEqual(idsOf(await client.request("thread/list", { sectionId: section, sortDirection: "asc" })), [a, b, c]);
  const list = (rest: Json) =>
    client.request("thread/list", { sectionId: section, sortKey: "section_position", limit: 1, ...rest });
  const first = await list({});
  const second = await list({ cursor: first.nextCursor });
  assert.deepEqual([...idsOf(first), ...idsOf(second)], [c, a]);
  const back = await list({ cursor: second.backwardsCursor, sortDirection: "desc", limit: 5 });
  assert.deepEqual([idsOf(back), back.nextCursor], [[a, c], null]);
  assert.deepEqual(await inOrder(client, section, { excludedThreadIds: [a] }), [c, b]);
  assert.deepEqual(await inOrder(client, section, { modelProviders: ["another"] }), []);
  await client.request("thread/name/set", { threadId: b, name: "needle" });
  assert.deepEqual(await inOrder(client, section, { searchTerm: "needle" }), [b]);
  await move(b, null, null);
  assert.deepEqual(idsOf(await client.request("thread/list", { sectionId: null })), [b]);
  assert.deepEqual((await client.request("thread/read", { threadId: b })).thread.section, null);
});

test("an archived thread keeps its place, a fork has none, and a section that is deleted lets its threads go", async () => {
  await using served = await serve();
  const { client } = served;
  const section = await made(client, "s");
  const [a, b] = [await started(client), await started(client)];
  for (const threadId of [a, b]) await client.request("thread/section/move", { threadId, sectionId: section });
  const { thread: fork } = await client.request("thread/fork", { threadId: a, excludeTurns: true });
  assert.deepEqual([fork.section, fork.sectionEnteredAt], [null, null]);
  await client.request("thread/archive", { threadId: a });
  assert.deepEqual([await inOrder(client, section), await inOrder(client, section, { archived: true })], [[b], [a]]);
  await client.request("threadSection/update", { sectionId: section, name: "renamed" });
  const { thread } = await client.request("thread/unarchive", { threadId: a });
  assert.equal(thread.section.name, "renamed");
  assert.deepEqual(await inOrder(client, section), [a, b]);
  await client.request("thread/delete", { threadId: a });
  const beforeNobody = { threadId: b, sectionId: section, beforeThreadId: a };
  assert.match((await client.failure("thread/section/move", beforeNobody)).message, /is not in section/);
  assert.deepEqual(await inOrder(client, section), [b]);
  await client.request("threadSection/delete", { sectionId: section });
  const read = (await client.request("thread/read", { threadId: b })).thread;
  assert.deepEqual([read.section, read.sectionEnteredAt], [null, null]);
});

test("sections last in the home, and two servers of it see what either does", async (t) => {
  const home = await homeOf(t);
  const one = await servedAt(home);
  t.after(() => one[Symbol.asyncDispose]());
  const threadId = await started(one.client);
  const before = await servedAt(home);
  t.after(() => before[Symbol.asyncDispose]());
  assert.equal((await before.client.request("thread/read", { threadId })).thread.section, null);
  const section = await made(one.client, "shared");
  await one.client.request("thread/section/move", { threadId, sectionId: section });
  assert.deepEqual(await inOrder(before.client, section), [threadId]);
  await before.client.request("thread/section/move", { threadId, sectionId: PINNED });
  assert.equal((await one.client.request("thread/read", { threadId })).thread.section.id, PINNED);
  await one[Symbol.asyncDispose]();
  await before[Symbol.asyncDispose]();
  await using again = await servedAt(home);
  assert.equal((await again.client.request("thread/read", { threadId })).thread.section.id, PINNED);
  assert.equal((await again.client.request("threadSection/list", {})).data[1].name, "shared");
});

test("a damaged file is told of and stays as it is; threads are shown without sections until a sound one is there", async (t) => {
  const home = await homeOf(t);
  const path = join(home, "thread_sections.sqlite");
  const first = await servedAt(home);
  const threadId = await started(first.client);
  await first.client.request("thread/section/move", { threadId, sectionId: PINNED });
  await first[Symbol.asyncDispose]();
  const sound = await readFile(path);
  const damaged = Buffer.alloc(8192, "x");
  await writeFile(path, damaged);
  await using served = await servedAt(home);
  const { client } = served;
  assert.equal((await client.request("thread/read", { threadId })).thread.section, null);
  for (const [method, params] of [
    ["threadSection/list", {}],
    ["threadSection/create", { name: "x" }],
    ["thread/section/move", { threadId, sectionId: PINNED }],
    ["thread/list", { sectionId: PINNED }],
  ] as const) {
    const { message, data } = await client.failure(method, params);
    assert.match(message, /thread_sections\.sqlite cannot be used: .*nothing of it was changed/);
    assert.equal(data.code, "store_io");
  }
  assert.deepEqual(await readFile(path), damaged);
  await writeFile(path, sound);
  assert.equal((await client.request("thread/read", { threadId })).thread.section.id, PINNED);
  const odd = new DatabaseSync(path);
  odd.exec("UPDATE sections SET appearance = '{\"icon\":3}'");
  odd.close();
  assert.match((await client.failure("threadSection/list", {})).message, /cannot be used/);
  assert.equal((await client.request("thread/read", { threadId })).thread.section, null);
});

test("once its server has ended, nothing is opened again", async (t) => {
  const home = await homeOf(t);
  const warnings: unknown[] = [];
  const logger = { ...silentLog, warn: (facts: unknown) => warnings.push(facts) };
  const sections = new Sections(home, { clock: new ManualClock(), logger });
  const threadId = newThreadId();
  await sections.move(threadId, { sectionId: PINNED });
  sections[Symbol.dispose]();
  assert.deepEqual([sections.placeOf(threadId), warnings], [undefined, []]);
  await assert.rejects(sections.create("late", null), /the server has ended/);
});

test("a file of a later version is refused, and not written", async (t) => {
  const home = await homeOf(t);
  const path = join(home, "thread_sections.sqlite");
  const later = new DatabaseSync(path);
  later.exec("CREATE TABLE other (x); PRAGMA user_version = 2");
  later.close();
  await using served = await servedAt(home);
  assert.match((await served.client.failure("threadSection/create", { name: "x" })).message, /version 2.*knows 1/);
});

test("who finds the file held by another process waits for it, and not for ever", async (t) => {
  const home = await homeOf(t);
  const clock = new ManualClock();
  using sections = new Sections(home, { clock, logger: silentLog });
  await sections.create("first", null);
  const holder = new DatabaseSync(join(home, "thread_sections.sqlite"));
  holder.exec("BEGIN IMMEDIATE");
  const waiting = sections.create("second", null);
  assert.equal(clock.pending, 1);
  holder.exec("COMMIT");
  await clock.advance(20);
  assert.equal((await waiting).name, "second");
  holder.exec("BEGIN IMMEDIATE");
  const refused = assert.rejects(sections.create("third", null), /another process holds it; try again/);
  await clock.advance(10_000);
  await refused;
  const leaving = new AbortController();
  const left = assert.rejects(sections.delete(STRANGER, leaving.signal), /gone/);
  leaving.abort(new Error("gone"));
  await left;
  assert.equal((await sections.list({ after: "", limit: 9 })).length, 3, "who only looks does not wait");
  holder.exec("ROLLBACK");
  holder.close();
  const names = (await sections.list({ after: "", limit: 9 })).map(({ name }) => name);
  assert.deepEqual(names, ["Pinned", "first", "second"]);
});

test("whatever moves come, each section has its threads in the order of a list, and when a thread came stands", async () => {
  const threads = Array.from({ length: 5 }, newThreadId);
  const at = fc.integer({ min: 0, max: threads.length - 1 });
  const move = fc.record({ thread: at, section: fc.integer({ min: 0, max: 2 }), before: fc.option(at) });
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 60, maxLength: 120 }), async (moves) => {
      const clock = new ManualClock();
      using sections = new Sections(undefined, { clock, logger: silentLog });
      const ids = [PINNED, (await sections.create("s", null)).id];
      const model = new Map(ids.map((id): [string, ThreadId[]] => [id, []]));
      const entered = new Map<ThreadId, number>();
      for (const { thread, section, before } of moves) {
        await clock.advance(1_000);
        const threadId = threads[thread] as ThreadId;
        const to = ids[section] ?? null;
        const inFront = to === null || before === null ? undefined : threads[before];
        const list = model.get(to ?? "") ?? [];
        const isFine = inFront === undefined || (list.includes(inFront) && inFront !== threadId);
        const moved = sections.move(threadId, { sectionId: to, before: inFront });
        if (!isFine) {
          await assert.rejects(moved);
          continue;
        }
        await moved;
        if (to === null) entered.delete(threadId);
        else if (!list.includes(threadId)) entered.set(threadId, clock.now() / 1_000);
        for (const each of model.values()) if (each.includes(threadId)) each.splice(each.indexOf(threadId), 1);
        if (to !== null) list.splice(inFront === undefined ? list.length : list.indexOf(inFront), 0, threadId);
      }
      for (const [id, list] of model) assert.deepEqual([...(await sections.members(id)).keys()], list);
      const places = threads.map((id) => sections.placeOf(id)?.enteredAt);
      assert.deepEqual(
        places,
        threads.map((id) => entered.get(id)),
      );
    }),
    { numRuns: 20 },
  );
});

test("a section has room without end: two threads may change places for ever", async () => {
  using sections = new Sections(undefined, { clock: new ManualClock(), logger: silentLog });
  const [a, b, c] = [newThreadId(), newThreadId(), newThreadId()];
  for (const each of [c, a, b]) await sections.move(each, { sectionId: PINNED });
  for (let turn = 0; turn < 100; turn += 1) {
    const [first, second] = turn % 2 === 0 ? [b, a] : [a, b];
    await sections.move(first, { sectionId: PINNED, before: second });
    assert.deepEqual([...(await sections.members(PINNED)).keys()], [c, first, second]);
  }
});
