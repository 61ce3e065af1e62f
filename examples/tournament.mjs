/** A tournament of forks: each round, the best draft is forked once for each way to go on, and the best of those stays. */
import { memoryStore, ThreadManager } from "skein";

const WAYS = ["shorter", "warmer, and with an example", "as a question"];

const manager = await ThreadManager.create({ store: memoryStore() });
let { thread: best } = await manager.startThread();
await best.run("Draft a slogan for a runtime of agents.");

for (let round = 1; round <= 3; round += 1) {
  const { winner } = await manager.tournament(best, WAYS.length, {
    prompt: (index) => `Now ${WAYS[index]}.`,
    // Who judges is up to you: here the longest draft wins.
    score: (draft) => draft?.length ?? 0,
    losers: "delete",
  });
  console.log("round", round, winner.result);
  best = winner.thread;
}
console.log("the winner's line:", (await manager.ancestors(best.id)).length, "ancestors");
await manager.shutdown();
