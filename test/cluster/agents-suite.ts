/** Agents of a cluster's threads: those that a turn starts, and those that a client starts under a thread. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import {
  call,
  hang,
  LimitReachedError,
  type ModelRequest,
  memoryStore,
  type Step,
  say,
  scriptedClient,
  type ThreadId,
} from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** What is said follows from a thread's own texts alone. */
function answer({ input: items }: ModelRequest): Step[] {
  const texts = JSON.stringify(items);
  const agentId = /agent_id[^0-9a-f]+([0-9a-f-]{36})/.exec(texts)?.[1];
  if (texts.includes("lead on")) {
    if (agentId === undefined)
      return [call("spawn_agent", { message: "CHILD TASK" }, { callId: "spawn", namespace: "multi_agent_v1" })];
    if (!texts.includes("wait-1"))
      return [
        call(
          "wait_agent",
          { targets: [agentId], timeout_ms: 15_000 },
          { callId: "wait-1", namespace: "multi_agent_v1" },
        ),
      ];
    return [say(texts.includes("the child is done") ? "the child has told me" : "I have heard nothing")];
  }
  if (texts.includes("CHILD TASK")) return [say("the child is done")];
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
}

suite("agents of a cluster", { timeout: 120_000 }, () => {
  after(endEngine);

  test("a turn starts an agent and waits for it; then nothing of the tree holds a lease", async () => {
    const store = memoryStore();
    await using cluster = await testCluster(store, { model: scriptedClient(answer) });
    const threads = cluster.connect();
    const { thread, threadId } = await threads.startThread({ builtInTools: ["multi_agent"] });
    const { status, lastAgentMessage } = await thread.run("lead on");
    assert.deepEqual([status, lastAgentMessage], ["completed", "the child has told me"]);
    const { threads: agents } = await threads.listThreads({ parentThreadId: threadId, sourceKinds: ["subagent"] });
    assert.equal(agents.length, 1);
    for (const { manager } of cluster.places) assert.deepEqual(await manager.listThreadIds(), []);
    const agent = agents[0]?.threadId ?? "";
    await (await store.open(threadId)).close();
    const { thread: child } = await threads.resumeThread(agent);
    assert.equal((await child.run("again, after the CHILD TASK")).lastAgentMessage, "the child is done");
  });

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

  test("children, tree and depth are limited over both workers; whoever was shut down or removed makes room", async () => {
    const limits = { depth: 2, childrenPerParent: 2, treeSize: 4 };
    await using cluster = await testCluster(memoryStore(), { model: scriptedClient(answer), limits });
    const threads = cluster.connect();
    const { threadId: root } = await threads.startThread();
    const under = (parentThreadId: ThreadId) => threads.startThread({}, { parentThreadId });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => under(root)));
    const made = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const [first, second] = made;
    assert.ok(first !== undefined && second !== undefined && made.length === 2);
    const refused = (limit: string, whose: string) => (error: unknown) =>
      error instanceof LimitReachedError && error.limit === limit && error.whose === whose;
    for (const each of outcomes)
      if (each.status === "rejected") assert.ok(refused("childrenPerParent", root)(each.reason), String(each.reason));
    const { threadId: grandchild } = await under(first.threadId);
    await assert.rejects(under(grandchild), refused("depth", grandchild));
    await assert.rejects(under(second.threadId), refused("treeSize", root));
    await second.thread.shutdown();
    const room = async () => {
      for (;;) {
        try {
          return await under(root);
        } catch (error) {
          if (!(error instanceof LimitReachedError)) throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    const { threadId: third } = await room();
    await assert.rejects(under(root), LimitReachedError);
    await threads.removeThread(third);
    await room();
    for (const { url } of cluster.places) assert.ok((cluster.balancer.counts.get(url) ?? 0) > 0, "both were asked");
  });
});
