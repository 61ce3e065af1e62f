/** Homes in which something is not as usual: each is used for what it still can do, and says what it cannot. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { turnsOf } from "../../../src/app-server/v2/history-turns.ts";
import { SkeinError, scriptedClient, ThreadManager } from "../../../src/index.ts";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import { addTurn, header, user } from "../../../src/store/contract/store-script.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { loaded, TempHome } from "./temp-home.ts";

async function written(home: TempHome, ...texts: string[]): Promise<{ threadId: ThreadId; path: string }> {
  const writer = await home.open().create(header());
  for (const text of texts) addTurn(writer, text);
  await writer.close();
  return { threadId: writer.threadId, path: writer.rolloutPath ?? "" };
}

const titles = async (home: TempHome): Promise<string[]> =>
  (await home.open().list()).threads.map(({ preview }) => preview).sort();

test("to ask makes no home; one that is made meanwhile, by this store or another, is shown from then on", async () => {
  await using place = new TempHome();
  const home = { home: join(place.path, "none") };
  const store = place.open(home);
  const shown = async () => (await store.list()).threads.map(({ preview }) => preview).sort();
  const missing = newThreadId();
  assert.deepEqual(await shown(), []);
  await assert.rejects(store.descendants(missing));
  await assert.rejects(store.header(missing));
  await assert.rejects(store.archive(missing));
  assert.equal(existsSync(home.home), false);
  for (const [writing, text] of [
    [place.open(home), "another's"],
    [store, "its own"],
  ] as const) {
    const writer = await writing.create(header());
    addTurn(writer, text);
    await writer.close();
    assert.ok((await shown()).includes(text), text);
  }
  assert.ok(existsSync(join(home.home, "catalog.sqlite")));
});

describe("a catalog that is none", () => {
  const spoil: Readonly<Record<string, (path: string) => void>> = {
    "a folder": (path) => {
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
      mkdirSync(join(path, "in it"), { recursive: true });
    },
    "a link to nothing": (path) => {
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
      symlinkSync(`${path}.elsewhere`, path);
    },
    "a link to itself": (path) => {
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
      symlinkSync(path, path);
    },
    "another program's database": (path) => {
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
      const database = new DatabaseSync(path);
      database.exec("CREATE TABLE threads (id TEXT, title TEXT); INSERT INTO threads VALUES ('a', 'b')");
      database.close();
    },
    "of our version without its tables": (path) => {
      const database = new DatabaseSync(path);
      database.exec("DROP TABLE times; DROP TABLE texts");
      database.close();
    },
    "overwritten in the middle": (path) => {
      const database = new DatabaseSync(path);
      database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      database.close();
      const bytes = readFileSync(path);
      bytes.fill(0xaa, 4096, bytes.length - 4096);
      writeFileSync(path, bytes);
    },
    "cut in the middle": (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  };
  for (const [name, befall] of Object.entries(spoil)) {
    test(`${name}: lists, searches, turns and forks are those of the files`, async () => {
      await using home = new TempHome();
      for (const text of ["a zebra", "a quince"]) await written(home, text);
      assert.equal((await titles(home)).length, 2);
      befall(join(home.path, "catalog.sqlite"));
      for (let again = 0; again < 2; again += 1) {
        const store = home.open();
        assert.deepEqual((await store.list()).threads.map(({ preview }) => preview).sort(), ["a quince", "a zebra"]);
        const [found] = (await store.list({ search: "zebra" })).threads;
        assert.ok(found);
        const base = await store.forkBase(found.threadId, { beforeUserMessage: 1 });
        assert.equal((await store.get(found.threadId)).preview, "a zebra");
        if (base !== undefined) await (await store.fork(header(), base)).close();
        await (await store.open(found.threadId)).close();
        await store.close();
      }
    });
  }

  test("damage under a process that has it open: the list after is right", async () => {
    await using home = new TempHome();
    await written(home, "a zebra");
    const store = home.open();
    await store.list();
    const path = join(home.path, "catalog.sqlite");
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    writeFileSync(path, "x".repeat(statSync(path).size));
    await written(home, "a quince");
    assert.deepEqual((await store.list()).threads.map(({ preview }) => preview).sort(), ["a quince", "a zebra"]);
    rmSync(path);
    mkdirSync(path);
    await written(home, "a lantern");
    assert.equal((await store.list()).threads.length, 3);
  });
});

describe("rollouts that change under a running process", () => {
  test("one that shrinks, or is replaced by another file: read as it is now, never written over", async () => {
    await using home = new TempHome();
    const { threadId, path } = await written(home, "one", "two", "three");
    const store = home.open();
    await store.list();
    const whole = readFileSync(path, "utf8");
    const cut = whole.slice(0, whole.lastIndexOf("\n", Math.floor(whole.length / 2)) + 1);
    const writer = await store.open(threadId);
    truncateSync(path, Buffer.byteLength(cut));
    writer.append(user("behind what is gone"));
    await assert.rejects(
      writer.flush(),
      (error: unknown) => error instanceof SkeinError && /changed it/.test(error.message),
    );
    await writer.close().catch(() => undefined);
    assert.equal(readFileSync(path, "utf8"), cut);
    await store.close().catch(() => undefined);

    const after = home.open();
    assert.equal((await loaded(after, threadId)).length, cut.split("\n").length - 1);
    writeFileSync(`${path}.new`, whole.replaceAll('"one"', '"uno"'));
    renameSync(`${path}.new`, path);
    assert.equal((await loaded(after, threadId)).length, whole.split("\n").length - 1);
    assert.equal((await after.list()).threads[0]?.preview, "uno");
    assert.equal((await after.get(threadId)).preview, "uno");
    const again = await after.open(threadId);
    again.append(user("four"));
    await again.close();
    assert.ok(readFileSync(path, "utf8").startsWith(whole.replaceAll('"one"', '"uno"')));
  });

  test("one that is replaced under its writer: what is written goes to the file that is there, or is refused", async () => {
    await using home = new TempHome();
    const { threadId, path } = await written(home, "one");
    const store = home.open();
    const writer = await store.open(threadId);
    const whole = readFileSync(path);
    writeFileSync(`${path}.new`, whole);
    renameSync(`${path}.new`, path);
    writer.append(user("two"));
    await writer.flush();
    assert.match(readFileSync(path, "utf8"), /two/, "what is said to be stored stands in the file that is there");
    writeFileSync(`${path}.new`, Buffer.concat([whole, whole]));
    renameSync(`${path}.new`, path);
    writer.append(user("three"));
    await assert.rejects(writer.flush(), SkeinError);
    await writer.close().catch(() => undefined);
    await store.close().catch(() => undefined);
  });
});

describe("a base that is gone", () => {
  test("the fork is listed with what it has, its own turns are shown, and it goes on", async () => {
    await using home = new TempHome();
    const root = await written(home, "the past");
    const store = home.open();
    const base = await store.forkBase(root.threadId, "full");
    assert.ok(base);
    const fork = await store.fork(header(), base);
    addTurn(fork, "its own");
    await fork.close();
    await store.close();
    rmSync(root.path);
    for (const name of ["as it was", "without a catalog"]) {
      if (name === "without a catalog") rmSync(join(home.path, "catalog.sqlite"));
      const after = home.open();
      const { threads } = await after.list();
      assert.deepEqual(
        threads.map(({ threadId }) => threadId),
        [fork.threadId],
        name,
      );
      const lines = await loaded(after, fork.threadId);
      assert.equal(turnsOf(lines).length, 1, name);
      await after.close();
    }
    const config = { cwd: home.path, builtInTools: [] };
    const manager = await ThreadManager.create({
      home: home.path,
      store: home.open(),
      model: scriptedClient(),
      config,
    });
    const { thread } = await manager.resumeThread(fork.threadId);
    assert.equal((await thread.run("on")).status, "completed");
    const nested = await manager.forkThread({ from: fork.threadId });
    assert.equal((await nested.thread.run("on")).status, "completed");
    await manager.shutdown();
  });

  test("a base that is a link is a base", async () => {
    await using home = new TempHome();
    const root = await written(home, "the past");
    const store = home.open();
    const base = await store.forkBase(root.threadId, "full");
    assert.ok(base);
    const fork = await store.fork(header(), base);
    addTurn(fork, "its own");
    await fork.close();
    await store.close();
    const elsewhere = mkdtempSync(join(tmpdir(), "skein-elsewhere-"));
    renameSync(root.path, join(elsewhere, "kept.jsonl"));
    symlinkSync(join(elsewhere, "kept.jsonl"), root.path);
    const after = home.open();
    assert.equal(turnsOf(await loaded(after, fork.threadId)).length, 2);
    assert.deepEqual(
      (await after.list()).threads.map(({ preview }) => preview),
      ["the past", "the past"],
    );
    const writer = await after.open(root.threadId);
    addTurn(writer, "through the link");
    await writer.close();
    assert.match(readFileSync(join(elsewhere, "kept.jsonl"), "utf8"), /through the link/);
    rmSync(elsewhere, { recursive: true });
  });
});

test("one rollout in two homes, by a hard link or a link, has one writer", async () => {
  await using a = new TempHome();
  await using b = new TempHome();
  const { threadId, path } = await written(a, "one");
  const there = path.replace(a.path, b.path);
  mkdirSync(join(there, ".."), { recursive: true });
  symlinkSync(path, there);
  const here = await a.open().open(threadId);
  await assert.rejects(
    b.open().open(threadId),
    (error: unknown) => error instanceof SkeinError && error.code === "thread_busy",
  );
  await here.close();
  const other = await b.open().open(threadId);
  await assert.rejects(a.open().open(threadId), SkeinError);
  await other.close();
});

const READER = `
import { fileStore, ThreadManager, scriptedClient, SkeinError } from "${new URL("../../../src/index.ts", import.meta.url).pathname}";
const [, , home, id] = process.argv;
const store = fileStore({ home });
const said = {};
said.listed = (await store.list()).threads.length;
said.found = (await store.list({ search: "zebra" })).threads.length;
said.name = (await store.get(id)).preview;
let lines = 0;
for await (const page of store.load(id)) lines += page.length;
said.lines = lines;
const typed = async (work) => { try { await work(); return "done"; } catch (error) { return error instanceof SkeinError ? error.code : String(error); } };
said.open = await typed(() => store.open(id));
said.rename = await typed(() => store.rename(id, "x"));
said.archive = await typed(() => store.archive(id));
said.delete = await typed(() => store.delete(id));
const manager = await ThreadManager.create({ home, store, model: scriptedClient(), config: { cwd: "/", builtInTools: [] } });
said.start = await typed(() => manager.startThread());
said.fork = await typed(() => manager.forkThread({ from: id }));
said.resume = await typed(() => manager.resumeThread(id));
said.listedAgain = (await store.list()).threads.length;
await manager.shutdown();
await store.close();
console.log(JSON.stringify(said));
`;

describe("a home on a read-only disk", () => {
  const works = spawnSync("bwrap", ["--dev-bind", "/", "/", "true"]).status === 0;
  for (const hasCatalog of [true, false]) {
    test(`is listed and read ${hasCatalog ? "with" : "without"} its catalog, and writes are refused with a type`, async (t) => {
      if (!works) return t.skip("bubblewrap cannot run here");
      await using home = new TempHome();
      const { threadId } = await written(home, "a zebra");
      await written(home, "a quince");
      if (hasCatalog) await titles(home);
      for (const end of hasCatalog ? [] : ["", "-wal", "-shm"])
        rmSync(join(home.path, `catalog.sqlite${end}`), { force: true });
      const script = join(mkdtempSync(join(tmpdir(), "skein-reader-")), "reader.ts");
      writeFileSync(script, READER);
      const args = [
        "--dev-bind",
        "/",
        "/",
        "--ro-bind",
        home.path,
        home.path,
        process.execPath,
        script,
        home.path,
        threadId,
      ];
      const { stdout, stderr } = spawnSync("bwrap", args, { encoding: "utf8", timeout: 60_000 });
      assert.notEqual(stdout, "", stderr);
      const { lines, ...said } = JSON.parse(stdout);
      assert.ok(lines > 0);
      const refused = "store_io";
      assert.deepEqual(said, {
        ...{ listed: 2, found: 1, name: "a zebra", listedAgain: 2 },
        ...{ open: refused, rename: refused, archive: refused, delete: refused },
        ...{ start: refused, fork: refused, resume: refused },
      });
      rmSync(join(script, ".."), { recursive: true });
    });
  }
});

describe("what cannot be reached in a home", () => {
  for (const [what, make] of Object.entries({
    "a link that leads to itself": (folder: string) => symlinkSync(join(folder, "round"), join(folder, "round")),
    "a rollout that is such a link": (folder: string) => {
      const path = join(folder, `rollout-2026-01-01T00-00-00-${newThreadId()}.jsonl`);
      symlinkSync(path, path);
    },
    "two links that lead to each other, as days": (folder: string) => {
      symlinkSync(join(folder, "98"), join(folder, "99"));
      symlinkSync(join(folder, "99"), join(folder, "98"));
    },
    "a link to a name that is too long": (folder: string) => symlinkSync(`/${"x".repeat(300)}`, join(folder, "long")),
    "a folder that is named as a rollout": (folder: string) =>
      mkdirSync(join(folder, `rollout-2026-01-01T00-00-00-${newThreadId()}.jsonl`)),
  })) {
    test(`${what} hides no thread: lists, opening by id, forks, verify`, async () => {
      await using home = new TempHome();
      const writer = await home.open().create(header());
      writer.append(user("before"));
      await writer.close();
      const [path] = home.rollouts();
      for (const folder of [join(home.path, "sessions"), dirname(path ?? "")]) make(folder);
      rmSync(join(home.path, "catalog.sqlite"), { force: true });
      const store = home.open();
      assert.deepEqual(
        (await store.list()).threads.map(({ threadId }) => threadId),
        [writer.threadId],
      );
      await (await store.open(writer.threadId)).close();
      await assert.rejects(store.open(newThreadId()), { code: "rollout_not_found" });
      assert.ok(await store.forkBase(writer.threadId, "full"));
      await store.rescan();
      await verifyHome({ home: home.path });
    });
  }

  for (const folder of ["sessions", "archived_sessions", "leases", "standing", "deleted", "."]) {
    for (const [what, make] of Object.entries({
      "a file": (path: string) => writeFileSync(path, "x"),
      "a link to nothing": (path: string) => symlinkSync("/nowhere/at/all", path),
      "a link to itself": (path: string) => symlinkSync(path, path),
      "a link into a place that holds nothing": (path: string) => symlinkSync("/proc/nothing", path),
    })) {
      test(`${folder} is ${what}: what needs it fails as a matter of the disk, and nothing else does`, async () => {
        await using home = new TempHome();
        const root = join(home.path, "home");
        if (folder !== ".") mkdirSync(root);
        make(join(root, folder));
        const store = home.open({ home: root });
        const ofTheDisk = (error: unknown) => {
          assert.ok(error instanceof SkeinError && error.code === "store_io", `${String(error)}`);
        };
        const doings = async () => {
          const writer = await store.create(header());
          addTurn(writer, "kept");
          await writer.flush();
          await store.notes?.write(writer.threadId, "timers", { is: "noted" }).catch(ofTheDisk);
          await writer.close();
          await store.archive(writer.threadId).catch(ofTheDisk);
          await store.delete(writer.threadId).catch(ofTheDisk);
        };
        await doings().catch(ofTheDisk);
        await store.list().catch(ofTheDisk);
        await store.rescan().catch(ofTheDisk);
        for (const ask of ["get", "ancestors", "holderOf", "unarchive"] as const)
          await store[ask](newThreadId()).catch((error) => error.code === "rollout_not_found" || ofTheDisk(error));
      });
    }
  }

  test("queries and names of another type are refused by a typed error", async () => {
    await using home = new TempHome();
    const store = home.open();
    const wrong: object[] = [{ cursor: 5 }, { limit: 5n }, { search: {} }, { cwd: [] }, { orderBy: "name" }];
    for (const query of [...wrong, { sourceKinds: "cli" }, { archived: "no" }])
      await assert.rejects(store.list(query as never), { code: "invalid_request" }, JSON.stringify(Object.keys(query)));
    for (const name of [5, null, {}, { rolloutPath: 7 }])
      await assert.rejects(store.header(name as never), { code: "invalid_request" });
  });
});
