/**
 * The inputs that a logic of an embedder's own was given, and the turns that it makes of them: which run, which wait for
 * one of the manager's places (`limits.runningTurns`), and which have no end yet.
 *
 * A logic may have its turns one at a time (`holdWhileRunning`): then all but urgent ops wait here while one runs.
 *
 * A thread holds one place from the input that starts a turn until nothing of it is without an end. Input for a running
 * turn goes to the logic at once. Ops keep their order (T3): behind an input that waits, all but urgent ones wait.
 */
import { isEmptyInput, isUrgent, type Submission, taskKindOf } from "../../machines/thread.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import type { RankedSlots } from "../kernel/ranked-slots.ts";
import type { Release } from "../kernel/slots.ts";
import type { TaskStartedEvent } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";

/** One that has no end yet. `started` is what its logic said of its begin. */
export type OwedTurn = {
  readonly submission: Submission | undefined;
  started: TaskStartedEvent | undefined;
  /** Unix milliseconds of its begin. */
  since: number;
};

export type SubmittedOp = { readonly type: "op.submit" } & Submission;

/** So many ids are known as ended, to tell a second end from a first. */
const ENDED_KEPT = 64;

export class OwnTurns {
  readonly #slots: RankedSlots;
  readonly #threadId: ThreadId;
  readonly #deliver: (event: SubmittedOp) => void;
  readonly #owed = new Map<SubmissionId, OwedTurn>();
  readonly #ended = new Set<SubmissionId>();
  #waiting: SubmittedOp[] = [];
  #holds = false;
  /** Inputs that the logic was given and has said nothing of, nor ended the turn that they came into. */
  readonly #unnamed = new Set<SubmissionId>();
  #place: Release | undefined;
  #asking: AbortController | undefined;
  /** What of the logic's turns waits for other threads, or for its own requests; and what of these works. */
  #waits = 0;
  #works = 0;
  #returning: { readonly asking: AbortController; readonly done: Promise<void> } | undefined;

  /** @param deliver gives an op to the logic */
  constructor(slots: RankedSlots, threadId: ThreadId, deliver: (event: SubmittedOp) => void) {
    this.#slots = slots;
    this.#threadId = threadId;
    this.#deliver = deliver;
  }

  /** How many ops wait for a place, or for the turn that runs. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** How many inputs the logic was given and has not begun with. */
  get unnamed(): number {
    return this.#unnamed.size;
  }

  /** From now on no op but urgent ones comes to the logic while a turn runs. */
  holdWhileRunning(): void {
    this.#holds = true;
  }

  /** Whether input that comes now is given to the logic while its turn runs. */
  get takesInput(): boolean {
    return !this.#holds && this.running !== undefined;
  }

  get #isBlocked(): boolean {
    return this.#asking !== undefined || (this.#holds && this.#owed.size > 0);
  }

  /** The turn that began first of those that run. */
  get running(): (OwedTurn & { readonly id: SubmissionId }) | undefined {
    for (const [id, turn] of this.#owed) if (turn.started !== undefined) return { id, ...turn };
    return undefined;
  }

  /** Whether a turn has no end yet. */
  get hasOwed(): boolean {
    return this.#owed.size > 0;
  }

  /** Whether anything was asked for that has no end yet. */
  get isBusy(): boolean {
    return this.#owed.size > 0 || this.#waiting.length > 0;
  }

  owed(id: SubmissionId): OwedTurn | undefined {
    return this.#owed.get(id);
  }

  /** Gives an op to the logic, as soon as it may have it. The inputs that an interrupt ends before that. */
  give(event: SubmittedOp): readonly SubmittedOp[] {
    if (isUrgent(event.op)) {
      const cut = event.op.type === "interrupt" ? this.#cutWaiting() : [];
      this.#deliver(event);
      return cut;
    }
    if (this.#isBlocked || this.#waiting.length > 0) this.#waiting.push(event);
    else this.#admit(event);
    return [];
  }

  #admit(event: SubmittedOp): void {
    const { id, op, turnId } = event;
    const isInput = taskKindOf(op) !== undefined && !isEmptyInput(op);
    if (!isInput || this.running !== undefined) {
      if (isInput) this.#unnamed.add(id);
      this.#deliver(event);
      return;
    }
    this.#ended.delete(id);
    const submission = turnId === undefined ? { id, op } : { id, op, turnId };
    const begin = () => {
      this.#owed.set(id, { submission, started: undefined, since: 0 });
      this.#unnamed.add(id);
      this.#deliver(event);
    };
    if (this.#place !== undefined) {
      begin();
      return;
    }
    const asking = new AbortController();
    const place = this.#slots.acquire(asking.signal, this.#threadId);
    if (!(place instanceof Promise)) {
      this.#place = place;
      begin();
      return;
    }
    this.#asking = asking;
    this.#waiting.unshift(event);
    place.then(
      (release) => {
        if (this.#asking !== asking) return release();
        this.#asking = undefined;
        this.#place = release;
        this.#pump();
      },
      () => undefined,
    );
  }

  /** What has waited goes to the logic, up to the next one that has to wait. */
  #pump(): void {
    while (!this.#isBlocked) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#admit(next);
    }
    this.#release();
  }

  #cutWaiting(): SubmittedOp[] {
    const cut = this.#waiting.filter(({ op }) => taskKindOf(op) !== undefined);
    this.#waiting = this.#waiting.filter(({ op }) => taskKindOf(op) === undefined);
    this.#asking?.abort();
    this.#asking = undefined;
    this.#pump();
    return cut;
  }

  /** The logic says that a turn has begun; one that nobody asked for counts as well, and does not wait. */
  begin(id: SubmissionId, started: TaskStartedEvent, since: number): void {
    this.#unnamed.delete(id);
    const turn = this.#owed.get(id);
    if (turn === undefined) this.#owed.set(id, { submission: undefined, started, since });
    else Object.assign(turn, { started, since });
    this.#ended.delete(id);
    if (this.#asking === undefined && this.#returning === undefined) this.#place ??= this.#slots.tryAcquire();
  }

  /** The logic says that a turn has ended. False when it has said so already (T4). */
  end(id: SubmissionId): boolean {
    this.#unnamed.delete(id);
    if (!this.#owed.delete(id) && this.#ended.has(id)) return false;
    // What came into the turn has ended with it.
    if (this.#owed.size === 0) this.#unnamed.clear();
    this.#ended.add(id);
    const [oldest] = this.#ended;
    if (this.#ended.size > ENDED_KEPT && oldest !== undefined) this.#ended.delete(oldest);
    this.#release();
    // The end is shown before the next turn begins.
    if (this.#waiting.length > 0) queueMicrotask(() => this.#pump());
    return true;
  }

  #release(): void {
    if (this.#owed.size > 0) return;
    this.#returning?.asking.abort();
    this.#place?.();
    this.#place = undefined;
  }

  // Lending (D1): a logic whose turns only wait gives their place to others until it goes on.

  beginWait(): void {
    this.#waits += 1;
    this.#lendIfIdle();
  }

  /** Resolves when the turns have their place again, or have ended. */
  endWait(): Promise<void> | undefined {
    this.#waits -= 1;
    return this.#waits > 0 ? undefined : this.#takeBack();
  }

  /**
   * A request of the logic's, or a turn of the house that it has begun, works in its place, and asks for one where there is
   * none. Outside of turns it needs none.
   */
  work(signal: AbortSignal): Release | Promise<Release> {
    signal.throwIfAborted();
    this.#works += 1;
    let isOver = false;
    const release = () => {
      if (isOver) return;
      isOver = true;
      this.#works -= 1;
      // Where it was the last step of a request, the logic goes on at once.
      setImmediate(() => this.#lendIfIdle());
    };
    const back = this.#takeBack();
    if (back === undefined) return release;
    return raceAbort(back, signal).then(
      () => release,
      (error: unknown) => {
        release();
        throw error;
      },
    );
  }

  #lendIfIdle(): void {
    if (this.#works > 0 || this.#waits === 0) return;
    this.#place?.();
    this.#place = undefined;
  }

  #takeBack(): Promise<void> | undefined {
    if (this.#place !== undefined || this.#owed.size === 0) return undefined;
    this.#returning ??= this.#return();
    return this.#returning.done;
  }

  #return(): { readonly asking: AbortController; readonly done: Promise<void> } {
    const asking = new AbortController();
    const taken = async () => {
      try {
        const release = await this.#slots.reacquire(asking.signal, this.#threadId);
        if (this.#place !== undefined || this.#owed.size === 0) release();
        else this.#place = release;
      } catch {
        // The turns have ended meanwhile, and need no place.
      } finally {
        this.#returning = undefined;
      }
      this.#lendIfIdle();
    };
    return { asking, done: taken() };
  }

  /** The thread has ended: what has no end, in the order of asking, and what the logic was never given. */
  close(): { readonly owed: readonly [SubmissionId, OwedTurn][]; readonly waiting: readonly SubmittedOp[] } {
    const left = { owed: [...this.#owed], waiting: this.#waiting };
    this.#owed.clear();
    this.#unnamed.clear();
    this.#waiting = [];
    this.#asking?.abort();
    this.#asking = undefined;
    this.#release();
    return left;
  }
}
