import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { ThreadWriter } from "../store/thread-store.ts";
import { VERSION } from "../version.ts";

export type MetaFacts = {
  readonly threadId: ThreadId;
  readonly config: ResolvedThreadConfig;
  readonly source: SessionSource;
  readonly originator: string;
  /** Unix milliseconds. */
  readonly now: number;
  readonly parent?: ThreadId | undefined;
};

/** The header of a new thread's rollout (SPEC 7.3). */
export function sessionMetaOf({ threadId, config, source, originator, now, parent }: MetaFacts): SessionMeta {
  return {
    id: threadId,
    timestamp: new Date(now).toISOString(),
    cwd: config.cwd,
    originator,
    cli_version: VERSION,
    source,
    model_provider: config.modelProvider,
    ...(parent === undefined ? {} : { parent_thread_id: parent }),
  };
}

/** What the thread is to emit first. */
export function sessionConfiguredOf(
  { threadId, rolloutPath }: Pick<ThreadWriter, "threadId" | "rolloutPath">,
  config: ResolvedThreadConfig,
  initialMessages: EventMsg[] | null,
  forkedFrom: ThreadId | undefined,
): SessionConfiguredEvent {
  return {
    type: "session_configured",
    session_id: threadId,
    model: config.model,
    model_provider_id: config.modelProvider,
    approval_policy: config.approvalPolicy,
    sandbox_policy: config.sandboxPolicy,
    cwd: config.cwd,
    reasoning_effort: config.reasoningEffort,
    history_log_id: 0,
    history_entry_count: 0,
    initial_messages: initialMessages,
    rollout_path: rolloutPath,
    ...(forkedFrom === undefined ? {} : { forked_from_id: forkedFrom }),
  };
}
