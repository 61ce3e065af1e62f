import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { gist } from "../../../src/store/contract/store-script.ts";
import { repairHome } from "../../../src/store/file/care/repair.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { fileStore } from "../../../src/store/file/file-store.ts";
import { shownBy, shownByFiles } from "./shown.ts";
import { loaded, TempHome } from "./temp-home.ts";

const KILLS = Number(process.env.SKEIN_KILLS ?? 20);
const KILLS_PER_HOME = 10;
const WRITES = Math.ceil(KILLS / 4);
const CHILD = new URL("./crash-child.ts", import.meta.url).pathname;

/** What a thread was told is stored: its texts in order, inherited ones included. */
type Told = { texts: string[]; epoch: number };

/** Runs a child until it has said `words` things, and kills it there; or until it kills itself within a write. */
async function runAndKill(
  home: string,
  resume: readonly ThreadId[],
  { words, diesAtWrite }: { words?: number; diesAtWrite?: number },
  told: Map<string, Told>,
) {
  const child: ChildProcess = spawn(process.execPath, [CHILD, home, resume.join(","), String(diesAtWrite ?? "")], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const trouble: string[] = [];
  child.stderr?.on("data", (chunk) => trouble.push(String(chunk)));
  const { stdout } = child;
  assert.ok(stdout);
  let heard = 0;
  for await (const line of createInterface({ input: stdout })) {
    note(told, JSON.parse(line));
    heard += 1;
    if (heard === words) child.kill("SIGKILL");
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  assert.equal(child.signalCode, "SIGKILL", trouble.join(""));
}

function note(told: Map<string, Told>, [word, id, second]: [string, string, unknown]): void {
  if (word === "made") {
    const parent = told.get(String(second));
    assert.equal(told.has(id), false, "an id is given once");
    told.set(id, { texts: parent === undefined ? [] : [...parent.texts], epoch: 1 });
    return;
  }
  const thread = told.get(id);
  assert.ok(thread);
  if (word === "stored") thread.texts.push(String(second));
  else {
    assert.ok(Number(second) > thread.epoch, "epochs rise over all processes");
    thread.epoch = Number(second);
  }
}

const CRASH_FAULTS = /^(torn|unterminated|no_header|orphan_lease|catalog_missing|catalog_stale|catalog_extra)$/;

let seed = 20_261_122;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed % below;
};

const ownWords = (lines: Parameters<typeof gist>[0]): string[] =>
  gist(lines).filter((word) => /^\d+-[^!]*$/.test(word));

/** Everything that was told is there, in order, once; nothing is wrong but what a kill may leave. */
async function inspect(home: TempHome, told: ReadonlyMap<string, Told>): Promise<void> {
  const { faults } = await verifyHome({ home: home.path });
  for (const fault of faults) assert.match(fault.kind, CRASH_FAULTS, JSON.stringify(fault));
  const store = home.open();
  for (const [id, thread] of told) {
    const words = ownWords(await loaded(store, id as ThreadId));
    assert.deepEqual(words.slice(0, thread.texts.length), thread.texts, `thread ${id}`);
    assert.equal(new Set(words).size, words.length, "nothing twice");
    // What was written and not yet confirmed when the kill came is there now, and stays.
    thread.texts = words;
  }
  await store.close();
}

const CATALOG = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"];

/** What a crash, a backup or another disk's fate may do to the index before the next process looks. */
const FATES: Readonly<Record<string, (home: string, kept: string) => void>> = {
  "the index as it was left": () => undefined,
  "no index": (home) => {
    for (const name of CATALOG) rmSync(join(home, name), { force: true });
  },
  "an index that is older than the files": (home, kept) => {
    for (const name of CATALOG) rmSync(join(home, name), { force: true });
    for (const name of CATALOG) if (existsSync(join(kept, name))) copyFileSync(join(kept, name), join(home, name));
  },
  "an index that is newer than the files": (home) => {
    for (const path of rolloutsBelow(home).slice(-3)) truncateSync(path, Math.ceil(statSync(path).size * 0.6));
  },
};

const rolloutsBelow = (home: string): string[] =>
  readdirSync(home, { recursive: true, encoding: "utf8" })
    .filter((path) => /rollout-[^/]*\.jsonl$/.test(path))
    .map((path) => join(home, path))
    .sort();

/** Lists, searches and previews are those of the files alone, whatever became of the index; tried on copies of the home. */
async function inspectLists(home: TempHome, kept: string, words: readonly string[]): Promise<void> {
  for (const [fate, befall] of Object.entries(FATES)) {
    const copy = mkdtempSync(join(tmpdir(), "skein-crash-"));
    try {
      cpSync(home.path, copy, { recursive: true, preserveTimestamps: true });
      befall(copy, kept);
      const store = fileStore({ home: copy, fsync: "never" });
      assert.deepEqual(await shownBy(store, words), await shownByFiles(copy, words), fate);
      await store.close();
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  }
}

function keepCatalog(home: TempHome, kept: string): void {
  for (const name of CATALOG) {
    rmSync(join(kept, name), { force: true });
    if (existsSync(join(home.path, name))) copyFileSync(join(home.path, name), join(kept, name));
  }
}

describe("a process that is killed at one of its writes", () => {
  test(`shows in lists, searches and previews what the files say: ${WRITES} writes`, async () => {
    await using home = new TempHome();
    const kept = mkdtempSync(join(tmpdir(), "skein-kept-"));
    const told = new Map<string, Told>();
    try {
      for (let kill = 0; kill < WRITES; kill += 1) {
        if (kill % 3 === 0) keepCatalog(home, kept);
        const known = [...told.keys()] as ThreadId[];
        const again = known[random(Math.max(1, known.length))];
        await runAndKill(home.path, again === undefined ? [] : [again], { diesAtWrite: 1 + random(60) }, told);
        await inspectLists(home, kept, [`${kill}-`, "again", "0-1", "2-3"]);
        await inspect(home, told);
      }
    } finally {
      rmSync(kept, { recursive: true, force: true });
    }
  });
});

describe("a process that is killed", () => {
  for (let first = 0; first < KILLS; first += KILLS_PER_HOME) {
    const kills = Math.min(KILLS_PER_HOME, KILLS - first);
    test(`loses nothing that it was told is stored: ${kills} kills from ${first} on`, async () => {
      await using home = new TempHome();
      const told = new Map<string, Told>();
      for (let kill = 0; kill < kills; kill += 1) {
        const known = [...told.keys()] as ThreadId[];
        const again = known[random(Math.max(1, known.length))];
        await runAndKill(home.path, again === undefined ? [] : [again], { words: 2 + random(80) }, told);
        await inspect(home, told);
      }
      const repaired = await repairHome({ home: home.path });
      assert.deepEqual(
        repaired.left.filter(({ kind }) => kind !== "no_header"),
        [],
      );
      const store = home.open();
      for (const [id, { texts }] of told) {
        assert.deepEqual(ownWords(await loaded(store, id as ThreadId)), texts);
        const writer = await store.open(id as ThreadId);
        await writer.close();
      }
    });
  }
});
