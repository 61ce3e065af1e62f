import { ask, memoryStore, scriptedClient, type Thread, ThreadManager, type TurnResult, tool } from "skein";
import { aiSdkClient } from "skein/ai-sdk";
import { createAppServer } from "skein/app-server";
import { threadMachine } from "skein/machines";
import { postgresStore } from "skein/postgres";
import { createStudio } from "skein/studio";
import { ManualClock } from "skein/testing";
import { z } from "zod";

const add = tool({
  name: "add",
  description: "Adds two numbers.",
  input: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => a + b,
});

export async function use(): Promise<TurnResult> {
  const manager = await ThreadManager.create({
    store: memoryStore(),
    model: scriptedClient(),
    tools: [add],
    clock: new ManualClock(),
  });
  const { thread, threadId } = await manager.startThread({ cwd: "/tmp" });
  const found: Thread = await ask(manager.supervisor, { type: "thread.get", threadId });
  for await (const { seq, msg } of found.events({ after: -1 })) if (seq > 0 && msg.type === "task_complete") break;
  const { output } = await thread.run("x", { outputSchema: z.object({ n: z.number() }) });
  const n: number | undefined = output?.n;
  // @ts-expect-error there is no such option
  void manager.startThread({ modell: "x" });
  await manager.shutdown({ deadlineMs: n ?? 1000 });
  return thread.run("y");
}
export const parts = [aiSdkClient, createAppServer, createStudio, postgresStore, threadMachine];
