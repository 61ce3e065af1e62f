import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import { ClientPool } from "../../src/model/client-pool.ts";
import type { ModelClient, ModelEvent } from "../../src/model/model-client.ts";
import { settled } from "../kernel/settled.ts";
import { answer, asking } from "./requests.ts";

/** Clients that answer when they are told to, and what became of them. */
function maker() {
  const gates: (() => void)[] = [];
  const seen = { made: 0, closed: 0 };
  const make = (): ModelClient => {
    seen.made += 1;
    return {
      providerId: "p",
      async *stream() {
        yield { type: "created" };
        await new Promise<void>((resolve) => gates.push(resolve));
        yield { type: "completed" };
      },
      close: async () => {
        seen.closed += 1;
      },
    };
  };
  const finish = () => {
    for (const open of gates.splice(0)) open();
  };
  return { make, seen, finish };
}

function begun(client: ModelClient): Promise<ModelEvent[]> {
  const events = answer(client);
  events.catch(() => undefined);
  return events;
}

test("a client that nobody uses goes after five minutes, and one that answers stays until it has", async () => {
  const clock = new ManualClock({ startMs: 0 });
  const pool = new ClientPool(clock);
  const { make, seen, finish } = maker();
  const events = begun(pool.clientFor("a", make));
  await settled();
  await clock.advanceAsync(3_600_000);
  assert.deepEqual([pool.size, seen], [1, { made: 1, closed: 0 }]);
  finish();
  assert.equal((await events).length, 2);
  await clock.advanceAsync(299_999);
  assert.equal(pool.size, 1);
  await clock.advanceAsync(1);
  assert.deepEqual([pool.size, seen, clock.pending], [0, { made: 1, closed: 1 }, 0]);
});

test("of too many clients the one used longest ago goes, once its answers have ended", async () => {
  const clock = new ManualClock({ startMs: 0 });
  const pool = new ClientPool(clock);
  const busy = maker();
  const client = pool.clientFor("busy", busy.make);
  const events = begun(client);
  await settled();
  for (let index = 0; index < 200; index += 1) pool.clientFor(`other ${index}`, maker().make);
  assert.deepEqual([pool.size, busy.seen.closed], [64, 0]);
  busy.finish();
  assert.equal((await events).length, 2);
  assert.equal(busy.seen.closed, 1);
  // Who still holds it goes on with it; nothing of it stays open afterwards.
  const later = begun(client);
  await settled();
  busy.finish();
  assert.equal((await later).length, 2);
  assert.deepEqual(busy.seen, { made: 2, closed: 2 });
  await pool.close();
  assert.equal(clock.pending, 0);
});

test("a closed pool's clients answer nothing more", async () => {
  const pool = new ClientPool(new ManualClock({ startMs: 0 }));
  const { make, seen } = maker();
  const client = pool.clientFor("a", make);
  await pool.close();
  await assert.rejects(answer(client, asking("hi")), { code: "model_error", message: "the model client is closed" });
  assert.deepEqual(seen, { made: 1, closed: 1 });
});
