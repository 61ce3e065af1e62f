/** A model's stream that never waits for anything: the loop turns all the same, and an interrupt gets in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineThreadLogic, type ModelClient, type ModelEvent, memoryStore, ThreadManager } from "../../src/index.ts";

/** Deltas for ever, each of them there at once. */
const endless: ModelClient = {
  providerId: "endless",
  stream: () => ({
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve({ done: false as const, value: { type: "text_delta", delta: "x" } as ModelEvent }),
      return: () => Promise.resolve({ done: true as const, value: undefined }),
    }),
  }),
};

for (const [name, logic] of [
  ["the built-in logic", undefined],
  ["a question of an own logic's", defineThreadLogic({ turn: async ({ ask }) => (await ask({ input: "x" })).text })],
  [
    "a turn that an own logic begins",
    defineThreadLogic({ turn: async ({ startTurn }) => void (await startTurn("x")) }),
  ],
] as const) {
  test(name, async () => {
    await using manager = await ThreadManager.create({
      store: memoryStore(),
      model: endless,
      config: { builtInTools: [] },
      ...(logic === undefined ? {} : { threadLogic: logic }),
    });
    const { thread } = await manager.startThread();
    const run = thread.run("go");
    let turns = 0;
    // Only a loop that turns comes by here.
    for (; turns < 5; turns += 1) await new Promise((resolve) => setTimeout(resolve, 1));
    await thread.interrupt();
    assert.equal((await run).status, "interrupted");
    assert.equal(turns, 5);
  });
}
