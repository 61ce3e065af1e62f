/** Where one life of a thread stands: the turn that it runs, whether it leaves memory, and how it ended. */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { TurnRun } from "../turn/turn-run.ts";
import type { EndReason, LifeEnd } from "./life-end.ts";

/** Nobody writes its fields but these methods. */
export class Life {
  readonly epoch: number;
  /** Unix milliseconds. */
  readonly beganAt: number;
  readonly #clock: Clock;
  #turn: TurnRun | undefined;
  #leaving: Promise<void> | undefined;
  #end: LifeEnd | undefined;
  #lastActiveAt: number;
  #isAskedToEnd = false;

  constructor(epoch: number, clock: Clock) {
    this.epoch = epoch;
    this.beganAt = clock.now();
    this.#clock = clock;
    this.#lastActiveAt = elapsedBy(clock);
  }

  /** The running turn; at most one. */
  get turn(): TurnRun | undefined {
    return this.#turn;
  }

  beginTurn(turn: TurnRun): void {
    this.#turn = turn;
  }

  endTurn(): void {
    this.#turn = undefined;
  }

  /** When the last op came or the last turn ended, as {@link elapsedBy} measures. */
  get lastActiveAt(): number {
    return this.#lastActiveAt;
  }

  touch(): void {
    this.#lastActiveAt = elapsedBy(this.#clock);
  }

  /** While the thread leaves memory: resolves when it has, or stays after all. New ops wait for it. */
  get leaving(): Promise<void> | undefined {
    return this.#leaving;
  }

  /** The thread begins to leave memory: it takes no more ops until `done`. */
  leave(done: Promise<void>): void {
    this.#leaving = done;
  }

  /** It stays after all, or has left. */
  left(): void {
    this.#leaving = undefined;
  }

  /** Whether it was given a `shutdown`. */
  get isAskedToEnd(): boolean {
    return this.#isAskedToEnd;
  }

  askToEnd(): void {
    this.#isAskedToEnd = true;
  }

  /** How this life ended; undefined while it lasts. */
  get ended(): LifeEnd | undefined {
    return this.#end;
  }

  /** @returns undefined where it has ended already: the first end is the one that counts */
  end(reason: EndReason, error: unknown): LifeEnd | undefined {
    if (this.#end !== undefined) return undefined;
    const { epoch } = this;
    this.#end = error === undefined ? { reason, epoch } : { reason, epoch, error };
    return this.#end;
  }
}
