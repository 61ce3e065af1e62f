import assert from "node:assert/strict";
import { test } from "node:test";
import { importOptional } from "../../src/kernel/optional-package.ts";
import { textOfThrown } from "../../src/kernel/thrown.ts";

test("whatever is thrown has a text", () => {
  const nameless = { toString: () => assert.fail() };
  const texts = [new TypeError("a"), "b", 3, undefined, null, Object.create(null), nameless].map(textOfThrown);
  const none = "a value that has no text was thrown";
  assert.deepEqual(texts, ["a", "b", "3", "undefined", "null", none, none]);
});

test("a package that is missing is told of as its user says; one that fails is told of as it is", async () => {
  const missing = new Error("install it");
  assert.equal(typeof (await importOptional<{ basename: unknown }>("node:path", () => missing)).basename, "function");
  await assert.rejects(
    importOptional("no-such-package", (cause) => Object.assign(missing, { cause })),
    missing,
  );
  assert.equal((missing.cause as NodeJS.ErrnoException).code, "ERR_MODULE_NOT_FOUND");
  const broken = "data:text/javascript,throw new Error('broken')";
  await assert.rejects(
    importOptional(broken, () => missing),
    { message: "broken" },
  );
});
