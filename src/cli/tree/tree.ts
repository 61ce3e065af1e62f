import { setTimeout as sleep } from "node:timers/promises";
import { rowsShown, type Shown } from "../../studio/page/forest.ts";
import { count } from "../../studio/page/words.ts";
import { oneLine } from "../terminal/harmless.ts";
import { columnsOf, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Screen } from "../terminal/screen.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { fit, padEnd, padStart, widthOf } from "../terminal/text-width.ts";
import { type Line, type SourceOptions, withLine } from "./line.ts";
import { MARKS, type Row, Rows, STYLES, titleOf } from "./rows.ts";

const EVERY_MS = 1_000;
/** Cells of the tokens, and of the rest of a row at least. */
const TOKENS = 7;
const LEAST = 28;

export type TreeOptions = SourceOptions & { readonly watch?: boolean; readonly json?: boolean };

export async function showTree(options: TreeOptions, io: Io): Promise<void> {
  await withLine(options, io, (line) =>
    options.watch === true ? watchTree(options, io, line) : printTree(options, io, line),
  );
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
async function watchTree({ json, connect }: TreeOptions, { stdout, env }: Io, line: Line): Promise<void> {
  const rows = new Rows();
  const isInPlace = json !== true && isTerminal(stdout, env);
  using screen = isInPlace ? new Screen(stdout) : undefined;
  const paint = paintFor(stdout);
  const out = new LineWriter(stdout);
  const drawIn = (on: Screen) => {
    const lines = linesOf(rows, on.width, paint);
    const left = lines.length - on.maxHeight;
    if (left > 0) lines.splice(on.maxHeight - 1, left + 1, paint("dim", fit(`… ${left + 1} more`, on.width)));
    on.draw(lines);
  };
  const tell = (row: Row) => {
    if (json === true) out.json(row);
    else out.line(lineOf({ row, depth: 0 }, columnsOf(stdout), paint));
  };
  const show = (changed: readonly Row[], removed: readonly string[]) => {
    if (screen !== undefined) drawIn(screen);
    else {
      for (const row of changed) tell(row);
      if (json === true) for (const id of removed) out.json({ id, removed: true });
      out.flush();
    }
  };
  await rows.watch(line, ({ rows: fresh, patches, removed }) =>
    show(
      [...fresh, ...patches].flatMap(([id]) => rows.all.get(id) ?? []),
      removed,
    ),
  );
  show(
    shownOf(rows).map(({ row }) => row),
    [],
  );
  while (connect === undefined) {
    // Of what other processes do to a home nobody tells.
    await Promise.race([line.ended, sleep(EVERY_MS)]);
    const { changed, removed } = await rows.readAnew(line);
    if (changed.length + removed.length > 0) show(changed, removed);
  }
  await line.ended;
}

const shownOf = ({ all }: Rows): Shown<Row>[] => rowsShown(all, { isFolded: () => false, fits: undefined });

function linesOf(rows: Rows, width: number, paint: Paint): string[] {
  const shown = shownOf(rows);
  if (shown.length === 0) return [paint("dim", fit("no threads", width))];
  return shown.map((each) => lineOf(each, width, paint));
}

type Placed = Pick<Shown<Row>, "row" | "depth"> & { readonly edge?: Shown<Row>["edge"] };

/** Never wider than the terminal: a line that wraps is not drawn in place again. */
export function lineOf({ row, depth, edge }: Placed, width: number, paint: Paint): string {
  const { status, role, tokensIn, tokensOut, doing } = row;
  // A deep tree in a narrow terminal keeps room for names; one too narrow for them has nothing else.
  const indent = "  ".repeat(Math.min(depth, 20, Math.max(0, Math.floor((width - LEAST) / 2))));
  const cells = width < LEAST ? 0 : TOKENS;
  const mark = paint(STYLES[status], MARKS[status]);
  const fork = edge === "fork" ? "↳ " : "";
  const spent = tokensIn === null || cells === 0 ? "" : count(tokensIn + (tokensOut ?? 0));
  const room = Math.max(0, width - widthOf(indent) - 2 - cells);
  const title = fit(fork + oneLine(titleOf(row)), Math.min(room, 48));
  const words = fit(
    oneLine([role ?? "", doing].filter((each) => each !== "").join("  ")),
    Math.max(0, room - widthOf(title) - 2),
  );
  const said = words === "" ? title : `${title}  ${words}`;
  const [text, end] = spent === "" ? [said, ""] : [padEnd(said, room), padStart(spent, cells)];
  return `${indent}${mark} ${title}${paint("dim", text.slice(title.length))}${end}`;
}
