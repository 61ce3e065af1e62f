/** What threads are told of each other's ends (SEMANTICS 6.1 to 6.8). */
import type { ThreadId } from "../protocol/ids.ts";

/**
 * Why a watched thread is no more. `normal`: its own logic ended it; `shutdown`: it was asked to end; `killed`: by force; `crashed`: its
 * actor failed and is not restarted; `gaveUp`: it failed too often; `lost`: another process writes it now; `refused`: it never came to be;
 * `not_found`: there was none when it began to be watched.
 */
export type DownReason = "normal" | "shutdown" | "killed" | "crashed" | "gaveUp" | "lost" | "refused" | "not_found";

/** The one message about a watched thread's end. */
export type Down = {
  readonly type: "down";
  /** The monitor that it answers. */
  readonly ref: string;
  readonly threadId: ThreadId;
  readonly reason: DownReason;
  /** The life that was its last; null where there was none. */
  readonly epoch: number | null;
  /** What it failed by; its text, where it was told to an earlier process. */
  readonly error?: unknown;
};

/** `onDown` is called once, unless the watch is given up before: by `signal`, or by disposing of the monitor. */
export type MonitorOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly onDown?: ((down: Down) => void) | undefined;
};

/** One watch on another thread. Two watches are told twice. */
export interface Monitor extends Disposable {
  readonly ref: string;
  readonly threadId: ThreadId;
  /** Resolves with the end. Rejects when the watch is given up: with the signal's reason, an AbortError, or the end of whoever watches. */
  readonly down: Promise<Down>;
  /** Resolves when the watch outlives the process. Rejects where it can't be stored; then it lasts as long as the process does. */
  readonly stored: Promise<void>;
  /** Gives up the watch: from now on nothing is told. @returns whether it was still waiting */
  demonitor(): boolean;
}

/** `trap`: the other's end does not end this thread; it is told instead. */
export type LinkOptions = MonitorOptions & { readonly trap?: boolean | undefined };

/** A bond of two threads that end together. */
export interface Link extends Disposable {
  readonly threadId: ThreadId;
  /** As {@link Monitor.down}. */
  readonly down: Promise<Down>;
  /** As {@link Monitor.stored}. */
  readonly stored: Promise<void>;
  /** Takes the bond away, for both. @returns whether there was one */
  unlink(): boolean;
}
