import type { ModelPreset } from "../model/model-preset.ts";
import type { AgentRule, AgentStatus } from "../protocol/agent-status.ts";
import { ManagerClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Agents, ResumeRequest, ReviewerRequest, ReviewerResult, SpawnRequest } from "../turn/agents.ts";
import { AgentControl } from "./agent-control.ts";
import { EndNotices } from "./end-notices.ts";
import { lineageOf } from "./kinship.ts";
import { Nicknames } from "./nicknames.ts";
import type { ManagerRuntime } from "./runtime.ts";
import { bindRuntime } from "./runtime-of.ts";

/** A reviewer that does not end by then is ended by force. */
const REVIEWER_END_MS = 2_000;

/** What turns' tools do with other threads, done by AgentControl. No lock is held while an agent is waited for. */
export class TurnAgents implements Agents {
  readonly #runtime: ManagerRuntime;
  readonly #control: AgentControl;
  readonly #notices: EndNotices;
  readonly #nicknames = new Nicknames();

  constructor(runtime: ManagerRuntime) {
    this.#runtime = runtime;
    // The control holds its manager weakly; the runtime holds this, so it is its own holder.
    bindRuntime(runtime, runtime);
    this.#control = new AgentControl(runtime);
    this.#notices = new EndNotices(runtime);
  }

  /** @throws ManagerClosedError */
  #open(): ManagerRuntime {
    const runtime = this.#runtime;
    if (runtime.isClosing) throw new ManagerClosedError();
    return runtime;
  }

  depthOf(threadId: ThreadId): number {
    return this.#runtime.registry.lineageOf(threadId)?.depth ?? 0;
  }

  nicknameOf(threadId: ThreadId): string | null {
    return this.#runtime.registry.lineageOf(threadId)?.nickname ?? null;
  }

  #treeOf(threadId: ThreadId): string {
    return this.#runtime.registry.lineageOf(threadId)?.session ?? threadId;
  }

  statusOf(threadId: ThreadId): Promise<AgentStatus> {
    return this.#control.getStatus(threadId);
  }

  modelsFor({ modelProvider: provider }: ResolvedThreadConfig): Promise<readonly ModelPreset[]> {
    return this.#runtime.setup.models.listModels({ provider, refresh: "offline" });
  }

  async spawn({ parent, rootTurn, config, prompt, history, role, terms, signal }: SpawnRequest): Promise<ThreadId> {
    const runtime = this.#open();
    const nickname = terms === undefined ? null : this.#nicknames.next(this.#treeOf(parent));
    const threadId = await this.#control.spawnAgent(config, prompt, {
      parentThreadId: parent,
      agent: { nickname, role, ...terms },
      originator: await originatorOf(runtime.registry.peek(parent)),
      history,
      rootTurn,
      signal,
    });
    if (terms !== undefined) await this.#follow(threadId, parent);
    return threadId;
  }

  async #follow(threadId: ThreadId, parent: ThreadId): Promise<void> {
    try {
      this.#notices.follow(await this.#open().get(threadId), parent);
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
    const { registry } = this.#open();
    const under = registry.agentsUnder(threadId);
    const [closed] = await Promise.allSettled(
      [threadId, ...under].map((id) => this.#control.shutdownAgent(id, { signal })),
    );
    if (closed?.status === "rejected") throw closed.reason;
  }

  async review({ config, prompt, onEvent, signal }: ReviewerRequest): Promise<ReviewerResult> {
    const { maker } = this.#open();
    const { threadId, thread } = await maker.spawn(config, {
      source: { subagent: "review" },
      initialMessages: "none",
      signal,
    });
    const events = thread.events$.subscribe(({ msg }) => onEvent(msg));
    try {
      const { status, lastAgentMessage, error } = await thread.run(prompt, { signal });
      const failure = error === null ? null : { message: error.message, codex_error_info: error.info };
      return { status, lastAgentMessage, error: failure };
    } finally {
      events.unsubscribe();
      await this.#control.shutdownAgent(threadId, { deadlineMs: REVIEWER_END_MS }).catch((error: unknown) => {
        if (!(error instanceof ThreadNotFoundError)) throw error;
      });
    }
  }

  async resume(threadId: ThreadId, { parent, config, terms, signal }: ResumeRequest): Promise<void> {
    const { maker, setup } = this.#open();
    const nickname = lineageOf(await setup.store.header(threadId))?.nickname ?? null;
    const agent = { nickname, endsWithParent: true, ...terms };
    await maker.resume(threadId, config, { parentThreadId: parent, agent, initialMessages: "none", signal });
    if (nickname !== null) this.#nicknames.note(this.#treeOf(parent), nickname);
    await this.#follow(threadId, parent);
  }
}

/** Whatever program the parent works for, its agents do too. */
async function originatorOf(parent: LiveThread | undefined): Promise<string | undefined> {
  return parent === undefined ? undefined : (await parent.incarnation.store.header(parent.id)).originator;
}
