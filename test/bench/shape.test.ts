/** The gate for shapes fails when a cost grows, and only then. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { costsOf, judge } from "../../bench/shape.ts";

test("a cost that is flat holds; one that grows with the size does not, each by its own bound", () => {
  const small = { fsCalls: 10, bytesWritten: 2_000, heap: 20_000, cpuUs: 4_000 };
  assert.ok(judge(small, small).every(({ holds }) => holds));
  const grown = judge(small, { ...small, fsCalls: 100, cpuUs: 400_000 });
  assert.deepEqual(
    grown.filter(({ holds }) => !holds).map(({ cost }) => cost),
    ["fsCalls", "cpuUs"],
  );
});

test("what is small in any case is no growth, and a cost that was not measured is not judged", () => {
  assert.deepEqual(
    judge({ fsCalls: 0 }, { fsCalls: 3 }).map(({ holds, cost }) => [cost, holds]),
    [["fsCalls", true]],
  );
});

test("one run that was held up counts for nothing", () => {
  const runs = [
    { fsCalls: 5, cpuUs: 700 },
    { fsCalls: 90, cpuUs: 900 },
    { fsCalls: 4, cpuUs: 20 },
  ];
  assert.deepEqual(costsOf(runs), { fsCalls: 5, cpuUs: 20 });
});
