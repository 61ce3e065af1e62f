/**
 * The submissions that a thread has seen, over all of its lives: a caller's id runs once, however long ago that was.
 *
 * What has to last stands in the rollout: a turn bears its submission's id where that is a UUID, and for any other a
 * `submission` line says which turn it belongs to. In memory there are the newest ids, and a filter of fixed size over
 * the others; what the filter may have is looked up in the lines themselves.
 */
import { type Submission, taskKindOf } from "../../machines/thread.machine.ts";
import { IdFilter } from "../kernel/id-filter.ts";
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import { newTurnId, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { RolloutItem, RolloutLine, SubmissionItem } from "../protocol/rollout.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import { isNoState } from "./saved-state.ts";
import { areOfOne } from "./waiting-lines.ts";

/** That an op of a caller's id was taken, or is being taken. */
export type Acceptance = SubmissionId | Promise<SubmissionId>;

const NEWEST = 256;

/** Whose ledger it is. */
export interface LedgerThread {
  readonly threadId: ThreadId;
  readonly store: ThreadStore;
  readonly origin: "new" | "resumed" | "forked";
  record(item: RolloutItem): void;
  readonly storage: { flush(): Promise<void> };
}

export class SubmissionLedger {
  readonly #thread: LedgerThread;
  readonly #newest = new Map<SubmissionId, Acceptance>();
  /** All but the newest; undefined until there are any. */
  #others: IdFilter | undefined;
  /** Until the ids of earlier lives are in the filter. */
  #isPartial: boolean;
  #reading: Promise<void> | undefined;
  /** What was stored before it was in the history, and is not in it yet; the oldest of an id first. */
  readonly #waiting = new Map<SubmissionId, readonly SubmissionItem[]>();

  constructor(thread: LedgerThread) {
    this.#thread = thread;
    this.#isPartial = thread.origin !== "new";
  }

  newest(id: SubmissionId): Acceptance | undefined {
    return this.#newest.get(id);
  }

  /** An op that was not taken was not seen either: its id may be tried again. So may that of one that has come to nothing by then. */
  remember(id: SubmissionId, take: () => Acceptance): Acceptance {
    this.#newest.delete(id);
    this.#newest.set(id, id);
    let acceptance: Acceptance;
    try {
      acceptance = take();
    } catch (error) {
      this.#newest.delete(id);
      throw error;
    }
    if (!this.#newest.has(id)) return acceptance;
    this.#newest.set(id, acceptance);
    if (this.#newest.size > NEWEST) this.#forgetOldest();
    if (acceptance instanceof Promise) {
      acceptance.then(
        () => this.#newest.has(id) && this.#newest.set(id, id),
        () => this.#newest.delete(id),
      );
    }
    return acceptance;
  }

  /** The op was taken, and has come to nothing. */
  forget(id: SubmissionId): void {
    this.#newest.delete(id);
  }

  #forgetOldest(): void {
    for (const [id, acceptance] of this.#newest) {
      // One that is still being taken may fail yet.
      if (acceptance instanceof Promise) continue;
      this.#newest.delete(id);
      this.#others ??= new IdFilter();
      this.#others.add(id);
      return;
    }
  }

  /** Whether the id was seen before the newest ones. Answers at once where nothing has to be read. */
  hasSeen(id: SubmissionId, signal: AbortSignal | undefined): boolean | Promise<boolean> {
    if (!this.#isPartial && !this.#others?.mayHave(id)) return false;
    return this.#lookUp(id, signal);
  }

  async #lookUp(id: SubmissionId, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#isPartial) {
      this.#reading ??= this.#readIds().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#others?.mayHave(id) === true && (await this.trace(id, signal)) !== undefined;
  }

  async #readIds(): Promise<void> {
    const filter = this.#others ?? new IdFilter();
    const { store, threadId } = this.#thread;
    for await (const page of store.load(threadId, { wants: isNoState })) {
      for (const line of page) {
        const id = submissionIdIn(line, threadId);
        if (id !== undefined) filter.add(id);
      }
      await yieldToLoop();
    }
    this.#others = filter;
    this.#isPartial = false;
  }

  /** The turn of a submission, and how that ended; undefined for one that the thread has not seen. Reads all lines. */
  async trace(id: SubmissionId, signal: AbortSignal | undefined): Promise<Trace | undefined> {
    const { store, threadId } = this.#thread;
    await this.#thread.storage.flush().catch(() => undefined);
    const range = { wants: isNoState, ...(signal === undefined ? {} : { signal }) };
    return traceOf(store.load(threadId, range), { id, threadId });
  }

  /**
   * Stores that a submission was taken, where nothing else in the rollout will say so.
   *
   * @param isNamed whether the id is the caller's
   * @param isWaiting whether what it gives is still to enter the history: then it is stored as it is
   * @param turnId the turn that it starts or joins
   */
  note({ id, op }: Submission, how: { isNamed: boolean; isWaiting: boolean; turnId: string | undefined }): void {
    const { isNamed, isWaiting, turnId } = how;
    const givesInput = taskKindOf(op) !== undefined || op.type === "inject_items";
    const waits = isWaiting && givesInput;
    if (!waits && (!isNamed || turnId === id)) return;
    const { threadId } = this.#thread;
    const noted = { thread_id: threadId, id, turn_id: turnId ?? null };
    const item = waits ? { ...noted, ...(turnId === undefined && { wait: newTurnId() }), op } : noted;
    if (waits) this.#hold(id, item);
    this.#record(item);
  }

  #hold(id: SubmissionId, item: SubmissionItem): void {
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), item]);
  }

  #record(payload: SubmissionItem): void {
    this.#thread.record({ type: "submission", payload });
  }

  /** What an earlier life has stored waits in this one. */
  restore(id: SubmissionId, line: SubmissionItem): void {
    this.remember(id, () => id);
    this.#hold(id, line);
  }

  /** What a submission gave is in the history, or never will be. */
  noteTaken(id: SubmissionId): void {
    const [oldest, ...others] = this.#waiting.get(id) ?? [];
    if (oldest === undefined) return;
    if (others.length > 0) this.#waiting.set(id, others);
    else this.#waiting.delete(id);
    this.noteTakenBefore(oldest);
  }

  /** As {@link noteTaken}, for one of an earlier life. */
  noteTakenBefore({ op: _, ...item }: SubmissionItem): void {
    this.#record({ ...item, turn_id: item.turn_id ?? null, taken: true });
  }

  isWaiting(id: SubmissionId): boolean {
    return this.#waiting.has(id);
  }

  /** Whether a line is of this life's own op, which waits: an earlier life may have given another one the same id. */
  isOwn(item: SubmissionItem): boolean {
    return this.#waiting.get(toSubmissionId(item.id))?.some((own) => areOfOne(own, item)) === true;
  }

  /** What waits is said again: a history is read from its last compaction on, and what is undone from near its last turn's end. */
  repeat(): void {
    for (const item of [...this.#waiting.values()].flat()) this.#record(item);
  }
}

/** `open`: nothing says how the turn ended. */
export type Trace = { readonly turnId: string | null; readonly end: "open" | "done" | "cut" };

/** The turn of a submission in all lines of its thread, and how it ended. */
export async function traceOf(
  lines: AsyncIterable<readonly RolloutLine[]>,
  which: { id: SubmissionId; threadId: ThreadId },
): Promise<Trace | undefined> {
  let trace: Trace | undefined;
  for await (const page of lines) {
    for (const line of page) trace = traced(trace, line, which);
    await yieldToLoop();
  }
  return trace;
}

/** The submission that the line says was taken; that of a turn is the turn's own id, where it is a UUID. */
export function submissionIdIn(line: RolloutLine, threadId: ThreadId): string | undefined {
  if (line.type === "submission") return line.payload.thread_id === threadId ? line.payload.id : undefined;
  if (line.type !== "event_msg" || line.payload.type !== "task_started") return undefined;
  return line.payload.turn_id ?? undefined;
}

function traced(
  trace: Trace | undefined,
  line: RolloutLine,
  { id, threadId }: { id: SubmissionId; threadId: ThreadId },
): Trace | undefined {
  if (line.type === "submission") {
    const { thread_id, id: noted, turn_id: turnId, taken } = line.payload;
    if (thread_id !== threadId || noted !== id || taken === true) return trace;
    return turnId == null ? { turnId: null, end: "done" } : { turnId, end: "open" };
  }
  if (line.type !== "event_msg") return trace;
  const { payload } = line;
  if (payload.type === "task_started" && trace === undefined && payload.turn_id === id)
    return { turnId: id, end: "open" };
  if (trace?.turnId == null) return trace;
  if (payload.type === "task_complete" && payload.turn_id === trace.turnId) return { ...trace, end: "done" };
  if (payload.type === "turn_aborted" && payload.turn_id === trace.turnId) return { ...trace, end: "cut" };
  return trace;
}
