/** The turn machine: every path ends once, also through an interrupt in any of its states. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createActor, fromPromise } from "xstate";
import { type SampleOutcome, turnMachine } from "../../machines/turn.machine.ts";
import { toSubmissionId } from "../../src/protocol/ids.ts";
import { settled } from "../kernel/settled.ts";

type Work = "prepare" | "sample" | "backOff" | "runTools" | "finish" | "settle" | "storeEnd";
const WORK: readonly Work[] = ["prepare", "sample", "backOff", "runTools", "finish", "settle", "storeEnd"];
const NOTHING: SampleOutcome = { calls: 0, pendingInput: false };

type Call = { work: Work; input: unknown; done(output?: unknown): Promise<void>; fail(error: unknown): Promise<void> };

/** A turn whose every piece of work is ended by hand. */
function handled(options: { mayRetry?: boolean } = {}) {
  const log: string[] = [];
  const calls: Call[] = [];
  const worker = (work: Work) =>
    fromPromise<never, unknown>(({ input }) => {
      log.push(work);
      const { promise, resolve, reject } = Promise.withResolvers<never>();
      calls.push({
        work,
        input,
        done: (output) => {
          resolve(output as never);
          return settled();
        },
        fail: (error) => {
          reject(error);
          return settled();
        },
      });
      return promise;
    });
  const actors = Object.fromEntries(WORK.map((work) => [work, worker(work)])) as Record<Work, never>;
  const machine = turnMachine.provide({
    actors,
    actions: {
      abortWork: () => void log.push("abortWork"),
      publishError: () => void log.push("error"),
      publishCompleted: () => void log.push("task_complete"),
      publishAborted: () => void log.push("turn_aborted"),
    },
    guards: { mayRetry: (_, { retries }) => (options.mayRetry ?? false) && retries < 2 },
  });
  const actor = createActor(machine, { input: { life: "t/1", task: { id: toSubmissionId("0"), kind: "regular" } } });
  actor.start();
  const last = (): Call => {
    const call = calls.at(-1);
    assert.ok(call);
    return call;
  };
  return { actor, log, last, calls };
}

const retryable = new Error("again");

/** Leads a turn into each place where it can be interrupted. */
const places: Record<string, (turn: ReturnType<typeof handled>) => Promise<void>> = {
  starting: async () => {},
  sampling: async (turn) => turn.last().done(),
  backingOff: async (turn) => {
    await turn.last().done();
    await turn.last().fail(retryable);
  },
  runningTools: async (turn) => {
    await turn.last().done();
    await turn.last().done({ calls: 1, pendingInput: false });
  },
  awaitingApproval: async (turn) => {
    await turn.last().done();
    await turn.last().done({ calls: 1, pendingInput: false });
    turn.actor.send({ type: "approval.requested" });
  },
  finishing: async (turn) => {
    await turn.last().done();
    await turn.last().done(NOTHING);
  },
};

suite("turn machine", () => {
  test("a plain turn", async () => {
    const turn = handled();
    await turn.last().done();
    await turn.last().done(NOTHING);
    await turn.last().done(NOTHING);
    await turn.last().done();
    assert.deepEqual(turn.log, ["prepare", "sample", "finish", "storeEnd", "task_complete"]);
    assert.equal(turn.actor.getSnapshot().status, "done");
  });

  test("tools, then another request; pending input, then another request, from the ending window too", async () => {
    const turn = handled();
    for (const output of [
      undefined,
      { calls: 2, pendingInput: true },
      NOTHING,
      { calls: 0, pendingInput: true },
      NOTHING,
      { calls: 0, pendingInput: true },
      NOTHING,
      NOTHING,
      undefined,
    ]) {
      await turn.last().done(output);
    }
    assert.deepEqual(turn.log, [
      "prepare",
      "sample",
      "runTools",
      "sample",
      "sample",
      "finish",
      "sample",
      "finish",
      "storeEnd",
      "task_complete",
    ]);
  });

  test("retries count up until the guard says no, then the turn fails once", async () => {
    const turn = handled({ mayRetry: true });
    await turn.last().done();
    for (let tries = 0; tries < 2; tries += 1) {
      await turn.last().fail(retryable);
      const { retries, error } = turn.last().input as { retries: number; error: unknown };
      assert.deepEqual([retries, error], [tries + 1, retryable]);
      await turn.last().done();
    }
    await turn.last().fail(retryable);
    await turn.last().done();
    await turn.last().done();
    assert.deepEqual(turn.log.slice(-5), ["error", "abortWork", "settle", "storeEnd", "task_complete"]);
  });

  for (const [how, answer] of Object.entries({
    calls: { calls: 1, pendingInput: false },
    "joined input": { calls: 0, pendingInput: true },
  })) {
    test(`an answer with ${how} makes the retries of the next request count from the beginning`, async () => {
      const turn = handled({ mayRetry: true });
      await turn.last().done();
      for (let request = 0; request < 3; request += 1) {
        for (let tries = 0; tries < 2; tries += 1) {
          await turn.last().fail(retryable);
          assert.equal((turn.last().input as { retries: number }).retries, tries + 1);
          await turn.last().done();
        }
        await turn.last().done(answer);
        if (answer.calls > 0) await turn.last().done(NOTHING);
      }
      assert.ok(!turn.log.includes("error"));
    });
  }

  for (const [place, lead] of Object.entries(places)) {
    test(`an interrupt in ${place} ends the turn once, as aborted`, async () => {
      const turn = handled({ mayRetry: true });
      await lead(turn);
      turn.actor.send({ type: "turn.interrupt", reason: "interrupted" });
      turn.actor.send({ type: "turn.interrupt", reason: "replaced" });
      assert.deepEqual(turn.log.slice(-2), ["abortWork", "settle"]);
      await turn.last().done();
      assert.equal((turn.last().input as { reason: string }).reason, "interrupted");
      turn.actor.send({ type: "turn.interrupt", reason: "replaced" });
      await turn.last().done();
      const ends = turn.log.filter((entry) => entry === "turn_aborted" || entry === "task_complete");
      assert.deepEqual([ends, turn.actor.getSnapshot().status], [["turn_aborted"], "done"]);
    });
  }

  for (const work of ["settle", "storeEnd"] as const) {
    test(`an end that ${work} cannot prepare is an end all the same`, async () => {
      const turn = handled();
      turn.actor.send({ type: "turn.interrupt", reason: "interrupted" });
      if (work === "storeEnd") await turn.last().done();
      await turn.last().fail(new Error("disk"));
      if (work === "settle") await turn.last().done();
      assert.deepEqual(turn.log.at(-1), "turn_aborted");
    });
  }

  test("an end once stored is not taken back, and a turn that fails is not aborted as well", async () => {
    const ending = handled();
    await ending.last().done();
    await ending.last().done(NOTHING);
    await ending.last().done(NOTHING);
    ending.actor.send({ type: "turn.interrupt", reason: "interrupted" });
    await ending.last().done();
    assert.equal(ending.log.at(-1), "task_complete");

    const failing = handled();
    await failing.last().fail(new Error("no"));
    failing.actor.send({ type: "turn.interrupt", reason: "interrupted" });
    await failing.last().done();
    await failing.last().done();
    assert.deepEqual(failing.log, ["prepare", "error", "abortWork", "settle", "storeEnd", "task_complete"]);
  });

  test("approvals are counted, also those asked for while the answer streams", async () => {
    const turn = handled();
    await turn.last().done();
    turn.actor.send({ type: "approval.requested" });
    turn.actor.send({ type: "approval.requested" });
    await turn.last().done({ calls: 2, pendingInput: false });
    assert.deepEqual(turn.actor.getSnapshot().value, { runningTools: "awaitingApproval" });
    turn.actor.send({ type: "approval.resolved" });
    assert.deepEqual(turn.actor.getSnapshot().value, { runningTools: "awaitingApproval" });
    turn.actor.send({ type: "approval.resolved" });
    assert.deepEqual(turn.actor.getSnapshot().value, { runningTools: "executing" });
  });
});
