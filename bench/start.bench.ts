/** How many durable threads start a second, and what do they hold, beside creating the same files by hand? */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ThreadManager } from "../src/index.ts";
import { bench, type Measured, memory, nowUs, print, STORE_SAMPLES } from "./harness.ts";
import { metaOf, withStore } from "./stored-thread.ts";

const THREADS = 10_000;

type Args = Readonly<Record<string, string>>;

const openFiles = (): number => readdirSync("/proc/self/fd").length;

const cases = {
  skein: ({ concurrency, newFiles }: Args): Promise<Measured> =>
    withStore(
      async (store) => {
        const manager = await ThreadManager.create({ store });
        await manager.startThread();
        const filesBefore = openFiles();
        const before = memory();
        let left = THREADS;
        const start = nowUs();
        await Promise.all(
          Array.from(
            { length: Number(concurrency) },
            async () => {
              while (left > 0) {
                left -= 1;
                await manager.startThread();
              }
            },
            { newFiles: newFiles === "with-first-line" ? newFiles : "at-start" },
          ),
        );
        const us = nowUs() - start;
        const after = memory();
        const files = openFiles() - filesBefore;
        await manager.shutdown({ deadlineMs: 60_000 });
        return {
          startsPerSecond: (THREADS / us) * 1e6,
          usPerStart: us / THREADS,
          heapBytes: (after.heap - before.heap) / THREADS,
          rssBytes: (after.rss - before.rss) / THREADS,
          openFiles: files,
        };
      },
      { newFiles: newFiles === "with-first-line" ? newFiles : "at-start" },
    ),
  files: (): Promise<Measured> =>
    withStore(async (_, home) => {
      const start = nowUs();
      for (let at = 0; at < THREADS; at += 1) {
        const payload = metaOf();
        writeFileSync(
          join(home, `${payload.id}.jsonl`),
          `${JSON.stringify({ timestamp: payload.timestamp, ordinal: 0, type: "session_meta", payload })}\n`,
        );
      }
      const us = nowUs() - start;
      return { startsPerSecond: (THREADS / us) * 1e6, usPerStart: us / THREADS };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  const files = await run.samples("files", {}, STORE_SAMPLES);
  print({ bench: "start", case: "writeFileSync of one line", threads: THREADS, ...files });
  for (const newFiles of ["at-start", "with-first-line"]) {
    for (const concurrency of [1, 64]) {
      const skein = await run.samples("skein", { concurrency, newFiles }, STORE_SAMPLES);
      print({ bench: "start", case: "startThread, file store", newFiles, threads: THREADS, concurrency, ...skein });
    }
  }
});
