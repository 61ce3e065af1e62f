import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { createActor } from "xstate";
import { type RestartInput, restartMachine } from "../../machines/restart.machine.ts";
import { ManualClock } from "../../src/kernel/clock.ts";

const OPTIONS: RestartInput = { maxRestarts: 2, periodMs: 1_000, backoffMs: 100, maxBackoffMs: 150 };

function counter(options: Partial<RestartInput> = {}) {
  const clock = new ManualClock();
  const log: string[] = [];
  const actor = createActor(restartMachine, { input: { ...OPTIONS, ...options }, clock });
  actor.on("restart.due", ({ attempt }) => log.push(`${clock.now()}: restart ${attempt}`));
  actor.on("restart.gaveUp", ({ crashes }) => log.push(`${clock.now()}: gave up after ${crashes}`));
  actor.start();
  return { clock, log, actor, crash: () => actor.send({ type: "thread.crashed", at: clock.now() }) };
}

suite("restart machine", () => {
  test("restarts back off, are capped, and are given up beyond the intensity", () => {
    const { clock, log, crash, actor } = counter();
    crash();
    clock.advance(100);
    crash();
    clock.advance(200);
    crash();
    assert.deepEqual(log, ["100: restart 1", "250: restart 2", "300: gave up after 3"]);
    assert.equal(actor.getSnapshot().status, "done");
    assert.equal(clock.pending, 0);
  });

  test("crashes that are longer ago than the period are forgotten", () => {
    const { clock, log, crash } = counter();
    for (let n = 0; n < 10; n += 1) {
      crash();
      clock.advance(600);
    }
    assert.equal(log.length, 10);
    assert.ok(log.every((entry) => entry.includes("restart")));
  });

  test("no restart at all is allowed by an intensity of 0", () => {
    const { log, crash } = counter({ maxRestarts: 0 });
    crash();
    assert.deepEqual(log, ["0: gave up after 1"]);
  });

  test("within any period, never more restarts than the intensity allows", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 40 }),
        fc.integer({ min: 0, max: 4 }),
        (gaps, maxRestarts) => {
          const { clock, log, crash, actor } = counter({ maxRestarts, backoffMs: 0, maxBackoffMs: 0 });
          for (const gap of gaps) {
            crash();
            clock.advance(gap);
          }
          const times = log.filter((entry) => entry.includes("restart")).map((entry) => Number(entry.split(":")[0]));
          for (const at of times) {
            const within = times.filter((time) => time <= at && at - time < OPTIONS.periodMs).length;
            assert.ok(within <= maxRestarts, `${within} restarts within a period`);
          }
          assert.ok(actor.getSnapshot().context.crashes.length <= maxRestarts + 1);
        },
      ),
    );
  });
});
