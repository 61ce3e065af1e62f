import assert from "node:assert/strict";
import { test } from "node:test";
import { fit, padEnd, widthOf } from "../../src/cli/terminal/text-width.ts";

test("a text's width is the cells that a terminal gives it", () => {
  const widths: readonly (readonly [string, number])[] = [
    ["plain", 5],
    ["日本", 4],
    ["ﾊﾝｶｸ", 4],
    ["❤️", 2],
    ["e\u0301", 1],
    ["\u001b[31mred\u001b[39m", 3],
    ["", 0],
  ];
  assert.deepEqual(
    widths.map(([text]) => [text, widthOf(text)]),
    widths,
  );
});

test("a text is cut between graphemes, and padded by cells", () => {
  assert.equal(fit("日本語", 5), "日本…");
  assert.equal(fit("ﾊﾝｶｸ", 4), "ﾊﾝｶｸ");
  assert.equal(padEnd("❤️", 4), "❤️  ");
});
