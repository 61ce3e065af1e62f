/** Agents of a cluster's threads: those that a turn starts, and those that a client starts under a thread. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import type { StartedAgent } from "../../src/cluster/index.ts";
import { readNote } from "../../src/cluster/wire.ts";
import {
  call,
  hang,
  InvalidRequestError,
  LimitReachedError,
  type ModelRequest,
  memoryStore,
  type Step,
  say,
  scriptedClient,
  type ThreadEvent,
  type ThreadId,
} from "../../src/index.ts";
import type { NoteKind } from "../../src/store/standing-notes.ts";
import { overlaid } from "../rig.ts";
import { guarded } from "./behaviours.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** What is said follows from a thread's own texts alone. */
function answer({ input: items }: ModelRequest): Step[] {
  const texts = JSON.stringify(items);
  const agentId = /agent_id[^0-9a-f]+([0-9a-f-]{36})/.exec(texts)?.[1];
  if (texts.includes("lead on")) {
    if (agentId === undefined)
      return [
        call(
          "spawn_agent",
          { message: texts.includes("lead on with care") ? "ask first" : "CHILD TASK" },
          { callId: "spawn", namespace: "multi_agent_v1" },
        ),
      ];
    if (!texts.includes("wait-1"))
      return [
        call(
          "wait_agent",
          { targets: [agentId], timeout_ms: 15_000 },
          { callId: "wait-1", namespace: "multi_agent_v1" },
        ),
      ];
    if (texts.includes("allowed")) return [say(texts.includes("not allowed") ? "it was not" : "it was allowed")];
    return [say(texts.includes("the child is done") ? "the child has told me" : "I have heard nothing")];
  }
  if (texts.includes("ask first")) {
    if (texts.includes("function_call_output"))
      return [say(texts.includes("did what the child may") ? "allowed" : "not allowed")];
    return [call("guarded", { what: "what the child may" }, { callId: "guarded-1" })];
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

  for (const hasStore of [true, false]) {
    test(`an agent's events and approvals reach who follows its thread, ${hasStore ? "also" : "without"} a store`, async () => {
      const store = memoryStore();
      await using cluster = await testCluster(store, { model: scriptedClient(answer), tools: [guarded] });
      const threads = cluster.connect(hasStore ? { store } : {});
      const { thread, threadId } = await threads.startThread({ builtInTools: ["multi_agent"] });
      const started = Promise.withResolvers<StartedAgent>();
      threads.agents$.subscribe((agent) => started.resolve(agent));
      thread.events$.subscribe(() => undefined);
      const turn = thread.run("lead on with care");
      const { thread: agent, parentThreadId } = await started.promise;
      assert.equal(parentThreadId, threadId);
      const heard: ThreadEvent[] = [];
      agent.events$.subscribe((event) => heard.push(event));
      const asked = await until(() => agent.pendingApprovals[0]);
      // Another client finds it, and answers; what comes second is told so.
      const other = await cluster.connect(hasStore ? { store } : {}).getThread(agent.id);
      assert.equal(other.status, "running");
      await other.submit({ type: "exec_approval", id: asked.callId, decision: "approved" });
      assert.equal((await turn).lastAgentMessage, "it was allowed");
      await until(() => heard.some(({ msg }) => msg.type === "task_complete"));
      const types = heard.map(({ msg }) => msg.type);
      for (const type of ["task_started", "task_complete", "exec_approval_request"])
        assert.equal(types.filter((each) => each === type).length, 1, type);
      await agent.refresh();
      assert.deepEqual(agent.status, { completed: "allowed" });
      assert.deepEqual(agent.pendingApprovals, []);
      assert.equal((await agent.run("again, after the CHILD TASK: ask first")).lastAgentMessage, "allowed");
    });
  }

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

  test("a thread that is started under one whose turn runs on the same worker is its own, and no agent of the turn", async () => {
    const plain = memoryStore();
    const { notes } = plain;
    assert.ok(notes);
    const through: unknown[] = [];
    const noting = overlaid(notes, {
      write: (id: ThreadId, kind: NoteKind, value: unknown) => {
        if (kind === "cluster" && readNote(value)?.run?.through !== undefined) through.push(id);
        return notes.write(id, kind, value);
      },
    });
    const store = overlaid(plain, { notes: noting });
    await using cluster = await testCluster(store, { model: scriptedClient(answer) }, { workers: 1 });
    const threads = cluster.connect();
    const { thread: lead, threadId } = await threads.startThread();
    const turn = lead.run("wait here");
    await until(async () => (await store.get(threadId)).openTurn !== null);
    for (let n = 0; n < 5; n += 1) {
      const { threadId: child } = await threads.startThread({}, { parentThreadId: threadId });
      await threads.removeThread(child);
      await threads.resumeThread(child);
    }
    await lead.submit(input("and more"));
    assert.equal((await turn).lastAgentMessage, "with more");
    assert.deepEqual(through, []);
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
    const room = () =>
      until(() =>
        under(root).catch((error: unknown) => {
          if (!(error instanceof LimitReachedError)) throw error;
          return undefined;
        }),
      );
    const { threadId: third } = await room();
    await assert.rejects(under(root), LimitReachedError);
    await threads.removeThread(third);
    await room();
    for (const { url } of cluster.places) assert.ok((cluster.balancer.counts.get(url) ?? 0) > 0, "both were asked");
  });

  test("whoever comes back is counted again and not refused; an agent's own limits are asked at the root too", async () => {
    const limits = { childrenPerParent: 2 };
    await using cluster = await testCluster(memoryStore(), { model: scriptedClient(answer), limits });
    const threads = cluster.connect();
    const { threadId: root } = await threads.startThread();
    const under = (parentThreadId: ThreadId, agent = {}) => threads.startThread({}, { parentThreadId, agent });
    const full = (limit: string, max: number) => (error: unknown) =>
      error instanceof LimitReachedError && error.limit === limit && error.max === max;
    const { threadId: first } = await under(root);
    await assert.rejects(under(first, { maxDepth: 1 }), full("depth", 1));
    await assert.rejects(under(root, { maxThreads: 1 }), full("treeSize", 2));
    const { threadId: second } = await under(root, { maxThreads: 2 });
    await threads.removeThread(first);
    const { threadId: third } = await until(() => under(root).catch(() => undefined));
    // Three are there again, as in one process, where no limit keeps out who was there before.
    await threads.resumeThread(first);
    await threads.resumeThread(first);
    await assert.rejects(under(root), full("childrenPerParent", 2));
    await threads.removeThread(second);
    await assert.rejects(under(root), full("childrenPerParent", 2));
    await threads.removeThread(third);
    const { threadId: last } = await until(() => under(root).catch(() => undefined));
    assert.notEqual(last, first);
    await assert.rejects(under(root), full("childrenPerParent", 2));
  });

  test("what a turn's model asks its user is shown, and answered by any client", async () => {
    const model = scriptedClient(({ input: items }) => {
      const texts = JSON.stringify(items);
      if (texts.includes("function_call_output")) return [say(texts.includes("blue") ? "it is blue" : "no answer")];
      const questions = [{ id: "q1", header: "Pick", question: "Which?", options: [] }];
      return [call("request_user_input", { questions }, { callId: "c1" })];
    });
    await using cluster = await testCluster(memoryStore(), { model });
    const threads = cluster.connect();
    const { thread } = await threads.startThread({ builtInTools: ["request_user_input"] });
    await thread.submit({
      type: "override_turn_context",
      collaboration_mode: {
        mode: "plan",
        settings: { model: "m", reasoning_effort: null, developer_instructions: null },
      },
    });
    thread.events$.subscribe(() => undefined);
    const turn = thread.run("ask");
    const asked = await until(() => thread.pendingUserQuestions[0]);
    assert.deepEqual([asked.callId, asked.msg.type], ["c1", "request_user_input"]);
    const other = await cluster.connect().getThread(thread.id);
    other.events$.subscribe(() => undefined);
    await until(() => other.pendingUserQuestions[0]);
    await other.submit({ type: "user_input_answer", id: "c1", response: { answers: { q1: { answers: ["blue"] } } } });
    assert.deepEqual(other.pendingUserQuestions, []);
    assert.equal((await turn).lastAgentMessage, "it is blue");
    assert.deepEqual(thread.pendingUserQuestions, []);
    const again = { type: "user_input_answer", id: "c1", response: { answers: {} } } as const;
    await assert.rejects(other.submit(again), InvalidRequestError);
  });
});
