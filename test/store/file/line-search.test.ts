import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { LineReader, linesBackwards } from "../../../src/store/file/rollout/line-reader.ts";
import { linesHolding } from "../../../src/store/file/rollout/line-search.ts";

const folder = mkdtempSync(join(tmpdir(), "skein-search-"));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, "lines");
const needle = Buffer.from('"needle"');

function found(text: string | Buffer): { searched: unknown[]; scanned: unknown[] } {
  writeFileSync(path, text);
  const fd = openSync(path, "r");
  try {
    const end = Buffer.byteLength(text);
    return {
      searched: [...linesHolding(nodeFileSystem, fd, end, needle)],
      scanned: [...linesBackwards(nodeFileSystem, fd, end)].filter((line) => line.text.includes('"needle"')),
    };
  } finally {
    closeSync(fd);
  }
}

test("finds the same lines as looking at each of them", () => {
  const line = fc.oneof(
    fc.constant(""),
    fc.constant('{"a":"needle"}'),
    fc.string({ maxLength: 30 }),
    fc.constant('"needle""needle"'),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom("", "\n"), (lines, last) => {
      const { searched, scanned } = found(lines.map((each) => each.replaceAll("\n", " ")).join("\n") + last);
      assert.deepEqual(searched, scanned);
    }),
  );
});

test("finds what lies across the border of two blocks, and in lines that are longer than a block", () => {
  const block = 1024 * 1024;
  for (const behind of [block - 12, block - 9, block - 4, block + 3, 2 * block - 5]) {
    const { searched, scanned } = found(`first\n${"x".repeat(700)}"needle"${"y".repeat(behind)}\nlast`);
    assert.equal(scanned.length, 1);
    assert.deepEqual(searched, scanned);
  }
});

test("lines are the same, at the same places, read forwards by blocks of any size and backwards", () => {
  const line = fc.oneof(
    fc.constant(""),
    fc.string({ unit: "grapheme", maxLength: 30 }),
    fc.constant("x".repeat(70_000)),
  );
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 8 }),
      fc.constantFrom("", "\n"),
      fc.constantFrom(undefined, 1, 7, 64 * 1024),
      (lines, last, blockBytes) => {
        const text = lines.map((each) => each.replaceAll("\n", " ")).join("\n") + last;
        writeFileSync(path, text);
        const fd = openSync(path, "r");
        try {
          const reader = new LineReader(nodeFileSystem, fd, {
            start: 0,
            ...(blockBytes !== undefined && { blockBytes }),
          });
          const forwards: unknown[] = [];
          for (let page = reader.next(); page !== undefined; page = reader.next()) forwards.push(...page);
          const end = Buffer.byteLength(text);
          assert.deepEqual([...linesBackwards(nodeFileSystem, fd, end)].reverse(), forwards);
        } finally {
          closeSync(fd);
        }
      },
    ),
    { numRuns: 60 },
  );
});
