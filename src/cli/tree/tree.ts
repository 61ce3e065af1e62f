import { rowsShown, type Shown } from "../../studio/page/forest.ts";
import { count } from "../../studio/page/words.ts";
import { Interruption } from "../interruption.ts";
import { oneLine } from "../terminal/harmless.ts";
import { columnsOf, drained, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Screen } from "../terminal/screen.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { fit, padEnd, padStart, widthOf } from "../terminal/text-width.ts";
import { type Line, type SourceOptions, withLine } from "./line.ts";
import { MARKS, type Row, Rows, STYLES, titleOf } from "./rows.ts";

/** Cells of the tokens, and of the rest of a row at least. */
const TOKENS = 7;
const LEAST = 28;

export type TreeOptions = SourceOptions & { readonly watch?: boolean; readonly json?: boolean };

export async function showTree(options: TreeOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  await withLine(options, io, async (line) => {
    if (options.watch === true) await watchTree(options, io, line, interruption.signal);
    else await printTree(options, io, line);
  });
  await drained(io.stdout);
  interruption.throwIfInterrupted();
}

async function printTree({ json }: TreeOptions, { stdout }: Io, line: Line): Promise<void> {
  const rows = new Rows();
  await rows.read(line);
  const out = new LineWriter(stdout);
  if (json === true) for (const { row } of shownOf(rows)) out.json(row);
  else for (const text of linesOf(rows, columnsOf(stdout), paintFor(stdout))) out.line(text);
  out.flush();
}

/** Until it is interrupted; where the server goes, that is an error. On a terminal in place; elsewhere what changes, as it does. */
async function watchTree({ json }: TreeOptions, { stdout, env }: Io, line: Line, signal: AbortSignal): Promise<void> {
  const rows = new Rows();
  const isInPlace = json !== true && isTerminal(stdout, env);
  using screen = isInPlace ? new Screen(stdout) : undefined;
  const paint = paintFor(stdout);
  const out = new LineWriter(stdout);
  const tell = (row: Row) => {
    if (json === true) out.json(row);
    else out.line(lineOf({ row, depth: 0 }, columnsOf(stdout), paint));
  };
  await rows.watch(line, ({ rows: fresh, patches, removed }) => {
    if (screen !== undefined) screen.draw(linesOf(rows, screen.width, paint));
    else {
      for (const [id] of [...fresh, ...patches]) {
        const row = rows.all.get(id);
        if (row !== undefined) tell(row);
      }
      if (json === true) for (const id of removed) out.json({ id, removed: true });
      out.flush();
    }
  });
  if (screen !== undefined) screen.draw(linesOf(rows, screen.width, paint));
  else for (const { row } of shownOf(rows)) tell(row);
  out.flush();
  await Promise.race([line.ended, new Promise((done) => signal.addEventListener("abort", done, { once: true }))]);
}

const shownOf = ({ all }: Rows): Shown<Row>[] => rowsShown(all, { isFolded: () => false, fits: undefined });

function linesOf(rows: Rows, width: number, paint: Paint): string[] {
  const shown = shownOf(rows);
  if (shown.length === 0) return [paint("dim", "no threads")];
  return shown.map((each) => lineOf(each, width, paint));
}

type Placed = Pick<Shown<Row>, "row" | "depth"> & { readonly edge?: Shown<Row>["edge"] };

function lineOf({ row, depth, edge }: Placed, width: number, paint: Paint): string {
  const { status, role, tokensIn, tokensOut, doing } = row;
  // A deep tree in a narrow terminal keeps room for names.
  const indent = "  ".repeat(Math.min(depth, 20, Math.max(0, Math.floor((width - LEAST) / 2))));
  const mark = paint(STYLES[status], MARKS[status]);
  const fork = edge === "fork" ? "↳ " : "";
  const spent = tokensIn === null ? "" : count(tokensIn + (tokensOut ?? 0));
  const room = Math.max(0, width - widthOf(indent) - 2 - widthOf(fork) - TOKENS);
  const title = fit(oneLine(titleOf(row)), Math.min(room, 48));
  const words = fit(
    oneLine([role ?? "", doing].filter((each) => each !== "").join("  ")),
    Math.max(0, room - widthOf(title) - 2),
  );
  const text = padEnd(words === "" ? title : `${title}  ${words}`, room);
  return `${indent}${mark} ${fork}${text.startsWith(title) ? `${title}${paint("dim", text.slice(title.length))}` : text}${padStart(spent, TOKENS)}`;
}
