import assert from "node:assert/strict";
import { test } from "node:test";
import { yieldToLoop } from "../../src/kernel/yield-to-loop.ts";

const workFor = (ms: number): void => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};

test("a loop of resolved promises lets timers run", async () => {
  let fired = false;
  setTimeout(() => {
    fired = true;
  }, 0);
  for (let rounds = 0; !fired && rounds < 1_000; rounds += 1) {
    workFor(1);
    await yieldToLoop();
  }
  assert.equal(fired, true);
});

test("all who ask while the loop is due to turn share one turn, and then it may be kept again", async () => {
  workFor(11);
  const first = yieldToLoop();
  assert.ok(first instanceof Promise);
  assert.equal(yieldToLoop(), first);
  await first;
  assert.equal(yieldToLoop(), undefined);
});
