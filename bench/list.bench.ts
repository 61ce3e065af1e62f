/** What do the first page, a later page and a search cost, beside reading the folders? Flat in the number of threads? */
import { readdir } from "node:fs/promises";
import { newTurnId } from "../src/protocol/ids.ts";
import { userMessage } from "../src/protocol/response-item.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { bench, IS_FULL, type Measured, nowUs, print } from "./harness.ts";
import { metaOf, withStore } from "./stored-thread.ts";

const ROUNDS = 50;

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
      const fresh = fileStore({ home });
      const start = nowUs();
      const first = await fresh.list({ limit: 25 });
      const coldUs = nowUs() - start;
      const pageUs = await medianOf(() => fresh.list({ limit: 25 }));
      const cursor = first.nextCursor;
      const nextUs = cursor === null ? 0 : await medianOf(() => fresh.list({ limit: 25, cursor }));
      const searchUs = await medianOf(() => fresh.list({ limit: 25, search: "zebras" }));
      const scan = nowUs();
      await readdir(home, { recursive: true });
      const readdirUs = nowUs() - scan;
      await fresh.close();
      return { coldUs, pageUs, nextUs, searchUs, readdirUs, found: first.threads.length };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  for (const threads of IS_FULL ? [1_000, 10_000, 100_000] : [1_000, 10_000]) {
    const { coldUs, pageUs, nextUs, searchUs, readdirUs } = await run.samples("skein", { threads }, 1);
    print({ bench: "list", case: "readdir of the home", threads, us: readdirUs });
    print({ bench: "list", case: "first page, catalog just opened", threads, us: coldUs });
    print({ bench: "list", case: "first page", threads, us: pageUs });
    print({ bench: "list", case: "second page", threads, us: nextUs });
    print({ bench: "list", case: "search", threads, us: searchUs });
  }
});
