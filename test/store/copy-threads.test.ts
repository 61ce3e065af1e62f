/** Threads that move between files and a database, there and back. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import type { ThreadId } from "../../src/protocol/ids.ts";
import {
  addTurn,
  answer,
  compacted,
  forkAt,
  fromTheFuture,
  gistOf,
  header,
  linesOf,
  rolledBack,
  storedThread,
  user,
} from "../../src/store/contract/store-script.ts";
import { type CopyOutcome, copyThreads } from "../../src/store/copy-threads.ts";
import { type FileStore, fileStore } from "../../src/store/file/file-store.ts";
import type { MovableStore, StoredLine } from "../../src/store/movable-store.ts";
import { type PostgresStore, postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { ALL_SOURCE_KINDS } from "../../src/store/thread-query.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { newPglite, pglitePool } from "./postgres/pglite-pool.ts";

let db: PGlite;
let schemas = 0;
before(async () => {
  db = await newPglite();
});
after(() => db.close());

function database(t: TestContext): PostgresStore {
  schemas += 1;
  const store = postgresStore({ pool: pglitePool(db), schema: `copy_${schemas}` });
  t.after(() => store.close());
  return store;
}

function home(t: TestContext): FileStore & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "skein-copy-"));
  const store = fileStore({ home: folder, fsync: "never" });
  t.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });
  return Object.assign(store, { folder });
}

async function copy(from: MovableStore, to: MovableStore, ids?: readonly ThreadId[]): Promise<CopyOutcome[]> {
  const outcomes: CopyOutcome[] = [];
  for await (const outcome of copyThreads({ from, to, ids })) outcomes.push(outcome);
  return outcomes;
}

const statusOf = (outcomes: readonly CopyOutcome[]) =>
  new Map(outcomes.map(({ threadId, status, flattened }) => [threadId, flattened ? `${status}, flattened` : status]));

/** The rollouts of a home by name. */
function rolloutsOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl"));
  return new Map(
    names
      .filter((name) => name.includes("rollout-"))
      .sort()
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
}

/** A thread of each kind: long, forked three deep, rolled back, compacted, named, archived, legacy, of the future. */
async function furnish(store: MovableStore) {
  const root = await storedThread(store, ["one", "two", "three"]);
  const child = await forkAt(store, root.id, { throughTurn: root.turns[1] as never }, (w) => addTurn(w, "other"));
  const grandchild = await forkAt(store, child, "full", (writer) => {
    addTurn(writer, "deep");
    writer.append(rolledBack(2));
    addTurn(writer, "again");
  });
  const legacy = await storedThread(store, ["old"], { history_mode: "legacy" });
  const odd = await storedThread(store, []);
  const writer = await store.open(odd.id);
  for (const item of [fromTheFuture({ x: "\u0000 \u2028" }), compacted("short"), user("é 🚀")]) writer.append(item);
  for (let n = 0; n < 300; n += 1) writer.append(answer(`line ${n}`));
  await writer.close();
  await store.rename(root.id, "a name");
  await store.archive(grandchild);
  await store.setGitInfo(odd.id, { sha: "c0ffee", branch: "x", originUrl: null });
  await store.notes?.write(root.id, "budget", { used: 3 });
  const gone = await storedThread(store, ["gone"]);
  const orphan = await forkAt(store, gone.id, "full", (w) => addTurn(w, "left behind"));
  await store.delete(gone.id);
  return { root: root.id, child, grandchild, legacy: legacy.id, odd: odd.id, orphan, turns: root.turns };
}

async function linesOfStore(image: AsyncIterable<readonly StoredLine[]>): Promise<string[]> {
  const texts: string[] = [];
  for await (const page of image) texts.push(...page.map(({ text }) => text));
  return texts;
}

test("a home goes into a database and comes back byte for byte, forks as forks", async (t) => {
  const [first, middle, last] = [home(t), database(t), home(t)];
  const made = await furnish(first);
  const outcomes = await copy(first, middle);
  assert.deepEqual(
    statusOf(outcomes),
    new Map(
      outcomes.map(({ threadId }) => [threadId, threadId === made.orphan ? "copied, flattened" : "copied"] as const),
    ),
  );
  assert.equal(outcomes.length, 6);
  for (const id of Object.values(made).filter((id): id is ThreadId => typeof id === "string" && id !== made.orphan)) {
    assert.deepEqual(await linesOf(middle, id), await withoutBytes(first, id), id);
    const { rolloutPath: _a, ...here } = await first.get(id);
    const { rolloutPath: _b, ...there } = await middle.get(id);
    assert.deepEqual(there, here);
    assert.deepEqual(await middle.ancestors(id), await first.ancestors(id));
  }
  assert.deepEqual((await middle.verify()).faults, []);
  // A fork is its header's row, and its own lines.
  assert.equal((await middle.image(made.child)).base?.threadId, made.root);
  assert.equal((await linesOfStore((await middle.image(made.child)).lines())).length, 5);
  for (const sort of ["createdAt", "updatedAt"] as const) {
    const query = { orderBy: sort, sourceKinds: ALL_SOURCE_KINDS };
    const ids = async (store: MovableStore) => (await store.list(query)).threads.map(({ threadId }) => threadId);
    assert.deepEqual(await ids(middle), await ids(first));
  }
  // Anchors hold over there, behind a rollback too.
  for (const at of [{ beforeUserMessage: 1 }, { throughTurn: made.turns[0] as never }, "full"] as const) {
    const [a, b] = [await first.forkBase(made.grandchild, at), await middle.forkBase(made.grandchild, at)];
    assert.equal(b?.inherits?.end.ordinal, a?.inherits?.end.ordinal);
    assert.equal(b?.inherits?.threadId, a?.inherits?.threadId);
  }

  const back = await copy(middle, last);
  assert.ok(back.every(({ status, flattened }) => status === "copied" && !flattened));
  const [before, again] = [rolloutsOf(first.folder), rolloutsOf(last.folder)];
  for (const [name, text] of again) if (!name.includes(made.orphan)) assert.equal(text, before.get(name), name);
  assert.equal(again.size, 6);
  assert.equal((await last.get(made.root)).name, "a name");
  for (const { threadId, updatedAt } of (await middle.list({ sourceKinds: ALL_SOURCE_KINDS })).threads)
    assert.equal((await last.get(threadId)).updatedAt, updatedAt, "a copy is as old as what it copies");
  assert.deepEqual(await last.notes.read(made.root, "budget"), { used: 3 });
  assert.equal((await last.get(made.grandchild)).archived, true);
});

/** Bytes of a base are of its file. */
async function withoutBytes(store: MovableStore, id: ThreadId) {
  const lines = await linesOf(store, id);
  return JSON.parse(JSON.stringify(lines).replaceAll(/("end_byte_offset":)\d+/g, "$10"));
}

test("a database goes into files and comes back, and goes on there", async (t) => {
  const [first, middle, last] = [database(t), home(t), database(t)];
  const made = await furnish(first);
  assert.ok((await copy(first, middle)).every(({ status }) => status === "copied"));
  await copy(middle, last);
  for (const id of [made.root, made.child, made.grandchild, made.legacy, made.odd]) {
    const [a, b] = [await first.image(id), await last.image(id)];
    if (id !== made.legacy) assert.deepEqual(await linesOfStore(b.lines()), await linesOfStore(a.lines()), id);
    assert.deepEqual(await linesOf(last, id), await linesOf(first, id));
  }
  const writer = await last.open(made.grandchild);
  addTurn(writer, "on and on");
  await writer.close();
  const lines = await linesOf(last, made.grandchild);
  assert.deepEqual(
    lines.map(({ ordinal }) => ordinal),
    lines.map((_, n) => n),
  );
  assert.deepEqual((await last.verify()).faults, []);
});

test("what is there is left as it is: the same is passed over, what differs is told", async (t) => {
  const [from, to] = [home(t), database(t)];
  const made = await furnish(from);
  await copy(from, to);
  await from.notes.write(made.child, "timers", { late: 1 });
  const again = await copy(from, to);
  assert.ok(
    again.every(({ status }) => status === "present"),
    JSON.stringify(again),
  );
  assert.deepEqual(await to.notes?.read(made.child, "timers"), { late: 1 }, "what was not copied with it comes after");
  await from.notes.write(made.root, "timers", { late: 2 });
  const here = await from.open(made.root);
  addTurn(here, "more here");
  await here.close();
  const there = await to.open(made.child);
  addTurn(there, "more there");
  await there.close();
  await to.rename(made.odd, "another");
  const kept = await linesOf(to, made.child);
  const third = await copy(from, to);
  const status = statusOf(third);
  assert.equal(status.get(made.root), "differs");
  assert.equal(status.get(made.child), "differs");
  assert.equal(status.get(made.odd), "differs");
  assert.equal(status.get(made.grandchild), "present");
  assert.match(third.find(({ threadId }) => threadId === made.root)?.detail ?? "", /line 13 on/);
  assert.deepEqual(await linesOf(to, made.child), kept);
  assert.equal(await to.notes?.read(made.root, "timers"), undefined, "a thread that differs keeps what it has there");
  // A new fork of what they still share stays a fork; one of what they do not is written out.
  const shared = await forkAt(from, made.root, { throughTurn: made.turns[0] as never });
  const beyond = await forkAt(from, made.root, "full");
  const fourth = statusOf(await copy(from, to, [shared, beyond]));
  assert.equal(fourth.get(shared), "copied");
  assert.equal(fourth.get(beyond), "copied, flattened");
  assert.equal((await to.get(beyond)).forkedFromId, made.root);
  const saidIn = async (store: ThreadStore) =>
    (await gistOf(store, beyond)).filter((word) => word !== "[session_meta]");
  assert.deepEqual(await saidIn(to), await saidIn(from));
});

test("a thread that somebody writes is busy; one that is not there, or was deleted there, is told", async (t) => {
  const [from, to] = [home(t), database(t)];
  const { id } = await storedThread(from, ["one"]);
  const { id: deleted } = await storedThread(from, ["two"]);
  await copy(from, to, [deleted]);
  const writer = await from.open(id);
  assert.equal(statusOf(await copy(from, to)).get(id), "busy");
  await writer.close();
  const { id: nowhere } = header();
  const [outcome] = await copy(from, to, [nowhere]);
  assert.equal(outcome?.status, "failed");
  assert.match(outcome?.detail ?? "", /no rollout found/);
  const held = await to.open(deleted);
  const [seen] = await copy(to, from, [deleted]);
  assert.equal(seen?.status, "busy");
  await held.close();
  assert.equal(statusOf(await copy(from, to)).get(id), "copied");
});

test("a copy that breaks off is gone on with by doing it again, and leaves no half of a thread", async (t) => {
  const [from, to] = [database(t), home(t)];
  await furnish(from);
  for (let after = 1; after < 6; after += 1) {
    const controller = new AbortController();
    let seen = 0;
    await assert.rejects(async () => {
      const outcomes = copyThreads({ from, to, signal: controller.signal });
      for await (const { status } of outcomes) {
        if (status === "copied") seen += 1;
        if (seen === 1) controller.abort(new Error("enough"));
      }
    }, /enough/);
  }
  assert.ok((await copy(from, to)).every(({ status }) => status === "present" || status === "copied"));
  assert.ok((await copy(from, to)).every(({ status }) => status === "present"));
});
