/**
 * Lists, searches and previews are those of the files alone, whatever happened to files and catalog before: this store,
 * another one and programs that know no catalog write; a process ends at any moment; the catalog is lost, or an older one.
 */
import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { RolloutNotFoundError } from "../../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import { userMessage } from "../../../src/protocol/response-item.ts";
import { header, storedThread, user } from "../../../src/store/contract/store-script.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { Catalog } from "../../../src/store/file/catalog/catalog.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";
import { nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { Layout } from "../../../src/store/file/layout.ts";
import { shownBy, shownByFiles } from "./shown.ts";
import { TempHome } from "./temp-home.ts";

const ROUNDS = Number(process.env.SKEIN_LIST_ROUNDS ?? 3);
const STEPS = 25;
const WORDS = ["zebra", "quince", "lantern", "harbour"];

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

class Life {
  readonly home = new TempHome();
  readonly log: string[] = [];
  store = this.home.open();
  readonly #random: (below: number) => number;
  readonly #kept = join(this.home.path, "kept.sqlite");

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  async step(): Promise<void> {
    const acts = [
      this.create,
      this.create,
      this.foreign,
      this.foreign,
      this.append,
      this.append,
      this.fork,
      this.resume,
      this.move,
      this.remove,
      this.rename,
      this.otherStore,
      this.vanish,
      this.loseCatalog,
      this.oldCatalog,
    ];
    const act = acts[this.#random(acts.length)];
    assert.ok(act);
    this.log.push(act.name);
    await act.call(this);
  }

  #word = (): string => `${WORDS[this.#random(WORDS.length)]} ${this.#random(1000)}`;

  #any(): string | undefined {
    const paths = this.home.rollouts().filter((path) => existsSync(path));
    return paths[this.#random(Math.max(1, paths.length))];
  }

  async create(): Promise<void> {
    const writer = await this.store.create(header());
    if (this.#random(3) > 0) writer.append(user(this.#word()));
    if (this.#random(2) > 0) await writer.close();
    else await writer.flush();
  }

  /** Another program makes a file. */
  async foreign(): Promise<void> {
    const meta = header({ id: newThreadId(), timestamp: new Date().toISOString() });
    const path = new Layout(this.home.path).rolloutPath(meta.id, new Date());
    mkdirSync(dirname(path), { recursive: true });
    const line = (ordinal: number, item: object) =>
      `${JSON.stringify({ timestamp: meta.timestamp, ordinal, ...item })}\n`;
    const says = this.#random(3) > 0 ? line(1, user(this.#word())) : "";
    writeFileSync(path, line(0, { type: "session_meta", payload: meta }) + says);
  }

  /** Another program goes on with one that nobody has open here. */
  async append(): Promise<void> {
    const path = this.#any();
    if (path === undefined) return;
    await this.#endWriters();
    const ordinal = readFileSync(path, "utf8").split("\n").length + 100;
    appendFileSync(
      path,
      `${JSON.stringify({ timestamp: new Date().toISOString(), ordinal, ...user(this.#word()) })}\n`,
    );
  }

  async fork(): Promise<void> {
    const path = this.#any();
    if (path === undefined) return;
    const base = await this.store.forkBase({ rolloutPath: path }, "full");
    if (base === undefined) return;
    const fork = await this.store.fork(header(), base);
    if (this.#random(2) > 0) fork.append(user(this.#word()));
    await fork.close();
  }

  async resume(): Promise<void> {
    const path = this.#any();
    if (path === undefined) return;
    await this.#endWriters();
    const writer = await this.store.open({ rolloutPath: path });
    writer.append(user(this.#word()));
    await writer.close();
  }

  /** Another program archives one, or brings it back. */
  async move(): Promise<void> {
    const path = this.#any();
    if (path === undefined) return;
    await this.#endWriters();
    const layout = new Layout(this.home.path);
    const to = layout.isArchived(path) ? layout.unarchivedPath(path) : layout.archivedPath(path);
    assert.ok(to);
    mkdirSync(dirname(to), { recursive: true });
    renameSync(path, to);
  }

  async remove(): Promise<void> {
    const path = this.#any();
    if (path === undefined || this.#random(2) > 0) return;
    await this.#endWriters();
    rmSync(path);
  }

  async rename(): Promise<void> {
    const path = this.#any();
    const id = path === undefined ? undefined : basename(path, ".jsonl").slice(-36);
    const entry = { id, thread_name: this.#word(), updated_at: new Date().toISOString() };
    if (id !== undefined) appendFileSync(join(this.home.path, "session_index.jsonl"), `${JSON.stringify(entry)}\n`);
  }

  async otherStore(): Promise<void> {
    const other = this.home.open();
    const writer = await other.create(header());
    writer.append(user(this.#word()));
    await writer.close();
    if (this.#random(2) > 0) await other.close();
  }

  /** The process ends without a word, and another one begins. */
  async vanish(): Promise<void> {
    await this.#endWriters();
    this.store = this.home.open();
  }

  async loseCatalog(): Promise<void> {
    await this.#restart(() => this.#dropCatalog());
  }

  async oldCatalog(): Promise<void> {
    const path = join(this.home.path, "catalog.sqlite");
    await this.#restart(() => {
      if (existsSync(this.#kept)) {
        this.#dropCatalog();
        copyFileSync(this.#kept, path);
        rmSync(this.#kept);
      } else if (existsSync(path)) copyFileSync(path, this.#kept);
    });
  }

  #dropCatalog(): void {
    for (const end of ["", "-wal", "-shm"]) rmSync(join(this.home.path, `catalog.sqlite${end}`), { force: true });
  }

  async #restart(meanwhile: () => void): Promise<void> {
    await this.store.close();
    meanwhile();
    this.store = this.home.open();
  }

  /** Files are moved and changed by others only while nobody here writes them. */
  async #endWriters(): Promise<void> {
    await this.#restart(() => undefined);
  }
}

describe("lists that are right when they answer", () => {
  for (let seed = 1; seed <= ROUNDS; seed += 1) {
    test(`whatever happened: seed ${seed}`, async () => {
      const life = new Life(seed * 7919);
      await using _home = life.home;
      for (let step = 0; step < STEPS; step += 1) {
        await life.step();
        const shown = await shownBy(life.store, WORDS);
        assert.deepEqual(shown, await shownByFiles(life.home.path, WORDS), life.log.join(", "));
      }
    });
  }

  test("a folder finds its threads however it is written, also by a search", async () => {
    await using home = new TempHome();
    const work = mkdtempSync(join(tmpdir(), "skein-work-"));
    const link = join(home.path, "link");
    symlinkSync(work, link);
    const store = home.open();
    for (const cwd of [work, link]) {
      const writer = await store.create(header({ cwd }));
      writer.append(user("a zebra"));
      await writer.close();
    }
    for (const cwd of [work, `${work}/`, `${work}/.`, work.replace("/", "//"), link, `${link}/../link`]) {
      assert.equal((await store.list({ cwd })).threads.length, 2, cwd);
      assert.equal((await store.list({ cwd, search: "zebra" })).threads.length, 2, cwd);
    }
    rmSync(work, { recursive: true });
  });

  test("a home that was copied with its catalog leads to its own files, and one that was moved still does", async () => {
    await using home = new TempHome();
    const writer = await home.open().create(header());
    writer.append(user("a zebra"));
    await writer.close();
    await home.open().list();
    await using copy = new TempHome();
    for (const name of ["sessions", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"])
      if (existsSync(join(home.path, name)))
        cpSync(join(home.path, name), join(copy.path, name), { recursive: true, preserveTimestamps: true });
    const before = readFileSync(writer.rolloutPath ?? "", "utf8");
    const store = copy.open();
    const again = await store.open(writer.threadId);
    again.append(user("in the copy"));
    await again.close();
    assert.equal(readFileSync(writer.rolloutPath ?? "", "utf8"), before, "the other home is as it was");
    for (const { rolloutPath } of [await store.get(writer.threadId), ...(await store.list()).threads])
      assert.ok(rolloutPath?.startsWith(copy.path), String(rolloutPath));
    await store.close();
    const moved = mkdtempSync(join(tmpdir(), "skein-moved-"));
    renameSync(copy.path, moved);
    const after = fileStore({ home: moved, fsync: "never" });
    assert.deepEqual(
      (await after.list({ search: "zebra" })).threads.map(({ rolloutPath }) =>
        dirname(rolloutPath ?? "").startsWith(moved),
      ),
      [true],
    );
    await after.close();
    rmSync(moved, { recursive: true });
  });

  test("threads in flat and in linked folders are listed, and opened by their id", async () => {
    await using home = new TempHome();
    const made = new TempHome();
    await using _made = made;
    const ids: ThreadId[] = [];
    for (const text of ["flat", "linked"]) {
      const writer = await made.open().create(header());
      writer.append(user(text));
      await writer.close();
      ids.push(writer.threadId);
    }
    const [flat = "", linked = ""] = ids.map((id) => made.rollouts().find((path) => path.includes(id)));
    const disk = mkdtempSync(join(tmpdir(), "skein-disk-"));
    mkdirSync(join(home.path, "sessions", "2026", "10"), { recursive: true });
    copyFileSync(flat, join(home.path, "sessions", basename(flat)));
    copyFileSync(linked, join(disk, basename(linked)));
    symlinkSync(disk, join(home.path, "sessions", "2026", "10", "01"));
    const store = home.open();
    assert.deepEqual((await store.list()).threads.map(({ threadId }) => threadId).sort(), ids.toSorted());
    for (const id of ids) await (await home.open().open(id)).close();
    rmSync(disk, { recursive: true });
  });

  test("what another process has named, or said of a repository, is read at once", async () => {
    await using home = new TempHome();
    const [store, other] = [home.open(), home.open()];
    const writer = await store.create(header());
    writer.append(user("a zebra"));
    await writer.flush();
    await store.list();
    for (const name of ["one", "two", null, "three"]) {
      await other.rename(writer.threadId, name);
      assert.equal((await store.get(writer.threadId)).name, name);
    }
    await other.setGitInfo(writer.threadId, { sha: "abc", branch: "main", originUrl: null });
    assert.equal((await store.get(writer.threadId)).gitInfo?.sha, "abc");
    await writer.close();
    assert.equal((await store.get(writer.threadId)).name, "three");
    await (await store.open(writer.threadId)).close();
    assert.equal((await store.list()).threads[0]?.name, "three");
  });

  test("a process that begins finds what others went on with meanwhile, however old", async () => {
    await using home = new TempHome();
    const store = home.open();
    const writers = [];
    for (let at = 0; at < 450; at += 1) writers.push(await store.create(header()));
    await store.list();
    await store.close();
    const [oldest] = writers;
    assert.ok(oldest?.rolloutPath);
    const line = { timestamp: new Date().toISOString(), ordinal: 1, ...user("after years") };
    appendFileSync(oldest.rolloutPath, `${JSON.stringify(line)}\n`);
    const [first] = (await home.open().list({ limit: 1, orderBy: "updatedAt" })).threads;
    assert.deepEqual([first?.threadId, first?.preview], [oldest.threadId, "after years"]);
  });

  test("what others go on with is in its place at once, however many are newer, and however often", async () => {
    await using home = new TempHome();
    const other = home.open();
    const old: { id: ThreadId; path: string }[] = [];
    for (let n = 0; n < 450; n += 1) {
      const writer = await other.create(header());
      writer.append(user("an old one"));
      await writer.close();
      if (n < 3) old.push({ id: writer.threadId, path: writer.rolloutPath ?? "" });
    }
    const store = home.open();
    await store.list();
    const newest = async () => (await store.list({ limit: 1, orderBy: "updatedAt" })).threads[0];
    for (const { id, path } of [...old, ...old]) {
      const before = (await store.get(id)).updatedAt;
      // A file system keeps times in steps.
      await pause(20);
      const line = { timestamp: new Date().toISOString(), type: "response_item", payload: userMessage("goes on") };
      appendFileSync(path, `${JSON.stringify(line)}\n`);
      const found = await newest();
      assert.equal(found?.threadId, id);
      assert.ok((found?.updatedAt ?? 0) > before);
    }
    // One that goes away, in a folder that goes with it.
    for (const { path } of old) rmSync(path);
    const left = new Set((await store.list({ limit: 100 })).threads.map(({ threadId }) => threadId));
    assert.ok(old.every(({ id }) => !left.has(id)));
    await assert.rejects(store.get(old[0]?.id ?? newThreadId()), RolloutNotFoundError);
  });

  test("where the system can't watch folders, lists go on as they can", async () => {
    await using home = new TempHome();
    const { id } = await storedThread(home.open(), ["an old one"]);
    const store = home.open({ fileSystem: { ...nodeFileSystem, watch: () => undefined } });
    await store.list();
    const { rolloutPath } = await store.get(id);
    const line = { timestamp: new Date().toISOString(), type: "response_item", payload: userMessage("zebra") };
    appendFileSync(rolloutPath ?? "", `${JSON.stringify(line)}\n`);
    assert.equal((await store.list({ search: "zebra" })).threads.length, 1);
  });

  test("a home that others have written to verifies clean, before and after a list", async () => {
    const life = new Life(5);
    await using _home = life.home;
    await life.create();
    await shownBy(life.store, WORDS);
    for (const act of [life.foreign, life.append, life.resume, life.fork, life.rename]) await act.call(life);
    await life.store.close();
    const faultsNow = async () =>
      (await verifyHome({ home: life.home.path })).faults.filter(({ kind }) => kind !== "gap");
    assert.deepEqual(await faultsNow(), []);
    await shownBy(life.home.open(), WORDS);
    assert.deepEqual(await faultsNow(), []);
  });
});

describe("a catalog that another process holds", () => {
  test("stops neither this process nor its lists, and gets what waited for it", async () => {
    await using home = new TempHome();
    const store = home.open();
    const before = await store.create(header());
    before.append(user("before"));
    await before.flush();
    await store.list();
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const other = new DatabaseSync(join(home.path, "catalog.sqlite"));
    other.exec("BEGIN IMMEDIATE");
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    for (const text of ["one", "two", "three"]) {
      const writer = await store.create(header());
      writer.append(user(text));
      await writer.close();
    }
    assert.equal((await store.list()).threads.length, 4, "the files are asked");
    clearInterval(timer);
    assert.ok(longest < 1_500, `the event loop stood still for ${longest} ms`);
    other.exec("ROLLBACK");
    other.close();
    assert.equal((await store.list()).threads.length, 4);
    await pause(0);
    const { catalog } = Catalog.open(join(home.path, "catalog.sqlite"));
    assert.equal([...catalog.filePages(2)].flat().length, 4);
    catalog.close();
  });
});
