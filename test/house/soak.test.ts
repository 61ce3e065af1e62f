/** Whatever test can run longer does so in `npm run soak`, which names its file and says how long. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");
/** How much a test does: a number that is not chance's. */
const SIZE = /Number\(process\.env\.(SKEIN_\w+(?<!SEED)) \?\?/g;

test("each size of a test that can be set is set in soak, for that test", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: { soak: string } };
  const parts = scripts.soak.split("&&").map((part) => part.trim().split(" "));
  const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .filter((name) => /(?:\.test|-suite)\.ts$/.test(name))
    .map((name) => `test/${name}`);
  const sizes = files.flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(SIZE)].map(([, name]) => ({ file, name })),
  );
  assert.ok(sizes.length > 15);
  const missing = sizes.filter(
    ({ file, name }) => !parts.some((part) => part.includes(file) && part.some((word) => word.startsWith(`${name}=`))),
  );
  assert.deepEqual(missing, []);
  const gone = parts.flat().filter((word) => word.endsWith(".ts") && !files.includes(word));
  assert.deepEqual(gone, [], "soak names tests that are there");
});
