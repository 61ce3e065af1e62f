/**
 * What does a home of very many threads cost, by how many it has? All are made through the API, as many stay in memory as the
 * default lets, and then it is used: starts, forks, lists, searches, turns of random threads, a restart, a catalog built anew.
 * More than 10,000 only by name, and more than 100,000 in pieces: with a home of its own, which stays, each run makes as many threads as
 * its minutes let and the next goes on there; the run that finds them all does the rest.
 * `BENCH_MILLION_HOME=/big/disk/home BENCH_MILLION_MINUTES=30 BENCH_CASE_SECONDS=9000 node bench/million.bench.ts 1000000`
 * A thread takes 2 ms of CPU time to make, 6 to 9 KiB and an inode. Each part is told on standard error as it ends, since a failure loses
 * the case's own line.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileStore, say, scriptedClient, ThreadManager } from "../src/index.ts";
import type { ThreadId } from "../src/protocol/ids.ts";
import { benchFolder } from "./folders.ts";
import { bench, type Measured, memory, nowUs, print } from "./harness.ts";

const SIZES = [1_000, 10_000];
const RESIDENT = 100_000;
/** How often each piece of work is done once all threads are there. */
const ROUNDS = 200;
const AT_ONCE = 16;

type Args = Readonly<Record<string, string>>;
type Manager = Awaited<ReturnType<typeof ThreadManager.create>>;

/** Numbers that look random and are the same in each run (a linear congruential generator, Numerical Recipes' constants). */
function numbers(): (below: number) => number {
  let state = 1;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const managerOf = (home: string): Promise<Manager> =>
  ThreadManager.create({
    store: fileStore({ home }),
    model: scriptedClient(() => [say("done")]),
    limits: { residentThreads: RESIDENT },
    config: { builtInTools: [] },
  });

async function closed(manager: Manager): Promise<void> {
  await manager.shutdown({ deadlineMs: 120_000 });
  await manager.store.close();
}

/** Where the threads lie, and the ids of those that have had their turn, in a list beside it that a later run reads. */
async function homeOf(): Promise<{ home: string; list: string; ids: ThreadId[]; minutes: number }> {
  const { BENCH_MILLION_HOME: kept, BENCH_MILLION_MINUTES: minutes } = process.env;
  if (kept !== undefined) await mkdir(kept, { recursive: true });
  const home = kept ?? (await benchFolder());
  const list = `${home}.ids`;
  const known = existsSync(list)
    ? readFileSync(list, "utf8")
        .split("\n")
        .filter((id) => id !== "")
    : [];
  return { home, list, ids: known as ThreadId[], minutes: Number(minutes ?? Number.POSITIVE_INFINITY) };
}

/** Makes threads until there are so many, or the time is up, with the words that searches look for. */
async function fill(manager: Manager, { ids, list }: { ids: ThreadId[]; list: string }, upTo: number, endsAt: number) {
  let begun = ids.length;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (begun < upTo && performance.now() < endsAt) {
        begun += 1;
        const number = begun;
        const kind = number % 97 === 0 ? "zebras" : "horses";
        const { thread } = await manager.startThread();
        await thread.run(`Question ${number} about ${kind}`);
        ids.push(thread.id);
        appendFileSync(list, `${thread.id}\n`);
      }
    }),
  );
}

/** As many in memory as the limit lets: of a home that earlier runs have filled, those made last. */
async function load(manager: Manager, ids: readonly ThreadId[]): Promise<void> {
  const wanted = ids.slice(-RESIDENT);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let id = wanted.pop(); id !== undefined; id = wanted.pop())
        await manager.resumeThread(id, undefined, { initialMessages: "none" });
    }),
  );
}

/** Milliseconds at the median and at 99 of 100. */
async function timed(name: string, work: (round: number) => Promise<unknown>): Promise<Measured> {
  const ms: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) ms.push(await once(() => work(round)));
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return told({ [`${name}Ms`]: at(0.5), [`${name}P99Ms`]: at(0.99) });
}

async function once(work: () => Promise<unknown>): Promise<number> {
  const start = nowUs();
  await work();
  return (nowUs() - start) / 1000;
}

function told(part: Measured): Measured {
  process.stderr.write(`${JSON.stringify(part)}\n`);
  return part;
}

const firstNumber = (command: string, args: readonly string[]): number =>
  Number.parseInt(execFileSync(command, args, { encoding: "utf8" }), 10);

async function used(manager: Manager, ids: readonly ThreadId[]): Promise<Measured> {
  const below = numbers();
  const any = (): ThreadId => ids[below(ids.length)] as ThreadId;
  const { store } = manager;
  return {
    ...(await timed("start", () => manager.startThread())),
    ...(await timed("fork", () => manager.forkThread({ from: any() }))),
    ...(await timed("turn", async () => {
      const id = any();
      const { thread } = await manager.resumeThread(id, undefined, { initialMessages: "none" });
      await thread.run("and then?");
    })),
    ...(await timed("list", () => store.list({ limit: 25 }))),
    ...(await timed("search", () => store.list({ limit: 25, search: "zebras" }))),
  };
}

const cases = {
  async home({ threads }: Args): Promise<Measured> {
    const kept = await homeOf();
    const { home, ids } = kept;
    const endsAt = performance.now() + kept.minutes * 60_000;
    const count = Number(threads);
    const found = ids.length;
    const before = memory();
    const manager = await managerOf(home);
    const firstMs = await once(() => fill(manager, kept, count * 0.9, endsAt));
    const made = ids.length - found;
    const lastMs = await once(() => fill(manager, kept, count, endsAt));
    if (ids.length < count) {
      await closed(manager);
      return told({ made: ids.length, left: count - ids.length });
    }
    const loadMs = await once(() => load(manager, ids));
    const filled = told({
      threadsPerSecond: ((ids.length - found) / (firstMs + lastMs)) * 1000,
      lastTenthPerSecond: ((ids.length - found - made) / lastMs) * 1000,
      loadMs,
      rssBytesPerResident: (memory().rss - before.rss) / Math.min(count, RESIDENT),
      diskBytesPerThread: (firstNumber("du", ["-sk", home]) * 1024) / count,
      inodesPerThread: firstNumber("du", ["--inodes", "-s", home]) / count,
    });
    const measured = await used(manager, ids);
    const stopped = told({ stopMs: await once(() => closed(manager)) });
    let again = await managerOf(home);
    const restarted = told({
      restartMs: await once(() => again.store.list({ limit: 25 })),
      resumeMs: await once(() => again.resumeThread(ids[0] as ThreadId)),
    });
    await closed(again);
    await rm(join(home, "catalog.sqlite"));
    again = await managerOf(home);
    const rebuilt = told({ rebuildMs: await once(() => again.store.list({ limit: 25 })) });
    await closed(again);
    return { ...filled, ...measured, ...stopped, ...restarted, ...rebuilt };
  },
};

await bench(import.meta.url, cases, async (run) => {
  const named = process.argv.slice(2).map(Number);
  for (const threads of named.length > 0 ? named : SIZES)
    print({ bench: "million", threads, ...(await run.samples("home", { threads }, 1)) });
});
