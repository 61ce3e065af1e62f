import { oneLine } from "../terminal/harmless.ts";
import { Screen } from "../terminal/screen.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { fit, padEnd, padStart, widthOf } from "../terminal/text-width.ts";
import type { Board, Row, RowStatus } from "./board.ts";
import type { Note } from "./orchestrator.ts";
import { paintStatus, treeLines } from "./tree.ts";
import { closingLine, type DemoSettings, type DemoView, type Ending, openingLine } from "./view.ts";

const FRAME_MS = 50;
const SHOWN_NOTES = 5;
const TREE_ROWS = 30;

const ICONS: Record<RowStatus, string> = {
  starting: "·",
  running: "●",
  idle: "○",
  interrupted: "◐",
  failed: "✗",
  removed: "–",
};
const NOTE_ICONS: Record<Note["action"], string> = { start: "+", fork: "⑂", interrupt: "◐", remove: "–" };

/** For a terminal: every thread on its own line, drawn again in place as it speaks. */
export class LiveView implements DemoView {
  readonly #stdout: NodeJS.WriteStream;
  readonly #screen: Screen;
  readonly #paint: Paint;
  readonly #board: Board;
  readonly #notes: { readonly action: Note["action"]; readonly name: string; readonly text: string }[] = [];
  readonly #startedAt = performance.now();
  #settings: DemoSettings = { threads: 0, turns: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor(stdout: NodeJS.WriteStream, board: Board) {
    this.#stdout = stdout;
    this.#board = board;
    this.#paint = paintFor(stdout);
    this.#screen = new Screen(stdout);
  }

  begin(settings: DemoSettings): void {
    this.#settings = settings;
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
    this.#draw();
  }

  event(): void {
    // The board has taken it; the next frame shows it.
  }

  note({ action, text }: Note, row: Row | undefined): void {
    this.#notes.push({ action, name: row?.name ?? "", text });
    if (this.#notes.length > SHOWN_NOTES) this.#notes.shift();
  }

  #draw(): void {
    const { width, maxHeight } = this.#screen;
    const elapsed = `${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s`;
    const title = `skein demo  ${openingLine(this.#settings)}`;
    const room = Math.max(0, width - elapsed.length - 2);
    const head = `${padEnd(fit(title, room), room)} ${elapsed}`;
    const notes = this.#notes.slice(-Math.max(1, Math.min(SHOWN_NOTES, Math.floor(maxHeight / 4))));
    const rows = this.#rowsFor(Math.max(1, maxHeight - notes.length - 5));
    const left = this.#board.size - rows.length;
    this.#screen.draw([
      this.#paint("bold", head),
      "",
      this.#paint("dim", fit(HEADING, width)),
      ...rows.map((row) => rowLine(row, width, this.#paint)),
      ...(left > 0 ? [this.#paint("dim", `  … and ${left.toLocaleString("en")} more`)] : []),
      "",
      ...notes.map((note) => noteLine(note, width, this.#paint)),
    ]);
  }

  /** All of them where there is room, else first those that run. */
  #rowsFor(room: number): Row[] {
    if (this.#board.size <= room) return [...this.#board.rows];
    const chosen: Row[] = [];
    for (const isWanted of [(row: Row) => row.status === "running", (row: Row) => row.status !== "running"]) {
      for (const row of this.#board.rows) {
        if (chosen.length >= room) return chosen;
        if (isWanted(row)) chosen.push(row);
      }
    }
    return chosen;
  }

  end(board: Board, ending: Ending): void {
    this.close();
    const lines = treeLines(board, this.#paint, { maxRows: TREE_ROWS });
    this.#stdout.write(`\n${lines.join("\n")}\n\n${closingLine(board, ending)}\n`);
  }

  close(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#draw();
    this.#screen.close();
  }
}

const HEADING = "  agent     turns  tokens  says";

/** Icon, name, turns, tokens, and the end of what the model says, in at most `width` cells. */
function rowLine(row: Row, width: number, paint: Paint): string {
  const icon = paintStatus(paint, row.status, ICONS[row.status]);
  const name = paint("bold", padEnd(fit(row.name, 9), 9));
  const counts = paint("dim", `${padStart(`${row.turns}`, 5)} ${padStart(`${row.tokens}`, 7)}`);
  const start = `${icon} ${name} ${counts}  `;
  const text = endOf(oneLine(row.text), width - widthOf(start) - 1);
  return `${start}${row.status === "running" ? text : paint("dim", text)}`;
}

function noteLine(
  { action, name, text }: { action: Note["action"]; name: string; text: string },
  width: number,
  paint: Paint,
): string {
  const room = width - widthOf(name) - 3;
  return `${paint("magenta", NOTE_ICONS[action])} ${paint("bold", name)} ${paint("dim", fit(text, room))}`;
}

/** The end of a text in so many cells, so that a view follows a text that grows. */
function endOf(text: string, cells: number): string {
  if (cells <= 1) return "";
  if (widthOf(text) <= cells) return text;
  let end = text.slice(-cells + 1);
  while (widthOf(end) > cells - 1) end = end.slice(1);
  return `…${end}`;
}
