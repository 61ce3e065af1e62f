/** Groups and durable messages over a PostgreSQL server: what is stored is brought back by the next manager, and one at a time has it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as z from "zod";
import { defineThreadLogic, ThreadBusyError, ThreadManager } from "../../src/index.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { PostgresServer } from "./server.ts";

let server: PostgresServer;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());

const handled: number[] = [];
let isOpen = false;
const worker = defineThreadLogic({
  messages: { job: z.object({ n: z.number() }) },
  receive: {
    job: async ({ n }, { thread }) => {
      while (!isOpen) {
        thread.signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      handled.push(n);
    },
  },
  turn: ({ text }) => `heard ${text}`,
});

async function start() {
  const store = postgresStore({ connectionString: server.connectionString, schema: "skein_groups", maxConnections: 4 });
  const manager = await ThreadManager.create({ store, logics: { worker }, config: { builtInTools: [] } });
  const end = async () => {
    await manager.shutdown({ deadlineMs: 2_000 });
    await store.close();
  };
  return { manager, end };
}

test("SEMANTICS 4.12: a named group comes back with its members in order, and one manager at a time has it", async () => {
  const first = await start();
  const group = await first.manager.group({ name: "crew", strategy: "rest_for_one" });
  const ids: string[] = [];
  for (let n = 0; n < 3; n += 1) ids.push((await group.startThread({ logic: "worker" })).threadId);
  await group.stopMember(ids[1] as string);
  const second = await start();
  await assert.rejects(second.manager.group({ name: "crew" }), ThreadBusyError);
  await first.end();
  const again = await second.manager.group({ name: "crew" });
  assert.deepEqual(
    again.members.map(({ id, state }) => [id, state]),
    ids.map((id, at) => [id, at === 1 ? "ended" : "up"]),
  );
  const { thread } = await second.manager.resumeThread(ids[2] as string);
  assert.equal((await thread.run("you")).lastAgentMessage, "heard you");
  await again.stop();
  await second.end();
});

test("SEMANTICS 9.6: a durable message outlives its manager in the database", async () => {
  const first = await start();
  const { threadId } = await first.manager.startThread({ logic: "worker" });
  await first.manager.send(threadId, { type: "job", n: 1 }, { durable: true });
  await first.manager.send(threadId, { type: "job", n: 2 }, { durable: true });
  await first.end();
  isOpen = true;
  const second = await start();
  await second.manager.resumeThread(threadId);
  while (handled.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(handled, [1, 2]);
  while ((await second.manager.mailOf(threadId)).waiting.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await second.end();
});
