import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backoffDelay, DEFAULT_BACKOFF, parseRetryAfter } from "../../src/kernel/backoff.ts";

test("the default doubles 200 ms at each retry, plus or minus a tenth", () => {
  const delays = (random: () => number) => [0, 1, 2, 3, 4].map((attempt) => backoffDelay(attempt, { random }));
  assert.deepEqual(
    delays(() => 0.5),
    [200, 200, 400, 800, 1600],
  );
  assert.deepEqual(
    delays(() => 0),
    [180, 180, 360, 720, 1440],
  );
  assert.deepEqual(
    delays(() => 1),
    [220, 220, 440, 880, 1760],
  );
  assert.deepEqual(DEFAULT_BACKOFF, { baseMs: 200, factor: 2, maxMs: 60_000, jitter: 0.1 });
});

test("a delay is whole, within its bounds, and without jitter never falls", () => {
  const settings = fc.record({
    baseMs: fc.nat({ max: 10_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    maxMs: fc.nat({ max: 1_000_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(settings, fc.integer({ min: 1, max: 5000 }), chance, (backoff, attempt, luck) => {
      const delay = backoffDelay(attempt, { ...backoff, random: () => luck });
      const plain =
        backoff.baseMs === 0 ? 0 : Math.min(backoff.maxMs, backoff.baseMs * backoff.factor ** (attempt - 1));
      assert.ok(Number.isInteger(delay) && delay >= 0 && delay <= backoff.maxMs);
      assert.ok(delay <= plain * (1 + backoff.jitter) + 1 && delay >= Math.floor(plain * (1 - backoff.jitter)) - 1);
      const steady = { ...backoff, jitter: 0 };
      assert.ok(backoffDelay(attempt + 1, steady) >= backoffDelay(attempt, steady));
    }),
  );
});

// Factor ** attempt overflows to Infinity, and 0 * Infinity is not a number.
test("a delay stays a number when its factor has grown beyond all numbers", () => {
  assert.equal(backoffDelay(5000, { baseMs: 0 }), 0);
  assert.equal(backoffDelay(5000, { random: () => 0.5 }), DEFAULT_BACKOFF.maxMs);
  assert.equal(backoffDelay(5000, { maxMs: Number.POSITIVE_INFINITY, jitter: 1, random: () => 0 }), 0);
});

test("the server's wish wins, unchanged", () => {
  const random = () => assert.fail("no chance in it");
  assert.equal(backoffDelay(7, { retryAfterMs: 120_000, random }), 120_000);
  assert.equal(backoffDelay(7, { retryAfterMs: 0.2, random }), 1);
  assert.equal(backoffDelay(7, { retryAfterMs: -5, random }), 0);
  assert.equal(backoffDelay(1, { retryAfterMs: undefined, random: () => 0.5 }), 200);
});

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.UTC(2025, 9, 21, 7, 28, 0);
  const cases: [string | null | undefined, number | undefined][] = [
    ["120", 120_000],
    [" 1.5 ", 1500],
    ["0", 0],
    ["Tue, 21 Oct 2025 07:28:30 GMT", 30_000],
    ["Tue, 21 Oct 2025 07:27:30 GMT", 0],
    ["-1", undefined],
    ["soon", undefined],
    ["Someday, soon", undefined],
    ["", undefined],
    [null, undefined],
    [undefined, undefined],
  ];
  assert.deepEqual(
    cases.map(([header]) => parseRetryAfter(header, now)),
    cases.map(([, ms]) => ms),
  );
});
