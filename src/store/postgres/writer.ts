import { raceAbort } from "../../kernel/cancellation.ts";
import type { Clock } from "../../kernel/clock.ts";
import { StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode, RolloutItem } from "../../protocol/rollout.ts";
import { RefusedLine } from "../refused-line.ts";
import { encodeLine, storable, timestampOf } from "../rollout/codec.ts";
import type { OpenOptions, Position, ThreadWriter } from "../thread-store.ts";
import type { Extent, Origin, Summary } from "./thread-row.ts";

/** A line that waits to be stored. */
export type PendingLine = {
  readonly ordinal: number;
  readonly at: number;
  readonly text: string;
  readonly item: RolloutItem;
};

export type WriterStart = {
  readonly origin: Origin;
  readonly epoch: number;
  readonly claim: string;
  readonly next: number;
  readonly historyMode: HistoryMode;
  readonly summary: Summary;
  /** What hears of it when somebody else takes the thread, or deletes it. */
  readonly ear: object | undefined;
  readonly onFailure: OpenOptions["onFailure"];
};

/** What stores the lines of all writers. */
export interface LineGroup {
  readonly clock: Clock;
  /** The writer has another line, of so many characters. */
  add(writer: PostgresWriter, chars: number): void;
  /** Somebody waits for the writer's lines. */
  hurry(writer: PostgresWriter): void;
}

/** The row of a writer's thread. */
export interface HeldThread {
  /** Gives the thread back. */
  release(writer: PostgresWriter): Promise<void>;
  /** Ends a writer that has lost its thread. @throws StoreIoError where that can't be told */
  check(writer: PostgresWriter): Promise<void>;
}

type Waiter = { readonly next: number; readonly resolve: () => void; readonly reject: (error: Error) => void };

const STORED: Promise<void> = Promise.resolve();

/** The one writer of a thread's rows. */
export class PostgresWriter implements ThreadWriter {
  readonly t: number;
  readonly threadId: ThreadId;
  readonly epoch: number;
  /** Under which the thread was taken. */
  readonly claim: string;
  readonly historyMode: HistoryMode;
  readonly #origin: Origin;
  readonly #ear: object | undefined;
  /** What the stored lines have told; written by the group. */
  #summary: Summary;
  #stored: number;
  #next: number;
  #pending: PendingLine[] = [];
  #waiting: Waiter[] = [];
  #failure: Error | undefined;
  readonly #refused = new RefusedLine();
  /** Nothing is stored any more: it was closed, or another has the thread. */
  #hasEnded = false;
  #closing: Promise<void> | undefined;
  readonly #group: LineGroup;
  readonly #onFailure: OpenOptions["onFailure"];
  readonly #thread: HeldThread;

  constructor(group: LineGroup, start: WriterStart, thread: HeldThread) {
    this.t = start.origin.t;
    this.threadId = start.origin.id;
    this.#origin = start.origin;
    this.#ear = start.ear;
    this.epoch = start.epoch;
    this.claim = start.claim;
    this.historyMode = start.historyMode;
    this.#summary = start.summary;
    this.#stored = start.next;
    this.#next = start.next;
    this.#onFailure = start.onFailure;
    this.#group = group;
    this.#thread = thread;
  }

  get failure(): Error | undefined {
    return this.#failure ?? this.#refused.error;
  }

  get dirty(): boolean {
    return this.#pending.length > 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get summary(): Summary {
    return this.#summary;
  }

  /** The ordinal up to which lines are stored. */
  get stored(): number {
    return this.#stored;
  }

  get pending(): readonly PendingLine[] {
    return this.#pending;
  }

  /** The thread as it is stored, as long as that is known without asking: by the ear that has listened from the start. */
  extent(ear: object | undefined): Extent | undefined {
    if (this.#hasEnded || this.#closing !== undefined || ear === undefined || ear !== this.#ear) return undefined;
    return { ...this.#origin, next: this.#stored, state: this.#summary.state };
  }

  position(): Position {
    return { ordinal: this.#next };
  }

  append(item: RolloutItem): void {
    if (this.#closing !== undefined && !this.#hasEnded) {
      this.end(new StoreIoError(`the writer of thread ${this.threadId} is closed; open the thread anew`));
    }
    if (this.#hasEnded) return;
    const line = this.#refused.encoded(
      () => this.#encoded(storable(item)),
      (error) => this.#tell(error),
    );
    if (line === undefined) return;
    this.#next += 1;
    this.#pending.push(line);
    this.#group.add(this, line.text.length);
  }

  #encoded(item: RolloutItem): PendingLine {
    const ordinal = this.#next;
    const at = this.#group.clock.now();
    return { ordinal, at, text: encodeLine(item, timestampOf(at), ordinal).trimEnd(), item };
  }

  flush({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return this.#refused.told() ?? this.#flushed(signal);
  }

  #flushed(signal?: AbortSignal): Promise<void> {
    if (this.#hasEnded) return this.#failure === undefined ? STORED : Promise.reject(this.#failure);
    if (this.#pending.length === 0) return STORED;
    const stored = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ next: this.#next, resolve, reject });
    });
    this.#group.hurry(this);
    return signal === undefined ? stored : raceAbort(stored, signal);
  }

  sync(options?: { signal?: AbortSignal }): Promise<void> {
    return this.flush(options);
  }

  async confirm(): Promise<void> {
    if (!this.#hasEnded) await this.#thread.check(this);
    if (this.#hasEnded) await this.flush();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#flushed();
    } catch (error) {
      if (!this.#hasEnded) {
        this.#closing = undefined;
        throw error;
      }
    }
    await this.#thread.release(this);
  }

  /** The group has stored the lines before `next`. */
  settle(next: number, summary: Summary): void {
    this.#failure = undefined;
    this.#summary = summary;
    this.#stored = next;
    let count = 0;
    while ((this.#pending[count]?.ordinal ?? next) < next) count += 1;
    this.#pending.splice(0, count);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((waiter) => waiter.next > next);
    for (const waiter of waiting) if (waiter.next <= next) waiter.resolve();
  }

  /** The group could not store them; it tries again. */
  fail(error: Error): void {
    const isFirst = this.#failure === undefined;
    this.#failure ??= error;
    if (isFirst) this.#tell(error);
    this.#rejectAll(error);
  }

  /** Nothing is stored any more; what waits is dropped. */
  end(error: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#failure = error;
    this.#pending = [];
    this.#tell(error);
    this.#rejectAll(error);
  }

  #rejectAll(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
  }

  #tell(error: Error): void {
    const onFailure = this.#onFailure;
    if (onFailure !== undefined) queueMicrotask(() => onFailure(error));
  }
}
