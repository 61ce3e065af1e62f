import { checkCallOptions, checkObject, type OptionKinds, ofType, oneOf } from "../protocol/call-options.ts";
import { givenThreadId, type ThreadId } from "../protocol/ids.ts";
import type { HistoryMode } from "../protocol/rollout.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import type { OpenOptions } from "../store/thread-store.ts";
import { parseRestartRule, type RestartRule } from "./group-options.ts";
import type { RestartStrategy } from "./options.ts";

/** What a thread is made with, beside its config. */
export type ThreadOptions = {
  readonly signal?: AbortSignal | undefined;
  /** An id of the caller's choice for a new thread. @throws DuplicateThreadError when it is taken */
  readonly threadId?: string | undefined;
  /** Whose agent the thread is: it counts against that thread's limits and is hidden from lists of user threads. */
  readonly parentThreadId?: ThreadId | undefined;
  /** What the agent is called and what it is for, and the limits that its parent's settings put on it. */
  readonly agent?: AgentFacts | undefined;
  readonly source?: SessionSource | undefined;
  /** Which program the thread was started for; the manager's own by default. */
  readonly originator?: string | undefined;
  /** What a new thread stores: turns and items (`paginated`, the default), or what 0.80 and 0.87 can show as well. */
  readonly historyMode?: HistoryMode | undefined;
  /**
   * What session_configured tells of the stored events: `bounded` (the default) gives them when the history has at most
   * 128 lines, else null; `all` reads the whole history for it; `none` gives null, and is the default over a cluster.
   */
  readonly initialMessages?: "bounded" | "all" | "none" | undefined;
  /** When another process writes the thread: refuse (the default), wait for it, or take it over. Over a cluster its workers settle that. */
  readonly lease?: OpenOptions["lease"] | undefined;
  readonly deadlineMs?: number | undefined;
  /** How the thread is restarted after a crash, where that is not the manager's `supervision`; stored with it. In a group, the group's says. */
  readonly restart?: RestartStrategy | RestartRule | undefined;
};

/** What a sub-agent is called, where it comes from, and what its parent's settings allow it. */
export type AgentFacts = {
  /** What it is called among its siblings, for its path: `/root/NAME`. Default: its nickname, else its role, or `agent`, and a number. */
  readonly name?: string | undefined;
  readonly nickname?: string | null | undefined;
  readonly role?: string | null | undefined;
  /** Whose conversation it was given. */
  readonly forkedFrom?: ThreadId | undefined;
  readonly maxDepth?: number | undefined;
  /** How many agents may be open under the root of the tree. */
  readonly maxThreads?: number | undefined;
  /** Whether it ends when its parent has ended for good. Default false. */
  readonly endsWithParent?: boolean | undefined;
  /**
   * Whether its end is told to its parent, exactly once (SEMANTICS 7.5). Default: what `agentControl.spawnAgent` starts under a parent does,
   * any other thread does not.
   */
  readonly notifiesParent?: boolean | undefined;
};

const BOUNDED_MESSAGES = 128;

/** Whether a history of so many lines is read for what session_configured tells. */
export const tellsHistory = (asked: NonNullable<ThreadOptions["initialMessages"]>, lines: number): boolean =>
  asked === "all" || (asked === "bounded" && lines <= BOUNDED_MESSAGES);

/** The compiler says when one is missing here. */
const THREAD_OPTIONS = Object.keys({
  signal: 1,
  threadId: 1,
  parentThreadId: 1,
  agent: 1,
  source: 1,
  originator: 1,
  historyMode: 1,
  initialMessages: 1,
  lease: 1,
  deadlineMs: 1,
  restart: 1,
} satisfies Record<keyof ThreadOptions, 1>);

const THREAD_KINDS: OptionKinds = {
  threadId: ofType("string"),
  agent: ofType("object"),
  originator: ofType("string"),
  historyMode: oneOf("paginated", "legacy"),
  initialMessages: oneOf("bounded", "all", "none"),
  lease: oneOf("refuse", "wait", "takeOver"),
};

/**
 * What a program gives, read.
 * @param signal over that of the options
 * @throws InvalidRequestError
 */
export function givenThreadOptions(options: unknown = {}, signal?: AbortSignal): ThreadOptions {
  checkObject("options", options);
  const given: ThreadOptions = { ...options };
  checkCallOptions("options", given, THREAD_OPTIONS, THREAD_KINDS);
  const { parentThreadId, restart } = given;
  return {
    ...given,
    ...(restart === undefined ? {} : { restart: parseRestartRule(restart) }),
    ...(parentThreadId === undefined ? {} : { parentThreadId: givenThreadId(parentThreadId, "parentThreadId") }),
    ...(signal === undefined ? {} : { signal }),
  };
}
