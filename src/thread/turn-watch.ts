import { InvalidRequestError, ThreadClosedError } from "../protocol/errors.ts";
import type { EventMsg, TaskCompleteEvent, ThreadEvent, TurnAbortedEvent } from "../protocol/event.ts";
import { type SubmissionId, type ThreadId, toTurnId } from "../protocol/ids.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import { causeOf } from "./failed-op.ts";
import type { Activity, LifeEnd } from "./life-end.ts";
import type { TurnResult } from "./turn-result.ts";

export const isTurnEnd = (msg: EventMsg): msg is TaskCompleteEvent | TurnAbortedEvent =>
  msg.type === "task_complete" || msg.type === "turn_aborted";

type Said = Pick<ThreadEvent, "id" | "msg">;

export type TurnObserver = { event(event: Said): void; closed(cause?: unknown): void };

/** Who can be listened to. */
export interface Observed {
  readonly id: ThreadId;
  /** Whether the life that has just begun goes on with what the submission asked for. */
  goesOnWith(id: SubmissionId): boolean;
  observe(observer: TurnObserver): () => void;
}

/**
 * Resolves with what becomes of a submission's input: of the turn that it starts, or of the running turn that it joins.
 * It listens directly, and so misses nothing however fast the events come.
 */
export class TurnWatch {
  readonly result: Promise<TurnResult<never>>;
  readonly stop: () => void;
  #seen: Seen | undefined;
  #isOver = false;

  /** @param id the submission whose turn is followed, where its name is known already */
  constructor(thread: Observed, id?: SubmissionId) {
    if (id !== undefined) this.begin(id);
    const { promise, resolve, reject } = Promise.withResolvers<TurnResult<never>>();
    this.result = promise;
    promise.catch(() => undefined);
    this.stop = thread.observe({
      event: (event) => {
        if (event.msg.type === "session_configured" && this.#seen?.isIn(thread)) return;
        const result = this.#seen?.take(event);
        if (result === undefined) return;
        this.#isOver = true;
        resolve(result);
      },
      closed: (cause) => {
        this.#isOver = true;
        reject(new ThreadClosedError(thread.id, undefined, cause));
      },
    });
  }

  /** The submission has its name: from now on its turn is followed. */
  begin(id: SubmissionId): void {
    this.#seen = new Seen(id);
  }

  /** The input was given to the thread, and its turn has not ended. */
  get isRunning(): boolean {
    return this.#seen !== undefined && !this.#isOver;
  }
}

/** Resolves when the turn that this submission started has ended, in whatever way. */
export function endOfTurn(thread: Observed, id: SubmissionId): { readonly ended: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = thread.observe({
    event: (event) => {
      if ((event.id === id && isTurnEnd(event.msg)) || event.msg.type === "session_configured") resolve();
    },
    closed: () => resolve(),
  });
  return { ended: promise, stop };
}

/** One life of a thread, and where it stands. */
type Life = { readonly ended: LifeEnd | undefined; readonly activity: Activity };

/**
 * Resolves when the rollback that is named by `begin` is done. Rejects with what it failed by, and with ThreadClosedError where its life
 * has ended, or is about to, and so takes no more ops.
 */
export function answerToRollback(thread: Observed & { readonly incarnation: Life }): {
  readonly answer: Promise<void>;
  begin(id: SubmissionId): void;
  stop(): void;
} {
  const { promise: answer, resolve, reject } = Promise.withResolvers<void>();
  answer.catch(() => undefined);
  let own: SubmissionId | undefined;
  let life: Life | undefined;
  const closed = () => new ThreadClosedError(thread.id, undefined, life?.ended?.error);
  const stop = thread.observe({
    event: ({ id, msg }) => {
      // A logic of an embedder's own may end its life without an answer, and live again.
      if (msg.type === "session_configured" && life !== undefined && thread.incarnation !== life) reject(closed());
      if (id !== own) return;
      const isOver = life?.activity === "gone" || life?.activity === "closing";
      if (msg.type === "error") reject(causeOf(msg) ?? (isOver ? closed() : new InvalidRequestError(msg.message)));
      if (msg.type === "thread_rolled_back") resolve();
    },
    closed: (cause) => reject(new ThreadClosedError(thread.id, undefined, cause)),
  });
  const begin = (id: SubmissionId) => {
    own = id;
    life = thread.incarnation;
  };
  return { answer, begin, stop };
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

  isIn(thread: Observed): boolean {
    return thread.goesOnWith(this.#id);
  }

  take({ id, msg }: Said): TurnResult<never> | undefined {
    if ((msg.type === "task_started" || msg.type === "turn_resumed") && id === this.#id)
      this.#turnId = msg.turn_id ?? null;
    if (msg.type === "item_completed") this.#takeItem(id, msg.turn_id, msg.item);
    if (id !== this.#owner && !(isTurnEnd(msg) && this.#turnId !== null && msg.turn_id === this.#turnId)) {
      return msg.type === "session_configured" ? this.#lost() : undefined;
    }
    if (msg.type === "error") this.#error = { message: msg.message, info: msg.codex_error_info ?? null };
    return isTurnEnd(msg) ? this.#result(msg) : undefined;
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
    // A turn that is interrupted has no error of its own; one that its thread failed under has.
    const failed = this.#error !== null;
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
