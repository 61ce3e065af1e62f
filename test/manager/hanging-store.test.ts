/** A store that hangs keeps nobody waiting who has said how long, and no thread from being taken out. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { memoryStore, say, type ThreadStore } from "../../src/index.ts";
import { settled } from "../kernel/settled.ts";
import { latch, type Rig, rig } from "../rig.ts";
import { AGENTS, type Calls, GROUP, MANAGER, THREAD } from "./option-walk.ts";

/** A store none of whose answers come from `hold` to `release`. */
function hangingStore(): { store: ThreadStore; hold(): void; release(): void } {
  let gate = latch();
  gate.open();
  const slow = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name, object);
        if (name === "notes" && typeof value === "object" && value !== null) return slow(value);
        if (typeof value !== "function" || name === "append" || name === "position") {
          return typeof value === "function" ? value.bind(object) : value;
        }
        if (name === "load") {
          return async function* (...args: unknown[]) {
            await gate.opened;
            yield* value.apply(object, args);
          };
        }
        return async (...args: unknown[]) => {
          await gate.opened;
          const result: unknown = await value.apply(object, args);
          return typeof result === "object" && result !== null && "append" in result ? slow(result) : result;
        };
      },
    });
  return {
    store: slow(memoryStore()),
    hold: () => {
      gate = latch();
    },
    release: () => gate.open(),
  };
}

const STATES = ["loaded", "unloaded", "down"] as const;
const HALF_AN_HOUR = 31 * 60_000;

/** A thread that has been spoken to, where it is told to be, over a store that hangs from now on. */
async function place(state: (typeof STATES)[number]) {
  const { store, hold, release } = hangingStore();
  const supervision = { backoffMs: HALF_AN_HOUR, maxBackoffMs: HALF_AN_HOUR, random: () => 0 };
  const r = await rig({ store, script: () => [say("ok")], supervision });
  const { thread, threadId } = await r.manager.startThread();
  const other = await r.manager.startThread();
  const group = await r.manager.group();
  await thread.run("x");
  await other.thread.interrupt();
  if (state === "unloaded") await r.clock.advanceAsync(HALF_AN_HOUR);
  if (state === "down") thread.actor?.send({ type: "op.submit", id: "broken" });
  for (let n = 0; n < 5; n += 1) await settled();
  hold();
  const on = { m: r.manager, t: thread, c: r.manager.agentControl(), g: group, id: other.threadId };
  const dispose = async () => {
    release();
    await r[Symbol.asyncDispose]();
  };
  return { r, thread, threadId, on, release, [Symbol.asyncDispose]: dispose };
}

async function isAnswered({ clock }: Rig, answer: Promise<unknown>, withinMs: number): Promise<boolean> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  answer.then(over, over);
  for (let ms = 0; ms < withinMs && !isOver; ms += 100) {
    await clock.advanceAsync(100);
    await settled();
  }
  return isOver;
}

suite("a store that hangs", () => {
  const walked: Record<string, Calls> = { thread: THREAD, manager: MANAGER, agents: AGENTS, group: GROUP };
  for (const [which, calls] of Object.entries(walked)) {
    for (const state of ["loaded", "unloaded"] as const) {
      test(`SEMANTICS 3.1 and 3.3: ${which}, ${state}: each call answers by the deadline, and at an abort`, async () => {
        for (const [name, call] of Object.entries(calls)) {
          for (const how of ["deadlineMs", "signal"] as const) {
            await using at = await place(state);
            const abort = new AbortController();
            const options = how === "signal" ? { signal: abort.signal } : { deadlineMs: 50 };
            const answer = (async () => call(options, at.on))();
            answer.catch(() => undefined);
            for (let n = 0; n < 5; n += 1) await settled();
            abort.abort(new Error("given up"));
            // What ends by force may take two seconds more.
            assert.ok(await isAnswered(at.r, answer, 2_200), `${name} with ${how}`);
          }
        }
      });
    }
  }

  for (const [which, calls] of Object.entries(walked)) {
    test(`${which}: each call that has said nothing of how long is answered when its manager has ended`, async () => {
      for (const state of STATES) {
        for (const [name, call] of Object.entries(calls)) {
          await using at = await place(state);
          const answer = (async () => call(undefined, at.on))();
          answer.catch(() => undefined);
          for (let n = 0; n < 5; n += 1) await settled();
          assert.ok(await isAnswered(at.r, at.r.manager.shutdown({ deadlineMs: 50 }), 15_000), `shutdown with ${name}`);
          // The end of a thread has a bound of its own, ten seconds.
          assert.ok(await isAnswered(at.r, answer, 11_000), `${state}: ${name}`);
          const [outcome] = await Promise.allSettled([answer]);
          if (outcome.status === "rejected")
            assert.match(
              String(outcome.reason.code),
              /^((manager|thread)_closed|invalid_request|message_refused|fan_out_failed)$/,
              name,
            );
        }
      }
    });
  }

  for (const state of STATES) {
    test(`one that is ${state} is taken out, whether its holder waits or not`, async () => {
      for (const options of [{}, { deadlineMs: 50 }]) {
        await using at = await place(state);
        const { manager } = at.r;
        const removing = manager.removeThread(at.threadId, options);
        removing.catch(() => undefined);
        assert.ok(await isAnswered(at.r, removing, 11_000));
        const [outcome] = await Promise.allSettled([removing]);
        if (state === "loaded") assert.equal(outcome.status, "fulfilled");
        else assert.equal(outcome.status === "rejected" && outcome.reason.code, "deadline_exceeded");
        await assert.rejects(manager.getThread(at.threadId), { code: "thread_not_found" });
        assert.equal(await manager.removeThread(at.threadId), undefined);
        if (state === "loaded") continue;
        await assert.rejects(at.thread.submit({ type: "compact" }), { code: "thread_closed" });
        at.release();
        for (let n = 0; n < 20; n += 1) await settled();
        const again = await manager.resumeThread(at.threadId);
        assert.equal((await again.thread.run("y")).lastAgentMessage, "ok");
      }
    });
  }

  test("one that two take out at once is given to the first, and there for nobody then", async () => {
    await using at = await place("unloaded");
    const { manager } = at.r;
    const [first, second] = [manager.removeThread(at.threadId), manager.removeThread(at.threadId)];
    await settled();
    at.release();
    assert.equal((await first)?.id, at.threadId);
    assert.equal(await second, undefined);
  });

  test("an agent that can't be loaded keeps nobody from hearing of the others", async () => {
    await using at = await place("unloaded");
    const control = at.r.manager.agentControl();
    // The one has answered, the other has never been asked, so that only loading it could tell of its end.
    const waiting = control.waitFor([at.on.id, at.threadId], { mode: "all", deadlineMs: 50 });
    assert.ok(await isAnswered(at.r, waiting, 200));
    assert.deepEqual(await waiting, { status: { [at.threadId]: { completed: "ok" } }, timedOut: true });
  });
});
