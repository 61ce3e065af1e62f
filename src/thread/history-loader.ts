import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import type { EventMsg } from "../protocol/event.ts";
import { newItemId, type SubmissionId, toTurnId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { SubmissionItem } from "../protocol/rollout.ts";
import type { RolloutProblem } from "../store/rollout-problem.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import type { History } from "../turn/history.ts";
import { itemsOf, splitInput } from "../turn/user-message.ts";
import type { HistoryReader, ReadThread } from "./history-reader.ts";
import type { Rebuilt } from "./rebuild.ts";
import type { SubmissionLedger } from "./submission-ledger.ts";

/** Whose history is loaded. */
export interface LoadingThread extends ReadThread {
  readonly intake: { readonly ledger: SubmissionLedger };
  /** The running turn, which sees by itself to the calls that it has left open in an earlier life. */
  readonly turn: { owesOutput(callId: string): boolean } | undefined;
  readonly storage: { flush(): Promise<void> };
  publish(id: SubmissionId, msg: EventMsg): void;
  /** The stored lines were read. */
  recall(rebuilt: Rebuilt): void;
}

/** What its owner is told: the history, as soon as it is read, and when everything is done or has failed. */
export type LoaderOutcomes = { readonly onRead: (history: History) => void; readonly onEnd: () => void };

/** undefined for what this version can't read. */
function readOp(stored: unknown): Op | undefined {
  try {
    return parseOp(stored);
  } catch {
    return undefined;
  }
}

/**
 * Brings one thread's history into memory, once, and repairs what a crash or a fork left half-finished (T6): every call
 * without an output gets one, which is stored, so that no later load repairs it again and no tool runs again.
 *
 * It belongs to the thread and to no turn: a turn that gives up waiting leaves it to the next one.
 */
export class HistoryLoader {
  /** Resolves when the thread has its history. */
  readonly loaded: Promise<void>;
  readonly #thread: LoadingThread;
  readonly #onRead: LoaderOutcomes["onRead"];
  readonly #controller = new AbortController();
  /** What the thread recorded while the lines were being read; those lines may or may not have been among them. */
  #stale = false;
  readonly #reader: HistoryReader;

  constructor(thread: LoadingThread, reader: HistoryReader, { onRead, onEnd }: LoaderOutcomes) {
    this.#thread = thread;
    this.#reader = reader;
    this.#onRead = onRead;
    this.loaded = this.#load(this.#controller.signal).finally(onEnd);
    this.loaded.catch(() => undefined);
  }

  /** The thread recorded an item meanwhile: what was read has to be read again. */
  noteRecorded(): void {
    this.#stale = true;
  }

  /** The thread has ended. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  #hiddenText(hidden: readonly RolloutProblem[]): string {
    const [first] = hidden;
    return `The stored history of this thread is damaged, and the model does not see what was there: ${first?.path}: ${first?.kind}: ${first?.detail}. \`skein verify\` lists all of it.`;
  }

  async #load(signal: AbortSignal): Promise<void> {
    const thread = this.#thread;
    let rebuilt: Rebuilt;
    do {
      this.#stale = false;
      await thread.storage.flush();
      rebuilt = await this.#reader.read(signal);
      signal.throwIfAborted();
    } while (this.#stale);
    this.#onRead(rebuilt.history);
    thread.recall(rebuilt);
    const { hidden } = this.#reader;
    if (hidden.length > 0) thread.publish(INTERNAL_SUBMISSION, { type: "warning", message: this.#hiddenText(hidden) });
    for (const item of rebuilt.history.missingOutputs()) {
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
      signal.throwIfAborted();
      if ("call_id" in item && thread.turn?.owesOutput(String(item.call_id))) continue;
      thread.publish(INTERNAL_SUBMISSION, { type: "raw_response_item", item });
    }
    for (const item of rebuilt.waiting.all()) {
      // A fork inherits the lines of the thread that has taken it, and this life's own ops still wait for their turn.
      if (item.thread_id !== thread.threadId || thread.intake.ledger.isOwn(item)) continue;
      await this.#takeUp(item, signal);
      thread.intake.ledger.noteTakenBefore(item);
    }
  }

  /**
   * A process died before the input was in the history: the model hears of it with the next turn, as of one that was cut, and whoever reads
   * the thread sees it in the turn that it was given to.
   */
  async #takeUp({ op: stored, turn_id: turnId }: SubmissionItem, signal: AbortSignal): Promise<void> {
    const op = readOp(stored);
    if (op?.type === "inject_items") for (const item of op.items) this.#publish({ type: "raw_response_item", item });
    if (op?.type !== "user_input" && op?.type !== "user_turn") return;
    const thread = this.#thread;
    for (const item of await itemsOf(op.items, { cwd: thread.config.cwd, signal }))
      this.#publish({ type: "raw_response_item", item });
    const { said } = splitInput(op.items);
    if (said === undefined || turnId == null || ("is_internal" in op && op.is_internal === true)) return;
    const name = "client_id" in op && op.client_id !== undefined ? { client_id: op.client_id } : {};
    const item = { type: "UserMessage" as const, id: newItemId(), ...name, content: [...said] };
    this.#publish({ type: "item_completed", thread_id: thread.threadId, turn_id: toTurnId(turnId), item });
    for (const msg of legacyEventsOf(item)) this.#publish(msg);
  }

  #publish(msg: EventMsg): void {
    this.#thread.publish(INTERNAL_SUBMISSION, msg);
  }
}
