/** Many threads come and go; run with --expose-gc by leaks.test.ts. Prints one JSON line. */
import { setImmediate as macrotask } from "node:timers/promises";
import { AgentControl, memoryStore, ThreadManager } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";

const [, , mode, countText] = process.argv;
const count = Number(countText);
const collect = async (): Promise<number> => {
  for (let n = 0; n < 6; n += 1) {
    globalThis.gc?.();
    await macrotask();
  }
  return process.memoryUsage().heapUsed;
};

/** Threads leave nothing in the store: they are ephemeral, and so only the runtime can leak. */
const config = { ephemeral: true, cwd: "/", builtInTools: [] };
const create = () => ThreadManager.create({ store: memoryStore(), model: scriptedClient(), config });

async function cycles(): Promise<object> {
  const manager = await create();
  const before = process.getActiveResourcesInfo().length;
  const round = async (threads: number) => {
    for (let n = 0; n < threads; n += 1) {
      const { thread, threadId } = await manager.startThread();
      if (mode === "turns") await thread.run("x");
      if (mode !== "shutdown") await manager.removeThread(threadId);
      if (mode !== "dropped") await thread.shutdown();
      if (n % 500 === 0) await macrotask();
    }
  };
  // Compiled code and caches come with the first few hundred.
  await round(Math.max(count / 10, 500));
  const first = await collect();
  await round(count);
  const last = await collect();
  const { residentThreads, unloadedThreads } = manager.capacity();
  const left = { used: residentThreads.used, unloadedThreads, ...runtimeOf(manager)?.left() };
  await manager.shutdown();
  return { grownBy: last - first, left, resources: process.getActiveResourcesInfo().length - before };
}

/** A control does not keep its manager alive. */
async function weak(): Promise<object> {
  const control = await (async () => {
    const manager = await create();
    const made = manager.agentControl();
    if (!(made instanceof AgentControl)) throw new Error("no control");
    return made;
  })();
  await collect();
  const message = await control.spawnAgent(undefined, "x").then(
    () => "spawned",
    (error: Error) => error.message,
  );
  return { message };
}

process.stdout.write(JSON.stringify(await (mode === "weak" ? weak() : cycles())));
