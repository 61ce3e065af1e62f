import type { ThreadId } from "../protocol/ids.ts";

/** What became of each thread: ended by itself, ended with its last lines not stored, or ended by force. */
export type ShutdownReport = {
  readonly completed: readonly ThreadId[];
  readonly failed: readonly ThreadId[];
  readonly timedOut: readonly ThreadId[];
};
