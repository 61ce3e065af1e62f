import { oneLine } from "./harmless.ts";
import type { Paint } from "./style.ts";
import { fit, padEnd, padStart, widthOf } from "./text-width.ts";

export type Column<Row> = {
  readonly heading: string;
  readonly of: (row: Row) => string;
  readonly align?: "right";
  /** Cut off where the terminal is too narrow; one column at most. */
  readonly flexible?: boolean;
  readonly format?: Parameters<Paint>[0];
};

const GAP = "  ";
const NARROWEST = 10;

/** A table for people: a heading, aligned columns, and no line wider than `width`. */
export function tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { width, paint }: { width: number; paint: Paint },
): string[] {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.of(row))));
  const widths = columns.map(({ heading }, at) =>
    Math.max(widthOf(heading), ...cells.map((row) => widthOf(row[at] ?? ""))),
  );
  const fixed = widths.reduce((sum, cellWidth, at) => sum + (columns[at]?.flexible ? 0 : cellWidth), 0);
  const room = Math.max(NARROWEST, width - fixed - GAP.length * (columns.length - 1));
  const lay = (texts: readonly string[], formatted: boolean): string =>
    columns
      .map(({ align, flexible, format }, at) => {
        const columnWidth = flexible ? Math.min(room, widths[at] ?? 0) : (widths[at] ?? 0);
        const text = fit(texts[at] ?? "", columnWidth);
        const padded = align === "right" ? padStart(text, columnWidth) : padEnd(text, columnWidth);
        return formatted && format !== undefined ? paint(format, padded) : padded;
      })
      .join(GAP)
      .trimEnd();
  const headings = columns.map(({ heading }) => heading);
  return [paint("dim", lay(headings, false)), ...cells.map((row) => lay(row, true))];
}

/** The same for a pipe: nothing cut off, one tab between two cells, no heading. */
export const tabLines = <Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] =>
  rows.map((row) => columns.map((column) => oneLine(column.of(row))).join("\t"));

/** Times as people read them. */
const STEPS: readonly [limitMs: number, unitMs: number, unit: string][] = [
  [60_000, 1_000, "s"],
  [3_600_000, 60_000, "min"],
  [86_400_000, 3_600_000, "h"],
  [30 * 86_400_000, 86_400_000, "d"],
];

/** `3 min ago` up to a month, then the day. */
export function agoOf(at: number, now: number): string {
  const age = Math.max(0, now - at);
  for (const [limit, unit, name] of STEPS) {
    if (age < limit) return `${Math.floor(age / unit)} ${name} ago`;
  }
  return new Date(at).toISOString().slice(0, 10);
}

export const isoOf = (at: number): string => new Date(at).toISOString();

/** The date and the minute, in local time. */
export function localOf(at: number): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
