/** One of several processes on a store: goes on with what others left, gives each submission until it is done, forks, and says so. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { fileStore, SkeinError, scriptedClient, ThreadManager } from "../../src/index.ts";
import { say } from "../../src/model/script.ts";
import { StoreIoError } from "../../src/protocol/errors.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";

const [kind, place = "", schema = "", cwd = "", lease = "", ...pairs] = process.argv.slice(2);
const store =
  kind === "file" ? fileStore({ home: place, fsync: "never" }) : postgresStore({ connectionString: place, schema });
const model = scriptedClient(() => [{ step: "wait", until: 15 }, say("one"), { step: "wait", until: 15 }, say("two")]);
const manager = await ThreadManager.create({
  store,
  model,
  config: { cwd, recovery: "continue" },
  supervision: { maxContinuations: 1_000 },
});
// A server that is starting answers nobody yet: its threads are resumed one by one below.
await manager.recoverThreads().catch((error: unknown) => {
  if (!(error instanceof StoreIoError)) throw error;
});
/** In the middle of a turn or between two, as it comes; it has a turn of its own. */
async function fork(threadId: string): Promise<void> {
  const { thread } = await manager.forkThread({ from: threadId as ThreadId });
  process.stdout.write(`fork ${thread.id} ${threadId} .\n`);
  const { status, error } = await thread.run("in the fork");
  if (lease === "takeOver" && error !== null) throw new StoreIoError(error.message);
  assert.equal(status, "completed");
  await thread.shutdown();
}

/** @returns whether the submission is done */
async function give(threadId: string, id: string): Promise<boolean> {
  try {
    const takesOver = lease === "takeOver" && Math.random() < 0.1;
    const { thread } = await manager.resumeThread(threadId, {}, takesOver ? { lease: "takeOver" } : {});
    if (Math.random() < 0.3) await fork(threadId);
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
