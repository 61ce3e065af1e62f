import { raceAbort } from "../kernel/cancellation.ts";
import type { ModelPreset } from "../model/model-preset.ts";
import type { AgentRule, AgentStatus } from "../protocol/agent-status.ts";
import { ManagerClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { Agents, ResumeRequest, ReviewerRequest, ReviewerResult, SpawnRequest } from "../turn/agents.ts";
import { AgentControl } from "./agent-control.ts";
import { lineageOf } from "./kinship.ts";
import { Nicknames } from "./nicknames.ts";
import { bindRuntime } from "./runtime-of.ts";
import type { AgentThreads } from "./threads.ts";

/** A reviewer that does not end by then is ended by force. */
const REVIEWER_END_MS = 2_000;
/** What an agent that is closed, and those under it, have to end in, children first. */
const CLOSE_MS = 10_000;

/** What turns' tools do with other threads, done by AgentControl. No lock is held while an agent is waited for. */
export class TurnAgents implements Agents {
  readonly #threads: AgentThreads;
  readonly #control: AgentControl;
  readonly #nicknames = new Nicknames();
  readonly #reviewers = new Set<ThreadId>();

  constructor(threads: AgentThreads) {
    this.#threads = threads;
    // The control holds its manager weakly; the threads hold this, so they are their own holder.
    bindRuntime(threads, threads);
    this.#control = new AgentControl(threads);
  }

  /** @throws ManagerClosedError */
  #open(): AgentThreads {
    const threads = this.#threads;
    if (threads.isClosing) throw new ManagerClosedError();
    return threads;
  }

  kindOf(threadId: ThreadId): "collab_spawn" | "review" | undefined {
    if (this.#reviewers.has(threadId)) return "review";
    return this.depthOf(threadId) > 0 ? "collab_spawn" : undefined;
  }

  depthOf(threadId: ThreadId): number {
    return this.#threads.lineageOf(threadId)?.depth ?? 0;
  }

  nicknameOf(threadId: ThreadId): string | null {
    return this.#threads.lineageOf(threadId)?.nickname ?? null;
  }

  #treeOf(threadId: ThreadId): string {
    return this.#threads.lineageOf(threadId)?.session ?? threadId;
  }

  statusOf(threadId: ThreadId): Promise<AgentStatus> {
    return this.#control.getStatus(threadId);
  }

  modelsFor({ modelProvider: provider }: ResolvedThreadConfig): Promise<readonly ModelPreset[]> {
    return this.#threads.models.listModels({ provider, refresh: "offline" });
  }

  async spawn({ parent, rootTurn, config, prompt, history, role, terms, signal }: SpawnRequest): Promise<ThreadId> {
    this.#open();
    const nickname = terms === undefined ? null : this.#nicknames.next(this.#treeOf(parent));
    // The mode is between the user and the thread that they talk to.
    const threadId = await this.#control.spawnAgent({ ...config, collaborationMode: null }, prompt, {
      parentThreadId: parent,
      agent: { nickname, role, notifiesParent: terms !== undefined, ...terms },
      originator: await this.#originatorOf(parent),
      history,
      rootTurn,
      signal,
    });
    return threadId;
  }

  /** Whatever program the parent works for, its agents do too. */
  async #originatorOf(parent: ThreadId): Promise<string | undefined> {
    const place = await this.#threads.locate(parent);
    if (place?.kind !== "loaded") return undefined;
    return (await place.thread.incarnation.store.header(parent)).originator;
  }

  async #follow(threadId: ThreadId, parent: ThreadId): Promise<void> {
    try {
      await this.#threads.notices.follow(await this.#open().get(threadId), parent);
    } catch (error) {
      if (!(error instanceof ThreadNotFoundError)) throw error;
    }
  }

  async send(
    threadId: ThreadId,
    input: readonly UserInput[],
    options: { rootTurn: TurnId; id?: string },
  ): Promise<SubmissionId> {
    this.#open();
    return this.#control.sendPrompt(threadId, input, options);
  }

  async interrupt(threadId: ThreadId, signal: AbortSignal): Promise<void> {
    this.#open();
    await this.#control.interrupt(threadId, { signal });
  }

  async waitFor(
    ids: readonly ThreadId[],
    options: { deadlineMs: number; rule: AgentRule; signal: AbortSignal },
  ): Promise<Readonly<Record<ThreadId, AgentStatus>>> {
    this.#open();
    return (await this.#control.waitFor(ids, options)).status;
  }

  async close(threadId: ThreadId, signal: AbortSignal): Promise<void> {
    await raceAbort(this.#open().shutdownTree(threadId, CLOSE_MS), signal);
  }

  async review({ threadId: payer, config, prompt, onEvent, signal }: ReviewerRequest): Promise<ReviewerResult> {
    const { maker } = this.#open();
    const { threadId, thread } = await maker.spawn(config, {
      source: { subagent: "review" },
      initialMessages: "none",
      signal,
    });
    const { budgets } = this.#threads;
    budgets.accounts.billTo(threadId, payer);
    const events = thread.events$.subscribe(({ msg }) => onEvent(msg));
    this.#reviewers.add(threadId);
    try {
      const { status, lastAgentMessage, error } = await thread.run(prompt, { signal });
      const failure = error === null ? null : { message: error.message, codex_error_info: error.info };
      return { status, lastAgentMessage, error: failure };
    } finally {
      events.unsubscribe();
      this.#reviewers.delete(threadId);
      await this.#control.shutdownAgent(threadId, { deadlineMs: REVIEWER_END_MS }).catch((error: unknown) => {
        if (!(error instanceof ThreadNotFoundError)) throw error;
      });
    }
  }

  async resume(threadId: ThreadId, { parent, config, terms, signal }: ResumeRequest): Promise<void> {
    const { maker, store } = this.#open();
    const nickname = lineageOf(await store.header(threadId))?.nickname ?? null;
    const agent = { nickname, endsWithParent: true, ...terms };
    await maker.resume(threadId, config, { parentThreadId: parent, agent, initialMessages: "none", signal });
    if (nickname !== null) this.#nicknames.note(this.#treeOf(parent), nickname);
    await this.#follow(threadId, parent);
  }
}
