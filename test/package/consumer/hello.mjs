import { call, memoryStore, say, scriptedClient, ThreadManager, tool } from "skein";
import { createAppServer } from "skein/app-server";
import { threadMachine } from "skein/machines";
import { ManualClock } from "skein/testing";
import { z } from "zod";

const add = tool({
  name: "add",
  description: "Adds two numbers.",
  input: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => a + b,
});
const model = scriptedClient([[call("add", { a: 2, b: 3 })], [say("2 + 3 is 5.")]]);
const manager = await ThreadManager.create({ store: memoryStore(), model, tools: [add] });
const { thread } = await manager.startThread();
for await (const { seq, msg } of thread.events({ after: -1 })) {
  console.log(seq, msg.type);
  break;
}
console.log((await thread.run("What is 2 + 3?")).lastAgentMessage);
await manager.shutdown();
for (const used of [createAppServer, ManualClock])
  if (typeof used !== "function") throw new Error("a subpath is empty");
if (threadMachine.id === undefined) throw new Error("no machine");
