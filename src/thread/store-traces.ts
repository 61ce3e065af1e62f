/** What of a thread's store can be watched (docs/observing.md). */
import { type TracedWork, Tracing } from "../kernel/traced-work.ts";
import type { ThreadId } from "../protocol/ids.ts";

/** A thread waits until what it has said is stored. */
export type StoreWriteTrace = TracedWork & {
  readonly threadId: ThreadId;
  /** The turn that waits; undefined outside of turns. */
  readonly turnId: string | undefined;
  /** `flush`: it outlives the process. `sync`: and the machine, where the store's policy says so. */
  readonly kind: "flush" | "sync";
};

/** A thread's rollout is opened, with its lease, or closed. */
export type LeaseTrace = TracedWork & {
  readonly threadId: ThreadId;
  readonly kind: "take" | "release";
  /** The epoch that the lease gives, or gave; unset while it is being taken. */
  epoch?: number;
};

export const storeWriteTracing = new Tracing<StoreWriteTrace>("skein:store-write");
export const leaseTracing = new Tracing<LeaseTrace>("skein:lease");
