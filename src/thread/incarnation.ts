/**
 * One life of a thread, from its boot to its end: binds the actor to the store, the turn and the event log.
 *
 * What it knows has owners, each of which writes its own fields alone: what the session is (session.ts), its history
 * (thread-history.ts), what it was given to do (intake.ts), what of it is stored (thread-storage.ts), its tools
 * (thread-tools.ts), and where its life stands (life.ts). What it says comes through one door (door.ts), the listener that
 * is attached before the actor starts. A logic of an embedder's own has what it needs beside that in own-host.ts.
 */

import type { AnyActorRef } from "xstate";
import { lifeOf, type ThreadContext, type ThreadInput } from "../../machines/thread.machine.ts";
import type { TurnMachineEvent } from "../../machines/turn.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Release } from "../kernel/slots.ts";
import type { ModelClient, ModelRequest } from "../model/model-client.ts";
import { HeldFolders } from "../process/sandbox/held-folders.ts";
import { namedRoots } from "../process/sandbox/writable-area.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import type { BudgetExceededError } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { INSPECT, shownById } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { ForkBase, ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import type { History } from "../turn/history.ts";
import type { Reservation } from "../turn/spending.ts";
import { noteTask } from "../turn/task-notes.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import { Terminals } from "../turn/tools/exec/terminals.ts";
import { McpSession } from "../turn/tools/mcp/mcp-session.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { TurnRun } from "../turn/turn-run.ts";
import { type BootOptions, boot } from "./boot.ts";
import { Door } from "./door.ts";
import { Intake } from "./intake.ts";
import { sayLastWords } from "./last-words.ts";
import { Life } from "./life.ts";
import type { Activity, EndReason, LifeEnd } from "./life-end.ts";
import { actorOf, type LogicActor } from "./logic-actor.ts";
import { activityOf, hasTag, rememberedBy } from "./machine-state.ts";
import type { OpenWork } from "./open-work.ts";
import { OwnHost } from "./own-host.ts";
import type { ChosenLogic } from "./own-logic.ts";
import type { OwnTurns, SubmittedOp } from "./own-turns.ts";
import { modelChanged, type Rebuilt } from "./rebuild.ts";
import type { Saved } from "./saved-state.ts";
import { Session } from "./session.ts";
import type { ThreadEnv } from "./thread-env.ts";
import { ThreadHistory } from "./thread-history.ts";
import { ThreadQuestions } from "./thread-questions.ts";
import { ThreadStorage } from "./thread-storage.ts";
import { ThreadTools } from "./thread-tools.ts";
import { told } from "./told.ts";

/** The tools whose commands and writes go into the sandbox. */
const confinesWhatItDoes = (tool: BuiltInToolName): boolean =>
  tool === "shell" || tool === "unified_exec" || tool === "apply_patch";

/** One for all, since a DOMException costs a life's end more than all else that it lets go of. */
const ENDED = new DOMException("the thread has ended", "AbortError");

/** All incarnations of a manager that live. */
export type Incarnations = {
  /** By {@link lifeOf}: where provided implementations find them. */
  readonly byName: Map<string, Incarnation>;
  /** A thread was given an op, or has ended a turn. */
  readonly onActive: (incarnation: Incarnation) => void;
  /** A thread has come to have nothing to do. */
  readonly onRest: (incarnation: Incarnation) => void;
  /** A thread's life has ended, for whatever reason; told in that moment. */
  readonly onEnd: (incarnation: Incarnation) => void;
};

export type IncarnationOptions = {
  readonly env: ThreadEnv;
  readonly incarnations: Incarnations;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly config: ResolvedThreadConfig;
  readonly tools: ToolSet;
  /** `new` also for a fork or a resume of a thread that has no history yet. */
  readonly origin: "new" | "resumed" | "forked";
  readonly logic: ChosenLogic;
  /** What the thread is to emit first. */
  readonly configured: SessionConfiguredEvent;
  /** The stored items, oldest first; null when they were not read. */
  readonly items?: readonly RolloutItem[] | null;
  /** What an own logic goes on from. */
  readonly saved?: Saved | undefined;
  /** What earlier lives have left undone, and this one is to go on with. */
  readonly work?: OpenWork | undefined;
  /** Which lines a fork that was made just now inherits. */
  readonly inherits?: ForkBase["inherits"] | undefined;
};

export class Incarnation implements TurnHost {
  readonly threadId: ThreadId;
  readonly env: ThreadEnv;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly origin: IncarnationOptions["origin"];
  readonly actor: AnyActorRef;
  readonly session: Session;
  readonly past: ThreadHistory;
  readonly intake: Intake;
  readonly storage: ThreadStorage;
  readonly tools: ThreadTools;
  readonly life: Life;
  readonly door: Door;
  readonly terminals = new Terminals(() => this.noteRest());
  readonly folders = new HeldFolders();
  readonly #name: string;
  readonly #incarnations: Incarnations;
  /** Where the logic is an embedder's own. */
  readonly #own: OwnHost | undefined;
  readonly #made: LogicActor;
  /** The snapshot that was seen last: what the thread only says changes none. */
  #seen: unknown;
  #questions: ThreadQuestions | undefined;
  #hasWarnedOfModel = false;

  constructor({
    env,
    incarnations,
    store,
    writer,
    logic,
    configured,
    items = null,
    saved,
    work,
    inherits = null,
    config,
    origin,
    tools,
  }: IncarnationOptions) {
    const { threadId, epoch } = writer;
    this.threadId = threadId;
    this.env = env;
    this.store = store;
    this.writer = writer;
    this.origin = origin;
    this.#incarnations = incarnations;
    this.session = new Session(config);
    this.life = new Life(epoch, env.clock);
    this.past = new ThreadHistory(this, origin === "new", inherits);
    this.intake = new Intake(this, work);
    this.storage = new ThreadStorage(this);
    this.tools = new ThreadTools(
      tools,
      () => new McpSession(env.mcp, (msg) => this.publish(INITIAL_SUBMISSION_ID, msg)),
    );
    const name: ThreadInput = { threadId, epoch };
    this.#name = lifeOf(name);
    this.#own = logic.isOwn ? new OwnHost(this) : undefined;
    this.door = new Door(this, configured, this.#own?.life);
    const input = this.#own?.input(name, logic, { config, configured, items, saved }) ?? name;
    this.#made = actorOf(logic, { parent: env.parent, id: threadId, input }, saved);
    this.actor = shownById(this.#made.actor);
    this.#own?.keep(logic);
    this.actor.on("*", (emitted: unknown) => this.hear(emitted));
    this.actor.subscribe({
      next: (snapshot: unknown) => this.#noteState(snapshot),
      error: (error) => this.end("crashed", error),
      complete: () => this.#complete(),
    });
    // A thread that was deleted and made anew under its id begins with the same epoch.
    incarnations.byName.get(this.#name)?.end("lost");
    incarnations.byName.set(this.#name, this);
  }

  /** Ids alone: the environment, the store and the settings hang on it. */
  toJSON(): object {
    const { threadId, epoch, status } = this;
    return { threadId, epoch, status };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  // The beginning.

  /** What `boot` does (boot.ts), and throws. */
  boot(msg: SessionConfiguredEvent, options: BootOptions): SessionConfiguredEvent | Promise<SessionConfiguredEvent> {
    this.#holdFolders();
    return boot({ made: this.#made, door: this.door, clock: this.clock, own: this.#own }, msg, options);
  }

  /** From the start on, so that no command of another thread can swap them before this thread's first one. */
  #holdFolders(): void {
    const { builtInTools, sandboxPolicy: policy, cwd } = this.config;
    if (!builtInTools.some(confinesWhatItDoes)) return;
    this.folders.hold(namedRoots({ policy, cwd, environment: this.env.commandEnvironment }));
  }

  /** Whether the actor has ended, by itself or by a failure. */
  get hasEnded(): boolean {
    return this.actor.getSnapshot().status !== "active";
  }

  /** What the thread said first; undefined until then. */
  get sessionConfigured(): SessionConfiguredEvent | undefined {
    return this.door.configured;
  }

  /** Whether the actor takes what it is sent, and has said its first word. */
  get isUp(): boolean {
    return !this.hasEnded && this.sessionConfigured !== undefined;
  }

  // What comes through the door.

  hear(emitted: unknown): void {
    this.door.hear(emitted);
  }

  noteRefused(): void {
    this.end("refused");
  }

  noteLastWord(): void {
    this.end("closed");
  }

  /** From now on the history is only kept as long as there is room for it (T9). */
  noteTurnEnd(): void {
    this.touch();
    this.past.keep();
  }

  publish(id: SubmissionId, msg: EventMsg, options?: { recorded: true }): void {
    if (this.#speaks) {
      this.actor.send(told({ type: "event.publish", id, msg, ...options }));
      return;
    }
    this.#own?.noteHouse(id, msg);
    this.door.admit({ kind: "event", id, msg, recorded: options?.recorded === true });
    this.#own?.hearHouse(id, msg);
  }

  record(item: RolloutItem): void {
    if (this.#speaks) this.actor.send(told({ type: "rollout.record", item }));
    else this.door.admit({ kind: "record", item });
    if (item.type === "compacted") this.intake.noteCompacted();
  }

  /** A call waits for its approval, and has done nothing so far; or may begin now, which is stored before it does. */
  async noteAsking(run: TurnRun, callId: string, state: "asking" | "begun"): Promise<void> {
    noteTask(this, run, { asking: { call_id: callId, open: state === "asking" } });
    if (state === "begun" && run.config.recovery === "continue") await this.storage.flush();
  }

  /** Whether what is said of the thread goes through its actor. One that has ended, or is another's, gets no word to say. */
  get #speaks(): boolean {
    return this.ended === undefined && this.#own === undefined;
  }

  // What the session is.

  get epoch(): number {
    return this.life.epoch;
  }

  get config(): ResolvedThreadConfig {
    return this.session.config;
  }

  get status(): AgentStatus {
    return this.session.status;
  }

  /** SPEC 5.1: said once, of a resumed thread that was recorded with another model. */
  warnOfModel(recorded: string | undefined): void {
    if (this.origin !== "resumed" || recorded === undefined || this.#hasWarnedOfModel) return;
    this.#hasWarnedOfModel = true;
    if (recorded !== this.config.model) this.publish(INTERNAL_SUBMISSION, modelChanged(recorded, this.config.model));
  }

  // Its history.

  get history(): History | undefined {
    return this.past.history;
  }

  /** Has it in memory before the turn comes that needs it, and for the next life here; what keeps it from being read, that turn tells. */
  async readAhead(signal: AbortSignal): Promise<void> {
    if (this.#own === undefined) await this.past.openKept(signal)?.catch(() => undefined);
  }

  /** The stored lines were read. */
  recall(rebuilt: Rebuilt): void {
    this.session.recall(rebuilt);
    this.warnOfModel(rebuilt.model);
  }

  // What is submitted to it.

  get waitingOps(): number {
    const { deferred = [], questions = [] } = this.remembered;
    return deferred.length + questions.length + this.intake.waiting + (this.#own?.waitingOps ?? 0);
  }

  /** Whether an own logic was given the input, which stands in no line yet. */
  holds(id: SubmissionId): boolean {
    return this.#own?.life.holds(id) === true;
  }

  /** Whether the turn runs, or waits for its turn. */
  isAtWorkOn(turnId: string): boolean {
    if (this.turn?.turnId === turnId || this.session.openTurn?.msg.turn_id === turnId) return true;
    const { queue = [] } = this.remembered;
    return queue.some((task) => (task.turnId ?? task.id) === turnId);
  }

  /** Gives the op to the logic: at once, or when a turn of an own logic's may run. */
  take(event: SubmittedOp): void {
    if (event.op.type === "shutdown") this.life.askToEnd();
    if (this.#own !== undefined && event.op.type === "thread_message") {
      this.env.messages.noteTaken(this.threadId, event.id, this.epoch);
    }
    if (this.#own === undefined) this.actor.send(event);
    else this.#own.take(event);
  }

  // What a turn needs of its thread.

  get clock(): Clock {
    return this.env.clock;
  }

  get logger() {
    return this.env.logger;
  }

  get historyMode() {
    return this.writer.historyMode;
  }

  get model(): ModelClient {
    return this.env.modelFor(this.config);
  }

  contextWindow(model: string, provider: string): number | null {
    return this.env.contextWindow(model, provider);
  }

  get turn(): TurnRun | undefined {
    return this.life.turn;
  }

  get questions(): ThreadQuestions {
    this.#questions ??= new ThreadQuestions(this);
    return this.#questions;
  }

  skillsFor(items: readonly UserInput[]): Promise<SkillInjection> {
    return this.env.skills.injectionFor(this.config.cwd, items);
  }

  reserveRequest(run: TurnRun, { model }: ModelRequest): Promise<Reservation | undefined> | undefined {
    const estimate = () =>
      (this.history?.estimatedTokens ?? 0) + (this.session.usage?.last_token_usage.output_tokens ?? 0);
    return this.env.budgets.reserve(this, run, { model, estimate });
  }

  /** A budget is used up: the turn ends as by an interrupt; a question of an own logic's fails. */
  cutShort(run: TurnRun, why: BudgetExceededError): void {
    if (this.#own === undefined || run === this.turn)
      this.signalTurn({ type: "turn.interrupt", reason: "interrupted" });
    else run.abort(why);
  }

  reserveTurn(signal: AbortSignal): Release | Promise<Release> {
    if (this.#own !== undefined) return this.#own.turns.work(signal);
    return this.env.turnSlots.acquire(signal, this.threadId);
  }

  returnTurn(signal: AbortSignal): Release | Promise<Release> {
    if (this.#own !== undefined) return this.#own.turns.work(signal);
    return this.env.turnSlots.reacquire(signal, this.threadId);
  }

  lendRank(target: ThreadId): () => void {
    return this.env.turnSlots.lend(this.threadId, target);
  }

  closeInput({ id }: TurnRun): void {
    // Input for an own logic never joins a turn of the house.
    if (this.#own !== undefined) return;
    this.actor.send(told({ type: "turn.ending", task: id }));
  }

  signalTurn(event: TurnMachineEvent): void {
    if (this.#own !== undefined) {
      this.#own.signalTurn(event);
      return;
    }
    const snapshot = this.actor.getSnapshot() as { children?: Record<string, AnyActorRef | undefined> };
    snapshot.children?.turn?.send(event);
  }

  /** The turn that runs, as it is called in what is stored. */
  get turnId(): string | undefined {
    return this.turn?.turnId ?? this.session.openTurn?.msg.turn_id ?? undefined;
  }

  // What it does.

  #noteState(snapshot: unknown): void {
    if (snapshot === this.#seen) return;
    this.#seen = snapshot;
    this.noteRest();
  }

  /** Something of it has come to an end: if that was all, the thread may leave memory. */
  noteRest(): void {
    if (this.isIdle) this.#incarnations.onRest(this);
  }

  /** The thread is in use. */
  touch(): void {
    this.life.touch();
    this.#incarnations.onActive(this);
  }

  /** What the thread does. The built-in logic says so by the tags of its state, any other by its events. */
  get activity(): Activity {
    if (this.ended !== undefined || this.hasEnded) return "gone";
    if (this.sessionConfigured === undefined) return "starting";
    if (this.#own !== undefined) return this.#own.turns.isBusy || this.status === "running" ? "running" : "idle";
    return activityOf(this.actor);
  }

  /** Whether input that comes now joins the running turn. */
  get takesInput(): boolean {
    return this.#own === undefined ? hasTag(this.actor, "takesInput") : this.#own.turns.takesInput;
  }

  /** The turn that runs, as an own logic has announced it. */
  get ownTurn(): OwnTurns["running"] {
    return this.#own?.turns.running;
  }

  /** Whether the thread may leave memory: it has nothing to do, and holds nothing that would end with it. */
  get isIdle(): boolean {
    if (this.env.messages.isBusy(this.threadId)) return false;
    return this.activity === "idle" && !this.past.isLoading && !this.terminals.areBusy;
  }

  /** Whether the logic is an embedder's own. */
  get hasOwnLogic(): boolean {
    return this.#own !== undefined;
  }

  /** What the machine remembers, where the logic is the built-in one. */
  get remembered(): Partial<ThreadContext> {
    return this.#own === undefined ? rememberedBy(this.actor) : {};
  }

  // The end.

  /** How this life ended; undefined while it lasts. */
  get ended(): LifeEnd | undefined {
    return this.life.ended;
  }

  /** As {@link OwnHost.retire}; false for the built-in logic. */
  retire(): boolean {
    return this.ended === undefined && this.#own?.retire() === true;
  }

  /** The actor has come to its end by itself. */
  #complete(): void {
    if (this.sessionConfigured !== undefined && this.ended === undefined) this.#own?.life.complete();
    this.end("closed");
  }

  /**
   * Ends this life: shuts the door, stops the actor and whatever it runs, and lets go of all memory. Synchronous and
   * idempotent; its owner ends the writer, since closing it takes time.
   *
   * @param error what it crashed of, or what made its end necessary
   */
  end(reason: EndReason, error?: unknown): void {
    const end = this.life.end(reason, error);
    if (end === undefined) return;
    const { threadId, epoch } = this;
    this.logger.debug({ threadId, epoch, reason }, "life ended");
    if (this.sessionConfigured !== undefined) sayLastWords(this, end, this.#own?.life);
    this.door.shut();
    this.#own?.thread.close(error);
    this.env.messages.noteLifeEnded(threadId, end);
    this.turn?.abort(ENDED);
    this.turn?.vacate();
    this.life.endTurn();
    this.tools.close();
    this.terminals.kill();
    void this.folders.dispose();
    this.past.close(ENDED);
    const { byName, onEnd } = this.#incarnations;
    if (byName.get(this.#name) === this) byName.delete(this.#name);
    if (!this.hasEnded) this.env.stop(this.actor);
    onEnd(this);
  }
}
