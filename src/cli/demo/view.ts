import type { ShutdownReport, ThreadEvent } from "../../index.ts";
import type { Board, Row } from "./board.ts";
import type { Note } from "./orchestrator.ts";

export type DemoSettings = { readonly threads: number; readonly turns: number };

export type Ending = {
  readonly elapsedMs: number;
  readonly shutdown: ShutdownReport;
  readonly interrupted: boolean;
};

/** One way to show the demo: for a terminal, for a pipe, or for a program. */
export interface DemoView {
  begin(settings: DemoSettings): void;
  event(event: ThreadEvent, row: Row): void;
  note(note: Note, row: Row | undefined): void;
  /** Everything has ended, whether or not it was played to the end. */
  end(board: Board, ending: Ending): void;
  /** Gives the terminal back; called on every way out. */
  close(): void;
}

export const openingLine = ({ threads, turns }: DemoSettings): string =>
  `${count(threads, "agent")}, ${count(turns, "turn")} each. A scripted model answers: no key, no network, no real AI.`;

export const closingLine = (board: Board, { elapsedMs, shutdown, interrupted }: Ending): string => {
  const turns = board.total((row) => row.turns);
  const ended = `${shutdown.completed.length} closed, ${shutdown.failed.length} failed, ${shutdown.timedOut.length} timed out`;
  const work = `${count(board.size, "thread")}, ${count(turns, "turn")} in ${(elapsedMs / 1000).toFixed(1)} s`;
  return `${interrupted ? "Interrupted. " : ""}${work}; shutdown: ${ended}.`;
};

const count = (n: number, noun: string): string => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
