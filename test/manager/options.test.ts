/** What an embedder gets wrong is told at once, in its own words, and leaves nothing behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import {
  ask,
  createModelsManager,
  createSkillsManager,
  defineThreadLogic,
  InvalidRequestError,
  memoryAuthManager,
  memoryStore,
  newThreadId,
  scriptedClient,
  submissionId,
  ThreadManager,
  type ThreadManagerOptions,
  tool,
} from "../../src/index.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { call, say } from "../../src/model/script.ts";
import { next, rig } from "../rig.ts";

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
  "a logic by the name of Skein's own": {
    options: { logics: { "built-in": fromCallback(() => undefined) } },
    says: /^logics: .*`built-in`/,
  },
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

  const ports: Record<string, object> = {
    store: memoryStore(),
    clock: new ManualClock(),
    auth: memoryAuthManager(),
    models: createModelsManager(),
    skills: createSkillsManager(),
  };
  /** What a port may leave out, or has only here. */
  const beside = new Set("constructor toJSON monotonic advance advanceAsync setExtraRoots".split(" "));
  for (const [name, port] of Object.entries(ports)) {
    test(`a port without one of its methods is refused: ${name}`, async () => {
      const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(port)).filter(
        (method) => !beside.has(method) && typeof Reflect.get(port, method) === "function",
      );
      assert.ok(methods.length > 1);
      for (const method of methods) {
        const options: unknown = { [name]: Object.create(port, { [method]: { value: undefined } }) };
        await assert.rejects(
          ThreadManager.create(options as ThreadManagerOptions),
          { code: "invalid_request" },
          method,
        );
      }
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
    const mixed = [{ type: "text", text: "x" }, { type: "video" }] as never;
    await assert.rejects(thread.submit({ type: "user_input", items: mixed }), {
      code: "invalid_request",
      message: /items\[1\]\.type: `video` is no kind of input/,
    });
    await assert.rejects(manager.getThread("nope"), { code: "invalid_request", message: /`nope` is no thread id/ });
    assert.throws(() => submissionId(""), { code: "invalid_request" });
    assert.equal(await thread.submitWithId({ id: submissionId("mine"), op: { type: "interrupt" } }), "mine");
    assert.equal((await thread.run("x")).lastAgentMessage, "ok");
  });

  test("an answer that nobody waits for is a typed error: never asked, answered before, withdrawn", async () => {
    const command = call("shell_command", { command: "mktemp -u" }, { callId: "c1" });
    await using r = await rig({
      script: [[command], [say("done")], [call("shell_command", { command: "mktemp -u" }, { callId: "c2" })]],
      config: { builtInTools: ["shell"], approvalPolicy: "untrusted", sandboxMode: "danger-full-access" },
    });
    const { thread } = await r.manager.startThread();
    const answer = (id: string, type: "exec_approval" | "patch_approval" = "exec_approval") =>
      thread.submit({ type, id, decision: "denied" });
    await assert.rejects(answer("nope"), { code: "invalid_request", message: /no call `nope` waits for an answer/ });
    const turn = thread.run("x");
    await next(thread, "exec_approval_request");
    const [first, second] = await Promise.allSettled([answer("c1"), answer("c1")]);
    assert.deepEqual([first?.status, second?.status], ["fulfilled", "rejected"]);
    assert.match(Object(second).reason.message, /call `c1` has been answered already/);
    assert.equal((await turn).status, "completed");
    await assert.rejects(answer("c1"), { code: "invalid_request", message: /answered already/ });
    const cut = thread.run("y");
    await next(thread, "exec_approval_request");
    await thread.interrupt();
    assert.equal((await cut).status, "interrupted");
    await assert.rejects(answer("c2"), { code: "invalid_request", message: /its turn has ended/ });
    await thread.shutdown();
    await assert.rejects(answer("c2"), { code: "thread_closed" });
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

test("what is given beside a call is known by name and of the right kind, or refused before anything is done", async () => {
  await using manager = await ThreadManager.create({ store: memoryStore(), model: scriptedClient(() => [say("ok")]) });
  const { thread } = await manager.startThread();
  const id = thread.id;
  // biome-ignore lint/suspicious/noExplicitAny: a program without types
  const [m, t, wrong] = [manager as any, thread as any, {} as any];
  const hello = { type: "interrupt" };
  const refused: Record<string, [() => unknown, RegExp]> = {
    run: [() => t.run("x", { deadline: 5 }), /^run: unknown option `deadline`; did you mean `deadlineMs`\?/],
    "run, no object": [() => t.run("x", 5), /^run: options: must be an object/],
    "run, signal": [() => t.run("x", { signal: 5 }), /^run: signal: must be an AbortSignal/],
    "run, deadline": [() => t.run("x", { deadlineMs: "1" }), /^run: deadlineMs: must be a number/],
    "run, NaN": [() => t.run("x", { deadlineMs: Number.NaN }), /^run: deadlineMs/],
    "run, schema": [() => t.run("x", { outputSchema: 5 }), /^run: outputSchema: must be a JSON Schema/],
    submit: [() => t.submit(hello, { whenFul: "wait" }), /did you mean `whenFull`/],
    "submit, value": [() => t.submit(hello, { whenFull: "never" }), /whenFull: must be one of `wait`, `reject`/],
    submitWithId: [() => t.submitWithId(null), /^submitWithId: give \{ id, op \}/],
    "submitWithId, name": [() => t.submitWithId({ id: "a", op: hello, rerum: true }), /did you mean `rerun`/],
    outcomeOf: [() => t.outcomeOf("a", { signl: 1 }), /^outcomeOf: unknown option/],
    ready: [() => t.ready({ deadline: 1 }), /^ready: unknown option/],
    nextEvent: [() => t.nextEvent({ deadline: 1 }), /^nextEvent: unknown option/],
    events: [() => t.events({ aftr: 1 }), /^events: .*did you mean `after`/],
    "events, place": [() => t.events({ after: "x" }), /^events: after: must be a seq/],
    compact: [() => t.compact({ deadline: 1 }), /^compact: unknown option/],
    rollback: [() => t.rollback(1, { deadline: 1 }), /^rollback: unknown option/],
    review: [() => t.review({ type: "uncommittedChanges" }, { deadline: 1 }), /^review: unknown option/],
    interrupt: [() => t.interrupt({ turn: "x" }), /^interrupt: .*did you mean `turnId`/],
    shutdown: [() => t.shutdown({ deadline: 1 }), /^shutdown: unknown option/],
    "startThread, signal": [() => m.startThread({}, { signal: 5 }), /signal: must be an AbortSignal/],
    "startThread, id": [() => m.startThread({}, { threadId: "x" }), /^threadId: `x` is no thread id/],
    resume: [() => m.resumeThread(id, undefined, { initialMessages: "some" }), /initialMessages: must be one of/],
    fork: [() => m.forkThread(), /^fork: give \{ from \}/],
    "fork, name": [() => m.forkThread({ from: id, att: "full" }), /^fork: unknown option `att`; did you mean `at`/],
    getThread: [() => m.getThread(id, { deadline: 1 }), /^getThread: unknown option/],
    deleteThread: [() => m.deleteThread(id, { deadline: 1 }), /unknown option/],
    listThreads: [() => m.listThreads({ limitt: 1 }), /^listThreads: .*did you mean `limit`/],
    "listThreads, flag": [() => m.listThreads({ interrupted: "yes" }), /^interrupted must be a boolean/],
    "listThreads, limit": [() => m.listThreads({ limit: "x" }), /^limit must be a number/],
    "listThreads, null": [() => m.listThreads(null), /^listThreads: options: must be an object/],
    "manager.shutdown": [() => m.shutdown({ deadline: 1 }), /^shutdown: unknown option/],
    ask: [() => ask(m.supervisor, null as never), /^ask: a message is an object/],
    "ask, actor": [() => ask(wrong, { type: "thread.list" } as never), /^ask: give an actor/],
    tool: [() => tool(wrong), /`execute`: must be a function/],
    "tool, name": [() => tool({ execute: () => "" } as never), /tool name/],
    logic: [() => defineThreadLogic({ turn: () => "", strat: 1 } as never), /did you mean `start`/],
    "logic, persist": [
      () => defineThreadLogic({ turn: () => "", persist: "snap" } as never),
      /persist: must be one of/,
    ],
  };
  for (const method of ["descendants", "ancestors", "restartsOf", "capacity", "shutdownTree"])
    refused[method] = [() => m[method]("nope"), /^threadId: `nope` is no thread id/];
  for (const [name, [call, says]] of Object.entries(refused)) {
    const error = await Promise.resolve()
      .then(call)
      .then(
        () => assert.fail(`${name} was taken`),
        (thrown: unknown) => thrown,
      );
    assert.ok(error instanceof InvalidRequestError, `${name}: ${String(error)}`);
    assert.match(error.message, says, name);
  }
  assert.equal((await thread.run("still here", {})).status, "completed");
  assert.equal((await manager.listThreads()).threads.length, 1);
});
