/** Agents that a client starts under a thread of a cluster. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { hang, type ModelRequest, memoryStore, type Step, say, scriptedClient } from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** What is said follows from a thread's own texts alone. */
function answer({ input: items }: ModelRequest): Step[] {
  const texts = JSON.stringify(items);
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
}

suite("agents of a cluster", { timeout: 120_000 }, () => {
  after(endEngine);

  test("a thread that a client starts under another one runs on, whatever that one does, on any worker", async () => {
    await using cluster = await testCluster(memoryStore(), { model: scriptedClient(answer) });
    const threads = cluster.connect();
    const { thread: lead, threadId } = await threads.startThread();
    const children = await Promise.all([1, 2, 3].map(() => threads.startThread({}, { parentThreadId: threadId })));
    const turns = children.map(({ thread }) => thread.run("wait here"));
    for (let n = 0; n < 3; n += 1) assert.equal((await lead.run("quick")).lastAgentMessage, "at once");
    await Promise.all(children.map(({ thread }) => thread.submit(input("and more"))));
    assert.deepEqual(
      (await Promise.all(turns)).map(({ lastAgentMessage }) => lastAgentMessage),
      ["with more", "with more", "with more"],
    );
    const { threads: stored } = await threads.listThreads({ parentThreadId: threadId, sourceKinds: ["subagent"] });
    assert.equal(stored.length, 3);
  });
});
