/**
 * What do the first page, a later page and a search cost, beside reading the folders? Flat in the number of threads? A full run's
 * 100,000 threads take minutes to write: `BENCH_FULL=1 BENCH_CASE_SECONDS=900`.
 */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newThreadId, newTurnId } from "../src/protocol/ids.ts";
import { userMessage } from "../src/protocol/response-item.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { bench, IS_FULL, type Measured, nowUs, print } from "./harness.ts";
import { metaOf, withStore } from "./stored-thread.ts";

const ROUNDS = 50;
/** Nothing of what is written has to outlive the machine. */
const WRITTEN = { fsync: "never" } as const;

type Args = Readonly<Record<string, string>>;

async function medianOf(work: () => Promise<unknown>): Promise<number> {
  const us: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = nowUs();
    await work();
    us.push(nowUs() - start);
  }
  return us.toSorted((a, b) => a - b)[ROUNDS / 2] ?? 0;
}

/** The first page of a store that is opened for it. */
async function openedList(home: string, prepare: () => Promise<void>): Promise<number> {
  await prepare();
  const store = fileStore({ home });
  const start = nowUs();
  await store.list({ limit: 25 });
  const us = nowUs() - start;
  await store.close();
  return us;
}

const cases = {
  skein: ({ threads }: Args): Promise<Measured> =>
    withStore(async (store, home) => {
      const count = Number(threads);
      for (let at = 0; at < count; at += 1) {
        const writer = await store.create(metaOf());
        writer.append({ type: "event_msg", payload: { type: "task_started", turn_id: newTurnId() } });
        writer.append({
          type: "response_item",
          payload: userMessage(`Question ${at} about ${at % 97 === 0 ? "zebras" : "horses"}`),
        });
        await writer.close();
      }
      await store.close();
      const built = await openedList(home, () => rm(join(home, "catalog.sqlite"), { force: true }));
      const opened = await openedList(home, async () => undefined);
      const fresh = fileStore({ home });
      const first = await fresh.list({ limit: 25 });
      // All files are asked in the background after the first list: how a page fares beside that, and then by itself.
      const besideUs = await medianOf(() => fresh.list({ limit: 25 }));
      await fresh.rescan();
      const pageUs = await medianOf(() => fresh.list({ limit: 25 }));
      const cursor = first.nextCursor;
      const nextUs = cursor === null ? 0 : await medianOf(() => fresh.list({ limit: 25, cursor }));
      const searchUs = await medianOf(() => fresh.list({ limit: 25, search: "zebras" }));
      const changedUs = await medianOf(async () => {
        await writeFile(join(home, "sessions", `rollout-2026-01-01T00-00-00-${newThreadId()}.jsonl`), "");
        await fresh.list({ limit: 25 });
      });
      const scan = nowUs();
      await readdir(home, { recursive: true });
      const readdirUs = nowUs() - scan;
      await fresh.close();
      return { builtUs: built, openedUs: opened, besideUs, pageUs, nextUs, searchUs, changedUs, readdirUs };
    }, WRITTEN),
};

await bench(import.meta.url, cases, async (run) => {
  for (const threads of IS_FULL ? [1_000, 10_000, 100_000] : [1_000, 10_000]) {
    const { builtUs, openedUs, besideUs, pageUs, nextUs, searchUs, changedUs, readdirUs } = await run.samples(
      "skein",
      { threads },
      1,
    );
    print({ bench: "list", case: "readdir of the home", threads, us: readdirUs });
    print({ bench: "list", case: "first page, without a catalog", threads, us: builtUs });
    print({ bench: "list", case: "first page, catalog just opened", threads, us: openedUs });
    print({ bench: "list", case: "first page, a folder has changed", threads, us: changedUs });
    print({ bench: "list", case: "first page, while all files are asked behind it", threads, us: besideUs });
    print({ bench: "list", case: "first page", threads, us: pageUs });
    print({ bench: "list", case: "second page", threads, us: nextUs });
    print({ bench: "list", case: "search", threads, us: searchUs });
  }
});
