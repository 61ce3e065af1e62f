import assert from "node:assert/strict";
import { test } from "node:test";
import { addUsage, tokenCount, zeroUsage } from "../../src/protocol/token-usage.ts";

test("usage adds up field by field", () => {
  const one = {
    input_tokens: 1,
    cached_input_tokens: 2,
    output_tokens: 3,
    reasoning_output_tokens: 4,
    total_tokens: 5,
  };
  assert.deepEqual(addUsage(zeroUsage, one), one);
  assert.deepEqual(addUsage(one, one), {
    input_tokens: 2,
    cached_input_tokens: 4,
    output_tokens: 6,
    reasoning_output_tokens: 8,
    total_tokens: 10,
  });
});

test("a number of tokens is a whole one, and believable", () => {
  const given = [7, 1.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e30, 1e12, "7", null, undefined, {}];
  assert.deepEqual(given.map(tokenCount), [7, 2, 0, 0, 0, 0, 1e12, 0, 0, 0, 0]);
});
