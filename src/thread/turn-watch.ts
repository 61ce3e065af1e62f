import { ThreadClosedError } from "../protocol/errors.ts";
import type { EventMsg, TaskCompleteEvent, ThreadEvent, TurnAbortedEvent } from "../protocol/event.ts";
import { type SubmissionId, type ThreadId, toTurnId } from "../protocol/ids.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import type { TurnResult } from "./thread.ts";

const isEnd = (msg: EventMsg): msg is TaskCompleteEvent | TurnAbortedEvent =>
  msg.type === "task_complete" || msg.type === "turn_aborted";

/** Follows a thread's events to the end of one turn. */
export class TurnWatch {
  readonly #threadId: ThreadId;
  readonly #events: AsyncIterableIterator<ThreadEvent, undefined>;
  /** Whether a turn that is watched runs still. */
  isOpen = false;

  constructor(threadId: ThreadId, events: AsyncIterableIterator<ThreadEvent, undefined>) {
    this.#threadId = threadId;
    this.#events = events;
  }

  stop(): void {
    void this.#events.return?.();
  }

  /** Resolves with the end of the turn that this submission started. */
  async endOf(id: SubmissionId): Promise<void> {
    for await (const event of this.#events) {
      if ((event.id === id && isEnd(event.msg)) || event.msg.type === "session_configured") return;
    }
  }

  /**
   * What became of a submission's input: of the turn that it started, or of the running turn that it joined.
   * @throws ThreadClosedError when the thread ends before the turn does
   */
  async resultOf(id: SubmissionId): Promise<TurnResult<never>> {
    const seen = new Seen(id);
    this.isOpen = true;
    for await (const event of this.#events) {
      const result = seen.take(event);
      if (result === undefined) continue;
      this.isOpen = false;
      return result;
    }
    this.isOpen = false;
    throw new ThreadClosedError(this.#threadId);
  }
}

/** What has been seen of the turn so far. */
class Seen {
  readonly #id: SubmissionId;
  /** The submission that the turn bears: another one's, when the input joined a running turn. */
  #owner: SubmissionId;
  #turnId: string | null = null;
  #items: TurnItem[] = [];
  #error: TurnResult["error"] = null;

  constructor(id: SubmissionId) {
    this.#id = id;
    this.#owner = id;
  }

  take({ id, msg }: ThreadEvent): TurnResult<never> | undefined {
    if (msg.type === "task_started" && id === this.#id) this.#turnId = msg.turn_id ?? null;
    if (msg.type === "item_completed") this.#takeItem(id, msg.turn_id, msg.item);
    if (id !== this.#owner && !(isEnd(msg) && this.#turnId !== null && msg.turn_id === this.#turnId)) {
      return msg.type === "session_configured" ? this.#lost() : undefined;
    }
    if (msg.type === "error") this.#error = { message: msg.message, info: msg.codex_error_info ?? null };
    return isEnd(msg) ? this.#result(msg) : undefined;
  }

  #takeItem(id: SubmissionId, turnId: string, item: TurnItem): void {
    if (id === this.#id && this.#turnId === null) this.#turnId = turnId;
    if (turnId === this.#turnId) this.#items.push(item);
  }

  /** The thread was restarted under the turn. */
  #lost(): TurnResult<never> {
    return this.#result({ type: "turn_aborted", reason: "interrupted" });
  }

  #result(end: TaskCompleteEvent | TurnAbortedEvent): TurnResult<never> {
    const failed = this.#error !== null && end.type === "task_complete";
    return {
      submissionId: this.#id,
      turnId: this.#turnId === null ? null : toTurnId(this.#turnId),
      status: failed ? "failed" : end.type === "task_complete" ? "completed" : "interrupted",
      lastAgentMessage: end.type === "task_complete" ? (end.last_agent_message ?? null) : null,
      items: this.#items,
      usage: end.turn_token_usage ?? null,
      error: this.#error,
    };
  }
}
