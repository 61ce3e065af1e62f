/** The one writer of a thread in memory, and those who wait for it to close. */
import { hostname } from "node:os";
import type { Clock } from "../../kernel/clock.ts";
import { Fifo } from "../../kernel/fifo.ts";
import { DeadlineExceededError, type LeaseOwner, StoreIoError, ThreadBusyError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode, RolloutItem, RolloutLine } from "../../protocol/rollout.ts";
import { RefusedLine } from "../refused-line.ts";
import { storable } from "../rollout/codec.ts";
import type { OpenOptions, Position, ThreadWriter } from "../thread-store.ts";
import { type ModelUse, modelUseOf } from "../thread-summary.ts";

/** What every flush without trouble answers. */
const STORED: Promise<void> = Promise.resolve();

export type Stamp = { readonly at: number; readonly text: string };

/** The times of lines, the text made once for each millisecond. */
export class Stamps {
  readonly clock: Clock;
  #last: Stamp = { at: Number.NaN, text: "" };

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): Stamp {
    const at = this.clock.now();
    if (at !== this.#last.at) this.#last = { at, text: new Date(at).toISOString() };
    return this.#last;
  }
}

type Waiter = { readonly grant: () => void; readonly refuse: (error: Error) => void };

/** Who holds a thread. There is none while nobody writes. */
export type MemoryLease = { writer: MemoryWriter; waiting: Fifo<Waiter> | undefined };

/** What a writer knows of its thread, and changes in it. */
export type LeasedThread = {
  readonly id: ThreadId;
  readonly historyMode: HistoryMode;
  readonly lines: RolloutLine[];
  /** The ordinal of the next line. */
  readonly end: number;
  epoch: number;
  modelUse: ModelUse | undefined;
  /** Unix milliseconds. */
  updatedAt: number;
  lease: MemoryLease | undefined;
};

/** The thread's next writer, whatever there was before. */
export function takeLease(thread: LeasedThread, stamps: Stamps, options: OpenOptions): MemoryWriter {
  const writer = new MemoryWriter(thread, stamps, options.onFailure);
  const { lease } = thread;
  if (lease === undefined) thread.lease = { writer, waiting: undefined };
  else {
    const fenced = lease.writer;
    lease.writer = writer;
    fenced.fail(new ThreadBusyError(thread.id, writer.owner));
  }
  return writer;
}

/** Waits until the writers before have closed. */
export function waitForLease(
  thread: LeasedThread,
  lease: MemoryLease,
  stamps: Stamps,
  options: OpenOptions,
): Promise<MemoryWriter> {
  const { signal, deadlineMs } = options;
  return new Promise((resolve, reject) => {
    const leave = () => {
      queue.remove(place);
      signal?.removeEventListener("abort", onAbort);
      if (timer !== undefined) stamps.clock.clearTimeout(timer);
    };
    const onAbort = () => {
      leave();
      reject(signal?.reason);
    };
    const onDeadline = () => {
      leave();
      reject(new DeadlineExceededError(`waiting for the writer of thread ${thread.id}`, deadlineMs ?? 0));
    };
    lease.waiting ??= new Fifo();
    const queue = lease.waiting;
    const place = queue.push({
      grant: () => {
        leave();
        lease.writer = new MemoryWriter(thread, stamps, options.onFailure);
        resolve(lease.writer);
      },
      refuse: (error) => {
        leave();
        reject(error);
      },
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = deadlineMs === undefined ? undefined : stamps.clock.setTimeout(onDeadline, deadlineMs);
  });
}

function handOn(thread: LeasedThread, lease: MemoryLease): void {
  const next = lease.waiting?.shift();
  if (next === undefined) thread.lease = undefined;
  else next.grant();
}

/** Ends the lease of a thread that is gone: those who wait are refused, and the writer is given back. */
export function endLease(thread: LeasedThread, error: Error): MemoryWriter | undefined {
  const { lease } = thread;
  thread.lease = undefined;
  lease?.waiting?.forEach((waiter) => {
    waiter.refuse(error);
  });
  return lease?.writer;
}

export class MemoryWriter implements ThreadWriter {
  readonly epoch: number;
  readonly #thread: LeasedThread;
  readonly #stamps: Stamps;
  readonly #since: number;
  readonly #onFailure: ((error: Error) => void) | undefined;
  #failure: Error | undefined = undefined;
  #closed = false;
  readonly #refused = new RefusedLine();

  constructor(thread: LeasedThread, stamps: Stamps, onFailure: ((error: Error) => void) | undefined) {
    thread.epoch += 1;
    this.epoch = thread.epoch;
    this.#thread = thread;
    this.#stamps = stamps;
    this.#since = stamps.clock.now();
    this.#onFailure = onFailure;
  }

  get threadId(): ThreadId {
    return this.#thread.id;
  }

  get historyMode(): HistoryMode {
    return this.#thread.historyMode;
  }

  get failure(): Error | undefined {
    return this.#failure ?? this.#refused.error;
  }

  get dirty(): boolean {
    return false;
  }

  get owner(): LeaseOwner {
    return { pid: process.pid, host: hostname(), since: new Date(this.#since).toISOString() };
  }

  append(item: RolloutItem): void {
    if (this.#closed)
      this.fail(new StoreIoError(`the writer of thread ${this.threadId} is closed; open the thread anew`));
    if (this.#failure !== undefined) return;
    const line = this.#refused.encoded(
      () => storable(item),
      (error) => this.#tell(error),
    );
    if (line !== undefined) this.#add(line);
  }

  #add(item: RolloutItem): void {
    const thread = this.#thread;
    const now = this.#stamps.now();
    thread.lines.push(lineOf(item, now.text, thread.end));
    thread.modelUse = modelUseOf(item) ?? thread.modelUse;
    thread.updatedAt = now.at;
  }

  flush(options?: { signal?: AbortSignal }): Promise<void> {
    if (options?.signal?.aborted) return Promise.reject(options.signal.reason);
    const refused = this.#refused.told();
    if (refused !== undefined) return refused;
    return this.#failure === undefined ? STORED : Promise.reject(this.#failure);
  }

  sync(options?: { signal?: AbortSignal }): Promise<void> {
    return this.flush(options);
  }

  confirm(): Promise<void> {
    return this.flush();
  }

  position(): Position {
    return { ordinal: this.#thread.end };
  }

  close(): Promise<void> {
    if (this.#closed) return STORED;
    this.#closed = true;
    const { lease } = this.#thread;
    if (lease?.writer === this) handOn(this.#thread, lease);
    return STORED;
  }

  /** Nothing is stored any more; writers hear of it once. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#tell(error);
  }

  #tell(error: Error): void {
    const onFailure = this.#onFailure;
    if (onFailure !== undefined) queueMicrotask(() => onFailure(error));
  }
}

/** Other members of the item survive, as those of a line that came from elsewhere. */
function lineOf(item: RolloutItem, timestamp: string, ordinal: number): RolloutLine {
  if (Object.keys(item).length > 2) return { ...item, timestamp, ordinal };
  return { timestamp, ordinal, type: item.type, payload: item.payload } as RolloutLine;
}
