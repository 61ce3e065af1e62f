/** Forks: every anchor, the worked examples of SPEC 6, live sources, histories in memory, ephemeral threads. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ForkAnchor } from "../../src/index.ts";
import { tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import {
  assistantMessage,
  contextMessage,
  functionCallOutput,
  type ResponseItem,
  userMessage,
} from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { assertPaired, INTERRUPTED, linesOf, next, type Rig, rig, textsOf, until } from "../rig.ts";

const line = (payload: ResponseItem): RolloutItem => ({ type: "response_item", payload });
const u = (text: string) => line(userMessage(text));
const a = (text: string) => line(assistantMessage(text));
const reasoning = line({ type: "reasoning", id: "r", summary: [] });
const called = [
  line({ type: "function_call", call_id: "c", name: "f", arguments: "{}" }),
  line(functionCallOutput("c", "out")),
];
const CONTEXT = u("<environment_context>\n  <cwd>/</cwd>\n</environment_context>");

/** What the model of a fork is told of its source: undefined when it is a new thread. */
async function toldAfterFork(r: Rig, items: RolloutItem[], at: ForkAnchor): Promise<string[] | undefined> {
  const { thread, sessionConfigured } = await r.manager.forkThread({
    from: { history: { type: "forked", items } },
    at,
  });
  await thread.run("NOW");
  const texts = textsOf(r.model.requests.at(-1) ?? { input: [] });
  assert.equal(texts.at(-1), "NOW");
  return sessionConfigured.initial_messages === null ? undefined : texts.slice(0, -1);
}

suite("forks", () => {
  const worked = [u("u1"), a("a1"), a("a2"), u("u2"), a("a3"), reasoning, ...called, a("a4")];
  const examples: [name: string, items: RolloutItem[], at: ForkAnchor, wanted: string[] | undefined][] = [
    ["n=1 keeps what precedes the second message", worked, { beforeUserMessage: 1 }, ["u1", "a1", "a2"]],
    ["n=2 is past the end, and gives a new thread", worked, { beforeUserMessage: 2 }, undefined],
    ["n=0 keeps nothing here", worked, { beforeUserMessage: 0 }, undefined],
    [
      "context does not count, and stays",
      [CONTEXT, u("u1"), a("a1"), u("u2"), a("a2")],
      { beforeUserMessage: 1 },
      ["u1", "a1"],
    ],
    ["n=0 keeps the context", [CONTEXT, u("u1"), a("a1")], { beforeUserMessage: 0 }, []],
    [
      "the largest number keeps everything",
      worked,
      { beforeUserMessage: Number.MAX_SAFE_INTEGER },
      ["u1", "a1", "a2", "u2", "a3", "a4"],
    ],
    ["so does a larger one", worked, { beforeUserMessage: 2 ** 64 }, ["u1", "a1", "a2", "u2", "a3", "a4"]],
    ["and infinity", worked, { beforeUserMessage: Number.POSITIVE_INFINITY }, ["u1", "a1", "a2", "u2", "a3", "a4"]],
    ["full keeps everything", worked, "full", ["u1", "a1", "a2", "u2", "a3", "a4"]],
    [
      "rolled-back messages do not count, and are undone again",
      [
        u("u1"),
        a("a1"),
        u("u2"),
        a("a2"),
        { type: "event_msg", payload: { type: "thread_rolled_back", num_turns: 1 } },
        u("u3"),
        a("a3"),
      ],
      { beforeUserMessage: 1 },
      ["u1", "a1"],
    ],
    ["an empty history gives a new thread", [], "full", undefined],
  ];
  for (const [name, items, at, wanted] of examples) {
    test(`SPEC 6.2: ${name}`, async () => {
      await using r = await rig({ script: () => [say("ok")] });
      assert.deepEqual(await toldAfterFork(r, items, at), wanted);
    });
  }

  test("positions that are no whole number are refused", async () => {
    await using r = await rig();
    const { threadId } = await r.manager.startThread();
    for (const n of [-1, 1.5, Number.NaN]) {
      await assert.rejects(r.manager.forkThread({ from: threadId, at: { beforeUserMessage: n } }), {
        code: "invalid_fork_point",
      });
    }
    await assert.rejects(r.manager.forkThread({ from: threadId, at: { beforeTurn: newThreadId() } }), {
      code: "invalid_fork_point",
    });
  });

  test("every anchor of a live thread; the fork goes its own way, and inherits no settings", async () => {
    await using r = await rig({ script: (request) => [say(`re ${textsOf(request).at(-1)}`)] });
    const { thread, threadId } = await r.manager.startThread({ model: "special" });
    const turns = [];
    for (const text of ["a", "b", "c"]) turns.push((await thread.run(text)).turnId ?? "");
    const [first, second] = turns;
    assert.ok(first && second);
    const anchors: [ForkAnchor, string[]][] = [
      ["full", ["a", "re a", "b", "re b", "c", "re c"]],
      ["interrupted", ["a", "re a", "b", "re b", "c", "re c"]],
      [{ beforeUserMessage: 1 }, ["a", "re a"]],
      [{ throughTurn: second }, ["a", "re a", "b", "re b"]],
      [{ beforeTurn: second }, ["a", "re a"]],
      [{ beforeTurn: first }, []],
      [{ beforeUserMessage: 0 }, []],
      [{ beforeUserMessage: 3 }, []],
    ];
    for (const [at, wanted] of anchors) {
      const fork = await r.manager.forkThread({ from: threadId, at });
      await fork.thread.run("fork");
      const request = r.model.requests.at(-1);
      assert.deepEqual(textsOf(request ?? { input: [] }), [...wanted, "fork"], JSON.stringify(at));
      assert.notEqual(request?.model, "special");
      const isNew = JSON.stringify(at) === '{"beforeUserMessage":3}';
      assert.deepEqual(await r.manager.ancestors(fork.threadId), isNew ? [] : [threadId]);
    }
    await thread.run("d");
    assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }).slice(-2), ["re c", "d"]);
  });

  test("a fork in the midst of a turn records the interruption; the source goes on (F2)", async () => {
    const deaf = tool({ name: "deaf", description: "", execute: () => new Promise(() => {}) });
    await using r = await rig({ tools: [deaf], script: [[call("deaf")], [say("on the fork")], [say("back")]] });
    const { thread, threadId } = await r.manager.startThread();
    const running = thread.run("work");
    await until(() => r.model.asked === 1);
    const turnId = thread.activeTurn?.turnId;
    const fork = await r.manager.forkThread({ from: threadId });
    assert.equal((await fork.thread.run("instead")).lastAgentMessage, "on the fork");
    const request = r.model.requests[1];
    assert.ok(request);
    assertPaired(request.input);
    assert.match(JSON.stringify(request.input), /<turn_aborted>/);
    const aborted = (await linesOf(r.store, fork.threadId)).flatMap((stored) =>
      stored.type === "event_msg" && stored.payload.type === "turn_aborted" ? [stored.payload.turn_id] : [],
    );
    assert.deepEqual(aborted, [turnId]);
    assert.equal(thread.activeTurn?.turnId, turnId);
    const interrupting = thread.interrupt();
    await until(() => true);
    await r.clock.advanceAsync(100);
    await interrupting;
    await running;
    const marks = (await linesOf(r.store, threadId)).filter((stored) =>
      JSON.stringify(stored).includes("<turn_aborted>"),
    );
    assert.equal(marks.length, 1);
  });

  test("the mark of an interrupt and the notice of an agent's end count as no user's message", async () => {
    await using r = await rig({ script: [[hang()], [say("two")], [say("on the fork")]] });
    const { thread, threadId } = await r.manager.startThread();
    const running = thread.run("one");
    await until(() => r.model.asked === 1);
    await thread.interrupt();
    await running;
    const notice = contextMessage(
      "<subagent_notification>\n{}\n</subagent_notification>",
      "multi_agent.subagent_notification",
    );
    await thread.submit({ type: "inject_items", items: [notice] });
    await thread.run("two");
    const fork = await r.manager.forkThread({ from: threadId, at: { beforeUserMessage: 1 } });
    await fork.thread.run("instead");
    assert.deepEqual(textsOf(r.model.requests[2] ?? { input: [] }).slice(0, 2), ["one", INTERRUPTED]);
    assert.equal(textsOf(r.model.requests[2] ?? { input: [] }).at(-1), "instead");
    assert.ok(!textsOf(r.model.requests[2] ?? { input: [] }).includes("two"));
    await thread.rollback(1);
    await thread.run("three");
    assert.deepEqual(
      textsOf(r.model.requests[3] ?? { input: [] }).filter((text) => !text.startsWith("<")),
      ["one", "three"],
    );
  });

  test("a fork of a fork, of an unloaded thread, of a removed one and of a stored one", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("a");
    const fork = await r.manager.forkThread({ from: threadId });
    await fork.thread.run("b");
    await r.clock.advanceAsync(31 * 60_000);
    const second = await r.manager.forkThread({ from: fork.threadId });
    await r.manager.removeThread(threadId);
    const third = await r.manager.forkThread({ from: threadId });
    await fork.thread.shutdown();
    const fourth = await r.manager.forkThread({ from: fork.threadId });
    const told = [];
    for (const one of [second, third, fourth]) {
      await one.thread.run("z");
      told.push(textsOf(r.model.requests.at(-1) ?? { input: [] }).length);
    }
    assert.deepEqual(told, [5, 3, 5]);
  });

  test("ephemeral threads are stored nowhere: forked into either kind, resumed after they left memory, gone at their end", async () => {
    await using r = await rig();
    const { manager } = r;
    const { thread, threadId } = await manager.startThread({ ephemeral: true });
    await thread.run("a");
    const lasting = await manager.forkThread({ from: threadId });
    const brief = await manager.forkThread({ from: threadId, config: { ephemeral: true } });
    for (const fork of [lasting, brief]) {
      await fork.thread.run("b");
      assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }), ["a", "ack: a", "b"]);
    }
    await r.clock.advanceAsync(31 * 60_000);
    const copy = await manager.forkThread({ from: threadId });
    await copy.thread.run("c");
    assert.deepEqual(textsOf(r.model.requests.at(-1) ?? { input: [] }), ["a", "ack: a", "c"]);
    assert.equal((await manager.resumeThread(threadId)).thread, thread);
    await thread.run("d");
    assert.deepEqual(
      (await manager.listThreads()).threads.map((stored) => stored.threadId).toSorted(),
      [lasting.threadId, copy.threadId].toSorted(),
    );
    await thread.shutdown();
    await assert.rejects(manager.resumeThread(threadId), { code: "rollout_not_found" });
    await assert.rejects(manager.forkThread({ from: threadId }), { code: "rollout_not_found" });
    await brief.thread.run("still whole");
    assert.equal(textsOf(r.model.requests.at(-1) ?? { input: [] }).length, 5);
  });

  test("of an ephemeral thread nothing stays, however it ends: its id is free", async () => {
    await using r = await rig();
    const { manager } = r;
    const closed: string[] = [];
    manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
    const start = (threadId?: ThreadId) => manager.startThread({ ephemeral: true }, { threadId });
    const [first, linked] = [await start(), await start()];
    first.thread.link(linked.thread);
    await r.clock.advanceAsync(31 * 60_000);
    assert.equal(linked.thread.actor, undefined);
    await first.thread.shutdown();
    await until(() => closed.length === 2);
    const removed = await start();
    await (await manager.removeThread(removed.threadId))?.shutdown();
    for (const { threadId } of [first, linked, removed]) await start(threadId);
  });

  test("a thread of the store does not become ephemeral by being resumed so", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("a");
    await thread.shutdown();
    const resumed = await r.manager.resumeThread(threadId, { ephemeral: true });
    await r.clock.advanceAsync(31 * 60_000);
    assert.equal((await resumed.thread.run("b")).status, "completed");
    await resumed.thread.shutdown();
    assert.equal((await r.manager.resumeThread(threadId)).threadId, threadId);
  });

  test("a fork during the last moments of a turn is either within it or behind it, and valid", async () => {
    await using r = await rig({ script: () => [say("ok")] });
    const { thread, threadId } = await r.manager.startThread();
    const forks: Promise<unknown>[] = [];
    const watching = thread.events$.subscribe(() => {
      forks.push(
        r.manager.forkThread({ from: threadId }).then(async (fork) => {
          const lines = await linesOf(r.store, fork.threadId);
          const events = lines.flatMap((stored) => (stored.type === "event_msg" ? [stored.payload.type] : []));
          const begun = events.filter((type) => type === "task_started").length;
          const ended = events.filter((type) => type === "task_complete" || type === "turn_aborted").length;
          assert.equal(ended, begun);
          await fork.thread.shutdown();
        }),
      );
    });
    const done = next(thread, "task_complete");
    await thread.run("a");
    await done;
    watching.unsubscribe();
    await Promise.all(forks);
    assert.ok(forks.length > 8);
  });

  test("hanging sources hold no fork up", async () => {
    await using r = await rig({ script: [[hang()], [say("x")]] });
    const { thread, threadId } = await r.manager.startThread();
    void thread.run("a");
    await until(() => r.model.asked === 1);
    const fork = await r.manager.forkThread({ from: threadId, at: { beforeUserMessage: 0 } });
    assert.equal((await fork.thread.run("b")).lastAgentMessage, "x");
    assert.deepEqual(textsOf(r.model.requests[1] ?? { input: [] }), ["b"]);
    await thread.interrupt();
  });
});
