/** Where ops come into a thread: at once where that is possible, else behind those that wait already. */
import { isUrgent } from "../../machines/thread.machine.ts";
import type { SubmissionId } from "../protocol/ids.ts";
import { type Handing, handOver, isGone } from "./submissions.ts";
import { type Destination, isFull, overloaded, WaitingOps } from "./waiting-ops.ts";

/** Nobody writes its fields but these methods. */
export class Mailbox {
  readonly #thread: Destination;
  #waitingOps: WaitingOps | undefined;

  constructor(thread: Destination) {
    this.#thread = thread;
  }

  get #line(): WaitingOps {
    this.#waitingOps ??= new WaitingOps(this.#thread);
    return this.#waitingOps;
  }

  /** Ops keep the order of their submission (T3). An urgent op waits for nobody where the thread is in memory. */
  take(handing: Handing): SubmissionId | Promise<SubmissionId> {
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
  room(signal: AbortSignal | undefined): Promise<void> {
    return this.#line.room(signal);
  }

  /** Something has happened that may have made room, or ended the thread. */
  look(): void {
    this.#waitingOps?.look();
  }
}
