/** What goes on and what does not, beside the steps of a turn: crashes, poisoned input, forks, archived threads, ids; and recoverThreads. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type RecoverProgress, type Thread, ThreadManager, type ThreadManagerOptions, tool } from "../../src/index.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import type { ThreadEvent } from "../../src/protocol/event.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { UNKNOWN_EFFECT } from "../../src/turn/resumed-turn.ts";
import { linesOf, overlaid, watch } from "../rig.ts";
import { gistOf } from "./lives.ts";

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
const isEnd = ({ msg }: ThreadEvent): boolean => msg.type === "task_complete" || msg.type === "turn_aborted";

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; !(await condition()); n += 1) {
    assert.ok(n < 2_000, `never came true: ${condition}`);
    await delay(5);
  }
}

const managerOf = (options: ThreadManagerOptions): Promise<ThreadManager> =>
  ThreadManager.create({
    supervision: { backoffMs: 1 },
    ...options,
    config: { cwd: "/work", recovery: "continue", ...options.config },
  });

/** A thread whose turn hangs in the model; then its writer is fenced, as if its process were gone. */
async function leftOpen(store: ThreadStore, id?: string): Promise<{ threadId: ThreadId; manager: ThreadManager }> {
  const manager = await managerOf({ store, model: scriptedClient(() => [hang()]) });
  const { thread, threadId } = await manager.startThread();
  if (id === undefined) await thread.submit(input("go"));
  else await thread.submitWithId({ id, op: input("go") });
  await until(async () => JSON.stringify(await linesOf(store, threadId)).includes('"turn_context"'));
  await (await store.open(threadId, { lease: "takeOver" })).close();
  return { threadId, manager };
}

const crash = (thread: Thread, why: string): void => (thread as LiveThread).incarnation.end("crashed", new Error(why));

suite("a thread that crashes and is restarted", () => {
  test("asks the model for the same form of answer again", async () => {
    const outputSchema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
    const model = scriptedClient([[hang()], [say('{"n":1}')]], { recordRequests: 9 });
    await using manager = await managerOf({ store: memoryStore(), model });
    const { thread } = await manager.startThread();
    const run = thread.run("go", { outputSchema });
    await until(() => model.requests.length === 1);
    crash(thread, "boom");
    assert.deepEqual((await run).output, { n: 1 });
    const [first, second] = model.requests.map((request) => request.outputSchema);
    assert.ok(first);
    assert.deepEqual(second, first);
  });

  test("SEMANTICS 4.5: goes on with its turn: run waits over the restart, and there is one end", async () => {
    let entered = 0;
    const stuck = tool({
      name: "stuck",
      description: "",
      execute: () => {
        entered += 1;
        return new Promise<string>(() => {});
      },
    });
    const model = scriptedClient([[call("stuck")], [say("done")]], { recordRequests: 9 });
    await using manager = await managerOf({ store: memoryStore(), model, tools: [stuck] });
    const { thread } = await manager.startThread();
    const seen = watch(thread);
    const run = thread.run("go");
    await until(() => entered === 1);
    crash(thread, "boom");
    const { status, lastAgentMessage, error } = await run;
    assert.deepEqual([status, lastAgentMessage, error], ["completed", "done", null]);
    assert.deepEqual(gistOf(model.requests[1] ?? { input: [] }), [
      "user: go",
      "call stuck",
      `output: ${UNKNOWN_EFFECT}`,
    ]);
    assert.deepEqual(
      seen
        .filter((event) => isEnd(event) || ["task_started", "turn_resumed"].includes(event.msg.type))
        .map(({ msg }) => msg.type),
      ["task_started", "turn_resumed", "task_complete"],
    );
    assert.ok(seen.some(({ id, msg }) => msg.type === "error" && id === "" && msg.message.includes("boom")));
    assert.equal(entered, 1, "nothing ran twice");
  });

  test("SEMANTICS 5.4: gives up a turn that ends each of its lives, tells so by its own kind of error, and lives on", async () => {
    let thread: Thread | undefined;
    const model = scriptedClient(({ input: items }) => {
      if (!JSON.stringify(items).includes("poison") || JSON.stringify(items).includes("fine")) return [say("well")];
      setImmediate(() => thread && crash(thread, "poisoned"));
      return [hang()];
    });
    await using manager = await managerOf({
      store: memoryStore(),
      model,
      supervision: { backoffMs: 1, maxRestarts: 9 },
    });
    ({ thread } = await manager.startThread());
    const { status, error } = await thread.run("poison");
    assert.deepEqual([status, error?.info], ["failed", "turn_given_up"]);
    assert.match(error?.message ?? "", /2 times taken up again/);
    assert.equal(model.asked, 3);
    assert.equal((await thread.run("fine")).status, "completed");
  });

  test("as often as the option says", async () => {
    let thread: Thread | undefined;
    const model = scriptedClient(() => {
      setImmediate(() => thread && crash(thread, "poisoned"));
      return [hang()];
    });
    const supervision = { backoffMs: 1, maxRestarts: 9, maxContinuations: 0 };
    await using manager = await managerOf({ store: memoryStore(), model, supervision });
    ({ thread } = await manager.startThread());
    assert.equal((await thread.run("poison")).error?.info, "turn_given_up");
    assert.equal(model.asked, 1);
  });

  test("SEMANTICS 4.5: is interrupted as ever where it is not to go on", async () => {
    const model = scriptedClient([[hang()]]);
    await using manager = await managerOf({ store: memoryStore(), model, config: { recovery: "interrupt" } });
    const { thread } = await manager.startThread();
    const run = thread.run("go");
    await until(() => model.asked === 1);
    crash(thread, "boom");
    assert.equal((await run).status, "failed");
    await until(() => thread.epoch === 2);
    assert.equal((await thread.run("again")).status, "completed");
    assert.equal(model.asked, 2);
  });
});

suite("ids", () => {
  for (const id of [newThreadId() as string, "order-7"]) {
    test(`a submission of the id ${id.length > 10 ? "UUID" : id} that goes on is running, is not run twice, and is done then`, async () => {
      const store = memoryStore();
      const { threadId, manager: dead } = await leftOpen(store, id);
      const gate = Promise.withResolvers<void>();
      const model = scriptedClient(() => [{ step: "wait", until: gate.promise }, say("done")]);
      await using manager = await managerOf({ store, model });
      const { thread } = await manager.resumeThread(threadId);
      const seen = watch(thread);
      assert.equal(await thread.outcomeOf(id), "running");
      assert.equal(await thread.submitWithId({ id, op: input("go") }), id);
      assert.equal(await thread.submitWithId({ id, op: input("go"), rerun: true }), id);
      gate.resolve();
      await until(() => seen.some(isEnd));
      assert.deepEqual(
        seen.filter(isEnd).map((event) => [event.id, event.msg.type]),
        [[id, "task_complete"]],
      );
      assert.equal(await thread.outcomeOf(id), "done");
      assert.equal(model.asked, 1);
      await dead.shutdown({ deadlineMs: 10 });
    });
  }
});

suite("what does not go on", () => {
  test("a fork: its source's turn is recorded as interrupted, and stays the source's", async () => {
    const store = memoryStore();
    const { threadId, manager: dead } = await leftOpen(store);
    const model = scriptedClient(() => [say("done")]);
    await using manager = await managerOf({ store, model });
    const { thread } = await manager.forkThread({ from: threadId });
    await delay(20);
    assert.deepEqual([thread.activeTurn, model.asked], [undefined, 0]);
    assert.equal(thread.sessionConfigured.resumed_turn_id, undefined);
    assert.ok(JSON.stringify(await linesOf(store, thread.id)).includes("turn_aborted"));
    const { thread: source } = await manager.resumeThread(threadId);
    const seen = watch(source);
    await until(() => seen.some(isEnd));
    assert.deepEqual(
      seen.filter(isEnd).map(({ msg }) => msg.type),
      ["task_complete"],
    );
    await dead.shutdown({ deadlineMs: 10 });
  });

  test("a fork that died at once: its source's turn is interrupted there, and what the fork itself had accepted runs", async () => {
    const store = memoryStore();
    const { threadId, manager: dead } = await leftOpen(store);
    const base = await store.forkBase(threadId, "full");
    assert.ok(base?.openTurn);
    const meta = { ...(await store.header(threadId)), id: newThreadId() };
    const fork = await store.fork(meta, base);
    const op = input("the fork's own");
    fork.append({ type: "submission", payload: { thread_id: meta.id, id: "job", turn_id: newThreadId(), op } });
    await fork.close();
    const model = scriptedClient(() => [say("done")], { recordRequests: 1 });
    await using manager = await managerOf({ store, model });
    const { thread } = await manager.resumeThread(meta.id);
    await until(async () => (await thread.outcomeOf("job")) === "done");
    assert.equal(gistOf(model.requests[0] ?? { input: [] }).at(-1), "user: the fork's own");
    assert.ok(JSON.stringify(await linesOf(store, meta.id)).includes("turn_aborted"));
    await dead.shutdown({ deadlineMs: 10 });
  });

  test("an archived thread: it is not found, and whoever looks at it all the same finds its turn interrupted", async () => {
    const store = memoryStore();
    const { threadId, manager: dead } = await leftOpen(store);
    await store.archive(threadId);
    const model = scriptedClient(() => [say("done")]);
    await using manager = await managerOf({ store, model });
    assert.deepEqual((await manager.recoverThreads()).threads, []);
    const { thread } = await manager.resumeThread(threadId);
    await delay(20);
    assert.deepEqual([thread.activeTurn, model.asked], [undefined, 0]);
    assert.ok(JSON.stringify(await linesOf(store, threadId)).includes("turn_aborted"));
    await dead.shutdown({ deadlineMs: 10 });
  });
});

suite("recoverThreads", () => {
  test("finds all open turns, loads a few at once, says what became of each, and stops at none that fails", async () => {
    const store = memoryStore();
    const left = await Promise.all(Array.from({ length: 6 }, () => leftOpen(store)));
    const busy = left[4]?.threadId as ThreadId;
    const broken = left[5]?.threadId as ThreadId;
    const holder = await store.open(busy);
    let loading = 0;
    let most = 0;
    const counted = overlaid<ThreadStore>(store, {
      open: async (locator, options) => {
        loading += 1;
        most = Math.max(most, loading);
        await delay(5);
        loading -= 1;
        if (locator === broken) throw new Error("no such disk");
        return store.open(locator, options);
      },
    });
    const model = scriptedClient(() => [say("done")]);
    await using manager = await managerOf({ store: counted, model });
    const whole = await manager.startThread();
    await whole.thread.run("complete");
    const progress: RecoverProgress[] = [];
    const seen: ThreadEvent[] = [];
    manager.events$.subscribe((event) => seen.push(event));
    const { threads } = await manager.recoverThreads({ concurrency: 2, onProgress: (each) => progress.push(each) });
    const outcomes = new Map(threads.map(({ threadId, outcome }) => [threadId, outcome]));
    assert.deepEqual(
      left.map(({ threadId }) => outcomes.get(threadId)),
      ["continued", "continued", "continued", "continued", "busy", "failed"],
    );
    assert.equal(threads.find(({ threadId }) => threadId === broken)?.error?.message, "no such disk");
    assert.equal(threads.length, 6);
    assert.ok(most <= 2, `${most} at once`);
    assert.deepEqual([progress.length, progress.at(-1)?.done, progress.at(-1)?.found], [6, 6, 6]);
    await until(() => seen.filter(isEnd).length === 4);
    assert.deepEqual((await manager.recoverThreads()).threads.map(({ outcome }) => outcome).toSorted(), [
      "busy",
      "failed",
    ]);
    await holder.close();
    for (const { manager: dead } of left) await dead.shutdown({ deadlineMs: 10 });
  });

  test("finds one whose next turn had been accepted, and had not begun", async () => {
    const store = memoryStore();
    let [isEnding, hasEnded] = [false, false];
    const stopping = overlaid<ThreadStore>(store, {
      create: async (meta, options) => {
        const writer = await store.create(meta, options);
        return overlaid(writer, {
          append: (item) => {
            isEnding ||= item.type === "task" && item.payload.answered === true;
            if (!hasEnded || item.type === "submission") writer.append(item);
            hasEnded ||= item.type === "event_msg" && item.payload.type === "task_complete";
          },
          sync: async () => {
            await writer.flush();
            return hasEnded ? new Promise<void>(() => {}) : undefined;
          },
        });
      },
    });
    const dead = await managerOf({ store: stopping, model: scriptedClient(() => [say("one")]) });
    const { thread, threadId } = await dead.startThread();
    await thread.submit(input("go"));
    await until(() => isEnding);
    await thread.submit(input("behind it"));
    await until(() => hasEnded);
    await (await store.open(threadId, { lease: "takeOver" })).close();
    const model = scriptedClient(() => [say("done")], { recordRequests: 1 });
    await using manager = await managerOf({ store, model });
    const seen: ThreadEvent[] = [];
    manager.events$.subscribe((event) => seen.push(event));
    const { threads } = await manager.recoverThreads();
    assert.deepEqual(
      threads.map(({ threadId: id, outcome }) => [id, outcome]),
      [[threadId, "continued"]],
    );
    await until(() => seen.some(isEnd));
    assert.equal(seen.find(({ msg }) => msg.type === "task_started")?.msg.type, "task_started");
    assert.equal(gistOf(model.requests[0] ?? { input: [] }).at(-1), "user: behind it");
    assert.deepEqual((await manager.recoverThreads()).threads, []);
    await dead.shutdown({ deadlineMs: 10 });
  });

  test("is cancelled by its signal, which it rejects with; what was loaded goes on", async () => {
    const store = memoryStore();
    const left = await Promise.all(Array.from({ length: 4 }, () => leftOpen(store)));
    const model = scriptedClient(() => [say("done")]);
    await using manager = await managerOf({ store, model });
    const controller = new AbortController();
    const done: RecoverProgress[] = [];
    const recovering = manager.recoverThreads({
      signal: controller.signal,
      concurrency: 1,
      onProgress: (each) => {
        done.push(each);
        controller.abort(new Error("enough"));
      },
    });
    await assert.rejects(recovering, { message: "enough" });
    assert.equal(done.length, 1);
    await until(() => model.asked === 1);
    for (const { manager: dead } of left) await dead.shutdown({ deadlineMs: 10 });
  });

  test("gives each thread the folder, the policies and the model of its last request", async () => {
    const store = memoryStore();
    const first = await managerOf({ store, model: scriptedClient(() => [hang()]) });
    const config = {
      cwd: "/elsewhere",
      model: "m-7",
      approvalPolicy: {
        granular: {
          ...{ sandbox_approval: false, rules: true, mcp_elicitations: false },
          ...{ skill_approval: false, request_permissions: true },
        },
      },
      sandboxMode: "workspace-write",
    } as const;
    const { thread, threadId } = await first.startThread(config);
    await thread.submit(input("go"));
    await until(async () => JSON.stringify(await linesOf(store, threadId)).includes('"turn_context"'));
    await (await store.open(threadId, { lease: "takeOver" })).close();
    await using manager = await managerOf({ store, model: scriptedClient(() => [hang()]) });
    await manager.recoverThreads();
    const { cwd, model, approvalPolicy, sandboxMode } = (await manager.getThread(threadId)).config;
    assert.deepEqual({ cwd, model, approvalPolicy, sandboxMode }, config);
    await first.shutdown({ deadlineMs: 10 });
  });
});
