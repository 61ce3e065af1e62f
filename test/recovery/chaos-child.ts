/** One of several processes on a home: goes on with what others left, gives each submission until it is done, and says so. */
import { setTimeout as delay } from "node:timers/promises";
import { fileStore, SkeinError, scriptedClient, ThreadManager } from "../../src/index.ts";
import { say } from "../../src/model/script.ts";

const [home = "", ...pairs] = process.argv.slice(2);
const store = fileStore({ home, fsync: "never" });
const model = scriptedClient(() => [{ step: "wait", until: 15 }, say("one"), { step: "wait", until: 15 }, say("two")]);
const manager = await ThreadManager.create({
  store,
  model,
  config: { cwd: home, recovery: "continue" },
  supervision: { maxContinuations: 1_000 },
});
await manager.recoverThreads();
/** @returns whether the submission is done */
async function give(threadId: string, id: string): Promise<boolean> {
  try {
    const { thread } = await manager.resumeThread(threadId);
    await thread.submitWithId({ id, op: { type: "user_input", items: [{ type: "text", text: `input ${id}` }] } });
    while ((await thread.outcomeOf(id)) === "running") await delay(10);
    const outcome = await thread.outcomeOf(id);
    // A turn that was gone on with may be a later submission's.
    while (thread.activeTurn !== undefined) await delay(10);
    await manager.removeThread(threadId).then((removed) => removed?.shutdown());
    return outcome === "done";
  } catch (error) {
    if (!(error instanceof SkeinError)) throw error;
    return false;
  }
}
await Promise.all(
  pairs.map(async (pair) => {
    const [threadId = "", ...ids] = pair.split(",");
    for (const id of ids) {
      while (!(await give(threadId, id))) await delay(20 + Math.random() * 40);
      process.stdout.write(`${id}\n`);
    }
  }),
);
await manager.shutdown();
await store.close();
