/** What does a fork at the middle of a thread cost, live and cold, beside parsing the file and writing the prefix anew? */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ThreadManager } from "../src/index.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { bench, IS_FULL, type Measured, nowUs, print, STORE_SAMPLES } from "./harness.ts";
import { appendMessages, metaOf, withStore } from "./stored-thread.ts";

const FORKS = 50;

type Args = Readonly<Record<string, string>>;

/** @param mode `live`: the source is loaded in the manager that forks it; `cold`: another process wrote it */
function forks({ messages, mode }: Args): Promise<Measured> {
  const count = Number(messages);
  return withStore(async (store, home) => {
    const writer = await store.create(metaOf());
    await appendMessages(writer, count);
    await writer.close();
    await store.close();
    const fresh = fileStore({ home });
    const manager = await ThreadManager.create({ store: fresh });
    const from = writer.threadId;
    if (mode === "live") await manager.resumeThread(from, undefined, { initialMessages: "none" });
    const at = { beforeUserMessage: Math.floor(count / 4) };
    const start = nowUs();
    let bytes = 0;
    const first = await manager.forkThread({ from, at }, { initialMessages: "none" });
    const firstUs = nowUs() - start;
    bytes = (await stat(first.thread.rolloutPath ?? "")).size;
    const us: number[] = [];
    for (let left = FORKS; left > 0; left -= 1) {
      const begun = nowUs();
      await manager.forkThread({ from, at }, { initialMessages: "none" });
      us.push(nowUs() - begun);
    }
    await manager.shutdown();
    await fresh.close();
    return { us: us.toSorted((a, b) => a - b)[FORKS / 2] ?? 0, firstUs, bytes };
  });
}

const cases = {
  skein: forks,
  rewrite: ({ messages }: Args): Promise<Measured> =>
    withStore(async (store, home) => {
      const writer = await store.create(metaOf());
      await appendMessages(writer, Number(messages));
      await writer.close();
      const us: number[] = [];
      let bytes = 0;
      for (let round = 0; round < 5; round += 1) {
        const begun = nowUs();
        const lines = (await readFile(writer.rolloutPath ?? "", "utf8")).trimEnd().split("\n");
        const prefix = lines.slice(0, lines.length / 2).map((line) => JSON.parse(line) as object);
        const text = `${prefix.map((line) => JSON.stringify(line)).join("\n")}\n`;
        await writeFile(join(home, `copy-${round}.jsonl`), text);
        us.push(nowUs() - begun);
        bytes = text.length;
      }
      return { us: us.toSorted((a, b) => a - b)[2] ?? 0, bytes };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  for (const messages of IS_FULL ? [10, 1_000, 10_000, 100_000] : [10, 1_000, 10_000]) {
    const rewrite = await run.samples("rewrite", { messages }, STORE_SAMPLES);
    print({ bench: "fork", case: "parse and rewrite", messages, us: rewrite.us, bytes: rewrite.bytes });
    for (const mode of ["live", "cold"]) {
      const { us, firstUs, bytes } = await run.samples("skein", { messages, mode }, STORE_SAMPLES);
      print({ bench: "fork", case: `by reference, ${mode}`, messages, us, firstUs, bytes });
    }
  }
});
