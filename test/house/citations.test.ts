/** What comments cite is in the repository: `SPEC n.n` is a heading of docs/codex.md. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");
const sources = ["src", "machines", "test", "bench"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name)),
);

test("every citation of SPEC is a heading of docs/codex.md", () => {
  const law = readFileSync(join(root, "docs/codex.md"), "utf8");
  const headings = new Set([...law.matchAll(/^#{2,3} (\d+(?:\.\d+)?)\.? /gm)].map(([, number]) => number));
  const cited = sources.flatMap((path) =>
    [
      ...readFileSync(join(root, path), "utf8").matchAll(
        /\bSPEC(?: (\d+(?:\.\d+)?)(?:(?:,| and) ((?!0\.)\d+(?:\.\d+)?))*)/g,
      ),
    ].flatMap(([, ...numbers]) =>
      numbers.filter((number) => number !== undefined).map((number) => `${path}: SPEC ${number}`),
    ),
  );
  assert.ok(cited.length > 80);
  const lost = cited.filter((citation) => !headings.has(citation.split("SPEC ")[1]));
  assert.deepEqual(lost, [], "write the section into docs/codex.md, or cite one that is there");
});
