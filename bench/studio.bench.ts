/**
 * What it costs a manager to be watched, and how soon the page is there: turns a second of 1,000 busy threads, with a page's
 * watches on one line and without; the first paint of the page with so many threads, and long tasks while they are scrolled
 * through. `node bench/studio.bench.ts`; the page's part needs Chromium (SKEIN_CHROMIUM, or one of the usual places).
 */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { createAppServer } from "../src/app-server/app-server.ts";
import { linkedWires } from "../src/app-server/wire.ts";
import { memoryStore, say, scriptedClient, type Thread, ThreadManager } from "../src/index.ts";
import { createStudio } from "../src/studio/index.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

type Args = Readonly<Record<string, string>>;

const DELTAS = Array.from({ length: 20 }, (_, at) => `word${at} `);
const THREADS = 1_000;
const TURNS = 6_000;
const PAGE_THREADS = 10_000;

const managerOf = () =>
  ThreadManager.create({
    store: memoryStore(),
    model: scriptedClient(() => [say(DELTAS.join(""), { deltas: DELTAS })]),
  });

async function started(manager: ThreadManager, count: number): Promise<Thread[]> {
  const threads: Thread[] = [];
  while (threads.length < count) threads.push((await manager.startThread()).thread);
  return threads;
}

/** A line that watches all that the page watches, whose reader is always there. */
async function watch(manager: ThreadManager): Promise<() => Promise<void>> {
  const server = createAppServer(manager);
  const wires = linkedWires();
  server.connect(wires.server);
  const clientInfo = { name: "bench", title: "bench", version: "1" };
  const calls: [string, object][] = [
    ["initialize", { clientInfo, capabilities: { experimentalApi: true } }],
    ["skein/tree/watch", {}],
    ["skein/approvals/watch", {}],
    ["skein/metrics/watch", {}],
  ];
  for (const [id, [method, params]] of calls.entries()) wires.client.send(JSON.stringify({ id, method, params }));
  return () => server.close();
}

async function busy({ watched }: Args): Promise<Measured> {
  const manager = await managerOf();
  const threads = await started(manager, THREADS);
  for (const thread of threads.slice(0, 50)) await thread.run("go");
  const stop = watched === "1" ? await watch(manager) : async () => undefined;
  let left = TURNS;
  const begun = nowUs();
  const cpu = process.cpuUsage();
  await Promise.all(
    threads.map(async (thread) => {
      while (left > 0) {
        left -= 1;
        await thread.run("go");
      }
    }),
  );
  const seconds = (nowUs() - begun) / 1e6;
  const { user, system } = process.cpuUsage(cpu);
  await stop();
  await manager.shutdown();
  return { turnsPerSecond: TURNS / seconds, cpuUsPerTurn: (user + system) / TURNS };
}

async function page(): Promise<Measured> {
  const places = [process.env.SKEIN_CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
  const executablePath = places.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) throw new Error("no Chromium: say where it is by SKEIN_CHROMIUM");
  const manager = await managerOf();
  await started(manager, PAGE_THREADS);
  await using studio = await createStudio(manager);
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  const view = await browser.newPage({ viewport: { width: 1_600, height: 1_000 } });
  await view.goto("about:blank");
  await view.goto(studio.invite());
  // Strings are run in the page: its globals are none of this program's.
  await view.locator(".top", { hasText: "10,000 threads" }).waitFor();
  const loadedMs = await view.evaluate<number>("performance.now()");
  const firstPaintMs = await view.evaluate<number>(
    'performance.getEntriesByName("first-contentful-paint")[0]?.startTime',
  );
  const scrolled = await view.evaluate<{ longTasks: number; longestTaskMs: number }>(`(async () => {
    const rows = document.querySelector(".rows");
    const long = [];
    const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)));
    observer.observe({ entryTypes: ["longtask"] });
    for (let step = 0; step < 300; step += 1) {
      rows.scrollTop = (rows.scrollHeight * step) / 300;
      await new Promise(requestAnimationFrame);
    }
    observer.disconnect();
    return { longTasks: long.length, longestTaskMs: Math.max(0, ...long) };
  })()`);
  const elements = await view.evaluate<number>('document.querySelectorAll("*").length');
  await browser.close();
  await manager.shutdown();
  return { firstPaintMs, loadedMs, ...scrolled, elements };
}

await bench(import.meta.url, { busy, page }, async (run) => {
  const alone = await run.samples("busy", { watched: 0 });
  const watched = await run.samples("busy", { watched: 1 });
  print({ bench: "studio", case: `${THREADS} busy threads`, ...alone });
  print({ bench: "studio", case: `${THREADS} busy threads, watched`, ...watched });
  print({ bench: "studio", case: `the page, ${PAGE_THREADS} threads`, ...(await run.samples("page")) });
});
