/** Fits the chunks of a patch to a file: exactly where that works, else leniently in white space and punctuation. */
import { type Chunk, PatchError } from "./patch-grammar.ts";

type Replacement = { readonly at: number; readonly count: number; readonly lines: readonly string[] };

/**
 * The file's new content. It ends with a line end.
 * @throws PatchError that names what was not found
 */
export function patchedContent(content: string, chunks: readonly Chunk[], path: string): string {
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const replacements: Replacement[] = [];
  let from = 0;
  for (const chunk of chunks) {
    const found = place(lines, chunk, from, path);
    replacements.push(found);
    from = found.at + found.count;
  }
  for (const { at, count, lines: added } of replacements.toReversed()) lines.splice(at, count, ...added);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function place(
  lines: readonly string[],
  { context, oldLines, newLines, isAtEnd }: Chunk,
  from: number,
  path: string,
): Replacement {
  let start = from;
  if (context !== null) {
    const at = seek(lines, [context], from, false);
    if (at === undefined) throw new PatchError(`Failed to find context '${context}' in ${path}`);
    start = at + 1;
  }
  if (oldLines.length === 0) return { at: context === null ? lines.length : start, count: 0, lines: newLines };
  const at = seek(lines, oldLines, start, isAtEnd);
  if (at !== undefined) return { at, count: oldLines.length, lines: newLines };
  // A blank last line may stand for the file's last line end.
  if (oldLines.at(-1) === "") {
    const shorter = oldLines.slice(0, -1);
    const found = shorter.length === 0 ? undefined : seek(lines, shorter, start, isAtEnd);
    if (found !== undefined) {
      return { at: found, count: shorter.length, lines: newLines.at(-1) === "" ? newLines.slice(0, -1) : newLines };
    }
  }
  throw new PatchError(`Failed to find expected lines in ${path}:\n${oldLines.join("\n")}`);
}

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
