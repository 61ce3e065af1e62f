/** The behaviours of threads over a cluster: a real engine, two workers, one store. */
import { after } from "node:test";
import { memoryStore, scriptedClient } from "../../src/index.ts";
import { guarded, threadBehaviours } from "./behaviours.ts";
import { office, speakingBehaviours } from "./speaking.ts";
import { endEngine, testCluster } from "./two-workers.ts";

after(endEngine);

for (const hasStore of [false, true]) {
  const how = hasStore ? "histories from the store" : "histories over the workers";
  threadBehaviours(`threads of a cluster, ${how}`, async (script) => {
    const store = memoryStore();
    const cluster = await testCluster(store, { tools: [guarded], model: scriptedClient(script) });
    const threads = cluster.connect(hasStore ? { store } : {});
    return { threads, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  });
}

speakingBehaviours("what threads of a cluster say to each other", async () => {
  const cluster = await testCluster(memoryStore(), office);
  return { threads: cluster.connect(), [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
});
