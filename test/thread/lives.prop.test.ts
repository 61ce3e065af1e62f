/**
 * Lives of one thread, over a store with jitter: whatever comes when, every promise settles, every turn that began has its
 * one end, no message enters the history twice, no id runs twice, and nothing is left.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Thread } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import type { ThreadEvent } from "../../src/protocol/event.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore, ThreadWriter } from "../../src/store/thread-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, overlaid, rig } from "../rig.ts";

const RUNS = Number(process.env.SKEIN_LIVES_RUNS ?? 60);
const HALF_AN_HOUR = 31 * 60_000;

type Step =
  | { do: "run" | "named" | "rerun" | "steer"; n: number }
  | { do: "interrupt" | "rollback" | "compact" | "skills" | "unload" | "crash" | "lose" | "pause" | "tick" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom("run" as const, "steer" as const, "named" as const, "rerun" as const),
    n: fc.nat(3),
  }),
  fc.record({
    do: fc.constantFrom(
      ...(["interrupt", "rollback", "compact", "skills", "unload", "crash", "lose", "pause", "tick"] as const),
    ),
  }),
);

/** Writes and reads that take their time, each in an order that the scheduler chooses. */
function jittery(inner: ThreadStore, s: fc.Scheduler): ThreadStore {
  const late = <T>(work: () => Promise<T>): Promise<T> => s.schedule(Promise.resolve()).then(work);
  const wrap = (writer: ThreadWriter) =>
    overlaid(writer, {
      flush: (options) => late(() => writer.flush(options)),
      sync: (options) => late(() => writer.sync(options)),
      close: () => late(() => writer.close()),
    });
  return overlaid(inner, {
    create: async (...parts) => wrap(await inner.create(...parts)),
    open: async (...parts) => wrap(await late(() => inner.open(...parts))),
  });
}

const isEnd = (type: string) => type === "task_complete" || type === "turn_aborted";

test("the lives of one thread", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 14 }), fc.scheduler(), async (steps, s) => {
      const inner = memoryStore();
      let asked = 0;
      const r = await rig({
        store: jittery(inner, s),
        script: () => (asked++ % 3 === 2 ? [hang()] : [say("ok")]),
        supervision: { maxRestarts: 100, backoffMs: 1, maxBackoffMs: 1 },
      });
      let isOver = false;
      const pump = (async () => {
        while (!isOver) {
          if (s.count() > 0) await s.waitOne();
          await settled();
        }
      })();
      const { thread: first, threadId } = await r.manager.startThread();
      let thread: Thread = first;
      const events: ThreadEvent[] = [];
      r.manager.events$.subscribe((event) => events.push(event));
      const waits: Promise<unknown>[] = [];
      const wait = (promise: Promise<unknown>) => waits.push(promise.catch(() => undefined));
      let texts = 0;
      const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
      for (const action of steps) {
        switch (action.do) {
          case "run":
            wait(thread.run(`text ${texts++}`));
            break;
          case "steer":
            wait(thread.submit(input(`text ${texts++}`)));
            break;
          case "named":
            wait(thread.submitWithId({ id: `id-${action.n}`, op: input(`named ${action.n}`) }));
            break;
          case "rerun":
            wait(thread.submitWithId({ id: `again-${texts}`, op: input(`text ${texts++}`), rerun: true }));
            break;
          case "interrupt":
            wait(thread.interrupt());
            break;
          case "rollback":
            wait(thread.submit({ type: "thread_rollback", num_turns: 1 }));
            break;
          case "compact":
            wait(thread.submit({ type: "compact" }));
            break;
          case "skills":
            wait(thread.submit({ type: "list_skills" }));
            break;
          case "unload":
            await r.clock.advanceAsync(HALF_AN_HOUR);
            break;
          case "crash":
            (thread as LiveThread).incarnation.end("crashed", new Error("on purpose"));
            break;
          case "lose": {
            const other = await inner.open(threadId, { lease: "takeOver" });
            await settled();
            await other.close();
            // A thread that is down comes back in its time.
            const resuming = r.manager.resumeThread(threadId).catch(() => undefined);
            await r.clock.advanceAsync(10);
            wait(resuming);
            void resuming.then((again) => {
              thread = again?.thread ?? thread;
            });
            await settled();
            break;
          }
          case "pause":
            await settled();
            break;
          case "tick":
            await r.clock.advanceAsync(10);
        }
      }
      const down = r.manager.shutdown({ deadlineMs: 60_000 });
      for (let n = 0; n < 200; n += 1) {
        await r.clock.advanceAsync(1_000);
        if (await Promise.race([down.then(() => true), settled().then(() => false)])) break;
      }
      await down;
      await Promise.all(waits);
      isOver = true;
      await pump;

      for (const epoch of new Set(events.map((event) => event.epoch))) {
        const seqs = events.filter((event) => event.epoch === epoch).map(({ seq }) => seq);
        assert.deepEqual(
          seqs,
          seqs.map((_, at) => at + (seqs[0] ?? 0)),
        );
      }
      const started = events.flatMap(({ msg }) => (msg.type === "task_started" ? [String(msg.turn_id)] : []));
      const ended = events.flatMap(({ msg }) => (isEnd(msg.type) && "turn_id" in msg ? [String(msg.turn_id)] : []));
      assert.deepEqual(ended.toSorted(), started.toSorted());
      assert.equal(new Set(started).size, started.length);
      const said = (await linesOf(inner, threadId)).flatMap((line) =>
        line.type === "response_item" && line.payload.type === "message" && line.payload.role === "user"
          ? line.payload.content.flatMap((part) =>
              "text" in part && /^(text|named) /.test(String(part.text)) ? [String(part.text)] : [],
            )
          : [],
      );
      assert.deepEqual(said.toSorted(), [...new Set(said)].toSorted());
    }),
    { numRuns: RUNS, timeout: 10_000, endOnFailure: true },
  );
});
