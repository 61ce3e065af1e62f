/** A question that clients have been asked, and that waits for its first answer. */
import type { EventMsg } from "../protocol/event.ts";
import type { Connection } from "./connection.ts";
import type { ThreadFeed } from "./thread-feed.ts";

export type ApprovalMsg = Extract<EventMsg, { type: "exec_approval_request" | "apply_patch_approval_request" }>;

export type OpenRequest = {
  readonly id: number;
  readonly feed: ThreadFeed;
  readonly msg: ApprovalMsg;
  readonly turnId: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly asked: Map<Connection, "v1" | "v2">;
};
