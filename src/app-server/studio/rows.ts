/** Rows of the tree: what the store knows of a thread, and what of it is in memory. Nothing is loaded for them. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import { statusUnder } from "../../protocol/agent-status.ts";
import { costOf } from "../../protocol/budget.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { threadSpawnOf } from "../../protocol/session-source.ts";
import type { TokenUsage } from "../../protocol/token-usage.ts";
import { ifStored } from "../../store/is-stored.ts";
import type { StoredThread } from "../../store/thread-store.ts";
import { previewOf } from "../../store/thread-summary.ts";
import { cameTo, lifeLookedAt } from "../../thread/looked-at.ts";
import type { Thread } from "../../thread/thread.ts";
import { doingAfter, oneLine } from "./doing.ts";
import type { RowStatus, TreePatch, TreeRow } from "./wire.ts";

export const TREE_COLUMNS = [
  ...["id", "parentThreadId", "forkedFromId", "label", "role", "model", "createdAt", "archived"],
  ...["status", "tokensIn", "tokensCached", "tokensOut", "pending", "lastAt", "doing", "cost"],
] as const;

/** What the events of a thread have told since somebody looks. */
export type Heard = { doing: string; lastAt: number; label: string };

export class Rows {
  readonly #manager: ThreadManager;
  readonly #heardOf: (threadId: ThreadId) => Heard | undefined;

  constructor(manager: ThreadManager, heardOf: (threadId: ThreadId) => Heard | undefined) {
    this.#manager = manager;
    this.#heardOf = heardOf;
  }

  statusOf(thread: Thread | undefined): RowStatus {
    if (thread === undefined) return "notLoaded";
    if (thread.pendingApprovals.length > 0 || thread.pendingUserQuestions.length > 0) return "waiting";
    if (thread.activeTurn !== undefined) return "active";
    // An interrupt is no failure.
    const status = statusUnder("0.169", cameTo(thread));
    return typeof status === "object" && "errored" in status ? "failed" : "idle";
  }

  patch(threadId: ThreadId, storedAt = 0): TreePatch {
    const thread = this.#manager.loadedThread(threadId);
    const heard = this.#heardOf(threadId);
    const status = this.statusOf(thread);
    const total = thread?.tokenUsage?.total_token_usage;
    return [
      threadId,
      status,
      total?.input_tokens ?? null,
      total?.cached_input_tokens ?? null,
      total?.output_tokens ?? null,
      thread?.pendingApprovals.length ?? 0,
      heard?.lastAt ?? storedAt,
      heard?.doing || (status === "waiting" ? askOf(thread) : status === "active" ? "at work" : ""),
      thread === undefined || total === undefined ? null : this.#costOf(thread, total),
    ];
  }

  #costOf({ config }: Thread, total: TokenUsage): number | null {
    const price = this.#manager.priceOf(config.model, config.modelProvider);
    return price === undefined ? null : costOf(total, price);
  }

  ofStored(stored: StoredThread): TreeRow {
    const { threadId, source, name, preview } = stored;
    const spawned = threadSpawnOf(source);
    const label = name ?? (spawned?.agent_nickname || labelOf(preview) || this.#heardOf(threadId)?.label || "");
    return [
      threadId,
      this.#manager.parentOf(threadId) ?? stored.parentThreadId,
      stored.forkedFromId,
      label,
      spawned?.agent_role ?? null,
      this.#manager.loadedThread(threadId)?.config.model ?? stored.model,
      stored.createdAt,
      stored.archived,
      ...live(this.patch(threadId, stored.updatedAt)),
    ];
  }

  /** One that no store lists. */
  ofUnlisted(thread: Thread): TreeRow {
    const { forked_from_id } = thread.sessionConfigured;
    return [
      thread.id,
      this.#manager.parentOf(thread.id) ?? null,
      forked_from_id ?? null,
      this.#heardOf(thread.id)?.label ?? "",
      null,
      thread.config.model,
      lifeLookedAt(thread)?.beganAt ?? 0,
      false,
      ...live(this.patch(thread.id)),
    ];
  }

  /** undefined: there is no such thread, neither stored nor in memory. */
  async read(threadId: ThreadId): Promise<TreeRow | undefined> {
    const stored = await ifStored(this.#manager.store.get(threadId));
    if (stored !== undefined) return this.ofStored(stored);
    const thread = this.#manager.loadedThread(threadId);
    return thread && this.ofUnlisted(thread);
  }
}

/** What it asks, where that was asked before anybody looked. */
const askOf = (thread: Thread | undefined): string => {
  const [asked] = thread?.pendingApprovals ?? [];
  return (asked === undefined ? undefined : doingAfter(asked.msg)) ?? "asks";
};

type Live = TreePatch extends readonly [string, ...infer Rest] ? Rest : never;

const live = ([, ...rest]: TreePatch): Live => rest;

/** What a row is called before its thread has a name: the start of its first message. */
export const labelOf = (text: string): string => oneLine(previewOf(text));
