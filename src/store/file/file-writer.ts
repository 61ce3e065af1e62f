import { raceAbort } from "../../kernel/cancellation.ts";
import type { Clock } from "../../kernel/clock.ts";
import { StoreIoError, ThreadBusyError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode, RolloutItem } from "../../protocol/rollout.ts";
import { RefusedLine } from "../refused-line.ts";
import { encodeLine, storable, timestampOf } from "../rollout/codec.ts";
import type { RolloutFileOwner } from "../rollout-path.ts";
import type { ThreadWriter } from "../thread-store.ts";
import type { CommitGroup } from "./commit-group.ts";
import type { FilePosition } from "./file-position.ts";
import type { Lease } from "./lease/lease.ts";
import { type FileOwner, RolloutFile } from "./rollout-file.ts";

/** What a store gives each of its writers. */
export type WriterEnv = {
  readonly clock: Clock;
  readonly group: CommitGroup;
  /** A line was appended, and lies in the file from `start` to `end` as soon as it is written. */
  readonly appended: (writer: FileThreadWriter, item: RolloutItem, start: FilePosition, end: FilePosition) => void;
  readonly stored: (writer: FileThreadWriter) => void;
  readonly released: (writer: FileThreadWriter) => void;
};

export type WriterStart = {
  readonly threadId: ThreadId;
  readonly fileId: ThreadId;
  readonly path: string;
  readonly lease: Lease;
  readonly end: FilePosition;
  /** Whether lines carry ordinals. */
  readonly numbered: boolean;
  readonly historyMode: HistoryMode;
  /** What the file inherits, where it does. */
  readonly base: { readonly fileId: ThreadId; readonly end: FilePosition } | null;
  readonly isNew: boolean;
  /** Makes the file and takes the lease, where both are put off until the thread says something. */
  readonly make?: (() => void) | undefined;
  readonly onFailure: ((error: Error) => void) | undefined;
};

const STORED: Promise<void> = Promise.resolve();

/** The one writer of a thread's file. */
export class FileThreadWriter implements ThreadWriter, FileOwner, RolloutFileOwner {
  readonly threadId: ThreadId;
  readonly fileId: ThreadId;
  readonly file: RolloutFile;
  readonly lease: Lease;
  readonly base: WriterStart["base"];
  /** Whether lines carry ordinals. */
  readonly numbered: boolean;
  readonly historyMode: HistoryMode;
  readonly #env: WriterEnv;
  readonly #onFailure: ((error: Error) => void) | undefined;
  #end: FilePosition;
  #hasGrown = false;
  #closed = false;
  readonly #refused = new RefusedLine();
  #closing: Promise<void> | undefined;
  /** The lease is given back. */
  #isReleased = false;

  constructor(env: WriterEnv, start: WriterStart) {
    this.threadId = start.threadId;
    this.fileId = start.fileId;
    this.lease = start.lease;
    this.base = start.base;
    this.file = new RolloutFile(start.path, start.end.byteOffset, this, start);
    this.#env = env;
    this.#end = start.end;
    this.numbered = start.numbered;
    this.historyMode = start.historyMode;
    this.#onFailure = start.onFailure;
  }

  get epoch(): number {
    return this.lease.epoch;
  }

  get rolloutPath(): string {
    return this.file.path;
  }

  get failure(): Error | undefined {
    return this.file.failure ?? this.#refused.error;
  }

  get dirty(): boolean {
    return this.file.pending;
  }

  /** How many bytes wait to be written: only a failing file has more than a few megabytes. */
  get queuedBytes(): number {
    return this.file.queuedBytes;
  }

  position(): FilePosition {
    return this.#end;
  }

  append(item: RolloutItem): void {
    if (this.file.ended) return;
    if (this.#closed) {
      const why = `the writer of thread ${this.threadId} is closed; open the thread anew`;
      this.#env.group.end(this.file, new StoreIoError(why));
      return;
    }
    const encoded = this.#refused.encoded(
      () => this.#encoded(item),
      (error) => this.failed(error),
    );
    if (encoded !== undefined) this.appendText(encoded.text, encoded.line);
  }

  #encoded(item: RolloutItem): { readonly line: RolloutItem; readonly text: string } {
    const line = storable(item);
    const ordinal = this.numbered ? this.#end.ordinal : undefined;
    return { line, text: encodeLine(line, timestampOf(this.#env.clock.now()), ordinal) };
  }

  /** Appends a line that is encoded already, for the ordinal of {@link position}. */
  appendText(text: string, item: RolloutItem): void {
    this.#hasGrown = true;
    const start = this.#end;
    const bytes = Buffer.byteLength(text);
    this.#end = { ordinal: start.ordinal + 1, byteOffset: start.byteOffset + bytes };
    this.#env.appended(this, item, start, this.#end);
    this.#env.group.append(this.file, text, bytes);
  }

  flush(options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#storing((group) => group.flush(this.file), options);
  }

  sync(options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#storing((group) => group.sync(this.file), options);
  }

  #storing(store: (group: CommitGroup) => Promise<void>, { signal }: { signal?: AbortSignal }): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const refused = this.#refused.told();
    if (refused !== undefined) return refused;
    if (this.#closed && !this.file.ended) return this.#closing ?? STORED;
    const stored = store(this.#env.group);
    return signal === undefined ? stored : raceAbort(stored, signal);
  }

  close(): Promise<void> {
    if (this.#closed) return this.#closing ?? STORED;
    this.#closed = true;
    this.#closing = this.#close().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (!this.file.ended) {
      try {
        // What nobody has said anything in is not worth waiting for the disk: a server ends ten thousand of them at once.
        const { group } = this.#env;
        if (!this.file.isMade && !group.commit(this.file)) throw this.file.failure;
        await (this.#hasGrown ? group.sync(this.file) : group.flush(this.file));
      } catch (error) {
        if (!this.file.ended) {
          this.#closed = false;
          throw error;
        }
      }
    }
    this.#env.group.release(this.file);
    this.#isReleased = true;
    this.#env.released(this);
  }

  async confirm(): Promise<void> {
    if (this.#closed || this.file.ended) return this.flush();
    try {
      this.fence();
    } catch (error) {
      if (error instanceof ThreadBusyError) this.#env.group.end(this.file, error);
      throw error;
    }
  }

  fence(): void {
    if (!this.file.isMade) return; // nobody else knows of the thread
    // Its last batch was checked before: a sync that ends only now is not to take the lease again.
    if (this.#isReleased) return;
    const { keeper } = this.lease;
    if (keeper.holds(this.lease)) return;
    throw new ThreadBusyError(this.threadId, keeper.holderOf(this.threadId));
  }

  failed(error: Error): void {
    const onFailure = this.#onFailure;
    if (onFailure !== undefined) queueMicrotask(() => onFailure(error));
  }

  stored(): void {
    this.#env.stored(this);
  }
}
