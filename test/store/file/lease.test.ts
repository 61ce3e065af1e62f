import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ManualClock, systemClock } from "../../../src/kernel/clock.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { DuplicateThreadError, ThreadBusyError } from "../../../src/protocol/errors.ts";
import { newThreadId } from "../../../src/protocol/ids.ts";
import { header, user } from "../../../src/store/contract/store-script.ts";
import { nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { ForkMarks } from "../../../src/store/file/lease/fork-marks.ts";
import { LeaseKeeper } from "../../../src/store/file/lease/lease.ts";
import { thisProcess } from "../../../src/store/file/lease/process-identity.ts";
import { countLoopTurns } from "../../kernel/loop-turns.ts";
import { systemError } from "./faulty-file-system.ts";
import { TempHome } from "./temp-home.ts";

const leasesOf = (home: TempHome): string[] =>
  readdirSync(join(home.path, "leases")).filter((name) => !/^(owners|epochs)/.test(name));

/** The owner file of a process that this machine cannot see. */
function foreignOwner(home: TempHome, threadId: string, silentForMs: number, fields: object = {}): void {
  const folder = join(home.path, "leases");
  mkdirSync(join(folder, "owners"), { recursive: true });
  const owner = {
    token: "f00dfeedf00dfeed",
    pid: 7,
    started: "1",
    host: "elsewhere",
    realm: "r",
    since: "2026-01-01T00:00:00.000Z",
    ...fields,
  };
  const path = join(folder, "owners", `${owner.token}.json`);
  writeFileSync(path, JSON.stringify(owner));
  const at = new Date(systemClock.now() - silentForMs);
  utimesSync(path, at, at);
  nodeFileSystem.link(path, join(folder, threadId));
}

describe("leases", () => {
  test("where none can be made, the error says of which thread, and why", async () => {
    await using home = new TempHome();
    const store = home.open();
    await (await store.create(header())).close();
    rmSync(join(home.path, "leases"), { recursive: true });
    writeFileSync(join(home.path, "leases"), "a file in the folder's place");
    const meta = header();
    await assert.rejects(store.create(meta), (error: Error & { code?: string }) => {
      assert.deepEqual([error.code, (error.cause as NodeJS.ErrnoException).code], ["store_io", "ENOTDIR"]);
      return error.message.includes(`cannot take the lease of thread ${meta.id}`);
    });
  });

  test("two stores of one process refuse each other, and a closed store holds nothing", async () => {
    await using home = new TempHome();
    const [a, b] = [home.open(), home.open()];
    const writer = await a.create(header());
    await assert.rejects(b.open(writer.threadId), ThreadBusyError);
    await a.close();
    const next = await b.open(writer.threadId);
    assert.equal(next.epoch, 2);
    await next.close();
    assert.deepEqual(leasesOf(home), [], "a released lease leaves nothing");
  });

  test("a sync that goes on as its writer closes takes the lease no second time, whatever was said before", async () => {
    await using home = new TempHome();
    for (const fsync of ["always", "turn", "never"] as const) {
      const store = home.open({ fsync });
      for (const said of [[], ["one"]]) {
        const writer = await store.create(header());
        for (const text of said) writer.append(user(text));
        await Promise.all([writer.sync(), writer.flush(), writer.close(), writer.sync()]);
        assert.deepEqual(leasesOf(home), [], `${fsync}: ${said.length} lines`);
        const next = await store.open(writer.threadId);
        assert.equal(next.epoch, 2);
        await next.close();
      }
    }
  });

  test("a closed store leaves no timer, and one that did nothing leaves no file", async () => {
    await using home = new TempHome();
    const clock = new ManualClock();
    const store = home.open({ clock });
    const writer = await store.create(header());
    writer.append(user("x"));
    await writer.flush();
    await store.list();
    assert.ok(clock.pending > 0);
    await store.close();
    assert.equal(clock.pending, 0);
    await using empty = new TempHome();
    await empty.open().close();
    assert.deepEqual(readdirSync(empty.path), []);
  });

  test("another store's take-over fences the writer, which keeps its flushed lines", async () => {
    await using home = new TempHome();
    const [a, b] = [home.open(), home.open()];
    const heard: Error[] = [];
    const old = await a.create(header(), { onFailure: (error) => heard.push(error) });
    old.append(user("kept"));
    await old.flush();
    const next = await b.open(old.threadId, { lease: "takeOver" });
    assert.equal(next.position().ordinal, 2);
    old.append(user("lost"));
    await assert.rejects(old.flush(), ThreadBusyError);
    assert.equal(heard.length, 1);
    await old.close();
    next.append(user("more"));
    await next.close();
    assert.equal((await b.open(old.threadId)).position().ordinal, 3);
  });

  test("an owner that was fenced stays so after the one who took over is done", async () => {
    await using home = new TempHome();
    const [a, b] = [home.open(), home.open()];
    const old = await a.create(header());
    const next = await b.open(old.threadId, { lease: "takeOver" });
    await next.close();
    old.append(user("late"));
    await assert.rejects(old.flush(), ThreadBusyError);
    assert.equal((await b.open(old.threadId)).position().ordinal, 1);
  });

  test("an owner on another machine is dead when its heartbeat stops", async () => {
    await using home = new TempHome();
    const store = home.open();
    const made = await store.create(header());
    const id = made.threadId;
    await made.close();
    foreignOwner(home, id, 1_000);
    await assert.rejects(store.open(id), (error) => {
      assert.ok(error instanceof ThreadBusyError);
      assert.equal(error.owner?.host, "elsewhere");
      return true;
    });
    rmSync(join(home.path, "leases", id));
    rmSync(join(home.path, "leases", "owners", "f00dfeedf00dfeed.json"));
    foreignOwner(home, id, 120_000);
    const writer = await store.open(id);
    await writer.close();
  });

  const { realm, machine, host } = thisProcess();
  for (const [name, fields, canTell] of [
    ["under another host name", { realm, host: "its-name-before", pid: 2 ** 22 + 1 }, realm !== null],
    ["before the machine started anew", { realm: "0-0 pid:[1]", machine, host }, realm !== null && machine !== null],
  ] as const) {
    test(`an owner that ran on this machine ${name} is dead at once`, { skip: !canTell }, async () => {
      await using home = new TempHome();
      const store = home.open();
      const made = await store.create(header());
      await made.close();
      foreignOwner(home, made.threadId, 1_000, fields);
      const writer = await store.open(made.threadId);
      await writer.close();
    });
  }

  test("a claim that a dead process left keeps nobody out, and one that says nothing; another's does", async () => {
    await using home = new TempHome();
    const store = home.open();
    const { threadId } = await store.create(header());
    await store.close();
    const claim = join(home.path, "leases", `${threadId}.claim`);
    const owner = (who: object) =>
      JSON.stringify({ ...thisProcess(), ...who, token: "other", since: "2026-01-01T00:00:00.000Z" });
    for (const text of [owner({ pid: 2 ** 30 }), "nonsense", ""]) {
      writeFileSync(claim, text);
      await (await home.open().open(threadId)).close();
      assert.equal(existsSync(claim), false);
    }
    writeFileSync(claim, owner({ pid: 7, host: "elsewhere", realm: "r", machine: null }));
    await assert.rejects(home.open().open(threadId), ThreadBusyError);
    assert.equal(existsSync(claim), true);
    rmSync(claim);
    await (await home.open().open(threadId)).close();
  });

  test("an id that another store has given is refused, though the catalog did not hear of it", async () => {
    await using home = new TempHome();
    const store = home.open();
    await store.list(); // from now on its catalog is asked alone
    const meta = header();
    await (await home.open().create(meta)).close();
    await assert.rejects(store.create(meta), DuplicateThreadError);
    assert.equal(home.rollouts().length, 1);
  });

  test("a rollout has one writer, whichever home it was opened from", async () => {
    await using home = new TempHome();
    await using other = new TempHome();
    const writer = await home.open().create(header());
    const { rolloutPath } = writer;
    assert.ok(rolloutPath);
    await assert.rejects(other.open().open({ rolloutPath }), ThreadBusyError);
    await writer.close();
    const second = await other.open().open({ rolloutPath });
    await assert.rejects(home.open().open(writer.threadId), ThreadBusyError);
    await second.close();
    await (await home.open().open(writer.threadId)).close();
  });

  test("the heartbeat goes on, and a folder of leases that vanished is made again", async () => {
    await using home = new TempHome();
    const clock = new ManualClock();
    const store = home.open({ clock });
    const writer = await store.create(header());
    rmSync(join(home.path, "leases"), { recursive: true });
    writer.append(user("one"));
    await writer.flush();
    assert.equal(leasesOf(home).length, 1);
    await clock.advanceAsync(30_000);
    const other = home.open();
    await assert.rejects(other.open(writer.threadId), ThreadBusyError);
    await writer.close();
  });

  test("an owner's file is touched again and again while its store is open, so that other machines see it live", async () => {
    await using home = new TempHome();
    const clock = new ManualClock();
    const store = home.open({ clock });
    const writer = await store.create(header());
    const owners = join(home.path, "leases", "owners");
    const [name] = readdirSync(owners);
    assert.ok(name);
    const longAgo = new Date("2026-01-01T00:00:00Z");
    for (let beat = 0; beat < 2; beat += 1) {
      utimesSync(join(owners, name), longAgo, longAgo);
      await clock.advanceAsync(10_000);
      assert.ok(statSync(join(owners, name)).mtimeMs > longAgo.getTime(), `beat ${beat}`);
    }
    await writer.close();
  });

  test("without hard links, leases are files", async () => {
    await using home = new TempHome();
    const noLinks = {
      ...nodeFileSystem,
      link: () => {
        throw systemError("EPERM");
      },
    };
    const [a, b] = [home.open({ fileSystem: noLinks }), home.open({ fileSystem: noLinks })];
    const writer = await a.create(header());
    await assert.rejects(b.open(writer.threadId), ThreadBusyError);
    // As it is seen between its making and its writing.
    let unwritten = 3;
    const early = home.open({
      fileSystem: {
        ...noLinks,
        readText: (path) => (path.endsWith(writer.threadId) && unwritten-- > 0 ? "" : nodeFileSystem.readText(path)),
      },
    });
    await assert.rejects(early.open(writer.threadId), ThreadBusyError);
    assert.ok(unwritten <= 0);
    const next = await b.open(writer.threadId, { lease: "takeOver" });
    writer.append(user("late"));
    await assert.rejects(writer.flush(), ThreadBusyError);
    next.append(user("mine"));
    await next.close();
    assert.deepEqual(leasesOf(home), []);
  });

  test("a folder full of links goes on with another owner file", async () => {
    await using home = new TempHome();
    let links = 0;
    const few = {
      ...nodeFileSystem,
      link: (existing: string, path: string) => {
        links += 1;
        if (links % 5 === 0) throw systemError("EMLINK");
        nodeFileSystem.link(existing, path);
      },
    };
    const store = home.open({ fileSystem: few });
    const writers = await Promise.all(Array.from({ length: 20 }, () => store.create(header())));
    for (const writer of writers) {
      writer.append(user("x"));
      await writer.flush();
      await writer.close();
    }
    assert.deepEqual(leasesOf(home), []);
  });

  test("a look at thousands of leases that live lets the loop turn", async () => {
    await using home = new TempHome();
    const store = home.open();
    const live = await store.create(header());
    const folder = join(home.path, "leases");
    for (let n = 0; n < 3_000; n += 1) nodeFileSystem.link(join(folder, live.threadId), join(folder, header().id));
    const loop = countLoopTurns();
    const keeper = new LeaseKeeper(nodeFileSystem, folder, systemClock, silentLog);
    for await (const { path } of keeper.orphans()) assert.fail(path);
    const turns = loop.stop();
    keeper.close();
    assert.ok(turns >= 1, `the loop turned ${turns} times`);
    await live.close();
  });

  test("marks of forks: a sweep takes those of the dead, and leaves a live owner's until that clears it", async () => {
    await using home = new TempHome();
    const folder = join(home.path, "leases");
    const keeper = new LeaseKeeper(nodeFileSystem, folder, systemClock, silentLog);
    const marks = new ForkMarks(nodeFileSystem, keeper, folder);
    const [base, fork, other] = [newThreadId(), newThreadId(), newThreadId()];
    marks.set(base, fork);
    writeFileSync(join(folder, "heirs", `${other}_${fork}`), "of nobody");
    assert.deepEqual([marks.isMarked(base), marks.isMarked(other)], [true, true]);
    marks.sweep();
    assert.deepEqual([marks.isMarked(base), marks.isMarked(other)], [true, false]);
    marks.clear(base, fork);
    assert.equal(marks.isMarked(base), false);
    keeper.close();
  });

  test("sweeping removes what dead owners left and nothing else", async () => {
    await using home = new TempHome();
    const store = home.open();
    const live = await store.create(header());
    const folder = join(home.path, "leases");
    const dead = { ...thisProcess(), pid: 2 ** 30, token: "dead", since: "2026-01-01T00:00:00.000Z" };
    const owner = join(folder, "owners", "dead.json");
    writeFileSync(owner, JSON.stringify(dead));
    for (let n = 0; n < 100; n += 1) nodeFileSystem.link(owner, join(folder, header().id));
    const sweeper = new LeaseKeeper(nodeFileSystem, folder, systemClock, silentLog);
    let orphans = 0;
    for await (const { threadId } of sweeper.orphans()) orphans += threadId === live.threadId ? 100 : 1;
    assert.equal(orphans, 100);
    assert.equal(await sweeper.sweep(), 100);
    sweeper.close();
    assert.deepEqual(leasesOf(home), [live.threadId]);
    assert.equal(existsSync(owner), false);
    await live.close();
  });
});
