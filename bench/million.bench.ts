/**
 * What does a home of very many threads cost, by how many it has? All are made through the API, as many stay in memory as the
 * default lets, and then it is used: starts, forks, lists, searches, turns of random threads, a restart, a catalog built anew.
 * More than 10,000 only by `BENCH_FULL=1 BENCH_CASE_SECONDS=7200 node bench/million.bench.ts`: making them takes about as many seconds
 * as there are thousands, and 9 KiB and an inode each.
 */
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileStore, say, scriptedClient, ThreadManager } from "../src/index.ts";
import type { ThreadId } from "../src/protocol/ids.ts";
import { benchFolder } from "./folders.ts";
import { bench, IS_FULL, type Measured, memory, nowUs, print } from "./harness.ts";

const SIZES = IS_FULL ? [1_000, 10_000, 100_000, 1_000_000] : [1_000, 10_000];
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

/** A thread each, with the words that searches look for. */
async function fill(manager: Manager, count: number): Promise<ThreadId[]> {
  const ids: ThreadId[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left > 0) {
        left -= 1;
        const kind = left % 97 === 0 ? "zebras" : "horses";
        const { thread } = await manager.startThread();
        await thread.run(`Question ${left} about ${kind}`);
        ids.push(thread.id);
      }
    }),
  );
  return ids;
}

/** Milliseconds at the median and at 99 of 100. */
async function timed(name: string, work: (round: number) => Promise<unknown>, rounds = ROUNDS): Promise<Measured> {
  const ms: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = nowUs();
    await work(round);
    ms.push((nowUs() - start) / 1000);
  }
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { [`${name}Ms`]: at(0.5), [`${name}P99Ms`]: at(0.99) };
}

async function once(work: () => Promise<unknown>): Promise<number> {
  const start = nowUs();
  await work();
  return (nowUs() - start) / 1000;
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
    const home = await benchFolder();
    const count = Number(threads);
    const before = memory();
    const manager = await managerOf(home);
    let ids: ThreadId[] = [];
    const fillMs = await once(async () => {
      ids = await fill(manager, count);
    });
    const after = memory();
    const measured = await used(manager, ids);
    const stopMs = await once(() => closed(manager));
    let again = await managerOf(home);
    const restartMs = await once(() => again.store.list({ limit: 25 }));
    const resumeMs = await once(() => again.resumeThread(ids[0] as ThreadId));
    await closed(again);
    await rm(join(home, "catalog.sqlite"));
    again = await managerOf(home);
    const rebuildMs = await once(() => again.store.list({ limit: 25 }));
    await closed(again);
    return {
      threadsPerSecond: (count / fillMs) * 1000,
      rssBytesPerResident: (after.rss - before.rss) / Math.min(count, RESIDENT),
      ...measured,
      ...{ stopMs, restartMs, resumeMs, rebuildMs },
      diskBytesPerThread: (firstNumber("du", ["-sk", home]) * 1024) / count,
      inodes: firstNumber("du", ["--inodes", "-s", home]),
    };
  },
};

await bench(import.meta.url, cases, async (run) => {
  for (const threads of SIZES) print({ bench: "million", threads, ...(await run.samples("home", { threads }, 1)) });
});
