/** What does the lock add to a read of the registry, with and without writers, beside a bare Map? */
import { RwMutex } from "../src/kernel/rw-mutex.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

const READS = 200_000;
const THREADS = 10_000;
const map = new Map(Array.from({ length: THREADS }, (_, at) => [`thread-${at}`, { at }]));
const keys = [...map.keys()];
const key = (at: number): string => keys[at % THREADS] ?? "";

const perRead = (us: number): Measured => ({ nsPerRead: (us * 1000) / READS, readsPerSecond: (READS / us) * 1e6 });

const cases = {
  map(): Measured {
    let found = 0;
    const start = nowUs();
    for (let at = 0; at < READS; at += 1) if (map.get(key(at)) !== undefined) found += 1;
    return { ...perRead(nowUs() - start), found };
  },
  uncontended(): Measured {
    const lock = new RwMutex();
    let found = 0;
    const start = nowUs();
    for (let at = 0; at < READS; at += 1) if (lock.read(() => map.get(key(at))) !== undefined) found += 1;
    return { ...perRead(nowUs() - start), found };
  },
  awaited: async (): Promise<Measured> => {
    const lock = new RwMutex();
    let found = 0;
    const start = nowUs();
    for (let at = 0; at < READS; at += 1) if ((await lock.read(() => map.get(key(at)))) !== undefined) found += 1;
    return { ...perRead(nowUs() - start), found };
  },
  /** A writer holds the lock over a turn of the event loop, again and again. */
  async withWriters(): Promise<Measured> {
    const lock = new RwMutex();
    let stop = false;
    let writes = 0;
    const writer = (async () => {
      while (!stop) {
        const guard = await lock.acquireWrite();
        await Promise.resolve();
        guard.release();
        writes += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const start = nowUs();
    for (let at = 0; at < READS; at += 1) {
      await lock.read(() => map.get(key(at)));
      if (at % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const us = nowUs() - start;
    stop = true;
    await writer;
    return { ...perRead(us), writes };
  },
};

await bench(import.meta.url, cases, async (run) => {
  for (const [name, label] of [
    ["map", "bare Map.get"],
    ["uncontended", "read, nobody else"],
    ["awaited", "read, awaited"],
    ["withWriters", "read, awaited, with a writer"],
  ] as const) {
    const { nsPerRead, readsPerSecond } = await run.samples(name);
    print({ bench: "lock", case: label, ns: nsPerRead, readsPerSecond });
  }
});
