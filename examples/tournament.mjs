/** A tournament of forks: each round, the best draft is forked once for each way to go on, and the best of those stays. */
import { memoryStore, ThreadManager } from "skein";

const WAYS = ["shorter", "warmer, and with an example", "as a question"];
/** Who judges is up to you: here the longest draft wins. */
const better = (one, other) => other.draft.length - one.draft.length;

const manager = await ThreadManager.create({ store: memoryStore() });
let { thread: best } = await manager.startThread();
await best.run("Draft a slogan for a runtime of agents.");

for (let round = 1; round <= 3; round += 1) {
  const drafts = await Promise.all(
    WAYS.map(async (way) => {
      const { thread } = await manager.forkThread({ from: best.id });
      return { thread, draft: (await thread.run(`Now ${way}.`)).lastAgentMessage ?? "" };
    }),
  );
  const [winner, ...losers] = drafts.sort(better);
  console.log("round", round, winner.draft);
  for (const { thread } of losers) await manager.deleteThread(thread.id);
  best = winner.thread;
}
console.log("the winner's line:", (await manager.ancestors(best.id)).length, "ancestors");
await manager.shutdown();
