/**
 * Tells a parent's model of its agents' ends, once for each time that one is started or resumed (SPEC 14.4, SEMANTICS 7.5). The notice
 * joins the turn that the parent runs, or waits in its history for the next one; it starts none.
 *
 * What is owed stands in a note beside the agent, under the id that the notice will be submitted by: first that it is owed, then what it
 * says. It goes when the parent has stored the notice. A process that dies in between leaves the note; the parent's next load tells it
 * again, and the parent's ledger runs no id twice.
 */
import * as z from "zod";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { type AgentStatus, isFinalStatus, lastStatusOf, statusUnder } from "../protocol/agent-status.ts";
import { ThreadClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import { isUuid, newTurnId, type ThreadId } from "../protocol/ids.ts";
import { contextMessage } from "../protocol/response-item.ts";
import { SingleFlight } from "../services/single-flight.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { agentStatusAfter } from "../turn/agent-status-after.ts";
import type { DeadLetters } from "./dead-letters.ts";

/** What notices need of the manager. */
export interface NoticesHost {
  readonly isClosing: boolean;
  readonly logger: SkeinLogger;
  readonly clock: Clock;
  readonly store: ThreadStore;
  readonly deadLetters: DeadLetters;
  notesOf(config: { readonly ephemeral: boolean }): StandingNotes;
  get(threadId: ThreadId): Promise<LiveThread>;
  locate(threadId: ThreadId): unknown;
}

const status = z.union([
  z.enum(["pending_init", "running", "interrupted", "shutdown", "not_found"]),
  z.object({ completed: z.string().nullable() }),
  z.object({ errored: z.string() }),
]);
const owed = z.object({
  id: z.string().refine(isUuid),
  parent: z.custom<ThreadId>((value) => typeof value === "string" && isUuid(value)),
  epoch: z.number(),
  /** null: the agent has not ended yet. */
  status: status.nullable(),
});

/** A notice that is owed to a parent. */
type Owed = z.infer<typeof owed>;

export class EndNotices {
  readonly #host: NoticesHost;
  /** What the store held when it was looked at first, and what came since. */
  readonly #owed = new Map<ThreadId, Owed>();
  /** The agents that owe each parent, so that a load costs what it is owed itself. */
  readonly #owing = new Map<ThreadId, Set<ThreadId>>();
  readonly #followed = new Set<ThreadId>();
  readonly #writes = new SingleFlight<void, ThreadId>();
  #recalling: Promise<void> | undefined;

  constructor(host: NoticesHost) {
    this.#host = host;
  }

  /** How many are owed: for tests, which expect none once all are told. */
  get size(): number {
    return this.#owed.size;
  }

  /** Follows the agent until it is done or closed. Resolves when it is stored that its end is owed. */
  async follow(agent: LiveThread, parent: ThreadId): Promise<void> {
    const notice: Owed = { id: newTurnId(), parent, epoch: agent.epoch, status: null };
    await this.#note(agent, notice);
    this.#watch(agent, notice);
  }

  #watch(agent: LiveThread, notice: Owed): void {
    let isTold = false;
    let stop = () => {};
    this.#followed.add(agent.id);
    const end = () => {
      isTold = true;
      this.#followed.delete(agent.id);
      stop();
    };
    const tell = (told: AgentStatus) => {
      if (isTold) return;
      end();
      void this.#tell(agent, { ...notice, status: told });
    };
    const look = () => {
      const now = statusUnder("0.169", agent.outcome);
      // The end of the process is none of the agent's.
      if (isFinalStatus(now) && !(this.#host.isClosing && now === "shutdown")) tell(now);
    };
    const closed = () => {
      if (this.#host.isClosing) end();
      else tell(lastStatusOf(agent));
    };
    stop = agent.observe({ event: look, closed });
    if (isTold) stop();
    else look();
  }

  async #tell(agent: LiveThread, notice: Owed): Promise<void> {
    await this.#note(agent, notice);
    await this.#deliver(agent.id, notice, agent.config);
  }

  /** Gives the notice to its parent; until that has stored it, it is owed. */
  async #deliver(
    agent: ThreadId,
    { id, parent, status: told }: Owed,
    how: { readonly ephemeral: boolean },
  ): Promise<void> {
    if (this.#host.isClosing || told === null) return;
    const item = contextMessage(noticeOf(agent, told), "multi_agent.subagent_notification");
    const op = { type: "inject_items" as const, items: [item] };
    try {
      const thread = await this.#host.get(parent);
      await thread.submitWithId({ id, op });
    } catch (error) {
      const isGone = error instanceof ThreadNotFoundError || error instanceof ThreadClosedError;
      if (error instanceof ThreadNotFoundError)
        this.#host.deadLetters.note({ to: parent, from: agent, id, message: op, error });
      if (!isGone && !this.#host.isClosing) {
        this.#host.logger.warn({ threadId: parent, agent, err: error }, "an agent's end could not be told yet");
      }
      return;
    }
    // It may have been started again meanwhile, and owe another one.
    if (this.#owed.get(agent)?.id !== id) return;
    this.#forget(agent);
    await this.#write(agent, how);
  }

  #owe(agent: ThreadId, notice: Owed): void {
    this.#forget(agent);
    this.#owed.set(agent, notice);
    const agents = this.#owing.get(notice.parent) ?? new Set();
    this.#owing.set(notice.parent, agents.add(agent));
  }

  #forget(agent: ThreadId): void {
    const parent = this.#owed.get(agent)?.parent;
    if (parent === undefined) return;
    this.#owed.delete(agent);
    const agents = this.#owing.get(parent);
    agents?.delete(agent);
    if (agents?.size === 0) this.#owing.delete(parent);
  }

  async #note(agent: LiveThread, notice: Owed): Promise<void> {
    this.#owe(agent.id, notice);
    await this.#write(agent.id, agent.config);
  }

  /** Stores what the agent owes by then. */
  async #write(agent: ThreadId, how: { readonly ephemeral: boolean }): Promise<void> {
    try {
      await this.#writes.ask(agent, () => this.#host.notesOf(how).write(agent, "notice", this.#owed.get(agent)));
    } catch (error) {
      if (!this.#host.isClosing)
        this.#host.logger.warn({ threadId: agent, err: error }, "what an agent owes its parent is not stored");
    }
  }

  /** Resolves when nothing of the thread is being written any more. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#writes.rest(threadId);
  }

  // After a restart of the process.

  /** The thread was another process's so far, in which it may have come to owe, or to be owed, something. */
  noteArrived(threadId: ThreadId): void {
    this.#recalling = undefined;
    if (!this.#followed.has(threadId) && !this.#writes.isBusy(threadId)) this.#forget(threadId);
  }

  /** A thread is in memory: it is told what it was owed, and followed where it owes itself. Never rejects. */
  noteLoaded(thread: LiveThread): void {
    this.#recalling ??= this.#recall();
    void this.#recalling
      .then(() => this.#settle(thread))
      .catch((error: unknown) => {
        this.#host.logger.warn({ threadId: thread.id, err: error }, "what agents owe could not be told");
      });
  }

  async #recall(): Promise<void> {
    const notes = this.#host.notesOf({ ephemeral: false });
    try {
      for (const agent of await notes.threads("notice")) {
        if (this.#owed.has(agent)) continue;
        const { success, data } = owed.safeParse(await notes.read(agent, "notice"));
        if (success && !this.#owed.has(agent)) this.#owe(agent, data);
      }
    } catch (error) {
      this.#recalling = undefined;
      throw error;
    }
  }

  async #settle(thread: LiveThread): Promise<void> {
    const own = this.#owed.get(thread.id);
    if (own?.status === null && !this.#followed.has(thread.id)) this.#watch(thread, own);
    for (const agent of [...(this.#owing.get(thread.id) ?? [])]) {
      const notice = this.#owed.get(agent);
      if (notice === undefined || this.#followed.has(agent)) continue;
      await this.#settleOne(agent, notice).catch((error: unknown) => {
        this.#host.logger.warn({ threadId: thread.id, agent, err: error }, "what an agent owes could not be told");
      });
    }
  }

  async #settleOne(agent: ThreadId, notice: Owed): Promise<void> {
    const ended = notice.status === null ? await this.#endOf(agent) : notice.status;
    if (ended !== null) await this.#deliver(agent, { ...notice, status: ended }, { ephemeral: false });
  }

  /** What an agent that nobody has open had come to; null while it has not ended. */
  async #endOf(agent: ThreadId): Promise<AgentStatus | null> {
    if ((await this.#host.locate(agent)) !== undefined) return null;
    let now: AgentStatus = "pending_init";
    for await (const page of this.#host.store.load(agent)) {
      for (const line of page) if (line.type === "event_msg") now = agentStatusAfter(now, line.payload, "0.169");
    }
    return isFinalStatus(now) && now !== "shutdown" ? now : null;
  }
}

const noticeOf = (agent: ThreadId, told: AgentStatus): string =>
  `<subagent_notification>\n${JSON.stringify({ agent_path: agent, status: told })}\n</subagent_notification>`;
