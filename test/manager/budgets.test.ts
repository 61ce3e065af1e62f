/** Budgets of threads and of trees: what is asked, what is refused, and what stays used. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as z from "zod";
import {
  type Budget,
  BudgetExceededError,
  call,
  defineThreadLogic,
  type EventMsg,
  fail,
  ModelError,
  StoreIoError,
  say,
  type ThreadConfig,
  type ThreadEvent,
  type ThreadStore,
  tool,
  usage,
  wait,
} from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { settled } from "../kernel/settled.ts";
import { assertPaired, latch, linesOf, overlaid, rig, until, watch } from "../rig.ts";

/** An answer that says it has used so many tokens. */
const spending = (tokens: number) => [say("ok"), usage({ input_tokens: tokens, output_tokens: 0 })];

const overs = (events: readonly ThreadEvent[]) =>
  events.flatMap(({ msg }) => (msg.type === "budget_exceeded" ? [msg] : [])) as Extract<
    EventMsg,
    { type: "budget_exceeded" }
  >[];

const isOver = (which: string, whose?: string) => (error: unknown) =>
  error instanceof BudgetExceededError && error.which === which && (whose === undefined || error.whose === whose);

suite("budgets", () => {
  test("SEMANTICS 8.2, 8.4: tokens: the request that reaches the bound is the last; the next turn is refused, stored nowhere, and told how", async () => {
    await using r = await rig({ script: () => spending(60) });
    const { thread } = await r.manager.startThread({ budget: { tokens: 100, reserveTokens: 50 } });
    for (let n = 0; n < 2; n += 1) assert.equal((await thread.run("go")).status, "completed");
    const before = (await linesOf(r.store, thread.id)).length;
    await assert.rejects(thread.run("more"), (error: unknown) => {
      assert.ok(error instanceof BudgetExceededError);
      const { code, which, used, max, whose, scope, retryable, rpcCode } = error;
      assert.deepEqual(
        { code, which, used, max, whose, scope, retryable, rpcCode },
        {
          ...{ code: "budget_exceeded", which: "tokens", used: 120, max: 100, whose: thread.id, scope: "thread" },
          ...{ retryable: false, rpcCode: -32014 },
        },
      );
      return true;
    });
    assert.equal(r.model.requests.length, 2);
    assert.equal((await linesOf(r.store, thread.id)).length, before);
    await thread.setBudget({ budget: { tokens: 200 } });
    assert.equal((await thread.run("more")).status, "completed");
    assert.equal((await thread.budget())?.used.tokens, 180);
  });

  test("refuse in the middle of a turn: it fails with the bound named, its call has its output, the thread is idle and whole", async () => {
    const look = tool({ name: "look", description: "", input: z.object({}), execute: () => "seen" });
    await using r = await rig({ script: (_, n) => (n === 0 ? [call("look"), usage({ input_tokens: 5 })] : "ok") });
    const { thread } = await r.manager.startThread({ tools: [look], budget: { modelRequests: 1 } });
    const seen = watch(thread);
    const result = await thread.run("go");
    assert.equal(result.status, "failed");
    assert.equal(result.error?.info, "usage_limit_exceeded");
    assert.match(result.error?.message ?? "", /modelRequests .* 1 of 1 used/);
    const [over] = overs(seen);
    assert.deepEqual([over?.which, over?.used, over?.max, over?.action], ["modelRequests", 1, 1, "refuse"]);
    const items = (await linesOf(r.store, thread.id)).flatMap((l) => (l.type === "response_item" ? [l.payload] : []));
    assertPaired(items);
    await thread.setBudget({ budget: null });
    assert.equal((await thread.run("again")).status, "completed");
  });

  test("warn: told once that it nears and once that it is over, and everything goes on", async () => {
    await using r = await rig({ script: () => spending(30) });
    const { thread } = await r.manager.startThread({ budget: { tokens: 100, onExceeded: "warn", warnAt: 0.5 } });
    const seen = watch(thread);
    for (let n = 0; n < 6; n += 1) assert.equal((await thread.run("go")).status, "completed");
    const told = seen.flatMap(({ msg }) => (msg.type.startsWith("budget_") ? [msg.type] : []));
    assert.deepEqual(told, ["budget_warning", "budget_exceeded"]);
    assert.equal(overs(seen)[0]?.action, "warn");
  });

  test("interrupt: turns that run under the tree's budget end when another one has used it up", async () => {
    const open = latch();
    await using r = await rig({
      script: ({ input }) =>
        JSON.stringify(input).includes("slow") ? [wait(open.opened), say("late")] : spending(100),
    });
    const { thread: root } = await r.manager.startThread({
      treeBudget: { tokens: 100, onExceeded: "interrupt", reserveTokens: 1 },
    });
    const { thread: child } = await r.manager.startThread({}, { parentThreadId: root.id });
    const seen = watch(child);
    const slow = child.run("slow");
    await until(() => r.model.requests.length === 1);
    assert.equal((await root.run("quick")).status, "completed");
    assert.equal((await slow).status, "interrupted");
    assert.equal(overs(seen)[0]?.whose, root.id);
    await assert.rejects(child.run("again"), isOver("tokens", root.id));
    open.open();
  });

  test("SEMANTICS 8.1: ten children ask at once with room for three: exactly three ask the model", async () => {
    const open = latch();
    for (const treeBudget of [{ modelRequests: 3 }, { tokens: 300, reserveTokens: 100 }, { turns: 3 }]) {
      await using r = await rig({ script: () => [wait(open.opened), ...spending(100)] });
      const { thread: root } = await r.manager.startThread({ treeBudget });
      const children = await Promise.all(
        Array.from({ length: 10 }, () => r.manager.startThread({}, { parentThreadId: root.id })),
      );
      const runs = children.map(({ thread }) => thread.run("go"));
      await until(() => r.model.requests.length === 3);
      for (let n = 0; n < 20; n += 1) await settled();
      open.open();
      const ends = await Promise.all(runs);
      assert.equal(ends.filter(({ status }) => status === "completed").length, 3);
      assert.equal(ends.filter(({ error }) => error?.info === "usage_limit_exceeded").length, 7);
      assert.equal(r.model.requests.length, 3);
      await assert.rejects(
        r.manager.startThread({}, { parentThreadId: root.id }),
        (error) => error instanceof BudgetExceededError,
      );
    }
  });

  test("a child's own bound is above what its parent has left: the smaller rules, and is named with all that are reached", async () => {
    await using r = await rig({ script: () => spending(10) });
    const { thread: root } = await r.manager.startThread({ treeBudget: { tokens: 20 } });
    const { thread: middle } = await r.manager.startThread(
      { treeBudget: { tokens: 1_000 } },
      { parentThreadId: root.id },
    );
    const { thread: leaf } = await r.manager.startThread(
      { budget: { tokens: 100, turns: 2 } },
      { parentThreadId: middle.id },
    );
    for (let n = 0; n < 2; n += 1) assert.equal((await leaf.run("go")).status, "completed");
    await assert.rejects(leaf.run("go"), (error: unknown) => {
      assert.ok(error instanceof BudgetExceededError);
      assert.deepEqual(
        error.all.map(({ which, whose }) => [which, whose]),
        [
          ["turns", leaf.id],
          ["tokens", root.id],
        ],
      );
      return true;
    });
    assert.equal((await middle.budget())?.tree.used.tokens, 20);
    assert.equal((await middle.budget())?.used.tokens, 0, "its own requests alone");
    await middle.shutdown();
    await leaf.shutdown();
    assert.equal((await root.budget())?.tree.used.tokens, 20, "what ended threads have used stays used");
  });

  test("SEMANTICS 8.3: what is set aside and not used is free again; a request that was turned away costs nothing, one that was cut all", async () => {
    const open = latch();
    await using r = await rig({
      script: [
        spending(10),
        [fail(new ModelError("come later", { httpStatus: 429 }))],
        [say("half"), fail(new ModelError("broken"))],
        [wait(open.opened)],
      ],
    });
    const { thread } = await r.manager.startThread({
      budget: { tokens: 1_000, modelRequests: 9, turns: 9, reserveTokens: 100 },
    });
    const use = async () => {
      const { used, reserved } = (await thread.budget()) ?? assert.fail("no budget");
      return [used.tokens, used.modelRequests, used.turns, reserved.tokens];
    };
    await thread.run("a");
    assert.deepEqual(await use(), [10, 1, 1, 0]);
    assert.equal((await thread.run("b")).status, "failed");
    assert.deepEqual(await use(), [10, 1, 1, 0]);
    assert.equal((await thread.run("c")).status, "failed");
    assert.deepEqual(await use(), [110, 2, 2, 0]);
    const cut = thread.run("d");
    await until(() => r.model.requests.length === 4);
    assert.deepEqual(await use(), [110, 2, 2, 100]);
    await thread.interrupt();
    assert.equal((await cut).status, "interrupted");
    for (let n = 0; n < 100 && (await use())[3] !== 0; n += 1) await settled();
    assert.deepEqual(await use(), [210, 3, 3, 0]);
    open.open();
  });

  test("SEMANTICS 8.5: used stays over unloading and a restart of the process, limits too; a fork starts at zero", async () => {
    const store = memoryStore();
    const budget: Budget = { tokens: 100, turns: 10 };
    let id: string;
    {
      await using r = await rig({ store, script: () => spending(60) });
      const { thread } = await r.manager.startThread({ budget, treeBudget: { turns: 3 } });
      id = thread.id;
      await thread.run("a");
    }
    await using r = await rig({ store, script: () => spending(60) });
    const { thread } = await r.manager.resumeThread(id);
    assert.equal((await thread.budget())?.used.tokens, 60);
    const { thread: child } = await r.manager.startThread({}, { parentThreadId: thread.id });
    assert.equal((await child.run("c")).status, "completed");
    await thread.run("b");
    await assert.rejects(thread.run("c"), isOver("tokens", thread.id));
    await assert.rejects(child.run("c"), isOver("turns", thread.id));
    const { thread: fork } = await r.manager.forkThread({ from: thread.id, config: { budget } });
    assert.equal((await fork.budget())?.used.tokens, 0);
    assert.equal((await fork.run("d")).status, "completed");
    await assert.rejects((thread.setBudget as (change?: unknown) => Promise<void>).call(thread), {
      code: "invalid_request",
    });
    await thread.setBudget({ budget: { tokens: 10 } });
    await assert.rejects(thread.run("e"), isOver("tokens"), "lowered below what is used");
  });

  test("SEMANTICS 8.5: a budget holds in the next process though nobody has asked yet; a thread whose budget can't be stored does not come to be", async () => {
    const inner = memoryStore();
    let fails = false;
    const notes = overlaid(inner.notes ?? assert.fail(), {
      write: async (...args) => {
        if (fails) throw new StoreIoError("the disk is full");
        await inner.notes?.write(...args);
      },
    });
    const store = overlaid<ThreadStore>(inner, { notes });
    const first = await rig({ store });
    const { threadId: root } = await first.manager.startThread({ treeBudget: { modelRequests: 1 } });
    const { threadId: middle } = await first.manager.startThread({ budget: { turns: 9 } }, { parentThreadId: root });
    const { threadId: leaf } = await first.manager.startThread({}, { parentThreadId: middle });
    fails = true;
    await assert.rejects(first.manager.startThread({ budget: { tokens: 5 } }), /the disk is full/);
    fails = false;
    assert.equal((await first.manager.listThreadIds()).length, 3);
    assert.equal(runtimeOf(first.manager)?.leftBeside().accounts, 2);
    await first[Symbol.asyncDispose]();
    await using r = await rig({ store });
    // Without those above it, of which one has a budget of its own.
    const { thread } = await r.manager.resumeThread(leaf);
    assert.equal((await thread.run("a")).status, "completed");
    assert.equal((await thread.run("b")).error?.info, "usage_limit_exceeded");
    const { thread: above } = await r.manager.resumeThread(root);
    assert.equal((await above.budget())?.tree.used.modelRequests, 1);
  });

  test("what a process had set aside when it died counts as used", async () => {
    const store = memoryStore();
    const { notes } = store;
    assert.ok(notes);
    await using first = await rig({ store, script: () => spending(1) });
    const { thread } = await first.manager.startThread({ budget: { modelRequests: 4 } });
    await thread.run("a");
    await thread.shutdown();
    await first.manager.shutdown();
    const stored = (await notes.read(thread.id, "budget")) as { reserved: object; tree: { reserved: object } };
    const one = { ...stored.reserved, modelRequests: 2 };
    await notes.write(thread.id, "budget", { ...stored, reserved: one, tree: { ...stored.tree, reserved: one } });
    await using r = await rig({ store, script: () => spending(1) });
    const { thread: again } = await r.manager.resumeThread(thread.id);
    assert.equal((await again.budget())?.used.modelRequests, 3);
    assert.equal((await again.run("b")).status, "completed");
    await assert.rejects(again.run("c"), isOver("modelRequests"));
  });

  test("wall-clock time: turns that run are interrupted when it is over, and waiting between turns costs nothing", async () => {
    await using r = await rig({ script: () => [wait(400), say("ok")] });
    const { thread } = await r.manager.startThread({ budget: { wallClockMs: 1_000, onExceeded: "interrupt" } });
    const run = async (ms: number) => {
      const asked = r.model.requests.length;
      const running = thread.run("go");
      await until(() => r.model.requests.length > asked);
      await r.clock.advanceAsync(ms);
      return (await running).status;
    };
    const idle = r.clock.pending;
    assert.equal(await run(400), "completed");
    assert.equal(r.clock.pending, idle, "nobody watches a time that does not run");
    await r.clock.advanceAsync(60_000);
    assert.equal(await run(400), "completed");
    assert.equal((await thread.budget())?.used.wallClockMs, 800);
    const last = thread.run("go");
    await until(() => r.model.requests.length === 3);
    await r.clock.advanceAsync(200);
    assert.equal((await last).status, "interrupted");
    await assert.rejects(thread.run("go"), isOver("wallClockMs"));
  });

  test("SEMANTICS 8.6: a tree's time is that of all its turns added up, and ends them all", async () => {
    await using r = await rig({ script: () => [wait(1_000), say("ok")] });
    const treeBudget: Budget = { wallClockMs: 900, onExceeded: "interrupt" };
    const { thread: root } = await r.manager.startThread({ treeBudget });
    const children = [];
    for (let n = 0; n < 3; n += 1) children.push((await r.manager.startThread({}, { parentThreadId: root.id })).thread);
    const running = children.map((child) => child.run("go"));
    await until(() => r.model.asked === 3);
    await r.clock.advanceAsync(200);
    assert.equal((await root.budget())?.tree.used.wallClockMs, 600);
    await r.clock.advanceAsync(100);
    assert.deepEqual(
      (await Promise.all(running)).map(({ status }) => status),
      Array(3).fill("interrupted"),
    );
    await assert.rejects(root.run("more"), isOver("wallClockMs", root.id));
  });

  test("SEMANTICS 8.5: a budget that is set, lifted and set again while a turn runs counts its time once, and interrupts it", async () => {
    const open = latch();
    const look = tool({ name: "look", description: "", input: z.object({}), execute: () => "seen" });
    await using r = await rig({ script: (_, n) => [wait(100), ...(n < 3 ? [call("look")] : [wait(open.opened)])] });
    const { thread } = await r.manager.startThread({ tools: [look], budget: { modelRequests: 99 } });
    const running = thread.run("go");
    const asked = async (n: number) => {
      await until(() => r.model.requests.length === n);
      await settled();
    };
    const next = async (n: number) => {
      await asked(n);
      await r.clock.advanceAsync(100);
      await asked(n + 1);
    };
    await asked(1);
    await thread.setBudget({ budget: { wallClockMs: 1_000, onExceeded: "interrupt" } });
    await next(1);
    await thread.setBudget({ budget: null });
    await next(2);
    await thread.setBudget({ budget: { wallClockMs: 1_000, onExceeded: "interrupt" } });
    await next(3);
    await r.clock.advanceAsync(50);
    const used = (await thread.budget())?.used.wallClockMs ?? 0;
    assert.ok(used <= 350, `${used} ms: no time counts twice`);
    await r.clock.advanceAsync(1_000);
    assert.equal((await running).status, "interrupted");
    const { used: after } = (await thread.budget()) ?? assert.fail();
    assert.equal(after.wallClockMs, 1_000);
    await r.clock.advanceAsync(1_000);
    assert.equal((await thread.budget())?.used.wallClockMs, 1_000, "nothing runs any more");
    open.open();
  });

  test("a budget that is raised while a turn that it had refused waits for its next one lets that one through", async () => {
    await using r = await rig({ script: () => spending(60) });
    const { thread: root } = await r.manager.startThread({ treeBudget: { tokens: 50 } });
    const { thread: child } = await r.manager.startThread({}, { parentThreadId: root.id });
    assert.equal((await child.run("a")).status, "completed");
    await assert.rejects(child.run("b"), isOver("tokens", root.id));
    const raised = root.setBudget({ treeBudget: { tokens: 500 } });
    await raised;
    assert.equal((await child.run("b")).status, "completed");
  });

  test("an account stays as long as anybody spends from its tree, and no longer, whatever goes first and however", async () => {
    await using r = await rig({ script: () => spending(10) });
    const { accounts } = runtimeOf(r.manager)?.budgets ?? assert.fail();
    for (const last of ["shutdown", "remove"] as const) {
      const { thread: root } = await r.manager.startThread({ treeBudget: { tokens: 25 } });
      const { thread: child } = await r.manager.startThread({}, { parentThreadId: root.id });
      await child.run("a");
      const held = last === "remove" ? await r.manager.removeThread(child.id) : child;
      await root.shutdown();
      await held?.run("b");
      await held?.run("c");
      await assert.rejects(held?.run("d") ?? assert.fail(), isOver("tokens", root.id));
      assert.ok(accounts.size > 0);
      await held?.shutdown();
      for (let n = 0; n < 20; n += 1) await settled();
      assert.equal(accounts.size, 0, last);
    }
    // Resumed before the last of those under it has gone, it keeps what it had.
    const { thread: root } = await r.manager.startThread({ treeBudget: { tokens: 25 } });
    const { thread: child } = await r.manager.startThread({}, { parentThreadId: root.id });
    await child.run("a");
    await root.shutdown();
    const { thread: again } = await r.manager.resumeThread(root.id);
    await again.run("b");
    await child.shutdown();
    for (let n = 0; n < 20; n += 1) await settled();
    await again.run("c");
    await assert.rejects(again.run("d"), isOver("tokens", root.id));
    assert.equal((await again.budget())?.tree.used.tokens, 30);
  });

  test("cost: by the prices that are given; a model without one is refused at start, also under a tree's budget", async () => {
    const prices = { scripted: { input: 10, cachedInput: 1, output: 100 } };
    const used = usage({ input_tokens: 100_000, cached_input_tokens: 50_000, output_tokens: 10_000 });
    await using r = await rig({ prices, script: () => [say("ok"), used] });
    const { thread } = await r.manager.startThread({ model: "scripted", budget: { cost: 2 }, treeBudget: { cost: 9 } });
    await thread.run("a");
    assert.equal((await thread.budget())?.used.cost, 0.5 + 0.05 + 1);
    await thread.run("b");
    await assert.rejects(thread.run("c"), isOver("cost"));
    const unknown: [ThreadConfig, object][] = [
      [{ model: "other", budget: { cost: 1 } }, {}],
      [{ model: "other" }, { parentThreadId: thread.id }],
    ];
    for (const [config, options] of unknown) {
      await assert.rejects(r.manager.startThread(config, options), {
        code: "invalid_request",
        message: /price of model `other` is not known/,
      });
    }
    assert.equal((await r.manager.listThreadIds()).length, 1);
  });

  test("an own logic's questions count, all of a turn as one; a question over budget fails with the typed error", async () => {
    const logic = defineThreadLogic({
      turn: async ({ ask }) => {
        await ask({ input: "one" });
        return (await ask({ input: "two" })).text;
      },
    });
    await using r = await rig({ threadLogic: logic, script: () => spending(10) });
    const { thread } = await r.manager.startThread({ budget: { turns: 2, modelRequests: 3 } });
    assert.equal((await thread.run("go")).status, "completed");
    const { turns, modelRequests } = (await thread.budget())?.used ?? assert.fail();
    assert.deepEqual([turns, modelRequests], [1, 2]);
    const failed = await thread.run("go");
    assert.deepEqual([failed.status, failed.error?.info], ["failed", "usage_limit_exceeded"]);
  });

  test("wrong budgets are refused by name; a note that can't be read stops the thread rather than its budget", async () => {
    const store = memoryStore();
    await using r = await rig({ store });
    for (const budget of [{ tokens: -1 }, { tokns: 5 }, { onExceeded: "explode" }, { warnAt: 0 }]) {
      await assert.rejects(r.manager.startThread({ budget } as ThreadConfig), /config: budget/);
    }
    const { thread } = await r.manager.startThread();
    await assert.rejects(thread.setBudget({ budget: { turns: Number.NaN } }), { code: "invalid_request" });
    assert.equal(await thread.budget(), undefined);
    await thread.run("a");
    await thread.shutdown();
    await store.notes?.write(thread.id, "budget", { used: "much" });
    const { thread: again } = await r.manager.resumeThread(thread.id);
    const { status, error } = await again.run("b");
    assert.equal(status, "failed");
    assert.match(error?.message ?? "", /the budget of thread/);
  });
});
