/** What an embedder gets wrong is told at once, in its own words, and leaves nothing behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import {
  memoryStore,
  newThreadId,
  scriptedClient,
  submissionId,
  ThreadManager,
  type ThreadManagerOptions,
} from "../../src/index.ts";
import { say } from "../../src/model/script.ts";
import { rig } from "../rig.ts";

const wrong: Record<string, { options: unknown; says: RegExp }> = {
  "a misspelt option": { options: { modle: 1 }, says: /unknown option `modle`; did you mean `model`\?/ },
  "an option of nobody": { options: { frobnicate: 1 }, says: /unknown option `frobnicate`$/ },
  "a model that is none": { options: { model: {} }, says: /^model: must be a ModelClient/ },
  "a text for a model": { options: { model: "gpt" }, says: /^model: / },
  "a store that is none": { options: { store: {} }, says: /^store: must be a ThreadStore/ },
  "half a store": { options: { store: { list() {} } }, says: /^store: / },
  "a number for a logic": { options: { threadLogic: 5 }, says: /^threadLogic: must be an XState logic/ },
  "an object for a logic": { options: { threadLogic: {} }, says: /^threadLogic: / },
  "null for a logic": { options: { threadLogic: null }, says: /^threadLogic: / },
  "logics that are none": { options: { logics: { a: 5 } }, says: /^logics: / },
  "tools that are no list": { options: { tools: {} }, says: /^tools: / },
  "a clock that is none": { options: { clock: {} }, says: /^clock: / },
  "a logger that is none": { options: { logger: {} }, says: /^logger: / },
  "a list for limits": { options: { limits: [] }, says: /^limits: / },
  "no options": { options: 5, says: /^options: must be an object/ },
};

suite("create", () => {
  for (const [name, { options, says }] of Object.entries(wrong)) {
    test(`${name} is refused`, async () => {
      await assert.rejects(ThreadManager.create(options as ThreadManagerOptions), {
        code: "invalid_request",
        message: says,
      });
    });
  }

  test("what fits is taken", async () => {
    const manager = await ThreadManager.create({
      store: memoryStore(),
      model: scriptedClient(),
      threadLogic: fromCallback(() => {}),
      logics: {},
      tools: [],
      originator: undefined,
    } as unknown as ThreadManagerOptions);
    await manager.shutdown();
  });
});

suite("calls", () => {
  test("unknown thread options, inputs that are none, ids that are none", async () => {
    await using r = await rig({ script: [[say("ok")]] });
    const { manager } = r;
    await assert.rejects(manager.startThread({}, { threadid: newThreadId() } as never), {
      code: "invalid_request",
      message: /unknown option `threadid`; did you mean `threadId`/,
    });
    assert.equal(manager.capacity().residentThreads.used, 0);
    const { thread } = await manager.startThread();
    for (const input of [5, null, {}, undefined]) {
      await assert.rejects(thread.run(input as never), { code: "invalid_request", message: /^run: give a text/ });
    }
    const odd = [{ type: "txt", text: "x" }] as never;
    await assert.rejects(thread.run(odd), { code: "invalid_request", message: /`txt` is no kind of input/ });
    await assert.rejects(thread.submit({ type: "user_input", items: odd }), { code: "invalid_request" });
    await assert.rejects(manager.getThread("nope"), { code: "invalid_request", message: /`nope` is no thread id/ });
    assert.throws(() => submissionId(""), { code: "invalid_request" });
    assert.equal(await thread.submitWithId({ id: submissionId("mine"), op: { type: "interrupt" } }), "mine");
    assert.equal((await thread.run("x")).lastAgentMessage, "ok");
  });

  test("rollback, compact, tokenUsage and deleteThread", async () => {
    await using r = await rig({ script: [[say("one")], [say("two")], [say("summary")]] });
    const { thread, threadId } = await r.manager.startThread();
    assert.equal(thread.tokenUsage, null);
    await thread.run("a");
    await thread.run("b");
    await thread.rollback(1);
    await assert.rejects(thread.rollback(0), { code: "invalid_request" });
    assert.equal((await thread.compact()).status, "completed");
    assert.notEqual(thread.tokenUsage, null);
    await r.manager.deleteThread(threadId);
    assert.deepEqual((await r.manager.listThreads()).threads, []);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
    await assert.rejects(thread.run("x"), { code: "thread_closed" });
    await assert.rejects(r.manager.deleteThread(newThreadId()), { code: "rollout_not_found" });
  });
});
