import type { Paint } from "./style.ts";
import { fit, oneLine, padEnd, padStart, widthOf } from "./text-width.ts";

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
