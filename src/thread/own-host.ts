/** What a life has where its logic is an embedder's own: the thread as the logic sees it, its turns, and its state. */
import type { AnyActorRef } from "xstate";
import type { Submission, ThreadInput } from "../../machines/thread.machine.ts";
import type { TurnMachineEvent } from "../../machines/turn.machine.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { inLogic, type TurnScope } from "../turn/tool-scope.ts";
import { HostedThread, type LogicHost, type LogicTurns } from "./hosted-thread.ts";
import { HouseTurn } from "./house-turn.ts";
import { OwnLife, type OwnThread } from "./own-life.ts";
import type { ChosenLogic, OwnLogicInput } from "./own-logic.ts";
import type { OwnTurns, SubmittedOp } from "./own-turns.ts";
import { type Saved, StateKeeper } from "./saved-state.ts";
import type { TurnResult } from "./turn-result.ts";

/** Whose life it is. */
export type OwnHostThread = LogicHost &
  OwnThread & {
    readonly actor: AnyActorRef;
    /** Whether the actor takes what it is sent, and has said its first word. */
    readonly isUp: boolean;
  };

/** What a life begins with. */
type Beginning = {
  readonly config: ResolvedThreadConfig;
  readonly configured: SessionConfiguredEvent;
  readonly items: readonly RolloutItem[] | null;
  readonly saved: Saved | undefined;
};

/** What the logic does is part of the turns that it owes. */
class LogicScope implements TurnScope {
  readonly #host: OwnHostThread;
  readonly #turns: OwnTurns;

  constructor(host: OwnHostThread, turns: OwnTurns) {
    this.#host = host;
    this.#turns = turns;
  }

  get threadId(): ThreadId {
    return this.#host.threadId;
  }

  get isOver(): boolean {
    return !this.#turns.hasOwed;
  }

  lendRank(target: ThreadId): () => void {
    return this.#host.env.turnSlots.lend(this.threadId, target);
  }

  beginWait(): void {
    this.#turns.beginWait();
  }

  async endWait(): Promise<void> {
    await this.#turns.endWait();
  }
}

export class OwnHost implements LogicTurns {
  /** What its logic says and owes. */
  readonly life: OwnLife;
  /** What its logic is given. */
  readonly thread: HostedThread;
  readonly #host: OwnHostThread;
  readonly #scope: TurnScope;
  #houseTurn: HouseTurn | undefined;
  #keeper: StateKeeper | undefined;
  /** What the logic says that it keeps. */
  #state: unknown;

  constructor(host: OwnHostThread) {
    this.#host = host;
    this.life = new OwnLife(host, {
      slots: host.env.turnSlots,
      deliver: (event) => this.#deliver(event),
    });
    this.thread = new HostedThread(host, this);
    this.#scope = new LogicScope(host, this.life.turns);
  }

  get turns(): OwnTurns {
    return this.life.turns;
  }

  /** What its logic is started with. */
  input(name: ThreadInput, { keeps }: ChosenLogic, { config, configured, items, saved }: Beginning): OwnLogicInput {
    return {
      ...name,
      ...{ config, extra: config.extra, sessionConfigured: configured, items, thread: this.thread },
      ...(keeps?.what === "state" && saved?.state !== undefined && { saved: saved.state }),
    };
  }

  // Its state.

  /** Stores what the logic keeps, where it keeps any, once its actor is made. */
  keep({ keeps }: ChosenLogic): void {
    if (keeps === undefined) return;
    const { actor } = this.#host;
    const snapshot = () => (this.#host.isUp ? actor.getPersistedSnapshot() : undefined);
    const keeper = new StateKeeper(
      { record: (item) => this.#host.record(item), complain: (what) => this.life.complain(what) },
      keeps.how,
      keeps.what === "state" ? () => this.#state : snapshot,
    );
    this.#keeper = keeper;
    if (keeps.what === "snapshot") actor.subscribe({ next: () => keeper.note(), error: () => undefined });
  }

  save(state: unknown): void {
    if (this.#keeper === undefined) {
      throw new InvalidRequestError('save: this logic keeps no state; define it with `persist: "snapshot"`');
    }
    this.#state = state;
    this.#keeper.note();
  }

  // What it is given.

  /** At once, or when a turn may run. */
  take(event: SubmittedOp): void {
    const { op } = event;
    if (op.type === "shutdown") {
      this.#keeper?.close();
      this.thread.close();
    }
    this.life.give(event);
    const isAnswer = op.type === "exec_approval" || op.type === "patch_approval";
    if (isAnswer && op.decision === "abort") this.#houseTurn?.interrupt();
  }

  #deliver(event: SubmittedOp): void {
    this.thread.offer(event);
    this.inLogic(() => this.#host.actor.send(event));
    if (event.op.type === "interrupt") this.#houseTurn?.interrupt();
  }

  /** What the logic does from here on is part of its turns. */
  inLogic(work: () => void): void {
    inLogic(this.#scope, work);
  }

  /** Ops that wait for a turn, or that the logic was given and has not begun with. */
  get waitingOps(): number {
    const { waiting, unnamed } = this.turns;
    return waiting + Math.max(unnamed, this.thread.unread);
  }

  // Turns of the house that it begins.

  async runHouseTurn(submission: Submission, signal: AbortSignal): Promise<TurnResult<never>> {
    if (this.#houseTurn !== undefined) {
      throw new InvalidRequestError("startTurn: the thread runs such a turn already; await it before the next one");
    }
    const turn = new HouseTurn(this.#host, submission);
    this.#houseTurn = turn;
    this.turns.beginWait();
    try {
      return await turn.run(signal);
    } finally {
      this.#houseTurn = undefined;
      const back = this.turns.endWait();
      if (back !== undefined) await back;
    }
  }

  signalTurn(event: TurnMachineEvent): void {
    this.#houseTurn?.send(event);
  }

  /** What the house says past the logic counts as if the logic had said it. */
  noteHouse(id: SubmissionId, msg: EventMsg): void {
    if (this.#host.turn?.id === id || this.#houseTurn?.id === id) this.life.noteHouse(id, msg);
  }

  hearHouse(id: SubmissionId, msg: EventMsg): void {
    this.#houseTurn?.hear(id, msg);
  }

  // Its end.

  /**
   * Ends a logic that has not ended by itself when it was asked to, and has no turn to finish: what it had to say is said.
   * False where there is nothing to end.
   */
  retire(): boolean {
    if (this.turns.running !== undefined) return false;
    this.life.shutDown();
    return true;
  }
}
