import type { ThreadId } from "../../protocol/ids.ts";

/**
 * What can be wrong with a thread in a database.
 *
 * - `headless`: the row cannot be read. `gap`: lines are missing, or there are more than the row says. `base_short`: what a
 *   fork inherits is not there.
 * - `unreadable`: a line whose payload does not fit its type. `partial`: one of which only optional fields do not fit.
 */
export type DatabaseFaultKind = "headless" | "gap" | "base_short" | "unreadable" | "partial";

/** One thing that is wrong, and where. */
export type DatabaseFault = {
  readonly kind: DatabaseFaultKind;
  readonly threadId: ThreadId;
  /** The line; null for the thread as a whole. */
  readonly ordinal: number | null;
  readonly detail: string;
};

/** What a look at every thread found. */
export type DatabaseReport = {
  readonly schema: string;
  readonly threads: number;
  readonly lines: number;
  readonly bytes: number;
  readonly faults: readonly DatabaseFault[];
};

/** How a database is looked at. */
export type DatabaseVerifyOptions = {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly threads: number; readonly faults: number }) => void;
};
