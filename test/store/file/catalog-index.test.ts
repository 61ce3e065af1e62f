import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { RolloutNotFoundError } from "../../../src/protocol/errors.ts";
import { addTurn, forkAt, header, rolledBack, storedThread } from "../../../src/store/contract/store-script.ts";
import type { FileStore } from "../../../src/store/file/file-store.ts";
import { overlaid } from "../../rig.ts";
import { FaultyFileSystem } from "./faulty-file-system.ts";
import { loaded, TempHome } from "./temp-home.ts";

const CATALOG = /^catalog\.sqlite/;

const catalogFiles = (home: TempHome): string[] =>
  readdirSync(home.path)
    .filter((name) => CATALOG.test(name))
    .map((name) => join(home.path, name));

const listed = async (store: FileStore) =>
  (await store.list({ limit: 100 })).threads.map(({ threadId, preview, name, forkedFromId, gitInfo, model }) => ({
    threadId,
    preview,
    name,
    forkedFromId,
    gitInfo,
    model,
  }));

const CONTEXT = {
  cwd: "/w",
  approval_policy: "never",
  sandbox_policy: { type: "read-only" },
  summary: "auto",
} as const;

async function filled(home: TempHome) {
  const store = home.open();
  const { id: root, turns } = await storedThread(store, ["one", "two"]);
  const fork = await forkAt(store, root, { throughTurn: turns[0] ?? "" }, (writer) => addTurn(writer, "other"));
  await store.rename(root, "the root");
  await store.setGitInfo(root, { sha: null, branch: "main", originUrl: null });
  const writer = await store.open(root);
  writer.append({ type: "turn_context", payload: { ...CONTEXT, model: "gpt-5.1" } });
  await writer.close();
  const before = await listed(store);
  await store.close();
  return { root, fork, turns, before };
}

describe("the catalog of a home", () => {
  test("one that could not be opened is tried again in time, though the time of day is set back", async () => {
    await using home = new TempHome();
    const clock = new ManualClock({ startMs: 10_000_000 });
    let set = 0;
    const place = join(home.path, "catalog.sqlite");
    mkdirSync(place);
    const store = home.open({ clock: overlaid(clock, { now: () => clock.now() + set }) });
    await storedThread(store, ["one"]);
    assert.equal((await listed(store)).length, 1);
    rmSync(place, { recursive: true });
    set = -3_600_000;
    clock.advance(5_000);
    assert.equal((await listed(store)).length, 1);
    assert.equal(statSync(place).isFile(), true);
  });

  test("is built anew when it is missing, with all that lists show", async () => {
    await using home = new TempHome();
    const { root, fork, turns, before } = await filled(home);
    assert.equal(before.length, 2);
    for (const file of catalogFiles(home)) rmSync(file);
    const store = home.open();
    // Nothing waits for it but lists.
    assert.equal((await loaded(store, fork)).length, 10);
    const writer = await store.open(root);
    await writer.close();
    assert.deepEqual(await listed(store), before);
    assert.deepEqual(await store.descendants(root), [fork]);
    const place = await store.forkBase(fork, { throughTurn: turns[0] ?? "" });
    assert.deepEqual(place?.inherits?.threadId, root);
  });

  test("is built anew when it is damaged", async () => {
    await using home = new TempHome();
    const { before, fork } = await filled(home);
    const [path] = catalogFiles(home);
    assert.ok(path);
    const bytes = readFileSync(path);
    bytes.fill(0x5a, 100);
    for (const file of catalogFiles(home)) rmSync(file);
    writeFileSync(path, bytes);
    const store = home.open();
    const made = await store.create(header());
    addTurn(made, "while it is built");
    await made.close();
    const ids = (await listed(store)).map(({ threadId }) => threadId);
    assert.deepEqual(ids.sort(), [...before.map(({ threadId }) => threadId), made.threadId].sort());
    assert.equal((await loaded(store, fork)).length, 10);
  });

  test("takes in what other programs changed, once it has looked", async () => {
    await using home = new TempHome();
    const { root, fork } = await filled(home);
    const store = home.open();
    rmSync((await store.get(fork)).rolloutPath ?? "");
    await store.rescan();
    assert.deepEqual(
      (await listed(store)).map(({ threadId }) => threadId),
      [root],
    );
    await assert.rejects(store.get(fork), RolloutNotFoundError);
  });

  test("a list shows what other programs changed before it was asked", async () => {
    await using home = new TempHome();
    const { root, fork } = await filled(home);
    const store = home.open();
    assert.equal((await listed(store)).length, 2);
    const { id } = await storedThread(home.open(), ["elsewhere"]);
    rmSync((await store.get(fork)).rolloutPath ?? "");
    assert.deepEqual(
      (await listed(store)).map(({ threadId }) => threadId),
      [id, root],
    );
  });

  test("growth that it can't take is told again, and forks begin where they are to meanwhile and afterwards", async () => {
    await using home = new TempHome();
    const store = home.open();
    const writers = [await store.create(header()), await store.create(header())];
    const add = async (text: string, rollback = 0) => {
      for (const writer of writers) {
        if (rollback > 0) writer.append(rolledBack(rollback));
        addTurn(writer, text);
        await writer.flush();
      }
      await store.list();
    };
    /** Where forks before each message begin, and at the end. */
    const ends = async (messages: number) =>
      Promise.all(
        writers.map(async ({ threadId }) => {
          const found = [];
          for (let n = 0; n <= messages; n += 1) {
            const base = await store.forkBase(threadId, n === messages ? "full" : { beforeUserMessage: n });
            found.push(base?.inherits?.end.ordinal);
          }
          return found;
        }),
      );
    using other = new DatabaseSync(join(home.path, "catalog.sqlite"));
    const count = (what: string) => other.prepare(`SELECT count(*) AS n FROM ${what}`).get()?.n;
    await add("one");
    await add("two");
    assert.equal(count("turns"), 4);
    // Growth tells sizes, other rows don't.
    const refuse = "BEFORE UPDATE ON threads WHEN NEW.file_size > 0 BEGIN SELECT RAISE(FAIL, 'full'); END";
    other.exec(`CREATE TRIGGER refused ${refuse}`);
    await add("three", 1);
    // The anchors of both were written, and taken back as the first row was refused.
    assert.equal(count("turns"), 4);
    const afterThree = [1, 10, 14];
    assert.deepEqual(await ends(2), [afterThree, afterThree]);
    await add("four");
    other.exec("DROP TRIGGER refused");
    await add("five");
    assert.equal(count("threads WHERE file_size > 0"), 2);
    const afterFive = [...afterThree, 18, 22];
    assert.deepEqual(await ends(4), [afterFive, afterFive]);
    for (const writer of writers) await writer.close();
  });

  test("a thread that it does not know yet is found by its file", async () => {
    await using home = new TempHome();
    const { root } = await filled(home);
    await using other = TempHome.of("forks-0.169");
    const store = other.open();
    await store.list();
    const foreign = home.rollouts().find((path) => path.includes(root));
    assert.ok(foreign);
    const id = root;
    await assert.rejects(store.header(id), RolloutNotFoundError);
    const [first] = other.rollouts();
    assert.ok(first);
    writeFileSync(join(first, "..", foreign.slice(foreign.lastIndexOf("/") + 1)), readFileSync(foreign));
    assert.equal((await store.header(id)).id, id);
    const writer = await store.open(id);
    await writer.close();
  });
});

describe("the anchors of a thread", () => {
  test("go along with it, so the first fork in another store reads its header and none of its history", async () => {
    await using home = new TempHome();
    const first = home.open();
    const writer = await first.create(header());
    const lines = await Promise.all(Array.from({ length: 4_000 }, async (_, n) => addTurn(writer, `turn ${n}`)));
    await writer.close();
    await first.close();

    const disk = new FaultyFileSystem();
    let bytes = 0;
    const read: typeof disk.api.read = (fd, into, offset, length, position) => {
      const count = disk.api.read(fd, into, offset, length, position);
      bytes += count;
      return count;
    };
    const store = home.open({ fileSystem: { ...disk.api, read } });
    const middle = await store.forkBase(writer.threadId, { beforeTurn: lines[2_000] ?? "" });
    assert.equal(middle?.inherits?.end.ordinal, 8_001);
    const whole = await store.forkBase(writer.threadId, "full");
    assert.ok(whole);
    const fork = await store.fork(header(), whole);
    addTurn(fork, "in the fork");
    await fork.flush();
    assert.equal(
      (await store.forkBase(fork.threadId, { beforeUserMessage: 4_000 }))?.inherits?.threadId,
      fork.threadId,
    );
    assert.ok(bytes < 64 * 1024, `${bytes} bytes read`);
  });
});

describe("what deletions leave", () => {
  const rollouts = (home: TempHome, id: string) => home.rollouts().filter((path) => path.includes(id));

  test("a thread without forks leaves nothing", async () => {
    await using home = new TempHome();
    const store = home.open();
    const { id } = await storedThread(store, ["one"]);
    await store.delete(id);
    assert.deepEqual(home.rollouts(), []);
    assert.deepEqual(readdirSync(join(home.path, "deleted")), []);
  });

  test("what forks need is archived under a tombstone, and goes with the last of them, up the line", async () => {
    await using home = new TempHome();
    const store = home.open();
    const { id: root } = await storedThread(store, ["one"]);
    const middle = await forkAt(store, root, "full", (writer) => addTurn(writer, "two"));
    const leaf = await forkAt(store, middle, "full", (writer) => addTurn(writer, "three"));
    await store.delete(middle);
    await store.delete(root);
    for (const id of [root, middle]) assert.match(rollouts(home, id)[0] ?? "", /archived_sessions/);
    const next = home.open();
    assert.deepEqual(
      (await next.list({ archived: true })).threads.map(({ threadId }) => threadId),
      [],
    );
    assert.equal((await loaded(next, leaf)).length, 15);
    await next.delete(leaf);
    assert.deepEqual(home.rollouts(), []);
    assert.deepEqual(readdirSync(join(home.path, "deleted")), []);
  });

  test("a kept parent survives a catalog that is built anew", async () => {
    await using home = new TempHome();
    const first = home.open();
    const { id: root } = await storedThread(first, ["one"]);
    const leaf = await forkAt(first, root, "full", (writer) => addTurn(writer, "two"));
    await first.delete(root);
    await first.close();
    for (const file of catalogFiles(home)) rmSync(file);
    const store = home.open();
    assert.deepEqual(
      (await store.list({ archived: true })).threads
        .concat((await store.list()).threads)
        .map(({ threadId }) => threadId),
      [leaf],
    );
    assert.deepEqual(await store.ancestors(leaf), [root]);
    const again = await forkAt(store, leaf, { beforeUserMessage: 1 });
    await store.delete(leaf);
    assert.equal((await loaded(store, again)).length, 7);
    await store.delete(again);
    assert.deepEqual(home.rollouts(), []);
  });
});
