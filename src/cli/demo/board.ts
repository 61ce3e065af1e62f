/** What the demo knows of its threads, folded from the events of the manager. */
import type { ThreadEvent, ThreadId } from "../../index.ts";

/** How a thread comes on stage. */
export type Entry = {
  readonly threadId: ThreadId;
  readonly name: string;
  readonly parentThreadId: ThreadId | null;
  readonly forkedFromId: ThreadId | null;
};

export type RowStatus = "starting" | "running" | "idle" | "interrupted" | "failed" | "removed";

export type Row = Entry & {
  status: RowStatus;
  /** Turns that have ended, however they did. */
  turns: number;
  interrupted: number;
  failed: number;
  toolCalls: number;
  tokens: number;
  /** The time of all turns together. */
  ms: number;
  /** What the model says now, or said last; the end of it. */
  text: string;
};

const KEPT_CHARS = 400;

export class Board {
  readonly #rows = new Map<ThreadId, Row>();

  get rows(): Iterable<Row> {
    return this.#rows.values();
  }

  get size(): number {
    return this.#rows.size;
  }

  row(threadId: ThreadId): Row | undefined {
    return this.#rows.get(threadId);
  }

  enter(entry: Entry): Row {
    const counts = { turns: 0, interrupted: 0, failed: 0, toolCalls: 0, tokens: 0, ms: 0 };
    const row: Row = { ...entry, status: "starting", ...counts, text: "" };
    this.#rows.set(entry.threadId, row);
    return row;
  }

  /** The row that the event changed; undefined for a thread that is not of the demo. */
  take({ threadId, msg }: ThreadEvent): Row | undefined {
    const row = this.#rows.get(threadId);
    if (row !== undefined) apply(row, msg);
    return row;
  }

  remove(threadId: ThreadId): void {
    const row = this.#rows.get(threadId);
    if (row !== undefined) row.status = "removed";
  }

  total(count: (row: Row) => number): number {
    let sum = 0;
    for (const row of this.#rows.values()) sum += count(row);
    return sum;
  }
}

function apply(row: Row, msg: ThreadEvent["msg"]): void {
  switch (msg.type) {
    case "session_configured":
      row.status = "idle";
      return;
    case "task_started":
      row.status = "running";
      row.text = "";
      return;
    case "agent_message_delta":
      row.text = (row.text + msg.delta).slice(-KEPT_CHARS);
      return;
    case "item_started":
      if (msg.item.type === "DynamicToolCall") {
        row.toolCalls += 1;
        row.text = `calls ${msg.item.tool}(${msg.item.arguments})`;
      } else if (msg.item.type === "AgentMessage") row.text = "";
      return;
    case "error":
      row.failed += 1;
      row.text = msg.message;
      return;
    case "task_complete":
      endTurn(row, msg.duration_ms, row.failed > 0 ? "failed" : "idle");
      row.tokens += msg.turn_token_usage?.total_tokens ?? 0;
      return;
    case "turn_aborted":
      endTurn(row, msg.duration_ms, "interrupted");
      row.tokens += msg.turn_token_usage?.total_tokens ?? 0;
      row.interrupted += 1;
  }
}

function endTurn(row: Row, durationMs: number | null | undefined, status: RowStatus): void {
  row.turns += 1;
  row.ms += durationMs ?? 0;
  row.status = status;
}
