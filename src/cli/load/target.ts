/** What a load is put on. */

/** Threads by their ids, wherever they run. Every call ends by the signal, or by itself. */
export interface LoadTarget extends AsyncDisposable {
  start(signal: AbortSignal): Promise<string>;
  /** A whole turn. @throws what it failed by */
  turn(threadId: string, signal: AbortSignal): Promise<void>;
  /** @returns the fork's id */
  fork(threadId: string, signal: AbortSignal): Promise<string>;
  /** The thread is not used any more. */
  remove(threadId: string, signal: AbortSignal): Promise<void>;
}

/** A turn that ended otherwise than by being complete. */
export class TurnFailed extends Error {
  /** As the server or the thread names it. */
  readonly code: string;
  constructor(code: string) {
    super(`the turn ended: ${code}`);
    this.code = code;
  }
}
