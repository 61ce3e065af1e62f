/**
 * What happens in a thread, as the lines of `codex exec --experimental-json` (measured against 0.169).
 *
 * - Item ids are numbered by this process. Messages and reasoning come once, complete; commands, file changes, MCP calls
 *   and the like start and complete; a plan starts, is updated, and completes with its turn.
 * - `usage` is the thread's total, over its resumes too, as Codex counts it.
 * - An interrupted turn ends without a line of its own: the exit code tells.
 */
import type { EventMsg } from "../../index.ts";
import type { TaskCompleteEvent } from "../../protocol/event.ts";
import type { TokenUsage } from "../../protocol/token-usage.ts";
import { type SdkEvent, type SdkItem, type SdkItemBody, type SdkTodo, type SdkUsage, sdkItemOf } from "./sdk-events.ts";

/** Items that a client hears of only when they are whole. */
const ONLY_WHOLE: ReadonlySet<string> = new Set(["agent_message", "reasoning"]);

type Running = { readonly id: string; readonly body: SdkItemBody };

export class SdkLines {
  #nextItem = 0;
  /** Items that started and have not completed, by the core's id. */
  readonly #running = new Map<string, Running>();
  #plan: { readonly id: string; readonly items: readonly SdkTodo[] } | undefined;
  #total: TokenUsage | undefined;
  #error: string | undefined;
  #outcome: "completed" | "failed" | undefined;

  /** How the turn ended, as the lines tell it; undefined while it runs, and when it was interrupted. */
  get outcome(): "completed" | "failed" | undefined {
    return this.#outcome;
  }

  /** Something that is no failure but should be known. */
  notice(message: string): SdkEvent {
    return { type: "item.completed", item: this.#newItem({ type: "error", message }) };
  }

  linesOf(msg: EventMsg): readonly SdkEvent[] {
    switch (msg.type) {
      case "session_configured":
        return [{ type: "thread.started", thread_id: msg.session_id }];
      case "task_started":
        this.#outcome = undefined;
        this.#error = undefined;
        return [{ type: "turn.started" }];
      case "item_started":
        return this.#started(msg.item.id, sdkItemOf(msg.item));
      case "item_completed":
        return this.#completed(msg.item.id, sdkItemOf(msg.item));
      case "plan_update":
        return [this.#planned(msg.plan.map(({ step: text, status }) => ({ text, completed: status === "completed" })))];
      case "token_count":
        this.#total = msg.info?.total_token_usage ?? this.#total;
        return [];
      case "task_complete":
        return [...this.#leftovers(), this.#end(msg)];
      case "turn_aborted":
        return this.#leftovers();
      default:
        return this.#troubleOf(msg);
    }
  }

  #troubleOf(msg: EventMsg): readonly SdkEvent[] {
    switch (msg.type) {
      case "error":
        this.#error = msg.message;
        return [{ type: "error", message: msg.message }];
      case "stream_error":
        return [{ type: "error", message: withDetails(msg.message, msg.additional_details) }];
      case "warning":
        return [this.notice(msg.message)];
      case "deprecation_notice":
        return [this.notice(withDetails(msg.summary, msg.details))];
      default:
        return [];
    }
  }

  #newItem(body: SdkItemBody): SdkItem {
    const id = `item_${this.#nextItem}`;
    this.#nextItem += 1;
    return { id, ...body };
  }

  #started(coreId: unknown, body: SdkItemBody | undefined): readonly SdkEvent[] {
    if (body === undefined || ONLY_WHOLE.has(body.type)) return [];
    const item = this.#newItem(body);
    this.#running.set(String(coreId), { id: item.id, body });
    return [{ type: "item.started", item }];
  }

  #completed(coreId: unknown, body: SdkItemBody | undefined): readonly SdkEvent[] {
    if (body === undefined) return [];
    const id = this.#running.get(String(coreId))?.id;
    this.#running.delete(String(coreId));
    return [{ type: "item.completed", item: id === undefined ? this.#newItem(body) : { id, ...body } }];
  }

  #planned(items: readonly SdkTodo[]): SdkEvent {
    if (this.#plan !== undefined) {
      this.#plan = { ...this.#plan, items };
      return { type: "item.updated", item: { id: this.#plan.id, type: "todo_list", items } };
    }
    const item = this.#newItem({ type: "todo_list", items });
    this.#plan = { id: item.id, items };
    return { type: "item.started", item };
  }

  /** Whatever still runs at the end of its turn completes with it: the plan as it stands, work as failed. */
  #leftovers(): readonly SdkEvent[] {
    const plan = this.#plan;
    const running = [...this.#running.values()];
    this.#plan = undefined;
    this.#running.clear();
    return [
      ...(plan === undefined ? [] : [completedItem({ id: plan.id, type: "todo_list", items: plan.items })]),
      ...running.map(({ id, body }) => completedItem({ id, ...("status" in body ? failed(body) : body) })),
    ];
  }

  #end({ error }: TaskCompleteEvent): SdkEvent {
    const message = error?.message ?? this.#error;
    this.#outcome = message === undefined ? "completed" : "failed";
    return message === undefined
      ? { type: "turn.completed", usage: usageOf(this.#total) }
      : { type: "turn.failed", error: { message } };
  }
}

const completedItem = (item: SdkItem): SdkEvent => ({ type: "item.completed", item });

const failed = <Body extends { readonly status: string }>(body: Body) => ({ ...body, status: "failed" as const });

const withDetails = (message: string, details: string | null | undefined): string =>
  details?.trim() ? `${message} (${details})` : message;

const usageOf = (total: TokenUsage | undefined): SdkUsage => ({
  input_tokens: total?.input_tokens ?? 0,
  cached_input_tokens: total?.cached_input_tokens ?? 0,
  cache_write_input_tokens: 0,
  output_tokens: total?.output_tokens ?? 0,
  reasoning_output_tokens: total?.reasoning_output_tokens ?? 0,
});
