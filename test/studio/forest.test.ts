/** From threads to rows: both kinds of edge, what is found, and what no tree should have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { guidesOf, type Kinship, rowsShown } from "../../src/studio/page/forest.ts";
import { mostTokens, shadeOf } from "../../src/studio/page/shade.ts";
import { count, duration, exact, visible } from "../../src/studio/page/words.ts";

const row = (id: string, more: Partial<Kinship> = {}): Kinship => ({
  id,
  parent: null,
  fork: null,
  createdAt: 0,
  ...more,
});
const mapOf = (rows: readonly Kinship[]) => new Map(rows.map((each) => [each.id, each]));
const all = { isFolded: () => false, fits: undefined };
const drawn = (rows: readonly Kinship[], view: Partial<Parameters<typeof rowsShown<Kinship>>[1]> = {}) =>
  rowsShown(mapOf(rows), { ...all, ...view }).map(
    ({ row: { id }, depth, edge }) => `${"-".repeat(depth)}${id} ${edge}`,
  );

const FAMILY = [
  row("a", { createdAt: 1 }),
  row("b", { parent: "a", createdAt: 2 }),
  row("c", { fork: "a", createdAt: 3 }),
  row("d", { parent: "b", fork: "c", createdAt: 4 }),
  row("e", { createdAt: 9 }),
  row("orphan", { parent: "gone", fork: "gone", createdAt: 0 }),
];

test("agents stand under their parent, forks under their source, the newest root first", () => {
  assert.deepEqual(drawn(FAMILY), ["e root", "a root", "-b agent", "--d agent", "-c fork", "orphan root"]);
});

test("hairlines lead from a row to those under it: an agent's and a fork's told apart, none past the last", () => {
  const guides = rowsShown(mapOf(FAMILY), all).map((shown) => [
    shown.row.id,
    guidesOf(shown, 14)
      .map(({ level, edge, kind }) => `${level} ${edge} ${kind}`)
      .join(", "),
  ]);
  assert.deepEqual(guides, [
    ["e", ""],
    ["a", ""],
    ["b", "0 agent branch"],
    ["d", "0 agent through, 1 agent last"],
    ["c", "0 fork last"],
    ["orphan", ""],
  ]);
  assert.deepEqual(
    rowsShown(mapOf(FAMILY), all).flatMap((shown) => guidesOf(shown, 0)),
    [],
  );
});

test("a request is drawn the darker, the more tokens it took beside the others", () => {
  const span = (tokens: readonly [number, number, number] | null) => ["t", "model", 0, 1, "ok", "", tokens] as const;
  const [small, large, none] = [span([10, 900, 0]), span([80, 0, 20]), span(null)];
  const most = mostTokens([small, large, none]);
  assert.equal(most, 100);
  assert.deepEqual(
    [small, large, none].map((each) => shadeOf(each, most)),
    [0.325, 1, 0.25],
  );
  assert.equal(shadeOf(none, mostTokens([none])), 1, "where nothing is known, nothing is fainter");
});

test("what is folded hides those under it and counts them", () => {
  const shown = rowsShown(mapOf(FAMILY), { isFolded: (id) => id === "a", fits: undefined });
  assert.deepEqual(
    shown.map(({ row: { id }, under, isFolded }) => [id, under, isFolded]),
    [
      ["e", 0, false],
      ["a", 3, true],
      ["orphan", 0, false],
    ],
  );
});

test("what is found keeps all above it in sight", () => {
  const shown = rowsShown(mapOf(FAMILY), { isFolded: () => false, fits: ({ id }) => id === "d" });
  assert.deepEqual(
    shown.map(({ row: { id }, isPassing }) => [id, isPassing]),
    [
      ["a", true],
      ["b", true],
      ["d", false],
    ],
  );
});

test("circles, and a thread that is its own parent, are shown once each", () => {
  const circle = [
    row("x", { parent: "y" }),
    row("y", { parent: "z" }),
    row("z", { parent: "x" }),
    row("s", { parent: "s" }),
  ];
  assert.deepEqual(
    rowsShown(mapOf(circle), all)
      .map(({ row: { id } }) => id)
      .toSorted(),
    ["s", "x", "y", "z"],
  );
});

test("whatever the edges, each thread is shown exactly once, below what is above it", () => {
  const ids = fc.integer({ min: 0, max: 30 }).map((n) => `t${n}`);
  const one = fc.record({ id: ids, parent: fc.option(ids), fork: fc.option(ids), createdAt: fc.nat() });
  fc.assert(
    fc.property(fc.uniqueArray(one, { selector: ({ id }) => id, maxLength: 31 }), (rows) => {
      const shown = rowsShown(mapOf(rows), all);
      assert.deepEqual(shown.map(({ row: { id } }) => id).toSorted(), rows.map(({ id }) => id).toSorted());
      for (const [at, { depth }] of shown.entries()) assert.ok(depth <= (shown[at - 1]?.depth ?? -1) + 1);
      assert.equal(
        shown.filter(({ depth }) => depth === 0).reduce((sum, { under }) => sum + 1 + under, 0),
        rows.length,
      );
    }),
  );
});

test("100,000 threads in one chain, and in one fan", () => {
  const many = 100_000;
  const chain = Array.from({ length: many }, (_, n) => row(`t${n}`, n === 0 ? {} : { parent: `t${n - 1}` }));
  assert.equal(rowsShown(mapOf(chain), all).at(-1)?.depth, many - 1);
  const fan = Array.from({ length: many }, (_, n) => row(`t${n}`, n === 0 ? {} : { fork: "t0" }));
  assert.equal(rowsShown(mapOf(fan), all).length, many);
});

test("what is not seen is shown as what it is; figures are short", () => {
  assert.equal(visible("a\u202eb\u0007c\u200bd\ne\tf 👩‍💻"), "a⟨U+202E⟩b⟨U+0007⟩c⟨U+200B⟩d\ne\tf 👩‍💻");
  const unseen = ["\u3164", "\u115f", "\u034f", "\ufe0f", "\u{e0041}", "\u2800", "\ud800", "\u00ad", "\u061c"];
  for (const sign of unseen) {
    const code = (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    assert.equal(visible(`a${sign}b`), `a⟨U+${code}⟩b`);
  }
  for (const whole of ["❤️", "1️⃣", "👩‍💻", "Zürich 東京 עברית", "10\u00a0km"]) assert.equal(visible(whole), whole);
  assert.equal(exact("rm\u00a0-rf\u2003x y"), "rm⟨U+00A0⟩-rf⟨U+2003⟩x y");
  assert.deepEqual([950, 5_730, 66_400, 999_600, 1_200_000].map(count), ["950", "5.7k", "66k", "1.0M", "1.2M"]);
  assert.deepEqual([12, 1_700, 61_000, 7_200_000].map(duration), ["12 ms", "1.7 s", "1 min 1 s", "2 h 0 min"]);
});
