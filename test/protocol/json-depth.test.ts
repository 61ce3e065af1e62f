import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { isDeepText, isDeepValue, MAX_OP_DEPTH } from "../../src/protocol/json-depth.ts";
import { parseOp } from "../../src/protocol/op.ts";

const nested = (levels: number): unknown => JSON.parse(`${'{"a":['.repeat(levels)}1${"]}".repeat(levels)}`);

test("a text and its value are as deep as each other, whatever its strings hold", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.nat({ max: 9 }), fc.string(), (value, levels, text) => {
      const whole = { [text]: value, brackets: "[[[[{{{{\\", quote: '"[[' };
      assert.equal(isDeepText(JSON.stringify(whole), levels), isDeepValue(whole, levels));
    }),
    { numRuns: 500 },
  );
});

test("100,000 levels are seen without a stack, and so is a value that holds itself twice", () => {
  const levels = 100_000;
  assert.equal(isDeepText("[".repeat(levels) + "]".repeat(levels)), true);
  assert.equal(isDeepText("[".repeat(levels)), true);
  const self: Record<string, unknown> = {};
  self.a = self;
  self.b = [self, self];
  assert.equal(isDeepValue(self), true);
});

test("what cannot be stored is refused with the op that holds it", () => {
  const item = (depth: number) => ({ type: "message", role: "user", content: [{ type: "x", v: nested(depth) }] });
  for (const depth of [70, 5_000]) {
    assert.throws(
      () => parseOp({ type: "inject_items", items: [item(depth)] }),
      (error) => error instanceof InvalidRequestError && error.message.includes(String(MAX_OP_DEPTH)),
    );
  }
  parseOp({ type: "inject_items", items: [item(50)] });
});
