/** What does it cost to resume a stored thread, and to bring its history back, beside JSON.parse of the same bytes? */
import { readFile } from "node:fs/promises";
import { ThreadManager } from "../src/index.ts";
import { fileStore } from "../src/store/file/file-store.ts";
import { bench, IS_FULL, type Measured, nowUs, print, STORE_SAMPLES } from "./harness.ts";
import { appendMessages, metaOf, withStore } from "./stored-thread.ts";

type Args = Readonly<Record<string, string>>;

const cases = {
  skein: ({ messages }: Args): Promise<Measured> =>
    withStore(async (store, home) => {
      const writer = await store.create(metaOf());
      await appendMessages(writer, Number(messages));
      await writer.close();
      await store.close();
      const fresh = fileStore({ home });
      const manager = await ThreadManager.create({ store: fresh });
      const start = nowUs();
      const { thread } = await manager.resumeThread(writer.threadId, undefined, { initialMessages: "none" });
      const resumeUs = nowUs() - start;
      await thread.run("and now?");
      const firstTurnUs = nowUs() - start - resumeUs;
      await manager.shutdown();
      await fresh.close();
      return { resumeUs, firstTurnUs };
    }),
  parse: ({ messages }: Args): Promise<Measured> =>
    withStore(async (store) => {
      const writer = await store.create(metaOf());
      await appendMessages(writer, Number(messages));
      await writer.close();
      const start = nowUs();
      const lines = (await readFile(writer.rolloutPath ?? "", "utf8")).trimEnd().split("\n");
      let parsed = 0;
      for (const line of lines) if (JSON.parse(line) !== null) parsed += 1;
      return { us: nowUs() - start, parsed };
    }),
};

await bench(import.meta.url, cases, async (run) => {
  for (const messages of IS_FULL ? [10, 1_000, 10_000, 100_000] : [10, 1_000, 10_000]) {
    const { us } = await run.samples("parse", { messages }, STORE_SAMPLES);
    print({ bench: "resume", case: "JSON.parse of the file", messages, us });
    const { resumeUs, firstTurnUs } = await run.samples("skein", { messages }, STORE_SAMPLES);
    print({ bench: "resume", case: "resume to SessionConfigured", messages, us: resumeUs });
    print({ bench: "resume", case: "the first turn after it", messages, us: firstTurnUs });
  }
});
