import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { HistoryMode, SessionMeta } from "../protocol/rollout.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { rolloutPathOf } from "../store/rollout-path.ts";
import type { ThreadWriter } from "../store/thread-store.ts";
import { VERSION } from "../version.ts";
import { type RestartRule, readRestartRule } from "./group-options.ts";
import type { Lineage } from "./kinship.ts";

export type MetaFacts = {
  readonly threadId: ThreadId;
  readonly config: ResolvedThreadConfig;
  readonly source: SessionSource;
  readonly originator: string;
  /** Unix milliseconds. */
  readonly now: number;
  readonly historyMode?: HistoryMode | undefined;
  readonly restart?: RestartRule | undefined;
};

/** Who started the thread, where an agent did, and what it is called and for. */
export type AgentMetaFacts = Lineage & {
  readonly role?: string | null | undefined;
  readonly forkedFrom?: ThreadId | undefined;
};

/** Skein's own: which of the manager's logics the thread has. Codex keeps fields that it does not know. */
const LOGIC_FIELD = "thread_logic";

/** Skein's own: how the thread is restarted, where it has its own rule. */
const RESTART_FIELD = "restart_rule";

/** The rule that a header holds. */
export const restartRuleOf = (header: SessionMeta): RestartRule | undefined =>
  header[RESTART_FIELD] === undefined ? undefined : readRestartRule(header[RESTART_FIELD]);

/** The logic that a header names. */
export function logicOf(header: SessionMeta): string | undefined {
  const name = header[LOGIC_FIELD];
  return typeof name === "string" && name !== "" ? name : undefined;
}

/** The header of a new thread's rollout (SPEC 7.3). */
export function sessionMetaOf({
  threadId,
  config,
  source,
  originator,
  now,
  historyMode,
  restart,
}: MetaFacts): SessionMeta {
  return {
    id: threadId,
    timestamp: new Date(now).toISOString(),
    cwd: config.cwd,
    originator,
    cli_version: VERSION,
    source,
    model_provider: config.modelProvider,
    ...(historyMode === undefined ? {} : { history_mode: historyMode }),
    model: config.model,
    ...(config.logic === undefined ? {} : { [LOGIC_FIELD]: config.logic }),
    ...(restart === undefined ? {} : { [RESTART_FIELD]: restart }),
    ...(config.reasoningEffort === null ? {} : { reasoning_effort: config.reasoningEffort }),
  };
}

/** The same of an agent's thread (SPEC 14.4). A source that the caller gives is kept. */
export function agentMetaOf(
  { source, ...facts }: Omit<MetaFacts, "source"> & { readonly source: SessionSource | undefined },
  { parent, depth, session, nickname, role = null, forkedFrom, path }: AgentMetaFacts,
): SessionMeta {
  const named = { agent_path: null, agent_nickname: nickname, agent_role: role };
  const spawn = { parent_thread_id: parent, depth, ...(nickname === null && role === null ? {} : named) };
  return {
    ...sessionMetaOf({ ...facts, source: source ?? { subagent: { thread_spawn: spawn } } }),
    session_id: session,
    parent_thread_id: parent,
    ...(forkedFrom === undefined ? {} : { forked_from_id: forkedFrom }),
    thread_source: "subagent",
    // One that has a nickname is called by it; Codex writes no path for it either.
    ...(path === undefined || path.endsWith(`/${nickname}`) ? {} : { agent_path: path }),
    ...(nickname === null ? {} : { agent_nickname: nickname }),
    ...(role === null ? {} : { agent_role: role }),
  };
}

/** What the thread is to emit first. */
export function sessionConfiguredOf(
  writer: Pick<ThreadWriter, "threadId">,
  config: ResolvedThreadConfig,
  initialMessages: EventMsg[] | null,
  forkedFrom: ThreadId | undefined,
): SessionConfiguredEvent {
  return {
    type: "session_configured",
    session_id: writer.threadId,
    model: config.model,
    model_provider_id: config.modelProvider,
    approval_policy: config.approvalPolicy,
    sandbox_policy: config.sandboxPolicy,
    cwd: config.cwd,
    reasoning_effort: config.reasoningEffort,
    history_log_id: 0,
    history_entry_count: 0,
    initial_messages: initialMessages,
    rollout_path: rolloutPathOf(writer),
    ...(forkedFrom === undefined ? {} : { forked_from_id: forkedFrom }),
  };
}
