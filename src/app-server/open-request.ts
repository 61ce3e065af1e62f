/** A question that clients have been asked, and that waits for its first answer. */
import type { AskedMsg } from "./asked-msg.ts";
import type { Connection } from "./connection.ts";
import type { ThreadFeed } from "./thread-feed.ts";

export type OpenRequest<M extends AskedMsg = AskedMsg> = {
  readonly id: number;
  readonly feed: ThreadFeed;
  readonly msg: M;
  readonly turnId: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly asked: Map<Connection, "v1" | "v2">;
  /** They were asked, and do not follow the thread any more: what their people answer counts all the same. */
  readonly left: WeakMap<Connection, "v1" | "v2">;
};
