/** The behaviours of threads over a ThreadManager; threads-suite.ts has the same over a cluster. */
import { memoryStore, scriptedClient, ThreadManager } from "../../src/index.ts";
import { guarded, threadBehaviours } from "./behaviours.ts";
import { office, speakingBehaviours } from "./speaking.ts";

threadBehaviours("threads of a manager", async (script) => {
  const store = memoryStore();
  const threads = await ThreadManager.create({
    store,
    tools: [guarded],
    model: scriptedClient(script),
    config: { cwd: "/tmp" },
  });
  return { threads, [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose]() };
});

speakingBehaviours("what threads of a manager say to each other", async () => {
  const threads = await ThreadManager.create({ store: memoryStore(), ...office });
  return { threads, [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose]() };
});
