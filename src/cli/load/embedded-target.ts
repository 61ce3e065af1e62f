/** Threads of a manager in this process. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStore, type ModelClient, responsesClient, say, scriptedClient, ThreadManager } from "../../index.ts";
import { type LoadTarget, TurnFailed } from "./target.ts";

/** What the scripted model answers: twenty words, one by one. */
const WORDS = Array.from({ length: 20 }, (_, at) => `word${at} `);

/** @param model `scripted`, or the base URL of a Responses API */
export async function embeddedTarget(model: string, threads: number): Promise<LoadTarget> {
  const home = mkdtempSync(join(tmpdir(), "skein-load-"));
  const client: ModelClient =
    model === "scripted"
      ? scriptedClient(() => [say(WORDS.join(""), { deltas: WORDS })])
      : responsesClient({ baseUrl: model, apiKey: "none" });
  const manager = await ThreadManager.create({
    store: fileStore({ home }),
    model: client,
    limits: { residentThreads: Math.max(10_000, 2 * threads) },
    config: { cwd: home, builtInTools: [] },
  });
  return {
    start: async (signal) => (await manager.startThread({}, { signal })).threadId,
    turn: async (threadId, signal) => {
      const thread = await manager.getThread(threadId, { signal });
      const result = await thread.run("go", { signal });
      if (result.status !== "completed" || result.error !== null) throw new TurnFailed(nameOf(result));
    },
    fork: async (from, signal) => (await manager.forkThread({ from }, { signal })).threadId,
    remove: async (threadId, signal) => {
      const thread = await manager.removeThread(threadId, { signal });
      await thread?.shutdown();
    },
    [Symbol.asyncDispose]: async () => {
      await manager.shutdown({ deadlineMs: 2_000 });
      await client.close?.();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

type Result = Awaited<ReturnType<Awaited<ReturnType<ThreadManager["getThread"]>>["run"]>>;

function nameOf({ status, error }: Result): string {
  const info = error?.info ?? status;
  return typeof info === "string" ? info : (Object.keys(info)[0] ?? status);
}
