/**
 * One life of a thread, from its boot to its end: binds the actor to the store, the turn and the event log.
 *
 * Everything that a thread says comes through one door, the listener that is attached before the actor starts. The door
 * stores what must last, takes it into the history, stamps it into the log and shows it, in this order (T7). Nothing
 * else appends, nothing else shows. After the end the door is shut: late events of an old incarnation are dropped (S7).
 */
import { type AnyActorRef, createActor } from "xstate";
import type { ThreadInput } from "../../machines/thread.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import { EventLog } from "../kernel/event-log.ts";
import type { Release } from "../kernel/slots.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import type { ModelClient } from "../model/model-client.ts";
import { type AgentStatus, agentStatusAfter } from "../protocol/agent-status.ts";
import { SessionConfiguredNotFirstEventError } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { isPersisted } from "../protocol/persistence.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { INSPECT, shownById } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import { Approvals } from "../turn/approvals.ts";
import { History } from "../turn/history.ts";
import { Inbox, type Submission } from "../turn/inbox.ts";
import type { Told } from "../turn/initial-context.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import type { BuiltInTool } from "../turn/tools/built-in-tool.ts";
import { Terminals } from "../turn/tools/exec/terminals.ts";
import { McpSession } from "../turn/tools/mcp/mcp-session.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { TurnRun } from "../turn/turn-run.ts";
import { type Emission, guardFirst, readEmission, readFirst } from "./emitted.ts";
import type { HistoryHolder } from "./history-cache.ts";
import { HistoryLoader } from "./history-loader.ts";
import { modelChanged } from "./rebuild.ts";
import type { Acceptance } from "./submissions.ts";
import type { ThreadEnv } from "./thread-env.ts";

export type IncarnationOptions = {
  readonly env: ThreadEnv;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly config: ResolvedThreadConfig;
  readonly tools: ToolSet;
  /** `new` also for a fork or a resume of a thread that has no history yet. */
  readonly origin: "new" | "resumed" | "forked";
};

/** Whoever shows a thread's events to its observers. */
export interface EventSink {
  notify(event: ThreadEvent): void;
}

/** Why an incarnation ended. After `closed` and `gaveUp` there is no next one by itself. */
export type EndReason = "closed" | "crashed" | "unloaded" | "killed" | "refused" | "lost";

export class Incarnation implements TurnHost, HistoryHolder {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly env: ThreadEnv;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  tools: ToolSet;
  readonly log: EventLog<ThreadEvent>;
  readonly actor: AnyActorRef;
  /** The handle that the thread's observers are attached to. */
  sink: EventSink | undefined;
  config: ResolvedThreadConfig;
  readonly origin: IncarnationOptions["origin"];
  isFresh: boolean;
  told: Told | undefined;
  usage: TokenUsageInfo | undefined;
  rateLimits: RateLimitSnapshot | undefined;
  turn: TurnRun | undefined;
  readonly terminals = new Terminals();
  history: History | undefined;
  status: AgentStatus = "pending_init";
  sessionConfigured: SessionConfiguredEvent | undefined;
  endReason: EndReason | undefined;
  /** Unix milliseconds of the last op or turn end. */
  lastActiveAt: number;
  deferred: Submission[] | undefined;
  /** The next submission id of the thread's own. */
  submissions = 0;
  /** While the thread leaves memory: resolves when it has, or stays after all. New ops wait for it. */
  leaving: Promise<void> | undefined;
  #acceptances: Map<SubmissionId, Acceptance> | undefined;
  #inbox: Inbox | undefined;
  #approvals: Approvals | undefined;
  /** The tools that need no connection. */
  readonly #ownTools: ToolSet;
  #mcp: McpSession | undefined;
  #mcpTools: readonly BuiltInTool[] = [];
  #loader: HistoryLoader | undefined;
  #refusal: SessionConfiguredNotFirstEventError | undefined;
  #onFirst: (() => void) | undefined;
  #prepared: SessionConfiguredEvent | undefined;
  #hasWarnedOfModel = false;

  constructor({ env, store, writer, config, tools, origin }: IncarnationOptions) {
    this.threadId = writer.threadId;
    this.epoch = writer.epoch;
    this.env = env;
    this.store = store;
    this.writer = writer;
    this.tools = tools;
    this.#ownTools = tools;
    this.config = config;
    this.origin = origin;
    this.isFresh = origin === "new";
    this.lastActiveAt = env.clock.now();
    this.log = new EventLog({ capacity: env.eventCapacity, guard: guardFirst });
    const input: ThreadInput = { threadId: this.threadId, epoch: this.epoch };
    this.actor = shownById(createActor(env.logic, { parent: env.parent, id: this.threadId, input }));
    this.actor.on("*", (emitted: unknown) => this.#admit(emitted));
    env.incarnations.set(this.actor.sessionId, this);
  }

  /** Ids alone: the environment, the store and the settings hang on it. */
  toJSON(): object {
    const { threadId, epoch, status } = this;
    return { threadId, epoch, status };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  /**
   * Starts the actor and gives it its session. Answers at once when the first event comes at once.
   *
   * @param msg what the thread is to emit first
   * @throws SessionConfiguredNotFirstEventError (S4), also when nothing comes within `deadlineMs`; or the signal's reason.
   *   The actor is then closed; what to do with the rollout is the caller's.
   */
  boot(
    msg: SessionConfiguredEvent,
    options: { deadlineMs: number; signal?: AbortSignal | undefined },
  ): SessionConfiguredEvent | Promise<SessionConfiguredEvent> {
    this.#prepared = msg;
    this.actor.start();
    this.actor.send({ type: "session.configure", msg });
    if (this.sessionConfigured !== undefined) return this.sessionConfigured;
    if (this.#refusal !== undefined || this.hasEnded) throw this.#refuse(this.#endedEarly());
    return this.#awaitFirst(options);
  }

  async #awaitFirst({ deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal | undefined }) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = () => resolve();
    this.#onFirst = settle;
    const observer = this.actor.subscribe({ complete: settle, error: settle });
    const timer = this.clock.setTimeout(settle, deadlineMs);
    signal?.addEventListener("abort", settle, { once: true });
    if (signal?.aborted) settle();
    await promise;
    observer.unsubscribe();
    this.clock.clearTimeout(timer);
    signal?.removeEventListener("abort", settle);
    this.#onFirst = undefined;
    if (this.sessionConfigured !== undefined) return this.sessionConfigured;
    const silent = { detail: `no event came within ${deadlineMs} ms` };
    const refusal = this.#refuse(this.hasEnded ? this.#endedEarly() : silent);
    if (signal?.aborted) throw signal.reason;
    throw refusal;
  }

  /** Whether the actor has ended, by itself or by a failure. */
  get hasEnded(): boolean {
    return this.actor.getSnapshot().status !== "active";
  }

  #endedEarly(): { detail: string; cause?: unknown } {
    const { status, error } = this.actor.getSnapshot() as { status: string; error?: unknown };
    return {
      detail: status === "error" ? `the thread logic failed: ${textOfThrown(error)}` : "the thread logic ended",
      cause: error,
    };
  }

  #refuse(why: { received?: string; detail?: string; cause?: unknown }): SessionConfiguredNotFirstEventError {
    this.#refusal ??= new SessionConfiguredNotFirstEventError(why);
    this.end("refused");
    return this.#refusal;
  }

  #admit(emitted: unknown): void {
    if (this.endReason !== undefined) return;
    try {
      const emission = readEmission(emitted);
      if (this.sessionConfigured === undefined) {
        this.#admitFirst(emission);
      } else if (emission.kind === "record") {
        this.writer.append(emission.item);
      } else if (emission.kind === "event") {
        this.#admitEvent(emission);
      } else {
        this.env.logger.warn({ threadId: this.threadId, type: emission.type }, "a thread emitted what is no event");
      }
    } catch (error) {
      this.env.logger.error({ threadId: this.threadId, err: error }, "an event could not be admitted");
    }
  }

  #admitFirst(emission: Emission): void {
    const first = readFirst(emission);
    if ("received" in first) {
      this.#refuse(first);
      this.#onFirst?.();
      return;
    }
    const { configured } = first;
    const msg: SessionConfiguredEvent = { ...this.#prepared, ...configured, session_id: this.threadId };
    this.sessionConfigured = this.#prepared === configured ? configured : msg;
    this.#prepared = undefined;
    this.#show(INITIAL_SUBMISSION_ID, this.sessionConfigured);
    this.#onFirst?.();
  }

  #admitEvent({ id, msg, recorded }: { id: SubmissionId; msg: EventMsg; recorded: boolean }): void {
    if (msg.type === "raw_response_item") {
      this.writer.append({ type: "response_item", payload: msg.item });
      this.isFresh = false;
      this.history?.append(msg.item);
      this.#loader?.noteRecorded();
    } else if (!recorded && isPersisted(msg, this.writer.historyMode)) {
      this.writer.append({ type: "event_msg", payload: msg });
    }
    if (!this.#isBesideTurn(msg)) {
      this.status = agentStatusAfter(this.status, msg);
      if (msg.type === "task_complete" || msg.type === "turn_aborted") this.#rest();
    }
    this.#show(id, msg);
  }

  /** An input without items is over at once (SPEC 4.8): while a turn runs, that says nothing of the thread. */
  #isBesideTurn(msg: EventMsg): boolean {
    return this.turn !== undefined && msg.type === "task_complete" && msg.turn_id === undefined;
  }

  /** A turn has ended: from now on the history is only kept as long as there is room for it (T9). */
  #rest(): void {
    this.touch();
    this.keepHistory();
  }

  #show(id: SubmissionId, msg: EventMsg): void {
    const { threadId, epoch } = this;
    const event = this.log.append((seq) => ({ threadId, seq, epoch, id, msg }));
    this.sink?.notify(event);
    this.env.onEvent(event);
  }

  /** The thread is in use. */
  touch(): void {
    this.lastActiveAt = this.clock.now();
    this.env.onActive(this);
  }

  /** What is in memory stays there only as long as there is room for it. */
  keepHistory(): void {
    if (this.history !== undefined && this.turn === undefined) this.env.histories.keep(this);
  }

  // What a turn needs of its thread.

  get clock(): Clock {
    return this.env.clock;
  }

  get model(): ModelClient {
    return this.env.modelFor(this.config);
  }

  contextWindow(model: string): number | null {
    return this.env.contextWindow(model);
  }

  get inbox(): Inbox {
    this.#inbox ??= new Inbox();
    return this.#inbox;
  }

  /** The submission ids that callers chose, with what became of them. */
  get acceptances(): Map<SubmissionId, Acceptance> {
    this.#acceptances ??= new Map();
    return this.#acceptances;
  }

  get waitingOps(): number {
    return (this.#inbox?.size ?? 0) + (this.deferred?.length ?? 0);
  }

  get approvals(): Approvals {
    this.#approvals ??= new Approvals((pending) => this.env.approvals.note(this, pending));
    return this.#approvals;
  }

  publish(id: SubmissionId, msg: EventMsg, options?: { recorded: true }): void {
    if (this.endReason === undefined) this.actor.send({ type: "event.publish", id, msg, ...options });
  }

  record(item: RolloutItem): void {
    this.actor.send({ type: "rollout.record", item });
  }

  flush(): Promise<void> {
    return this.writer.flush();
  }

  sync(): Promise<void> {
    return this.writer.sync();
  }

  openHistory(signal: AbortSignal): Promise<void> {
    if (this.isFresh) this.history ??= new History();
    if (this.history !== undefined) return Promise.resolve();
    this.#loader ??= new HistoryLoader(this, () => {
      this.#loader = undefined;
      this.keepHistory();
    });
    return raceAbort(this.#loader.loaded, signal);
  }

  openTools(signal: AbortSignal): Promise<void> | undefined {
    const { mcpServers } = this.config;
    if (this.#mcp === undefined && Object.keys(mcpServers).length === 0) return undefined;
    return this.mcp.open(mcpServers, signal).then((tools) => {
      if (tools === this.#mcpTools) return;
      this.#mcpTools = tools;
      this.tools = this.#ownTools.with(tools);
    });
  }

  /** The thread's part in the MCP servers. */
  get mcp(): McpSession {
    this.#mcp ??= new McpSession(this.env.mcp, (msg) => this.publish(INITIAL_SUBMISSION_ID, msg));
    return this.#mcp;
  }

  /** SPEC 5.1: said once, of a resumed thread that was recorded with another model. */
  warnOfModel(recorded: string | undefined): void {
    if (this.origin !== "resumed" || recorded === undefined || this.#hasWarnedOfModel) return;
    this.#hasWarnedOfModel = true;
    if (recorded !== this.config.model) this.publish(INTERNAL_SUBMISSION, modelChanged(recorded, this.config.model));
  }

  skillsFor(items: readonly UserInput[]): Promise<SkillInjection> {
    return this.env.skills.injectionFor(this.config.cwd, items);
  }

  reserveTurn(signal: AbortSignal): Release | Promise<Release> {
    return this.env.turnSlots.acquire({ signal });
  }

  returnTurn(signal: AbortSignal): Release | Promise<Release> {
    return this.env.turnSlots.reacquire({ signal });
  }

  signalTurn(event: { type: "approval.requested" } | { type: "approval.resolved" }): void {
    const snapshot = this.actor.getSnapshot() as { children?: Record<string, AnyActorRef | undefined> };
    snapshot.children?.turn?.send(event);
  }

  dropHistory(): boolean {
    if (this.turn !== undefined) return false;
    this.history = undefined;
    return true;
  }

  /** Whether the thread waits for an op and has nothing left to do. */
  get isIdle(): boolean {
    return (
      this.turn === undefined &&
      this.status !== "running" &&
      (this.#inbox?.size ?? 0) === 0 &&
      this.#loader === undefined &&
      !this.terminals.areBusy &&
      this.deferred === undefined
    );
  }

  /**
   * Ends this life: shuts the door, stops the actor and whatever it runs, and lets go of all memory. Synchronous and
   * idempotent; the writer is left to whoever ends it, since closing it takes time.
   */
  end(reason: EndReason): void {
    if (this.endReason !== undefined) return;
    this.endReason = reason;
    const ended = new DOMException("the thread has ended", "AbortError");
    this.turn?.abort(ended);
    this.turn?.vacate();
    this.turn = undefined;
    this.#loader?.abort(ended);
    this.#mcp?.close();
    this.terminals.kill();
    this.env.histories.forget(this);
    this.history = undefined;
    this.env.incarnations.delete(this.actor.sessionId);
    this.log.close();
    this.#onFirst?.();
    if (!this.hasEnded) this.env.stop(this.actor);
  }
}
