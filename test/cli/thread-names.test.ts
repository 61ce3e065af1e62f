/** Threads as a command line names them: by the beginning of an id, by name, as the last one. */
import assert from "node:assert/strict";
import { realpath } from "node:fs/promises";
import { test } from "node:test";
import { fileStore } from "../../src/index.ts";
import { skein } from "./skein.ts";
import { storedThread, tempFolder } from "./temp-home.ts";

async function named(home: string, threadId: string, name: string): Promise<void> {
  const store = fileStore({ home, fsync: "never" });
  await store.rename(threadId as never, name);
  await store.close();
}

test("a thread is found by the beginning of its id and by its name, wherever one is asked for", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  await named(home, threadId, "My plan");
  const run = (...args: string[]) => skein([...args, "--home", home]);

  for (const name of [threadId.slice(0, 9), threadId.toUpperCase().slice(0, 20), "My plan", threadId]) {
    const { code, stdout } = await run("show", name);
    assert.equal(code, 0, name);
    assert.match(stdout, new RegExp(`^thread ${threadId}\n`));
  }
  assert.match((await run("export", "My plan")).stdout, /"session_meta"/);
  assert.match((await run("exec", "resume", "My plan", "and two")).stdout, /ack: and two/);
  assert.match((await run("resume", threadId.slice(0, 12), "and three")).stdout, /ack: and three/);
  assert.match((await run("fork", "My plan")).stdout, /^[0-9a-f-]{36}\n$/);
  assert.match((await run("list", "--forks-of", "My plan")).stdout, /^[0-9a-f-]{36}\t/);
  assert.equal((await run("archive", "My plan")).stdout, `archived ${threadId}\n`);
  assert.equal((await run("unarchive", "My plan")).stdout, `unarchived ${threadId}\n`);
  assert.equal((await run("delete", "My plan")).stdout, `deleted ${threadId}\n`);
});

test("a name may look like a path; a file of that path comes first", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  await named(home, threadId, "feature/login");
  const run = (...args: string[]) => skein([...args, "--home", home]);
  assert.match((await run("show", "feature/login")).stdout, new RegExp(`^thread ${threadId}\n`));
  const none = await run("show", "feature/logout");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /feature\/logout/);
});

test("who fits none is told the near ones, and who fits several all of them", async (t) => {
  const home = await tempFolder(t);
  const [a, b] = [await storedThread(home, ["one"]), await storedThread(home, ["two"])];
  await named(home, a.threadId, "Migration");
  const run = (...args: string[]) => skein([...args, "--home", home]);

  const slip = await run("show", "Migraton");
  assert.deepEqual([slip.code, slip.stdout], [1, ""]);
  assert.match(slip.stderr, new RegExp(`did you mean\n {2}${a.threadId} {2}Migration \\(rollout_not_found\\)\n$`));
  const typo = await run("show", `${b.threadId.slice(0, -1)}${b.threadId.endsWith("0") ? "1" : "0"}`);
  assert.equal(typo.code, 1);
  assert.ok(typo.stderr.includes(b.threadId), typo.stderr);
  const shared = [...a.threadId].findIndex((letter, index) => letter !== b.threadId[index]);
  const both = await run("show", a.threadId.slice(0, shared));
  assert.ok(
    both.stderr.includes("fits 2 threads") && both.stderr.includes(a.threadId) && both.stderr.includes(b.threadId),
  );
});

test("an empty word names no thread, not even the only one", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  const run = (...args: string[]) => skein([...args, "--home", home]);
  for (const args of [
    ["delete", ""],
    ["archive", " "],
    ["show", ""],
    ["exec", "resume", "", "go on"],
  ]) {
    const { code, stderr } = await run(...args);
    assert.notEqual(code, 0, args.join(" "));
    assert.match(stderr, /the thread's name is empty/);
  }
  assert.match((await run("list")).stdout, new RegExp(`^${threadId}\t`));
});

test("unarchive --last brings back the archived thread that was used last", async (t) => {
  const home = await tempFolder(t);
  const [older, newer] = [await storedThread(home, ["older"]), await storedThread(home, ["newer"])];
  const run = (...args: string[]) => skein([...args, "--home", home]);
  assert.equal((await run("archive", older.threadId)).code, 0);
  assert.equal((await run("unarchive", "--last", "--all")).stdout, `unarchived ${older.threadId}\n`);
  const none = await run("unarchive", "--last", "--all");
  assert.match(none.stderr, /there is no archived thread/);
  assert.ok((await run("list")).stdout.includes(newer.threadId));
});

test("--last is the thread that was used last in this folder; --all looks everywhere", async (t) => {
  const home = await tempFolder(t);
  const cwd = await realpath(await tempFolder(t));
  const here = await storedThread(home, ["here"], cwd);
  const elsewhere = await storedThread(home, ["elsewhere"]);
  const run = (...args: string[]) => skein([...args, "--home", home], { cwd });

  assert.match((await run("show", "--last")).stdout, new RegExp(`^thread ${here.threadId}\n`));
  assert.match((await run("show", "--last", "--all")).stdout, new RegExp(`^thread ${elsewhere.threadId}\n`));
  assert.match((await run("exec", "resume", "--last", "go on")).stdout, /ack: go on/);
  assert.match((await run("exec", "resume", "--last", "-C", "/tmp", "over there")).stdout, /ack: over there/);
  assert.match((await run("resume", "--last", "once more")).stdout, /ack: once more/);
  assert.match((await run("show", elsewhere.threadId)).stdout, /over there/);
  assert.equal((await run("archive", "--last")).stdout, `archived ${here.threadId}\n`);
  const none = await run("show", "--last");
  assert.deepEqual([none.code, none.stdout], [1, ""]);
  assert.match(none.stderr, /--all looks in every folder/);
});
