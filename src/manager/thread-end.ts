import type { ThreadId } from "../protocol/ids.ts";

/** How a life of a thread ended. */
export type ThreadEnd = {
  readonly threadId: ThreadId;
  /** Which of its lives it was. */
  readonly epoch: number;
  /**
   * `closed`: in order; `killed`: by force; `crashed`: its actor failed; `gaveUp`: it failed too often, or could not be
   * restarted; `lost`: another process writes the thread now; `refused`: its caller had given up meanwhile.
   */
  readonly reason: "closed" | "killed" | "crashed" | "gaveUp" | "lost" | "refused";
  /** Whether somebody had asked for it: an own logic may also end by itself. */
  readonly wasAsked?: boolean;
  /** What it failed by. */
  readonly error?: unknown;
};
