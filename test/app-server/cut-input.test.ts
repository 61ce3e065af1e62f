/** Input that was acknowledged, and whose process died before it was in the history. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ThreadManager } from "../../src/index.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { overlaid } from "../rig.ts";
import { type Json, serve } from "./test-client.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

test("it is read in the turn that it was given to, and a rollback takes as much of what is read as of what the model knows", async (t) => {
  const inner = memoryStore();
  await using first = await ThreadManager.create({ store: inner, model: scriptedClient() });
  const { thread, threadId } = await first.startThread({ cwd: "/", builtInTools: [] });
  await thread.run("one");
  await thread.shutdown();
  // In the next process the history is still being read when the input comes; then it dies.
  const reading = Promise.withResolvers<never>();
  const store = overlaid(inner, {
    async *load() {
      yield await reading.promise;
    },
  });
  const second = await ThreadManager.create({ store, model: scriptedClient() });
  const { thread: dying } = await second.resumeThread(threadId, {}, { initialMessages: "none" });
  const turnId = await dying.submit(input("two"));
  await (await inner.open(threadId, { lease: "takeOver" })).close();
  reading.reject(new Error("gone"));
  await second.shutdown();

  const served = await serve({ manager: { store: inner, model: scriptedClient(undefined, { recordRequests: 9 }) } });
  t.after(() => served[Symbol.asyncDispose]());
  const { client } = served;
  await client.request("thread/resume", { threadId });
  await client.turn(threadId, "three");
  const turns = async (): Promise<(string | undefined)[][]> => {
    const read = await client.request("thread/read", { threadId, includeTurns: true });
    return read.thread.turns.map(({ items }: Json) =>
      items.flatMap((item: Json) => (item.type === "userMessage" ? item.content.map(({ text }: Json) => text) : [])),
    );
  };
  assert.deepEqual(await turns(), [["one"], ["two"], ["three"]], turnId);
  await client.request("thread/rollback", { threadId, numTurns: 2 });
  assert.deepEqual(await turns(), [["one"]]);
});
