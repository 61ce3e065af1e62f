/** How many lines a second are stored, in one thread and in many, by fsync policy, beside raw appends? */
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { userMessage } from "../src/protocol/response-item.ts";
import { bench, type Measured, nowUs, print, STORE_SAMPLES } from "./harness.ts";
import { metaOf, withStore } from "./stored-thread.ts";

const LINES = 20_000;
const PER_TURN = 10;
const item = {
  type: "response_item",
  payload: userMessage("A message of about a hundred characters, as they are in real life. ".repeat(2)),
} as const;

type Args = Readonly<Record<string, string>>;
const POLICIES = ["never", "turn", "always"] as const;

const rates = (us: number, bytes: number, lines = LINES): Measured => ({
  linesPerSecond: (lines / us) * 1e6,
  megabytesPerSecond: bytes / us,
});

const cases = {
  /** Turns of ten lines, each awaited: in one thread one after another, in many side by side. */
  skein: ({ threads, policy, lines }: Args): Promise<Measured> =>
    withStore(
      async (store) => {
        const count = Number(threads);
        const total = Number(lines);
        const writers = await Promise.all(Array.from({ length: count }, () => store.create(metaOf())));
        const turnsEach = total / PER_TURN / count;
        const start = nowUs();
        await Promise.all(
          writers.map(async (writer) => {
            for (let turn = 0; turn < turnsEach; turn += 1) {
              for (let line = 0; line < PER_TURN; line += 1) writer.append(item);
              await writer.flush();
            }
          }),
        );
        const us = nowUs() - start;
        const bytes = writers.reduce((sum, writer) => sum + writer.position().byteOffset, 0);
        return rates(us, bytes, total);
      },
      { fsync: POLICIES.find((known) => known === policy) ?? "turn" },
    ),
  raw: ({ policy, lines }: Args): Promise<Measured> =>
    withStore(async (_, home) => {
      const total = Number(lines);
      const fd = openSync(join(home, "raw.jsonl"), "a");
      let bytes = 0;
      const start = nowUs();
      for (let line = 0; line < total; line += 1) {
        bytes += writeSync(fd, `${JSON.stringify({ timestamp: new Date().toISOString(), ordinal: line, ...item })}\n`);
        if (policy === "always" || (policy === "turn" && line % PER_TURN === PER_TURN - 1)) fdatasyncSync(fd);
      }
      const us = nowUs() - start;
      closeSync(fd);
      return rates(us, bytes, total);
    }),
};

await bench(import.meta.url, cases, async (run) => {
  for (const policy of POLICIES) {
    const lines = policy === "never" ? LINES : LINES / 4;
    const raw = await run.samples("raw", { policy, lines: policy === "always" ? lines / 10 : lines }, STORE_SAMPLES);
    print({ bench: "rollout", case: "raw appends, one file", policy, ...raw });
    for (const threads of [1, 500]) {
      const skein = await run.samples("skein", { threads, policy, lines }, STORE_SAMPLES);
      print({ bench: "rollout", case: `turns of ${PER_TURN} lines, ${threads} threads`, policy, ...skein });
    }
  }
});
