/** What comments and tests cite is in the repository, once: sections of docs/codex.md, and invariants by letter and number. */
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

type Cited = { readonly id: string; readonly place: string };

const ID = /(?<![\w`"'./:#$-])([A-Z]{1,2}\d{1,2})(?![\w"'`])/g;
/** What of a line may cite: a comment, or the name of a test. */
const SAYING = /(?:^\s*(?:\*|\/\/|\/\*\*).*|\/\/ .*|\b(?:test|suite)\(.*)$/;
const HEADER = /^ \* ([A-Z]{1,2}\d{1,2}) {1,2}(?=\S)/;

/** Invariants that are defined in ARCHITECTURE.md (`**S1**`) or in the header of a file, and those that are cited. */
function invariants(): { defined: Cited[]; cited: Cited[] } {
  const paper = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const defined = [...paper.matchAll(/\*\*([A-Z]{1,2}\d{1,2})\*\*/g)].map(([, id = ""]) => ({
    id,
    place: "ARCHITECTURE.md",
  }));
  const cited: Cited[] = [];
  for (const place of sources) {
    for (const line of readFileSync(join(root, place), "utf8").split("\n")) {
      const [, header] = HEADER.exec(line) ?? [];
      if (header !== undefined) defined.push({ id: header, place });
      const saying = SAYING.exec(line.replace(HEADER, " * "))?.[0] ?? "";
      for (const [, id = ""] of saying.matchAll(ID)) cited.push({ id, place });
    }
  }
  return { defined, cited };
}

const letterOf = (id: string): string => id.replace(/\d+/, "");
const told = ({ id, place }: Cited): string => `${place}: ${id}`;

test("every invariant that is cited by letter and number is defined once", () => {
  const { defined, cited } = invariants();
  assert.ok(cited.length > 70);
  const ids = new Set(defined.map(({ id }) => id));
  assert.deepEqual(cited.filter(({ id }) => !ids.has(id)).map(told), []);
  const twice = defined.filter(({ id }, index) => defined.findIndex((other) => other.id === id) !== index);
  assert.deepEqual(twice.map(told), []);
});

test("a letter heads the invariants of one file, and only where one of them is cited", () => {
  const { defined, cited } = invariants();
  const home = new Map<string, string>();
  for (const { id, place } of defined) home.set(letterOf(id), home.get(letterOf(id)) ?? place);
  assert.deepEqual(defined.filter(({ id, place }) => home.get(letterOf(id)) !== place).map(told), []);
  const used = new Set(cited.map(({ id }) => letterOf(id)));
  assert.deepEqual(
    [...home].filter(([letter]) => !used.has(letter)),
    [],
    "list them without letters",
  );
});

test("every citation of SEMANTICS is a statement of that page, and each number stands there once", () => {
  const page = readFileSync(join(root, "SEMANTICS.md"), "utf8");
  const stated = [...page.matchAll(/^- \*\*(\d+\.\d+)\*\* /gm)].map(([, number]) => number);
  assert.deepEqual(stated, [...new Set(stated)]);
  const cited = sources.flatMap((path) =>
    [
      ...readFileSync(join(root, path), "utf8").matchAll(/\bSEMANTICS ((?:\d+\.\d+)(?:(?:, | and )\d+\.\d+)*)/g),
    ].flatMap(([, numbers = ""]) => numbers.split(/, | and /).map((number) => `${path}: SEMANTICS ${number}`)),
  );
  const lost = cited.filter((citation) => !stated.includes(citation.split("SEMANTICS ")[1]));
  assert.deepEqual(lost, [], "state it in SEMANTICS.md, or cite what is stated there");
  const tested = new Set(
    cited.filter((citation) => citation.startsWith("test/")).map((each) => each.split("SEMANTICS ")[1]),
  );
  const promises = [...page.matchAll(/^- \*\*(\d+\.\d+)\*\* (?!Nothing is promised|Not built)/gm)].map(
    ([, number]) => number,
  );
  const unheld = promises.filter((number) => !tested.has(number));
  assert.deepEqual(unheld, [], "have a test that cites it, or do not promise it");
});
