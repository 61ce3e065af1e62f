import assert from "node:assert/strict";
import { test } from "node:test";
import { addUsage, zeroUsage } from "../../src/protocol/token-usage.ts";

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
