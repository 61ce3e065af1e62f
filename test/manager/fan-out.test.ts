/** map, gather, race and tournament: order, bounds, failures, cancellation, and nothing left behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  DeadlineExceededError,
  FanOutError,
  InvalidRequestError,
  type TaskContext,
  type Thread,
  TurnFailedError,
} from "../../src/index.ts";
import { fail, hang, say, wait } from "../../src/model/script.ts";
import { observe, settled } from "../kernel/settled.ts";
import { type Rig, rig, until } from "../rig.ts";

const loaded = ({ manager }: Rig) => manager.capacity().residentThreads.used;
const later = (ms = 0) => new Promise<void>((resolve) => setTimeout(resolve, ms));

suite("map", () => {
  test("SEMANTICS 11.1: results stand in the order of the inputs, and never more than `concurrency` run", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { maxLength: 20 }),
        fc.integer({ min: 1, max: 6 }),
        async (pauses, concurrency) => {
          await using r = await rig();
          let running = 0;
          let peak = 0;
          const results = await r.manager.map(pauses, {
            concurrency,
            run: async (pause, { index }) => {
              running += 1;
              peak = Math.max(peak, running);
              await later(pause);
              running -= 1;
              return `${index}:${pause}`;
            },
          });
          assert.deepEqual(
            results,
            pauses.map((pause, index) => `${index}:${pause}`),
          );
          assert.equal(peak, Math.min(concurrency, pauses.length));
        },
      ),
      { numRuns: 15 },
    ));

  test("SEMANTICS 11.2: without a function each input is a turn of a thread of its own, which ends with it", async () => {
    await using r = await rig({ limits: { runningTurns: 2 } });
    const results = await r.manager.map(["one", "two", "three"], { config: { developerInstructions: "be short" } });
    assert.deepEqual(
      results.map(({ lastAgentMessage }) => lastAgentMessage),
      ["ack: one", "ack: two", "ack: three"],
    );
    assert.equal(loaded(r), 0);
    assert.deepEqual(await r.manager.map([]), []);
  });

  test("SEMANTICS 11.3: the first failure stops the others: their signals fire, their threads end, and it is the cause", async () => {
    await using r = await rig({ script: () => [hang()] });
    const stopped: unknown[] = [];
    const boom = new Error("boom");
    let begun = 0;
    const run = async (input: number, { signal, startThread }: TaskContext) => {
      begun += 1;
      const thread = await startThread();
      signal.addEventListener("abort", () => stopped.push(input));
      if (input === 2) {
        await until(() => begun === 3);
        throw boom;
      }
      await thread.run("x", { signal });
    };
    const mapping = observe(r.manager.map([0, 1, 2, 3, 4, 5], { concurrency: 3, run }));
    await until(() => mapping.outcome !== "pending");
    const { reason } = mapping.outcome as { reason: unknown };
    assert.ok(reason instanceof FanOutError && reason.cause === boom);
    assert.deepEqual([reason.index, reason.message, reason.code], [2, "map: task 2 failed: boom", "fan_out_failed"]);
    assert.equal(reason.outcomes.filter((outcome) => outcome !== undefined).length, 1);
    assert.deepEqual(stopped.sort(), [0, 1, 2]);
    assert.equal(begun, 3);
    assert.equal(loaded(r), 0);
  });

  test("onFailure settle: each failure stands at its place, a failed turn's too", async () => {
    await using r = await rig({ script: (_request, n) => (n === 1 ? [fail("no")] : [say("yes")]) });
    const outcomes = await r.manager.map(["a", "b", "c"], { concurrency: 1, onFailure: "settle" });
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    assert.ok(outcomes[1]?.status === "rejected" && outcomes[1].reason instanceof TurnFailedError);
  });

  test("an abort and a deadline give up with their reasons, also where tasks and sources do not listen", async () => {
    await using r = await rig({ script: () => [hang()] });
    const deaf = async (_input: unknown, { startThread }: TaskContext) => {
      const thread = await startThread();
      void thread.run("x").catch(() => undefined);
      await new Promise(() => undefined);
    };
    const controller = new AbortController();
    const mapping = observe(r.manager.map([1, 2, 3], { concurrency: 2, run: deaf, signal: controller.signal }));
    await until(() => r.model.requests.length === 2);
    controller.abort(new Error("enough"));
    await until(() => mapping.outcome !== "pending");
    assert.match(String((mapping.outcome as { reason: unknown }).reason), /enough/);
    assert.equal(loaded(r), 0);

    async function* silent() {
      await new Promise(() => undefined);
      yield 1;
    }
    const waiting = observe(r.manager.map(silent(), { run: () => 1, deadlineMs: 50 }));
    await settled();
    await r.clock.advanceAsync(100);
    await until(() => waiting.outcome !== "pending");
    assert.ok((waiting.outcome as { reason: unknown }).reason instanceof DeadlineExceededError);
    await assert.rejects(
      r.manager.map([1], { run: () => 1, signal: AbortSignal.abort(new Error("before")) }),
      /before/,
    );
  });

  test("SEMANTICS 11.1: an endless source is asked for no more than there are places, and closed", async () => {
    await using r = await rig();
    let asked = 0;
    let closed = false;
    async function* endless() {
      try {
        for (;;) yield asked++;
      } finally {
        closed = true;
      }
    }
    const run = async (n: number) => {
      await later();
      if (n === 20) throw new Error("enough");
      return n;
    };
    await assert.rejects(r.manager.map(endless(), { concurrency: 4, run }), /enough/);
    assert.ok(asked <= 26, String(asked));
    await settled();
    assert.equal(closed, true);
    async function* broken() {
      yield 1;
      throw new Error("the source broke");
    }
    await assert.rejects(r.manager.map(broken(), { run: (n) => n }), /the source broke/);
  });

  test("what is no input, function, bound or mode is refused", async () => {
    await using r = await rig();
    for (const [inputs, options] of [
      [5, { run: () => 1 }],
      [[1], { run: 5 }],
      [[1], { run: () => 1, concurrency: 0 }],
      [[1], { run: () => 1, concurrency: 1.5 }],
      [[1], { run: () => 1, onFailure: "ignore" }],
    ]) {
      await assert.rejects(r.manager.map(inputs as never, options as never), InvalidRequestError);
    }
  });
});

suite("gather and race", () => {
  test("gather gives each task's result at its place, of promises too", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const [text, number, turn] = await r.manager.gather([
      async () => "text",
      Promise.resolve(3),
      ({ signal }) => thread.run("hello", { signal }),
    ]);
    assert.deepEqual([text.toUpperCase(), number + 1, turn.lastAgentMessage], ["TEXT", 4, "ack: hello"]);
    const rejected = Promise.reject(new Error("no"));
    const settledAll = await r.manager.gather([() => 1, rejected], { onFailure: "settle" });
    assert.deepEqual(
      settledAll.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    await assert.rejects(r.manager.gather([() => 1, () => Promise.reject(new Error("boom"))]), FanOutError);
    await assert.rejects(r.manager.gather([5 as never]), InvalidRequestError);
    assert.deepEqual(await r.manager.gather([]), []);
  });

  test("race gives the first result, stops the others, and fails when all do", async () => {
    await using r = await rig({
      script: (request) => (JSON.stringify(request.input).includes("quick") ? [say("won")] : [hang()]),
    });
    const runner =
      (text: string) =>
      async ({ startThread, signal }: TaskContext) =>
        (await (await startThread()).run(text, { signal })).lastAgentMessage;
    const racing = observe(
      r.manager.race([runner("slow"), () => Promise.reject(new Error("out")), runner("quick"), runner("slow")]),
    );
    await until(() => racing.outcome !== "pending");
    assert.equal((racing.outcome as { value: unknown }).value, "won");
    assert.equal(loaded(r), 0);
    await assert.rejects(
      r.manager.race([() => Promise.reject(new Error("first")), () => Promise.reject(new Error("second"))]),
      (error) => error instanceof FanOutError && error.outcomes.length === 2 && /failed/.test(error.message),
    );
    await assert.rejects(r.manager.race([]), InvalidRequestError);
  });
});

suite("tournament", () => {
  test("forks the place, keeps the best and ends the others; one that fails is out", async () => {
    const script = (_request: unknown, n: number) => [say("abcdefgh".slice(0, [1, 3, 5, 2][n] ?? 1))];
    await using r = await rig({ script });
    const { thread } = await r.manager.startThread();
    await thread.run("draft");
    const { winner, entries } = await r.manager.tournament(thread, 4, {
      concurrency: 1,
      run: async (fork, { index, signal }) => {
        if (index === 1) throw new Error("out");
        return (await fork.run(`way ${index}`, { signal })).lastAgentMessage ?? "";
      },
      score: (draft) => draft.length,
    });
    assert.deepEqual([winner.index, winner.result, winner.score], [2, "abcde", 5]);
    assert.deepEqual(
      entries.map(({ index, error }) => [index, error !== undefined]),
      [
        [0, false],
        [1, true],
        [2, false],
        [3, false],
      ],
    );
    assert.deepEqual([...(await r.manager.listThreadIds())].sort(), [thread.id, winner.thread.id].sort());
    assert.equal((await r.manager.descendants(thread.id)).length, 4);
    assert.equal((await winner.thread.run("on")).status, "completed");
  });

  test("a prompt for each, a judge, an anchor, and losers that are deleted", async () => {
    await using r = await rig();
    const { thread, threadId } = await r.manager.startThread();
    const { turnId } = await thread.run("one");
    await thread.run("two");
    const { winner } = await r.manager.tournament(
      { from: threadId, at: { throughTurn: turnId as never }, config: {} },
      3,
      { prompt: (index) => `way ${index}`, judge: (contenders) => contenders.length - 1, losers: "delete" },
    );
    assert.equal(winner.result, "ack: way 2");
    assert.deepEqual(await r.manager.descendants(threadId), [winner.thread.id]);
  });

  test("when all fail, or somebody gives up, no fork is left, stored ones neither", async () => {
    await using r = await rig({ script: (_request, n) => (n === 0 ? [say("draft")] : [wait(50), fail("no")]) });
    const { thread, threadId } = await r.manager.startThread();
    await thread.run("draft");
    const controller = new AbortController();
    const options = { prompt: "go", score: () => 1 };
    const all = observe(r.manager.tournament(threadId, 3, options));
    await until(() => r.model.requests.length === 4);
    await r.clock.advanceAsync(100);
    await until(() => all.outcome !== "pending");
    assert.ok((all.outcome as { reason: unknown }).reason instanceof FanOutError);
    assert.deepEqual(await r.manager.descendants(threadId), []);
    const given = observe(r.manager.tournament(threadId, 3, { ...options, signal: controller.signal }));
    await until(() => r.model.requests.length === 7);
    controller.abort(new Error("enough"));
    await until(() => given.outcome !== "pending");
    assert.match(String((given.outcome as { reason: unknown }).reason), /enough/);
    assert.deepEqual(await r.manager.descendants(threadId), []);
    for (const [point, count, wrong] of [
      [threadId, 0, options],
      [{}, 2, options],
      [threadId, 2, { prompt: "x" }],
      [threadId, 2, { score: () => 1 }],
    ]) {
      await assert.rejects(r.manager.tournament(point as Thread, count as number, wrong as never), InvalidRequestError);
    }
  });
});
