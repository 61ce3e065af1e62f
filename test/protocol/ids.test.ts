import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { isUuid, newThreadId, parseThreadId, parseUuid } from "../../src/protocol/ids.ts";

const ID = "01a201ef-49cd-7223-901b-9ac1f7c10359";

test("a fresh thread id is a canonical UUIDv7, and later ones sort after it", () => {
  const ids = Array.from({ length: 100 }, newThreadId);
  for (const id of ids) {
    assert.ok(isUuid(id));
    assert.equal(id[14], "7");
  }
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
});

test("every textual form of one id reads as the same canonical text", () => {
  const bare = ID.replaceAll("-", "");
  for (const form of [ID, ID.toUpperCase(), bare, bare.toUpperCase(), `{${ID}}`, `urn:uuid:${ID}`]) {
    assert.equal(parseThreadId(form), ID, form);
  }
});

const CHARACTER = "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found";

for (const [text, message] of [
  // Seen on the wire of 0.80 and 0.87.
  ["nope", `${CHARACTER} \`n\` at 1`],
  ["zzz", `${CHARACTER} \`z\` at 1`],
  ["", "invalid length: expected length 32 for simple format, found 0"],
  ["bad", "invalid length: expected length 32 for simple format, found 3"],
  // By the rules of the same library.
  [`${ID.slice(0, -1)}é`, `${CHARACTER} \`é\` at 36`],
  [`{${ID.slice(0, -1)}g}`, `${CHARACTER} \`g\` at 37`],
  [`urn:uuid:x${ID}`, `${CHARACTER} \`x\` at 10`],
  ["01a2-01ef", "invalid group count: expected 5, found 2"],
  [`${ID}-0`, "invalid group count: expected 5, found 6"],
  [`0${ID}`, "invalid group length in group 0: expected 8, found 9"],
  ["01a201ef-49cd-722-901b-9ac1f7c10359", "invalid group length in group 2: expected 4, found 3"],
  [`${ID}00`, "invalid group length in group 4: expected 12, found 14"],
  [`{${ID.replaceAll("-", "")}}`, "invalid group count: expected 5, found 1"],
] as const) {
  test(`malformed id ${JSON.stringify(text)}: ${message}`, () => {
    assert.throws(
      () => parseUuid(text),
      (error) => error instanceof InvalidRequestError && error.message === message,
    );
  });
}

test("only the canonical form is a uuid as it stands", () => {
  assert.equal(isUuid(ID), true);
  assert.equal(isUuid(ID.toUpperCase()), false);
  assert.equal(isUuid(`${ID}\n`), false);
});
