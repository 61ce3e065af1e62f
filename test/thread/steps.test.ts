/** Durable steps: done once, tried again by their policy, and known after a kill -9. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import {
  call,
  fileStore,
  InvalidRequestError,
  OverloadedError,
  StepFailedError,
  scriptedClient,
  type Thread,
  ThreadClosedError,
  ThreadManager,
  tool,
} from "../../src/index.ts";
import { observe, settled } from "../kernel/settled.ts";
import { linesOf, type Rig, rig, until } from "../rig.ts";

/** Lets the clock run until a step has come to its end. */
async function untilOver(step: { readonly outcome: unknown }, { clock }: Rig): Promise<void> {
  while (step.outcome === "pending") {
    await settled();
    await clock.advanceAsync(100);
  }
}

test("SEMANTICS 11.4, 11.6: runs once in the thread's life: over calls, unloading, forks and managers", async () => {
  await using r = await rig({ residency: { unloadAfterMs: 1_000 } });
  const { thread, threadId } = await r.manager.startThread();
  let runs = 0;
  const work = async () => ({ runs: ++runs, list: [1, "x", null] });
  const first = await thread.step("fetch", work);
  assert.deepEqual(first, { runs: 1, list: [1, "x", null] });
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => thread.step("fetch", work))), [first, first, first]);
  assert.equal(await thread.step("nothing", () => undefined), undefined);
  assert.equal(await thread.step("nothing", () => 5 as never), undefined);
  await thread.run("hello");
  const { thread: fork } = await r.manager.forkThread({ from: threadId });
  assert.deepEqual(await fork.step("fetch", work), first);
  assert.equal(await fork.step("own", () => "fork's"), "fork's");
  assert.equal(await thread.step("own", () => "source's"), "source's");
  await r.manager.removeThread(threadId).then((removed) => removed?.shutdown());
  await using other = await rig({ store: r.store });
  const { thread: again } = await other.manager.resumeThread(threadId);
  assert.deepEqual(await again.step("fetch", work), first);
  assert.equal(await again.step("nothing", () => 5 as never), undefined);
  assert.equal(runs, 1);
  assert.equal((await linesOf(r.store, threadId)).filter(({ type }) => type === "durable_step").length, 6);
});

test("calls that overlap share one run; one that gives up leaves it to the others", async () => {
  await using r = await rig();
  const { thread } = await r.manager.startThread();
  let runs = 0;
  const open: (() => void)[] = [];
  const work = () => {
    runs += 1;
    return new Promise<number>((resolve) => open.push(() => resolve(runs)));
  };
  const controller = new AbortController();
  const first = observe(thread.step("s", work, { signal: controller.signal }));
  const second = observe(thread.step("s", work));
  await until(() => open.length === 1);
  controller.abort(new Error("enough"));
  await until(() => open.length === 2);
  open[1]?.();
  await until(() => second.outcome !== "pending");
  assert.match(String((first.outcome as { reason: unknown }).reason), /enough/);
  assert.deepEqual((second.outcome as { value: unknown }).value, 2);
});

test("the policy: attempts, pauses, and which errors; a failure is typed, and not kept", async () => {
  await using r = await rig();
  const { thread } = await r.manager.startThread();
  const seen: number[] = [];
  const flaky = ({ attempt }: { attempt: number }) => {
    seen.push(attempt);
    if (attempt < 3) throw new Error(`no ${attempt}`);
    return attempt;
  };
  const backoff = { baseMs: 100, factor: 2, jitter: 0 };
  const run = observe(thread.step("flaky", flaky, { attempts: 3, backoff }));
  await until(() => seen.length === 1);
  await r.clock.advanceAsync(99);
  assert.equal(seen.length, 1);
  await r.clock.advanceAsync(1);
  await until(() => seen.length === 2);
  await r.clock.advanceAsync(200);
  await until(() => run.outcome !== "pending");
  assert.deepEqual([(run.outcome as { value: unknown }).value, seen], [3, [1, 2, 3]]);

  const none = { backoff: { baseMs: 0 } };
  const boom = new TypeError("boom");
  const always = () => {
    throw boom;
  };
  for (const [options, attempts] of [
    [{ attempts: 1 }, 1],
    [{ attempts: 4, retryOn: [TypeError] }, 4],
    [{ attempts: 4, retryOn: [RangeError, "overloaded"] as const }, 1],
    [{ attempts: 4, retryOn: (_error: unknown, attempt: number) => attempt < 2 }, 2],
  ] as const) {
    const failing = observe(thread.step("always", always, { ...none, ...options }));
    await untilOver(failing, r);
    const { reason } = failing.outcome as { reason: unknown };
    assert.ok(reason instanceof StepFailedError && reason.cause === boom);
    assert.deepEqual([reason.attempts, reason.stepId, reason.reason], [attempts, "always", "failed"]);
  }
  let tries = 0;
  const invalid = thread.step("typed", () => {
    tries += 1;
    throw new InvalidRequestError("would come again");
  });
  await assert.rejects(invalid, StepFailedError);
  assert.equal(tries, 1);
  const overloaded = observe(
    thread.step("busy", ({ attempt }) => {
      if (attempt === 1) throw new OverloadedError("later");
      return "done";
    }),
  );
  await untilOver(overloaded, r);
  assert.equal((overloaded.outcome as { value: unknown }).value, "done");
  assert.equal(await thread.step("always", () => "at last"), "at last");
});

test("what can't be stored, wrong options and a closed thread are refused", async () => {
  await using r = await rig();
  const { thread } = await r.manager.startThread();
  for (const value of [new Date(), { f: () => 1 }, Number.NaN, "x".repeat(2 ** 21)]) {
    await assert.rejects(
      thread.step("bad", () => value),
      InvalidRequestError,
    );
  }
  for (const [id, work, options] of [
    ["", () => 1, {}],
    ["x", () => 1, { backoff: { baseMs: "1" } }],
    ["x", () => 1, { retryOn: [5] }],
    [5, () => 1, {}],
    ["x", 1, {}],
    ["x", () => 1, { attempts: 0 }],
    ["x", () => 1, { retryOn: 5 }],
    ["x", () => 1, { onCut: "no" }],
  ]) {
    await assert.rejects(thread.step(id as never, work as never, options as never), InvalidRequestError);
  }
  let aborted = false;
  const hanging = observe(
    thread.step("hangs", ({ signal }) => {
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      return new Promise(() => undefined);
    }),
  );
  await settled();
  await thread.shutdown();
  await until(() => hanging.outcome !== "pending");
  assert.ok((hanging.outcome as { reason: unknown }).reason instanceof ThreadClosedError && aborted);
  await assert.rejects(
    thread.step("late", () => 1),
    ThreadClosedError,
  );
});

test("SEMANTICS 11.7: a step that would wait for itself is refused: at once, through others, through a turn, and in two that cross", async () => {
  let within: Thread | undefined;
  const asks = tool({
    name: "asks",
    description: "Asks for the step that its turn runs in.",
    input: z.object({}),
    execute: async () => String(await within?.step("turn", () => 1).catch((error: Error) => error.message)),
  });
  await using r = await rig({ script: [[call("asks", {})], "answered"], tools: [asks] });
  const { thread } = await r.manager.startThread();
  within = thread;
  const refused = (id: string) => ({ code: "step_failed", message: new RegExp(`step \`${id}\` can't be waited for`) });
  await assert.rejects(
    thread.step("self", () => thread.step("self", () => 1)),
    refused("self"),
  );
  await assert.rejects(
    thread.step("far", () => thread.step("middle", () => thread.step("far", () => 1))),
    refused("far"),
  );
  await thread.step("turn", async () => (await thread.run("go")).lastAgentMessage);
  assert.match(JSON.stringify(await linesOf(r.store, thread.id)), /step `turn` can't be waited for/);
  const gate = Promise.withResolvers<void>();
  const one = thread.step("one", () => gate.promise.then(() => thread.step("other", () => 1)));
  const other = thread.step("other", () => gate.promise.then(() => thread.step("one", () => 2)));
  gate.resolve();
  const ends = await Promise.allSettled([one, other]);
  assert.equal(ends.filter(({ status }) => status === "rejected").length, 1, "the other one goes on");
  const twice = await thread.step("all", () => Promise.all([1, 2].map((n) => thread.step("shared", () => n))));
  assert.deepEqual(twice, [1, 1]);
});

test("a step that failed was not cut: another life of its thread begins it anew, and counts no cut", async () => {
  await using r = await rig();
  const { thread, threadId } = await r.manager.startThread();
  const work = () => {
    throw new Error("no");
  };
  await assert.rejects(thread.step("s", work, { attempts: 1 }), StepFailedError);
  await r.manager.removeThread(threadId).then((removed) => removed?.shutdown());
  await using other = await rig({ store: r.store });
  const { thread: again } = await other.manager.resumeThread(threadId);
  assert.equal(await again.step("s", ({ cuts }) => cuts, { onCut: "fail" }), 0);
});

test("SEMANTICS 11.5: killed between two steps and within one: the stored results are given, the cut one runs again, or is refused", async () => {
  const home = await mkdtemp(join(tmpdir(), "skein-steps-"));
  try {
    const source = new URL("../../src/index.ts", import.meta.url);
    const program = `
      const { fileStore, ThreadManager } = await import(${JSON.stringify(source)});
      const manager = await ThreadManager.create({ store: fileStore({ home: ${JSON.stringify(home)} }), config: { cwd: "/tmp" } });
      const { thread } = await manager.startThread();
      await thread.step("one", () => "first result");
      await thread.step("two", async () => { console.log(thread.id); await new Promise((r) => setTimeout(r, 60_000)); });`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const store = fileStore({ home });
    const manager = await ThreadManager.create({ store, model: scriptedClient() });
    const { thread } = await manager.resumeThread(String(line).trim());
    assert.equal(await thread.step("one", () => assert.fail("it runs again")), "first result");
    await assert.rejects(
      thread.step("two", () => 2, { onCut: "fail" }),
      (error) => error instanceof StepFailedError && error.reason === "cut",
    );
    const cuts = await thread.step("two", (context) => [context.cuts, context.idempotencyKey]);
    assert.deepEqual(cuts, [1, `${thread.id}/two`]);
    await manager.shutdown();
    await store.close();
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
