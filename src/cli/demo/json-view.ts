import type { ThreadEvent } from "../../index.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import type { Board, Row } from "./board.ts";
import type { Note } from "./orchestrator.ts";
import type { DemoSettings, DemoView, Ending } from "./view.ts";

/** For programs: a line for each event and each act, and one `summary` at the end. */
export class JsonView implements DemoView {
  readonly #out: LineWriter;

  constructor(stdout: NodeJS.WriteStream) {
    this.#out = new LineWriter(stdout);
  }

  begin({ threads, turns }: DemoSettings): void {
    this.#out.json({ type: "demo", model: "scripted", agents: threads, turnsEach: turns });
  }

  event(event: ThreadEvent): void {
    this.#out.json({ type: "event", ...event });
  }

  note(note: Note): void {
    this.#out.json({ type: "note", ...note });
  }

  end(board: Board, ending: Ending): void {
    this.#out.json(summaryOf(board, ending));
  }

  close(): void {
    this.#out.flush();
  }
}

function summaryOf(board: Board, { elapsedMs, shutdown, interrupted }: Ending): Record<string, unknown> {
  const rows = [...board.rows];
  return {
    type: "summary",
    model: "scripted",
    complete: !interrupted,
    threads: rows.length,
    turns: board.total((row) => row.turns),
    forks: rows.filter((row) => row.forkedFromId !== null).length,
    interrupted: board.total((row) => row.interrupted),
    removed: rows.filter((row) => row.status === "removed").length,
    failed: board.total((row) => row.failed),
    toolCalls: board.total((row) => row.toolCalls),
    tokens: board.total((row) => row.tokens),
    elapsedMs: Math.round(elapsedMs),
    shutdown: {
      completed: shutdown.completed.length,
      failed: shutdown.failed.length,
      timedOut: shutdown.timedOut.length,
    },
    tree: rows.map(treeEntryOf),
  };
}

const treeEntryOf = ({ threadId, name, parentThreadId, forkedFromId, status, turns, tokens, ms }: Row) => ({
  threadId,
  name,
  parentThreadId,
  forkedFromId,
  status,
  turns,
  tokens,
  ms,
});
