/** How many turns of 20 deltas a second, beside reading the same answers from the scripted client alone? */
import { memoryStore, say, scriptedClient, ThreadManager } from "../src/index.ts";
import { newThreadId, newTurnId } from "../src/protocol/ids.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

const DELTAS = Array.from({ length: 20 }, (_, at) => `word${at} `);
const model = () => scriptedClient(() => [say(DELTAS.join(""), { deltas: DELTAS })]);

async function turns(concurrency: number, total: number): Promise<Measured> {
  const manager = await ThreadManager.create({ store: memoryStore(), model: model() });
  const threads = await Promise.all(
    Array.from({ length: concurrency }, async () => (await manager.startThread()).thread),
  );
  for (let warm = 0; warm < 50; warm += 1) await threads[warm % concurrency]?.run("warm up");
  let left = total;
  const latencies: number[] = [];
  const start = nowUs();
  await Promise.all(
    threads.map(async (thread) => {
      while (left > 0) {
        left -= 1;
        const begun = nowUs();
        await thread.run("go");
        latencies.push(nowUs() - begun);
      }
    }),
  );
  const us = nowUs() - start;
  await manager.shutdown();
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    turnsPerSecond: (latencies.length / us) * 1e6,
    p50us: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
    p99us: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}

const cases = {
  skein: ({ concurrency, total }: Readonly<Record<string, string>>) => turns(Number(concurrency), Number(total)),
  async modelAlone({ total }: Readonly<Record<string, string>>): Promise<Measured> {
    const client = model();
    const request = {
      threadId: newThreadId(),
      turnId: newTurnId(),
      model: "scripted",
      instructions: "",
      input: [],
      tools: [],
      parallelToolCalls: true,
      reasoning: { effort: null, summary: null },
    };
    let events = 0;
    const { signal } = new AbortController();
    const start = nowUs();
    for (let left = Number(total); left > 0; left -= 1)
      for await (const _ of client.stream(request, { signal })) events += 1;
    const us = nowUs() - start;
    return { turnsPerSecond: (Number(total) / us) * 1e6, events };
  },
};

await bench(import.meta.url, cases, async (run) => {
  const total = 2_000;
  const alone = await run.samples("modelAlone", { total });
  print({ bench: "turn", case: "scripted client alone", turnsPerSecond: alone.turnsPerSecond });
  for (const concurrency of [1, 16, 128]) {
    const { turnsPerSecond, p50us, p99us } = await run.samples("skein", { concurrency, total });
    print({ bench: "turn", case: "turns of 20 deltas", concurrency, turnsPerSecond, p50us, p99us });
  }
});
