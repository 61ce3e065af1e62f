import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RolloutItem } from "../../../src/protocol/rollout.ts";
import { user } from "../../../src/store/contract/store-script.ts";
import { parseRolloutName } from "../../../src/store/file/layout.ts";
import { decodeLine, encodeLine, peekType, reordinal } from "../../../src/store/rollout/codec.ts";

const AT = "2026-01-02T03:04:05.678Z";

const unknownItem = fc
  .record({
    type: fc.string({ minLength: 1 }).map((text) => `future_${text}`),
    payload: fc.jsonValue(),
    further: fc.dictionary(
      fc.string().map((name) => `x_${name}`),
      fc.jsonValue(),
      { maxKeys: 3 },
    ),
  })
  .map(({ type, payload, further }) => ({ type, payload, ...further }) as unknown as RolloutItem);

describe("the codec", () => {
  test("reads what it wrote, whatever is in it, and a line is one line", () => {
    fc.assert(
      fc.property(unknownItem, fc.option(fc.nat(), { nil: undefined }), (item, ordinal) => {
        const text = encodeLine(item, AT, ordinal);
        assert.equal(text.indexOf("\n"), text.length - 1);
        const decoded = decodeLine(text);
        assert.ok("line" in decoded);
        const expected = { timestamp: AT, ...(ordinal === undefined ? {} : { ordinal }), ...item };
        assert.deepEqual(decoded.line, JSON.parse(JSON.stringify(expected)));
        assert.equal(peekType(text) ?? item.type, item.type);
      }),
    );
  });

  test("a line moves to another ordinal with all its other bytes", () => {
    fc.assert(
      fc.property(unknownItem, fc.nat(), fc.nat(), (item, from, to) => {
        const text = encodeLine(item, AT, from).trimEnd();
        assert.equal(reordinal(text, to), encodeLine(item, AT, to).trimEnd());
        assert.equal(reordinal(reordinal(text, undefined), from), text);
      }),
    );
    const exact = `{"timestamp":"${AT}","ordinal":1,"type":"future","payload":{"n":12345678901234567890.10,"a" : 1}}`;
    assert.equal(reordinal(exact, 22), exact.replace('"ordinal":1', '"ordinal":22'));
  });

  test("a line of another form moves too", () => {
    const odd = `{ "payload": {"a":1}, "type": "future", "timestamp": "${AT}", "ordinal": 3, "more": true }`;
    assert.deepEqual(JSON.parse(reordinal(odd, 5)), { ...JSON.parse(odd), ordinal: 5 });
    assert.equal(peekType(odd), undefined);
    assert.equal(reordinal("garbage", 5), "garbage");
  });

  test("garbage is told from lines that this version cannot read", () => {
    assert.deepEqual(decodeLine("{"), { problem: "garbage" });
    assert.deepEqual(decodeLine("[1]"), { problem: "garbage" });
    assert.deepEqual(decodeLine("  "), { problem: "blank" });
    const line = encodeLine(user("x"), AT, 1);
    const why = "payload.role must be a string";
    assert.deepEqual(decodeLine(line.replace('"role":"user",', "")), { problem: "unreadable", why });
  });

  test("names of rollouts tell the thread and the segment", () => {
    const [thread, segment] = ["01a2022a-c4af-7743-865d-0842a4228acc", "01a2022a-d3f5-7733-92c1-59bc2928502a"];
    const stamp = "2026-11-22T07-31-30";
    assert.deepEqual(parseRolloutName(`rollout-${stamp}-${thread}.jsonl`), { stamp, threadId: thread, fileId: thread });
    const ofSegment = parseRolloutName(`rollout-${stamp}-${thread}_${segment}.jsonl`);
    assert.deepEqual(ofSegment, { stamp, threadId: thread, fileId: segment });
    for (const bad of ["rollout-bad-name.jsonl", `rollout-${stamp}-${thread}.jsonl.torn`, `${thread}.jsonl`]) {
      assert.equal(parseRolloutName(bad), undefined);
    }
  });
});
