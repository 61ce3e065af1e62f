import type { MemberState } from "../../machines/roster.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread, WaitOptions } from "../thread/thread.ts";
import type { GroupOptions, GroupRule } from "./group-options.ts";
import type { RestartStrategy } from "./options.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { ThreadOptions } from "./thread-options.ts";

/** What a group is doing. */
export type GroupStatus = "running" | "givingUp" | "gaveUp" | "stopping" | "stopped";

/**
 * One member, in its place. `waiting`: down, its back-off is not over; `due` and `starting`: on its way; `ended`: it does not come back by
 * itself.
 */
export type MemberInfo = {
  readonly id: ThreadId;
  readonly kind: "thread" | "group";
  readonly restart: RestartStrategy;
  readonly state: Exclude<MemberState, "marked">;
};

/** A group that gave up, and nobody above it decides: it has ended its members, and `revive` brings them back. */
export type Escalation = {
  readonly group: ThreadId;
  readonly name: string | null;
  readonly reason: "intensity";
  readonly lastMember: ThreadId | null;
  readonly lastError: unknown;
  /** Restarts within the period, the one that was refused included. */
  readonly restarts: number;
  /** Unix milliseconds. */
  readonly at: number;
};

/** How a member is added. */
export type MemberOptions = { readonly restart?: RestartStrategy | undefined };

/** Threads and groups that are supervised together. Made by `manager.group`; disposing of it stops it. */
export interface ThreadGroup extends AsyncDisposable {
  readonly id: ThreadId;
  /** What it is stored under; undefined for one that is not. */
  readonly name: string | undefined;
  readonly parent: ThreadGroup | undefined;
  readonly rule: GroupRule;
  readonly status: GroupStatus;
  /** In the order in which they joined. */
  readonly members: readonly MemberInfo[];
  /** Starts a thread as the last member; when it does not come to be, nothing is left and nothing is counted. @throws as startThread */
  startThread(config?: ThreadConfig, options?: ThreadOptions & MemberOptions): Promise<NewThread>;
  /**
   * Adds a thread, or a group that is in none, as the last member.
   * @throws ThreadNotFoundError; InvalidRequestError for a member of another group, or a circle of groups
   */
  add(member: ThreadId | string | { readonly id: ThreadId } | ThreadGroup, options?: MemberOptions): Promise<void>;
  /** A new group in this one; where this one is stored it is too, under this one's name and its number unless it has its own. */
  group(options?: GroupOptions & MemberOptions): Promise<ThreadGroup>;
  /** Ends a member for good: it is not restarted, by nobody's crash either. Its place is kept. @throws InvalidRequestError */
  stopMember(id: ThreadId | string): Promise<void>;
  /** Brings back one that has ended, uncounted. @throws InvalidRequestError for one that runs, or is on its way */
  restartMember(id: ThreadId | string): Promise<void>;
  /** Takes one that has ended out of the group; its history stays. @throws InvalidRequestError for one that has not */
  dropMember(id: ThreadId | string): Promise<void>;
  /**
   * Ends its members, the last that joined first, those of inner groups before what joined earlier. Past the deadline (default 10,000 ms)
   * what is left is ended by force. It stays known, and can be revived.
   */
  stop(options?: { readonly deadlineMs?: number }): Promise<ShutdownReport>;
  /** Brings back, in order, the members that ended with the group. Their restarts count on. Resolves when they are there. */
  revive(): Promise<void>;
  /** Resolves when nothing is being stopped or started: all members are up or have ended. */
  quiet(options?: WaitOptions): Promise<void>;
}
