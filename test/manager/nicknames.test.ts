import assert from "node:assert/strict";
import { test } from "node:test";
import { Nicknames } from "../../src/manager/nicknames.ts";

test("no name comes twice in a tree; when all are used up they come again with their number", () => {
  const names = new Nicknames(() => 0);
  const first = names.next("tree");
  names.note("tree", "Zaire");
  const lap = [first];
  for (let name = names.next("tree"); !name.includes(" the "); name = names.next("tree")) lap.push(name);
  assert.equal(new Set(lap).size, lap.length);
  assert.equal(lap.includes("Zaire"), false);
  const second = Array.from({ length: lap.length }, () => names.next("tree"));
  assert.ok(second.every((name) => name.endsWith(" the 2nd")));
  const laps = new Set(Array.from({ length: 22 * (lap.length + 1) }, () => names.next("tree").replace(/^.* the /, "")));
  for (const ordinal of ["3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd"])
    assert.ok(laps.has(ordinal), ordinal);
  assert.equal(names.next("another"), first);
});
