/** Many threads come and go; run with --expose-gc by leaks.test.ts. Prints one JSON line. */
import { setImmediate as macrotask } from "node:timers/promises";
import * as z from "zod";
import { AgentControl, memoryStore, type Thread, type ThreadGroup, ThreadManager } from "../../src/index.ts";
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

/** Two threads with all that can stand beside them: a group, watches, a link, topics, timers, budgets, durable mail. */
async function besideOne(manager: ThreadManager, n: number): Promise<void> {
  await using group = await manager.group({ restart: "permanent" });
  const settings = { budget: { tokens: 1_000 }, treeBudget: { turns: 5 }, messages: { note: z.object({}) } };
  const { thread: one } = await group.startThread(settings);
  const { thread: other } = await manager.startThread(settings, { parentThreadId: one.id });
  const { down } = one.monitor(other);
  one.link(other, { trap: true });
  for (const thread of [one, other]) {
    thread.subscribe(`topic ${n % 3}`);
    await thread.schedule({ every: 1_000_000 }, { type: "interrupt" }, { id: `${n}` });
    await manager.send(thread, { type: "note" }, { durable: true });
  }
  await one.publish(`topic ${n % 3}`, { type: "note" });
  await other.run("x");
  if (n % 3 === 0) await (await manager.removeThread(other.id))?.shutdown();
  else if (n % 3 === 1) await other.shutdown();
  else await manager.shutdownTree(other.id);
  await down;
}

/** Somebody waits for what never comes, and gives up. */
async function givenUp(thread: Thread): Promise<void> {
  const controller = new AbortController();
  const waiting = thread.nextEvent({ signal: controller.signal }).catch((error: unknown) => error);
  controller.abort("enough");
  await waiting;
}

/** A thread joins a group, is ended by it or by itself, and is taken out of it. */
async function memberOf(group: ThreadGroup, n: number): Promise<void> {
  const { thread } = await group.startThread();
  if (n % 2 === 0) await group.stopMember(thread.id);
  else await thread.shutdown();
  await group.dropMember(thread.id);
}

async function cycles(): Promise<object> {
  const manager = await create();
  const group = mode === "members" ? await manager.group() : undefined;
  const before = process.getActiveResourcesInfo().length;
  const silent = mode === "waits" ? (await manager.startThread()).thread : undefined;
  const round = async (threads: number) => {
    for (let n = 0; n < threads; n += 1) {
      if (n % 500 === 0) await macrotask();
      if (silent !== undefined) {
        await givenUp(silent);
        continue;
      }
      if (mode === "beside" || group !== undefined) {
        await (group === undefined ? besideOne(manager, n) : memberOf(group, n));
        continue;
      }
      const { thread, threadId } = await manager.startThread();
      if (mode === "turns") await thread.run("x");
      if (mode !== "shutdown") await manager.removeThread(threadId);
      if (mode !== "dropped") await thread.shutdown();
    }
  };
  // Compiled code and caches come with the first few hundred.
  await round(Math.max(count / 10, 500));
  const first = await collect();
  await round(count);
  const last = await collect();
  await group?.stop();
  await silent?.shutdown();
  const { residentThreads, unloadedThreads } = manager.capacity();
  const runtime = runtimeOf(manager);
  const left = {
    ...{ used: residentThreads.used, unloadedThreads },
    ...{ ...runtime?.left(), ...runtime?.leftBeside(), ...runtime?.messages.left() },
  };
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
