/** How long from an interrupt to the turn's end: while the model hangs, and while a tool runs that heeds its signal. */

import type { Thread } from "../src/index.ts";
import { call, hang, memoryStore, scriptedClient, ThreadManager, tool } from "../src/index.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

const ROUNDS = 300;

async function interrupts(thread: Thread, isBusy: (type: string) => boolean): Promise<Measured> {
  const us: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const events = thread.events();
    const turn = thread.run("go");
    for await (const event of events) if (isBusy(event.msg.type)) break;
    await new Promise((resolve) => setImmediate(resolve));
    const start = nowUs();
    await thread.interrupt();
    us.push(nowUs() - start);
    await turn;
  }
  const sorted = us.toSorted((a, b) => a - b);
  return { p50us: sorted[Math.floor(ROUNDS * 0.5)] ?? 0, p99us: sorted[Math.floor(ROUNDS * 0.99)] ?? 0 };
}

const waits = tool({
  name: "waits",
  description: "Waits until it is told to stop.",
  execute: (_, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    }),
});

const cases = {
  async hangingModel(): Promise<Measured> {
    await using manager = await ThreadManager.create({ store: memoryStore(), model: scriptedClient(() => [hang()]) });
    const { thread } = await manager.startThread();
    return await interrupts(thread, (type) => type === "user_message");
  },
  async runningTool(): Promise<Measured> {
    const model = scriptedClient(() => [call("waits")]);
    await using manager = await ThreadManager.create({ store: memoryStore(), model, tools: [waits] });
    const { thread } = await manager.startThread();
    return await interrupts(thread, (type) => type === "item_started");
  },
  /** The floor: an abort that a promise hears. */
  async bareAbort(): Promise<Measured> {
    const us: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const controller = new AbortController();
      const heard = new Promise<void>((resolve) => {
        controller.signal.addEventListener("abort", () => resolve(), { once: true });
      });
      const start = nowUs();
      controller.abort();
      await heard;
      us.push(nowUs() - start);
    }
    const sorted = us.toSorted((a, b) => a - b);
    return { p50us: sorted[Math.floor(ROUNDS * 0.5)] ?? 0, p99us: sorted[Math.floor(ROUNDS * 0.99)] ?? 0 };
  },
};

await bench(import.meta.url, cases, async (run) => {
  for (const [name, label] of [
    ["bareAbort", "bare AbortController"],
    ["hangingModel", "model that hangs"],
    ["runningTool", "tool that heeds its signal"],
  ] as const) {
    const { p50us, p99us } = await run.samples(name);
    print({ bench: "interrupt", case: label, p50us, p99us });
  }
});
