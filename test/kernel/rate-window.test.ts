import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import { RateWindow } from "../../src/kernel/rate-window.ts";

test("so many in any period; one that lies exactly a period back is forgotten", () => {
  const clock = new ManualClock({ startMs: 5_000 });
  const window = new RateWindow({ count: 2, periodMs: 100 }, clock);
  window.take();
  clock.advance(40);
  assert.deepEqual([window.used, window.retryAfterMs], [1, 0]);
  window.take();
  assert.deepEqual([window.used, window.retryAfterMs], [2, 60]);
  clock.advance(59);
  assert.deepEqual([window.used, window.retryAfterMs], [2, 1]);
  clock.advance(1);
  assert.deepEqual([window.used, window.retryAfterMs], [1, 0]);
  clock.advance(40);
  assert.equal(window.used, 0);
});

test("one that is taken back does not count; where none may ever come, the wait has no end", () => {
  const clock = new ManualClock();
  const window = new RateWindow({ count: 1, periodMs: 100 }, clock);
  const takeBack = window.take();
  assert.equal(window.retryAfterMs, 100);
  takeBack();
  assert.deepEqual([window.used, window.retryAfterMs], [0, 0]);
  assert.equal(new RateWindow({ count: 0, periodMs: 100 }, clock).retryAfterMs, Number.POSITIVE_INFINITY);
});
