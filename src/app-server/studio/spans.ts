/**
 * What took how long: turns, requests to the model, tools, waits for approval, for a place among the running turns, and
 * back-offs, from the events that bound them. A request lasts from the turn's start, or the end of its last tool, until its
 * usage is told. Bounded: the newest spans are kept.
 */
import type { EventMsg } from "../../protocol/event.ts";
import type { TokenUsage } from "../../protocol/token-usage.ts";
import type { TurnItem } from "../../protocol/turn-item.ts";
import { scriptOf } from "../v2/shown-command.ts";
import { isWork, oneLine } from "./doing.ts";
import type { Span, SpanKind, SpanTokens } from "./wire.ts";

const KEPT = 20_000;

export type Told = {
  readonly threadId: string;
  /** Unix milliseconds. */
  readonly time: number;
  readonly msg: EventMsg;
  /** What the request has used that ends with this. */
  readonly used: TokenUsage | undefined;
};

type OpenSpan = { readonly kind: SpanKind; readonly key: string; readonly start: number; readonly label: string };

export class Spans {
  readonly #kept: number;
  #closed: Span[] = [];
  readonly #open = new Map<string, OpenSpan[]>();

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  /** The thread waits for a place among the running turns, and then has one. */
  waitsForSlot(threadId: string, time: number): void {
    this.#end(threadId, time, "ok", ({ kind }) => kind === "model");
    this.#begin(threadId, { kind: "slot", key: "", start: time, label: "waits for a place" });
  }

  hasSlot(threadId: string, time: number): void {
    this.#end(threadId, time, "ok", ({ kind }) => kind === "slot");
    this.#goOn(threadId, time);
  }

  take({ threadId, time, msg, used }: Told): void {
    switch (msg.type) {
      case "task_started":
      case "turn_resumed":
        this.#closeAll(threadId, time, "lost");
        this.#begin(threadId, { kind: "turn", key: "", start: time, label: msg.turn_id ?? "" });
        this.#begin(threadId, { kind: "model", key: "", start: time, label: "" });
        return;
      case "token_count":
        this.#end(threadId, time, "ok", ({ kind }) => kind === "backoff");
        if (used !== undefined) this.#end(threadId, time, "ok", ({ kind }) => kind === "model", tokensOf(used));
        if (used === undefined) this.#goOn(threadId, time);
        return;
      case "stream_error":
        this.#end(threadId, time, "failed", ({ kind }) => kind === "model");
        this.#begin(threadId, { kind: "backoff", key: "", start: time, label: oneLine(String(msg.message)) });
        return;
      case "exec_approval_request":
      case "apply_patch_approval_request":
        this.#begin(threadId, {
          kind: "approval",
          key: msg.call_id,
          start: time,
          label: msg.type === "exec_approval_request" ? oneLine(scriptOf(msg.command)) : "patch",
        });
        return;
      case "item_started":
        this.#end(threadId, time, "ok", ({ kind }) => kind === "backoff");
        this.#end(threadId, time, "answered", ({ kind, key }) => kind === "approval" && key === msg.item.id);
        if (isWork(msg.item)) this.#beginTool(threadId, time, msg.item);
        else this.#goOn(threadId, time);
        return;
      case "item_completed":
        if (isWork(msg.item)) this.#endTool(threadId, time, msg.item);
        return;
      case "task_complete":
      case "turn_aborted":
        this.#closeAll(threadId, time, msg.type === "task_complete" ? "completed" : msg.reason);
    }
  }

  #beginTool(threadId: string, time: number, item: TurnItem): void {
    this.#end(threadId, time, "ok", ({ kind }) => kind === "model");
    this.#begin(threadId, { kind: "tool", key: String(item.id), start: time, label: labelOf(item) });
  }

  #endTool(threadId: string, time: number, item: TurnItem): void {
    const status = "status" in item ? String(item.status) : "completed";
    this.#end(threadId, time, status, ({ key, kind }) => kind !== "turn" && kind !== "model" && key === item.id);
    this.#goOn(threadId, time);
  }

  /** In a turn in which nothing else is under way, the model is asked. */
  #goOn(threadId: string, time: number): void {
    const open = this.#open.get(threadId) ?? [];
    if (open.some(({ kind }) => kind === "turn") && open.every(({ kind }) => kind === "turn"))
      this.#begin(threadId, { kind: "model", key: "", start: time, label: "" });
  }

  #begin(threadId: string, span: OpenSpan): void {
    const open = this.#open.get(threadId);
    if (open === undefined) this.#open.set(threadId, [span]);
    else open.push(span);
  }

  #end(
    threadId: string,
    time: number,
    status: string,
    fits: (span: OpenSpan) => boolean,
    tokens: SpanTokens | null = null,
  ): void {
    const open = this.#open.get(threadId);
    if (open === undefined || !open.some(fits)) return;
    for (const span of open) {
      if (fits(span)) this.#closed.push([threadId, span.kind, span.start, time, status, span.label, tokens]);
    }
    const left = open.filter((span) => !fits(span));
    if (left.length === 0) this.#open.delete(threadId);
    else this.#open.set(threadId, left);
    if (this.#closed.length > 2 * this.#kept) this.#closed = this.#closed.slice(-this.#kept);
  }

  #closeAll(threadId: string, time: number, status: string): void {
    this.#end(threadId, time, status, () => true);
  }

  /** The thread is in memory no more. */
  forget(threadId: string, time: number): void {
    this.#closeAll(threadId, time, "ended");
  }

  /** Those that overlap the time, oldest first; the newest where there are more than asked for. */
  within({
    has,
    from,
    to,
    most,
  }: {
    has: (threadId: string) => boolean;
    from: number;
    to: number;
    most: number;
  }): Span[] {
    const open = [...this.#open].flatMap(([threadId, spans]) =>
      spans.map(({ kind, start, label }): Span => [threadId, kind, start, null, "running", label, null]),
    );
    const found = [...this.#closed, ...open].filter(
      ([threadId, , start, end]) => start <= to && (end ?? to) >= from && has(threadId),
    );
    // A turn before what is in it.
    return found.sort((a, b) => a[2] - b[2] || Number(b[1] === "turn") - Number(a[1] === "turn")).slice(-most);
  }
}

const tokensOf = ({ input_tokens, cached_input_tokens, output_tokens }: TokenUsage): SpanTokens => [
  Math.max(0, input_tokens - cached_input_tokens),
  cached_input_tokens,
  output_tokens,
];

function labelOf(item: TurnItem): string {
  if (item.type === "CommandExecution") return oneLine(scriptOf(item.command));
  if (item.type === "FileChange") return oneLine(Object.keys(item.changes).join(", "));
  if (item.type === "McpToolCall") return oneLine(`${item.server}.${item.tool}`);
  if (item.type === "DynamicToolCall" || item.type === "CollabAgentToolCall") return oneLine(item.tool);
  return item.type;
}
