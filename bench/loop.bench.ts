/**
 * The longest stretch of CPU without a turn of the event loop, while many threads start, leave memory, are repaired and stop.
 * What is counted is the main thread's own CPU time, so that a busy machine does not make it longer.
 */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryStore, scriptedClient, ThreadManager } from "../src/index.ts";
import { repairHome } from "../src/store/file/care/repair.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import type { ThreadStore } from "../src/store/thread-store.ts";

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};

/** Watches the loop while the work lasts. */
async function longestStretch(work: () => Promise<unknown>): Promise<{ longestMs: number; cpuMs: number }> {
  let isOver = false;
  let longestMs = 0;
  let last = cpuMs();
  const look = (): void => {
    const now = cpuMs();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    if (!isOver) setImmediate(look);
  };
  const began = last;
  setImmediate(look);
  await work();
  isOver = true;
  look();
  return { longestMs, cpuMs: last - began };
}

async function row(what: string, work: () => Promise<unknown>): Promise<void> {
  const { longestMs, cpuMs: whole } = await longestStretch(work);
  console.log(JSON.stringify({ bench: "loop", what, longestMs: Math.round(longestMs), cpuMs: Math.round(whole) }));
}

/** The caller's own loop over its calls is no stretch of the runtime's: it is spread as a considerate caller would. */
async function startAll(manager: ThreadManager, count: number): Promise<void> {
  const starting: Promise<unknown>[] = [];
  for (let n = 0; n < count; n += 1) {
    starting.push(manager.startThread());
    if (n % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(starting);
}

async function lives(kind: string, store: ThreadStore, count: number): Promise<void> {
  const model = scriptedClient();
  const residency = { unloadAfterMs: 2_000, trimAfterMs: 1_000 };
  const config = { cwd: "/", builtInTools: [] };
  const first = await ThreadManager.create({ store, model, config, residency });
  await row(`${kind} ${count}: start`, () => startAll(first, count));
  await row(`${kind} ${count}: unload`, async () => {
    while (first.capacity().unloadedThreads < count) await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await first.shutdown({ deadlineMs: 60_000 });
  const second = await ThreadManager.create({ store, model, config });
  await startAll(second, count);
  await row(`${kind} ${count}: stop`, () => second.shutdown({ deadlineMs: 60_000 }));
}

const counts = process.argv.slice(2).map(Number);
for (const count of counts.length > 0 ? counts : [1_000, 5_000, 20_000]) {
  await lives("memory", memoryStore(), count);
  const home = await mkdtemp(join(tmpdir(), "skein-loop-"));
  const store = fileStore({ home });
  try {
    await lives("file", store, count);
    await row(`file ${count}: repair`, () => repairHome({ home }));
  } finally {
    await store.close();
    rmSync(home, { recursive: true, force: true });
  }
}
