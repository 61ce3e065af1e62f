/**
 * Fits the chunks of a patch to a file: exactly where that works, else leniently in white space and punctuation. What the
 * patch does not change keeps its bytes: a byte order mark, line ends, the last line's missing one, and whatever a lenient
 * reading passed over in the lines that stay.
 */
import { type Chunk, PatchError } from "./patch-grammar.ts";

type Replacement = { readonly at: number; readonly oldLines: readonly string[]; readonly newLines: readonly string[] };

const BYTE_ORDER_MARK = "\uFEFF";

/**
 * The file's new content. A file that had no lines ends with a line end.
 * @throws PatchError that names what was not found
 */
export function patchedContent(content: string, chunks: readonly Chunk[], path: string): string {
  const mark = content.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : "";
  const lines = content.slice(mark.length).split("\n");
  const endsLine = lines.at(-1) === "";
  if (endsLine) lines.pop();
  const ends = lines.map((line) => (line.endsWith("\r") ? "\r" : ""));
  // The last line has an end of its own only where it is ended; else it is given that of the line before.
  if (!endsLine && ends.length > 1) ends[ends.length - 1] = ends.at(-2) ?? "";
  const bare = lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  const replacements: Replacement[] = [];
  let from = 0;
  for (const chunk of chunks) {
    const found = place(bare, chunk, from, path);
    replacements.push(found);
    from = found.at + found.oldLines.length;
  }
  for (const { at, oldLines, newLines } of replacements.toReversed()) {
    const fresh = merged(bare.slice(at, at + oldLines.length), { oldLines, newLines });
    const end = (kept: number) => ends[Math.min(at + kept, ends.length - 1)] ?? "";
    bare.splice(at, oldLines.length, ...fresh.map(({ text }) => text));
    ends.splice(at, oldLines.length, ...fresh.map(({ before }) => end(before)));
  }
  if (bare.length === 0) return mark;
  const text = bare.map((line, index) => `${line}${ends[index] ?? ""}`).join("\n");
  if (endsLine || lines.length === 0) return `${mark}${text}\n`;
  return mark + (text.endsWith("\r") ? text.slice(0, -1) : text);
}

/** The lines that stand afterwards: those that stay as the file has them. `before`: how many old lines come before each. */
function merged(
  present: readonly string[],
  { oldLines, newLines }: Pick<Replacement, "oldLines" | "newLines">,
): { text: string; before: number }[] {
  const stays = keptLines(oldLines, newLines);
  let before = 0;
  return newLines.map((line, index) => {
    const kept = stays.get(index);
    if (kept === undefined) return { text: line, before };
    before = kept + 1;
    return { text: present[kept] ?? line, before: kept };
  });
}

const MOST_CELLS = 1_000_000;

/** Which new line is which old one: the longest common subsequence, in the order of both. */
function keptLines(oldLines: readonly string[], newLines: readonly string[]): Map<number, number> {
  const kept = new Map<number, number>();
  let head = 0;
  while (head < oldLines.length && head < newLines.length && oldLines[head] === newLines[head]) {
    kept.set(head, head);
    head += 1;
  }
  let tail = 0;
  const most = Math.min(oldLines.length, newLines.length) - head;
  while (tail < most && oldLines.at(-1 - tail) === newLines.at(-1 - tail)) {
    tail += 1;
    kept.set(newLines.length - tail, oldLines.length - tail);
  }
  const rows = oldLines.length - tail - head;
  const columns = newLines.length - tail - head;
  // Lines of a longer change are taken as the patch writes them: their text is the same, whatever their white space was.
  if (rows * columns > MOST_CELLS) return kept;
  const isSame = (row: number, column: number) => oldLines[head + row] === newLines[head + column];
  const lengths = Array.from({ length: rows + 1 }, () => new Uint32Array(columns + 1));
  const lengthAt = (row: number, column: number) => lengths[row]?.[column] ?? 0;
  for (let row = rows - 1; row >= 0; row -= 1) {
    const line = lengths[row];
    for (let column = columns - 1; line !== undefined && column >= 0; column -= 1) {
      line[column] = isSame(row, column)
        ? lengthAt(row + 1, column + 1) + 1
        : Math.max(lengthAt(row + 1, column), lengthAt(row, column + 1));
    }
  }
  for (let row = 0, column = 0; row < rows && column < columns; ) {
    if (isSame(row, column)) kept.set(head + column++, head + row++);
    else if (lengthAt(row + 1, column) >= lengthAt(row, column + 1)) row += 1;
    else column += 1;
  }
  return kept;
}

function place(
  lines: readonly string[],
  { context, isAtEnd, ...chunk }: Chunk,
  from: number,
  path: string,
): Replacement {
  // The file says how its lines end.
  const oldLines = chunk.oldLines.map(withoutReturn);
  const newLines = chunk.newLines.map(withoutReturn);
  let start = from;
  if (context !== null) {
    const at = seek(lines, [withoutReturn(context)], from, false);
    if (at === undefined) throw new PatchError(`Failed to find context '${context}' in ${path}`);
    start = at + 1;
  }
  if (oldLines.length === 0) return { at: context === null ? lines.length : start, oldLines, newLines };
  const at = seek(lines, oldLines, start, isAtEnd);
  if (at !== undefined) return { at, oldLines, newLines };
  // A blank last line may stand for the file's last line end.
  if (oldLines.at(-1) === "") {
    const shorter = oldLines.slice(0, -1);
    const found = shorter.length === 0 ? undefined : seek(lines, shorter, start, isAtEnd);
    if (found !== undefined) {
      const fresh = newLines.at(-1) === "" ? newLines.slice(0, -1) : newLines;
      return { at: found, oldLines: shorter, newLines: fresh };
    }
  }
  throw new PatchError(`Failed to find expected lines in ${path}:\n${oldLines.join("\n")}`);
}

const withoutReturn = (line: string): string => (line.endsWith("\r") ? line.slice(0, -1) : line);

const plain = (line: string): string =>
  line
    .trim()
    .replaceAll(/[\u2010-\u2015\u2212]/g, "-")
    .replaceAll(/[\u2018-\u201b]/g, "'")
    .replaceAll(/[\u201c-\u201f]/g, '"')
    .replaceAll(/[\u00a0\u2002-\u200a\u202f\u205f\u3000]/g, " ");

/** From the strictest to the most lenient. */
const READINGS: readonly ((line: string) => string)[] = [
  (line) => line,
  (line) => line.trimEnd(),
  (line) => line.trim(),
  plain,
];

/** Where the pattern stands, at `from` or later. One that is at the end of the file is looked for there alone. */
function seek(
  lines: readonly string[],
  pattern: readonly string[],
  from: number,
  isAtEnd: boolean,
): number | undefined {
  const last = lines.length - pattern.length;
  const first = isAtEnd ? Math.max(from, last) : from;
  for (const read of READINGS) {
    const wanted = pattern.map(read);
    for (let at = first; at <= last; at += 1) {
      if (wanted.every((line, offset) => read(lines[at + offset] ?? "") === line)) return at;
    }
  }
  return undefined;
}
