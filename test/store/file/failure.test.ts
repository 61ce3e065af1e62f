import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { StoreIoError } from "../../../src/protocol/errors.ts";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { answer, forkAt, header, storedThread, user } from "../../../src/store/contract/store-script.ts";
import type { RolloutWriter } from "../../../src/store/file/file-position.ts";
import type { FileStore } from "../../../src/store/file/file-store.ts";
import { nodeFileSystem } from "../../../src/store/file/file-system.ts";
import type { ThreadWriter } from "../../../src/store/thread-store.ts";
import { FaultyFileSystem, systemError } from "./faulty-file-system.ts";
import { loaded, parsedLines, TempHome } from "./temp-home.ts";

const texts = (path: string): string[] =>
  parsedLines(path)
    .slice(1)
    .map((line) => JSON.stringify(line.payload).match(/"text":"([^"]*)"/)?.[1] ?? "");

/** A thread on a file system that can fail, and what its writer heard. */
async function begin(home: TempHome, options: { fsync?: "never" | "turn" | "always" } = {}) {
  const disk = new FaultyFileSystem();
  const clock = new ManualClock({ startMs: Date.UTC(2026, 0, 2) });
  const store = home.open({ fileSystem: disk.api, clock, ...options });
  const heard: Error[] = [];
  const writer = await store.create(header(), { onFailure: (error) => heard.push(error) });
  return { disk, clock, store, heard, writer, path: pathOf(writer) };
}

const pathOf = (writer: RolloutWriter): string => writer.rolloutPath;

const refused = (writer: ThreadWriter): Promise<void> => assert.rejects(writer.flush(), StoreIoError);
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a write that fails", () => {
  for (const code of ["ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT"]) {
    test(`${code}: is told once, keeps the lines, and goes on by itself when the cause is gone`, async () => {
      await using home = new TempHome();
      const { disk, clock, heard, writer, path } = await begin(home);
      disk.onWrite = () => {
        throw systemError(code);
      };
      writer.append(user("one"));
      await tick();
      assert.ok(writer.failure instanceof StoreIoError);
      assert.match(writer.failure.message, new RegExp(code));
      assert.equal(writer.dirty, true);
      await refused(writer);
      writer.append(user("two"));
      await refused(writer);
      assert.equal(heard.length, 1);
      assert.deepEqual(texts(path), []);

      disk.onWrite = () => {};
      await clock.advanceAsync(10_000);
      assert.equal(writer.failure, undefined);
      assert.equal(writer.dirty, false);
      assert.deepEqual(texts(path), ["one", "two"]);

      disk.onWrite = () => {
        throw systemError(code);
      };
      writer.append(user("three"));
      await refused(writer);
      assert.equal(heard.length, 2, "a new episode is told anew");
      disk.onWrite = () => {};
      await writer.flush();
      assert.deepEqual(texts(path), ["one", "two", "three"]);
      await writer.close();
    });
  }

  test("a disk that fills up in the middle of a line leaves no half line and no line twice", async () => {
    await using home = new TempHome();
    const { disk, heard, writer, path } = await begin(home);
    const written: string[] = [];
    for (let round = 0; round < 40; round += 1) {
      disk.roomBytes = round * 17;
      for (const text of [`a${round}`, `b${round}`]) {
        writer.append(user(text));
        written.push(text);
      }
      await writer.flush().catch(() => undefined);
      const complete = texts(path);
      assert.deepEqual(complete, written.slice(0, complete.length));
      assert.ok(readFileSync(path, "utf8").endsWith("\n"), "cut back at once");
    }
    disk.roomBytes = undefined;
    await writer.flush();
    assert.deepEqual(texts(path), written);
    assert.ok(heard.length >= 1);
    await writer.close();
  });

  test("what a failed write left is cut off later when it cannot be cut at once", async () => {
    await using home = new TempHome();
    const { disk, writer, path } = await begin(home);
    disk.roomBytes = 20;
    disk.onTruncate = () => {
      throw systemError("EIO");
    };
    writer.append(user("one"));
    await refused(writer);
    assert.equal(readFileSync(path, "utf8").endsWith("\n"), false);
    disk.roomBytes = undefined;
    await refused(writer);
    disk.onTruncate = () => {};
    await writer.flush();
    assert.deepEqual(texts(path), ["one"]);
    await writer.close();
  });

  test("short writes are no failure", async () => {
    await using home = new TempHome();
    const { disk, heard, writer, path } = await begin(home);
    disk.maxWriteBytes = 7;
    for (let n = 0; n < 20; n += 1) writer.append(answer(`line ${n}`));
    await writer.close();
    assert.equal(texts(path).length, 20);
    assert.equal(heard.length, 0);
  });

  test("a sync that fails is told, and the next flush asks the disk again", async () => {
    await using home = new TempHome();
    const { disk, heard, writer } = await begin(home, { fsync: "turn" });
    disk.onSync = () => {
      throw systemError("EIO");
    };
    writer.append(user("one"));
    await writer.flush();
    await assert.rejects(writer.sync(), StoreIoError);
    await refused(writer);
    assert.equal(heard.length, 1);
    disk.onSync = () => {};
    await writer.flush();
    assert.equal(writer.failure, undefined);
    await writer.close();
  });

  test("a create that fails leaves neither a file nor a lease", async () => {
    await using home = new TempHome();
    const { disk, store } = await begin(home);
    const meta = header();
    disk.roomBytes = 30;
    await assert.rejects(store.create(meta), StoreIoError);
    disk.roomBytes = undefined;
    assert.equal(home.rollouts().length, 1);
    const writer = await store.create(meta);
    await writer.close();
  });

  test("close does not give up unsaved lines: it fails, and can be asked again", async () => {
    await using home = new TempHome();
    const { disk, writer, path } = await begin(home);
    writer.append(user("last words"));
    disk.roomBytes = 0;
    await assert.rejects(writer.close(), StoreIoError);
    disk.roomBytes = undefined;
    await writer.close();
    assert.deepEqual(texts(path), ["last words"]);
  });

  test("a store that closes over lines that it cannot write tells it, and frees its threads", async () => {
    await using home = new TempHome();
    const { disk, store, heard, writer } = await begin(home);
    writer.append(user("stored"));
    await writer.flush();
    writer.append(user("last words"));
    disk.roomBytes = 0;
    await assert.rejects(store.close(), StoreIoError);
    assert.match(heard.at(-1)?.message ?? "", /the store is closed/);
    await assert.rejects(writer.flush(), /the store is closed/);
    const next = await home.open().open(writer.threadId);
    next.append(user("of the next"));
    await next.close();
    assert.deepEqual(texts(writer.rolloutPath), ["stored", "of the next"]);
  });

  test("one thread's trouble does not hold up another", async () => {
    await using home = new TempHome();
    const { disk, store, writer, path } = await begin(home);
    const other = await store.create(header());
    disk.onOpen = (opened) => {
      if (opened === path) throw systemError("EIO");
    };
    writer.append(user("stuck"));
    other.append(user("fine"));
    await refused(writer);
    await other.flush();
    assert.deepEqual(texts(pathOf(other)), ["fine"]);
    disk.onOpen = () => {};
    await writer.flush();
    assert.deepEqual(texts(path), ["stuck"]);
  });
});

describe("a file that changes under its writer", () => {
  test("removed: told at the next append; nothing is written into the void", async () => {
    await using home = new TempHome();
    const { heard, writer, path } = await begin(home);
    writer.append(user("one"));
    await writer.flush();
    const saved = readFileSync(path);
    rmSync(path);
    writer.append(user("two"));
    await refused(writer);
    assert.equal(heard.length, 1);
    writeFileSync(path, saved);
    await writer.flush();
    assert.deepEqual(texts(path), ["one", "two"]);
    await writer.close();
  });

  test("its folder vanished and came back", async () => {
    await using home = new TempHome();
    const { heard, writer, path } = await begin(home);
    writer.append(user("one"));
    await writer.flush();
    const folder = dirname(path);
    const away = `${folder}-away`;
    const saved = readFileSync(path);
    rmSync(folder, { recursive: true });
    writer.append(user("two"));
    await refused(writer);
    mkdirSync(away);
    writeFileSync(path.replace(folder, away), saved);
    await refused(writer);
    renameSync(away, folder);
    await writer.flush();
    assert.equal(heard.length, 1);
    assert.deepEqual(texts(path), ["one", "two"]);
    await writer.close();
  });

  test("made read-only, then writable again", async () => {
    await using home = new TempHome();
    const { heard, writer, path } = await begin(home);
    chmodSync(path, 0o444);
    writer.append(user("one"));
    await refused(writer);
    assert.equal(heard.length, 1);
    chmodSync(path, 0o644);
    await writer.flush();
    assert.deepEqual(texts(path), ["one"]);
    await writer.close();
  });

  test("appended to by a program that knows no lease: refused, not interleaved", async () => {
    await using home = new TempHome();
    const { store, writer, path } = await begin(home);
    writer.append(user("one"));
    await writer.flush();
    const foreign = `${readFileSync(path, "utf8").split("\n")[1]?.replace('"ordinal":1', '"ordinal":2')}\n`;
    writeFileSync(path, foreign, { flag: "a" });
    writer.append(user("two"));
    await assert.rejects(writer.flush(), /another program changed it/);
    assert.equal(parsedLines(path).length, 3);
    assert.equal((await loaded(store, writer.threadId)).length, 3);
  });
});

describe("group commit", () => {
  test("lines of one turn of the event loop are one write for each file, and idle files are closed", async () => {
    await using home = new TempHome();
    const { disk, clock, store } = await begin(home);
    const writers = await Promise.all(Array.from({ length: 50 }, () => store.create(header())));
    assert.equal(store.openFiles, 0, "a new thread keeps no file open");
    const before = disk.writes;
    for (let n = 0; n < 20; n += 1) for (const writer of writers) writer.append(answer(`line ${n}`));
    await tick();
    await tick();
    assert.equal(disk.writes - before, 50);
    assert.ok(writers.every((writer) => !writer.dirty));
    assert.equal(store.openFiles, 50);
    await clock.advanceAsync(3_000);
    assert.equal(store.openFiles, 0);
  });

  test("open files stay under the cap", async () => {
    await using home = new TempHome();
    const store = home.open({ maxOpenFiles: 8 });
    const writers = await Promise.all(Array.from({ length: 40 }, () => store.create(header())));
    for (const writer of writers) writer.append(answer("x"));
    await Promise.all(writers.map((writer) => writer.flush()));
    assert.ok(store.openFiles <= 8);
    for (const writer of writers) assert.equal(texts(pathOf(writer)).length, 1);
  });

  test("syncs of one file that meet share a sync; each waits for its own lines", async () => {
    await using home = new TempHome();
    const { disk, writer } = await begin(home, { fsync: "turn" });
    writer.append(answer("first"));
    await writer.sync();
    disk.syncs = 0;
    writer.append(answer("one"));
    const syncs = [writer.sync()];
    for (let n = 0; n < 10; n += 1) {
      writer.append(answer(`line ${n}`));
      syncs.push(writer.sync());
    }
    await Promise.all(syncs);
    assert.ok(disk.syncs <= 2, `${disk.syncs} syncs`);
    await writer.close();
  });

  test("only a sync asks the disk: a flush does not, nor does the close of a thread in which nobody spoke", async () => {
    await using home = new TempHome();
    const { disk, store, writer } = await begin(home, { fsync: "turn" });
    const silent = await store.create(header());
    await silent.close();
    writer.append(user("one"));
    await writer.flush();
    assert.equal(disk.syncs, 0);
    await writer.sync();
    const { syncs } = disk;
    assert.ok(syncs > 0);
    await writer.close();
    assert.equal(disk.syncs, syncs, "there was nothing left to sync");
    const spoken = await store.create(header());
    spoken.append(user("two"));
    await spoken.close();
    assert.ok(disk.syncs > syncs);
  });

  test("what waits in memory is bounded without anybody awaiting", async () => {
    await using home = new TempHome();
    const { writer, path } = await begin(home);
    const long = "x".repeat(100_000);
    for (let n = 0; n < 100; n += 1) writer.append(answer(long));
    assert.ok(readFileSync(path).length > 5_000_000, "written within append");
    await writer.close();
    assert.equal(texts(path).length, 100);
  });
});

describe("a rollout that is archived by another program at the moment it is opened", () => {
  const uses: readonly [string, (store: FileStore, id: ThreadId) => Promise<unknown>][] = [
    ["loaded", (store, id) => loaded(store, id)],
    ["forked", async (store, id) => (await forkAt(store, id, "full")) as unknown],
    ["opened", async (store, id) => (await store.open(id)).close()],
    ["shown", (store, id) => store.get(id)],
    [
      "exported",
      async (store, id) => {
        for await (const piece of store.export(id)) assert.ok(piece.endsWith("\n"));
      },
    ],
  ];
  for (const [name, use] of uses) {
    for (let before = 0; before < 4; before += 1) {
      test(`is ${name} where it is now: after ${before} more openings`, async () => {
        await using home = new TempHome();
        const { id } = await storedThread(home.open(), ["one"]);
        let left = before;
        const open: typeof nodeFileSystem.open = (path, mode) => {
          if (path.includes(id) && path.includes("sessions/2") && mode !== "create" && left-- === 0) {
            nodeFileSystem.makeFolder(join(home.path, "archived_sessions"));
            nodeFileSystem.rename(path, join(home.path, "archived_sessions", basename(path)));
          }
          return nodeFileSystem.open(path, mode);
        };
        await use(home.open({ fileSystem: { ...nodeFileSystem, open } }), id);
      });
    }
  }
});
