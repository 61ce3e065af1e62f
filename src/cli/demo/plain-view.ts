import type { ThreadEvent } from "../../index.ts";
import { oneLine } from "../terminal/harmless.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { plainPaint } from "../terminal/style.ts";
import type { Board, Row } from "./board.ts";
import type { Note } from "./orchestrator.ts";
import { treeLines } from "./tree.ts";
import { closingLine, type DemoSettings, type DemoView, type Ending, openingLine } from "./view.ts";

const TREE_ROWS = 200;

/** For a pipe or a file: one line for each thing that has happened. */
export class PlainView implements DemoView {
  readonly #out: LineWriter;

  constructor(stdout: NodeJS.WriteStream) {
    this.#out = new LineWriter(stdout);
  }

  begin(settings: DemoSettings): void {
    this.#out.line(`skein demo: ${openingLine(settings)}`);
  }

  event({ msg }: ThreadEvent, row: Row): void {
    const text = lineOf(msg, row);
    if (text !== undefined) this.#say(row, text);
  }

  note({ text }: Note, row: Row | undefined): void {
    if (row !== undefined) this.#say(row, `* ${text}`);
  }

  #say(row: Row, text: string): void {
    this.#out.line(`${row.name.padEnd(8)} ${oneLine(text)}`);
  }

  end(board: Board, ending: Ending): void {
    this.#out.line("");
    for (const line of treeLines(board, plainPaint, { maxRows: TREE_ROWS })) this.#out.line(line);
    this.#out.line("");
    this.#out.line(closingLine(board, ending));
  }

  close(): void {
    this.#out.flush();
  }
}

/** What there is to say of an event, if anything. */
function lineOf(msg: ThreadEvent["msg"], row: Row): string | undefined {
  switch (msg.type) {
    case "user_message":
      return `> ${msg.message}`;
    case "agent_message":
      return msg.message;
    case "item_completed":
      if (msg.item.type !== "DynamicToolCall") return undefined;
      return `${msg.item.tool}(${msg.item.arguments}) -> ${msg.item.output ?? msg.item.status}`;
    case "error":
      return `error: ${msg.message}`;
    case "turn_aborted":
      return `turn ${row.turns} ${msg.reason} after: ${row.text}`;
    default:
      return undefined;
  }
}
