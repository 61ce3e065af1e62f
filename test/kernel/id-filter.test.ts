import assert from "node:assert/strict";
import { test } from "node:test";
import { IdFilter } from "../../src/kernel/id-filter.ts";

const idsOf = (kind: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${kind}-${n}`);

test("what was added is always found; an empty one has nothing", () => {
  const filter = new IdFilter();
  const added = idsOf("added", 10_000);
  assert.ok(added.every((id) => !filter.mayHave(id)));
  for (const id of added) filter.add(id);
  assert.ok(added.every((id) => filter.mayHave(id)));
});

test("of 10,000 others, about one in 23 is taken for one of 10,000 that were added", () => {
  const filter = new IdFilter();
  for (const id of idsOf("added", 10_000)) filter.add(id);
  const wrong = idsOf("other", 10_000).filter((id) => filter.mayHave(id)).length;
  assert.ok(wrong > 300 && wrong < 600, `${wrong} of 10,000`);
});

test("texts of the same letters in another order are told apart", () => {
  const filter = new IdFilter();
  filter.add("ab");
  assert.deepEqual(
    ["ab", "ba", "a", "abb", ""].map((id) => filter.mayHave(id)),
    [true, false, false, false, false],
  );
});
