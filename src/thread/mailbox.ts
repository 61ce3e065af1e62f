/** Where ops come into a thread: at once where that is possible, else behind those that wait already. */
import { isEmptyInput, isUrgent, taskKindOf } from "../../machines/thread.machine.ts";
import type { SubmissionId } from "../protocol/ids.ts";
import { type AnswerOp, isAnswerOp, type Op, parseOp } from "../protocol/op.ts";
import { checkCall } from "./call-checks.ts";
import { withKnownInput } from "./known-input.ts";
import { type Handing, handOver, isGone, stored } from "./submissions.ts";
import type { SubmitOptions } from "./thread.ts";
import { bounded, type WaitOptions } from "./wait-options.ts";
import { type Destination, isFull, overloaded, WaitingOps } from "./waiting-ops.ts";

/** The kinds of turns that ask the model. */
const ASKING: ReadonlySet<string> = new Set(["regular", "compact", "review"]);

/** Whose mailbox it is. */
export interface Addressee extends Destination {
  /** Nobody gets this op. */
  noteUndelivered(handing: Handing, error: unknown): void;
}

/** Nobody writes its fields but these methods. */
export class Mailbox {
  readonly #thread: Addressee;
  #waitingOps: WaitingOps | undefined;

  constructor(thread: Addressee) {
    this.#thread = thread;
  }

  get #line(): WaitingOps {
    this.#waitingOps ??= new WaitingOps(this.#thread);
    return this.#waitingOps;
  }

  /** What a caller gives, checked, and handed over for as long as the caller waits. */
  async submit(handing: Handing, options: SubmitOptions): Promise<SubmissionId> {
    checkCall("submit", options);
    options.signal?.throwIfAborted();
    const op = withKnownInput(parseOp(handing.op));
    if (isAnswerOp(op)) this.#checkAwaited(op, handing);
    this.checkBudget(op);
    const { durability, whenFull } = options;
    const given = { ...handing, op, durability, whenFull };
    return bounded(this.#thread, "the submission", (signal) => this.give({ ...given, signal }), options);
  }

  /** An answer that nothing waits for goes nowhere. */
  #checkAwaited(op: AnswerOp, handing: Handing): void {
    const thread = this.#thread;
    try {
      if (thread.isClosed) throw thread.closedError(op);
      thread.incarnation.questions.checkAwaited(op);
    } catch (error) {
      thread.noteUndelivered({ ...handing, op }, error);
      throw error;
    }
  }

  /** What begins a turn is refused while a budget is used up, and nothing of it is stored. */
  checkBudget(op: Op): void {
    if (!ASKING.has(taskKindOf(op) ?? "") || isEmptyInput(op)) return;
    const { id, incarnation } = this.#thread;
    const refusal = incarnation.env.budgets.refusal(id);
    if (refusal !== undefined && incarnation.turn === undefined) throw refusal;
  }

  /** Hands the op over; it, and what the thread had said before it, is stored then (T7). */
  async give(handing: Handing): Promise<SubmissionId> {
    const thread = this.#thread;
    let id: SubmissionId;
    try {
      if (thread.isClosed) throw thread.closedError(handing.op);
      const taken = this.#take(handing);
      id = taken instanceof Promise ? await taken : taken;
    } catch (error) {
      // What its sender takes back is no dead letter.
      if (!handing.signal?.aborted) thread.noteUndelivered(handing, error);
      throw error;
    }
    const storing = stored(thread.incarnation, handing);
    if (storing !== undefined) await storing;
    return id;
  }

  /** Ops keep the order of their submission (T3). An urgent op waits for nobody where the thread is in memory. */
  #take(handing: Handing): SubmissionId | Promise<SubmissionId> {
    const { op, id, rerun, whenFull } = handing;
    const { incarnation } = this.#thread;
    const { mailboxCapacity } = incarnation.env;
    const isThere = !isGone(incarnation);
    if (isThere && isUrgent(op)) return handOver(incarnation, handing);
    // What was taken already needs no room.
    const known = isThere && id !== undefined && !rerun ? incarnation.intake.ledger.newest(id) : undefined;
    if (known !== undefined) return known;
    const waiting = this.#waitingOps?.size ?? 0;
    const held = waiting + (isThere ? incarnation.waitingOps : 0);
    if (held >= mailboxCapacity && (whenFull === "reject" || mailboxCapacity < 1)) throw overloaded(incarnation);
    if (held >= mailboxCapacity && whenFull === "dropOldest") this.#line.dropOldest();
    if (!isThere || waiting > 0 || isFull(incarnation)) return this.#line.enter(handing);
    const handed = handOver(incarnation, handing);
    return handed instanceof Promise ? this.#line.enter(handing, handed) : handed;
  }

  /** Whether an op would be taken at once. */
  get hasRoom(): boolean {
    const { incarnation } = this.#thread;
    return (this.#waitingOps?.size ?? 0) === 0 && (isGone(incarnation) || !isFull(incarnation));
  }

  /** Resolves when there is room, after all that wait already. */
  async ready(options: WaitOptions): Promise<void> {
    checkCall("ready", options);
    options.signal?.throwIfAborted();
    const thread = this.#thread;
    if (thread.isClosed) throw thread.closedError();
    if (!this.hasRoom) await bounded(thread, "room", (signal) => this.#line.room(signal), options);
  }

  /** Something has happened that may have made room, or ended the thread. */
  look(): void {
    this.#waitingOps?.look();
  }
}
