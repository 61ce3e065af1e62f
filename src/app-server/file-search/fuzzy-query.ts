/**
 * Scores a path against what a user typed, in the numbers of nucleo's matcher for paths, which Codex shows its clients:
 * every letter that matches counts, more at the beginning of a word, and in a row with the one before it; gaps cost.
 * Case does not count, nor do accents that the query does not have.
 */
const MATCH = 16;
const GAP_START = 3;
const GAP_MORE = 1;
const BOUNDARY = 8;
const AFTER_SLASH = 9;
const CAMEL = 5;
const IN_A_ROW = 4;

export type FuzzyMatch = {
  readonly score: number;
  /** The characters of the text that matched, ascending. */
  readonly indices: readonly number[];
};

/** Words of the query, each of which has to match. */
export class FuzzyQuery {
  readonly #words: readonly Word[];

  constructor(query: string) {
    this.#words = query
      .split(/\s+/)
      .filter((word) => word !== "")
      .map(wordOf);
  }

  match(text: string): FuzzyMatch | undefined {
    const letters = Array.from(text);
    let score = 0;
    const indices = new Set<number>();
    for (const word of this.#words) {
      const found = align(word, letters);
      if (found === undefined) return undefined;
      score += found.score;
      for (const index of found.indices) indices.add(index);
    }
    return { score, indices: [...indices].sort((a, b) => a - b) };
  }
}

type Word = { readonly letters: readonly string[]; readonly fold: (letter: string) => string };

function wordOf(text: string): Word {
  const fold = text === plain(text) ? (letter: string) => plain(letter).toLowerCase() : lower;
  return { letters: Array.from(text, fold), fold };
}

const lower = (letter: string): string => letter.toLowerCase();
const plain = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "");

/** The best way to a match of a word's first letters that ends at one place of the text. */
type Cell = { readonly score: number; readonly bonus: number; readonly from: Cell | undefined; readonly at: number };
/** The best of those that ended before a place, with the gap up to it paid. */
type Gap = { readonly score: number; readonly cell: Cell };

/** The best alignment, word's letter by letter over all places of the text. */
function align({ letters, fold }: Word, text: readonly string[]): FuzzyMatch | undefined {
  const folded = text.map(fold);
  if (!isSubsequence(letters, folded)) return undefined;
  let row: (Cell | undefined)[] = [];
  for (const [i, letter] of letters.entries()) {
    row = i === 0 ? firstRow(letter, text, folded) : nextRow(row, letter, text, folded);
  }
  const best = row.reduce((a, b) => (b !== undefined && (a === undefined || b.score >= a.score) ? b : a), undefined);
  if (best === undefined) return undefined;
  const indices: number[] = [];
  for (let cell: Cell | undefined = best; cell !== undefined; cell = cell.from) indices.unshift(cell.at);
  return { score: best.score, indices };
}

function isSubsequence(letters: readonly string[], folded: readonly string[]): boolean {
  let at = 0;
  return letters.every((letter) => {
    at = folded.indexOf(letter, at) + 1;
    return at > 0;
  });
}

const firstRow = (letter: string, text: readonly string[], folded: readonly string[]): (Cell | undefined)[] =>
  folded.map((other, at) => {
    if (other !== letter) return undefined;
    const bonus = bonusAt(text, at);
    return { score: MATCH + 2 * bonus, bonus, from: undefined, at };
  });

function nextRow(
  before: readonly (Cell | undefined)[],
  letter: string,
  text: readonly string[],
  folded: readonly string[],
): (Cell | undefined)[] {
  let gap: Gap | undefined;
  return folded.map((other, at) => {
    const here = other === letter ? stepTo(at, bonusAt(text, at), before[at - 1], gap) : undefined;
    gap = widened(gap, before[at - 1]);
    return here;
  });
}

/** Goes on in a row where that is worth more than a gap. */
function stepTo(at: number, bonus: number, beside: Cell | undefined, gap: Gap | undefined): Cell | undefined {
  const skipped = gap === undefined ? undefined : { score: gap.score + bonus + MATCH, bonus, from: gap.cell, at };
  if (beside === undefined) return skipped;
  const kept = Math.max(beside.bonus, IN_A_ROW);
  const inARow = bonus >= BOUNDARY && bonus > kept ? bonus : kept;
  const score = beside.score + Math.max(inARow, bonus) + MATCH;
  return skipped === undefined || score > skipped.score ? { score, bonus: inARow, from: beside, at } : skipped;
}

function widened(gap: Gap | undefined, left: Cell | undefined): Gap | undefined {
  const older = gap === undefined ? undefined : { score: Math.max(0, gap.score - GAP_MORE), cell: gap.cell };
  if (left === undefined) return older;
  const younger = { score: Math.max(0, left.score - GAP_START), cell: left };
  return older === undefined || younger.score > older.score ? younger : older;
}

type Kind = "slash" | "other" | "lower" | "upper" | "number";

function kindOf(letter: string | undefined): Kind {
  if (letter === undefined || letter === "/") return "slash";
  if (/\p{N}/u.test(letter)) return "number";
  if (/\p{Lu}/u.test(letter)) return "upper";
  return /\p{L}/u.test(letter) ? "lower" : "other";
}

/** What a match at this place is worth for beginning a word. */
function bonusAt(text: readonly string[], at: number): number {
  const before = kindOf(text[at - 1]);
  const here = kindOf(text[at]);
  if (here === "slash") return 0;
  if (here === "other") return BOUNDARY;
  if (before === "slash") return AFTER_SLASH;
  if (before === "other") return BOUNDARY;
  return (before === "lower" && here === "upper") || (before !== "number" && here === "number") ? CAMEL : 0;
}
