/**
 * How an op gets into a thread: named, checked, and handed to the actor. Whatever allows it happens at once, so that ops
 * keep the order of their submission (T3); what does not gives a promise, and later ops wait for it.
 */
import { isEmptyInput, isUrgent, type Submission, taskKindOf } from "../../machines/thread.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { ThreadClosedError } from "../protocol/errors.ts";
import { isUuid, newTurnId, type SubmissionId, type TurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import { outsideCalls } from "../turn/tool-scope.ts";
import { submitNotice } from "../turn/traces.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Durability, SubmissionOutcome, WhenFull } from "./thread.ts";

export type Handing = {
  readonly op: Op;
  /** The caller's own id: with one that the thread has seen nothing runs again. Without, the thread's counter gives one. */
  readonly id?: SubmissionId | undefined;
  /** The id was made for this submission, so nobody can have used it before: nothing is looked up. */
  readonly isNew?: boolean | undefined;
  /** One that was seen and whose turn was cut runs again. */
  readonly rerun?: boolean | undefined;
  /** What the turn that it starts is called. */
  readonly turnId?: TurnId | undefined;
  /** `memory`: taken is enough; a process that dies may forget it. */
  readonly durability?: Durability | undefined;
  /** What to do while the mailbox has no room. */
  readonly whenFull?: WhenFull | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told the id just before the thread hears of the op. */
  readonly onNamed?: ((id: SubmissionId) => void) | undefined;
};

/** Gives the op to the thread. @throws ThreadClosedError (gives the op back), StoreIoError */
export function handOver(thread: Incarnation, handing: Handing): SubmissionId | Promise<SubmissionId> {
  const { id, isNew, rerun, signal } = handing;
  if (id === undefined) return admit(thread, thread.intake.nextId(), handing);
  const { ledger } = thread.intake;
  const known = ledger.newest(id);
  if (known !== undefined || thread.intake.hasGiven(id))
    return rerun ? ledger.remember(id, () => runAgain(thread, id, handing)) : (known ?? id);
  const hasSeen = isNew ? false : ledger.hasSeen(id, signal);
  if (hasSeen === false) return ledger.remember(id, () => admit(thread, id, handing));
  return ledger.remember(id, () => admitUnlessSeen(thread, id, handing, hasSeen));
}

async function admitUnlessSeen(
  thread: Incarnation,
  id: SubmissionId,
  handing: Handing,
  hasSeen: boolean | Promise<boolean>,
): Promise<SubmissionId> {
  if (!(await raceAbort(Promise.resolve(hasSeen), handing.signal))) return admit(thread, id, handing);
  return handing.rerun ? runAgain(thread, id, handing) : id;
}

/** One whose turn was cut runs once more, in a turn of a new name. */
async function runAgain(thread: Incarnation, id: SubmissionId, handing: Handing): Promise<SubmissionId> {
  const outcome = await raceAbort(outcomeOf(thread, id), handing.signal);
  return outcome === "cut" ? admit(thread, id, { ...handing, turnId: newTurnId() }) : id;
}

/** What became of a submission; undefined for one that the thread has not seen. */
export async function outcomeOf(thread: Incarnation, id: SubmissionId): Promise<SubmissionOutcome | undefined> {
  const trace = await thread.intake.ledger.trace(id, undefined);
  if (trace === undefined)
    return thread.intake.hasGiven(id) || thread.intake.ledger.newest(id) !== undefined ? "done" : undefined;
  if (trace.end !== "open") return trace.end;
  return trace.turnId !== null && thread.isAtWorkOn(trace.turnId) ? "running" : "cut";
}

/** A store that failed is tried again first: nothing is taken that cannot be stored. */
function admit(thread: Incarnation, id: SubmissionId, handing: Handing): SubmissionId | Promise<SubmissionId> {
  const { op, signal } = handing;
  if (isUrgent(op) || thread.writer.failure === undefined) return send(thread, id, handing);
  return raceAbort(thread.writer.flush(), signal).then(() => send(thread, id, handing));
}

/** Whether the thread is not in memory any more, or about to leave it: it has to be loaded again first. */
export const isGone = (thread: Incarnation): boolean => thread.ended !== undefined || thread.life.leaving !== undefined;

function send(thread: Incarnation, id: SubmissionId, handing: Handing): SubmissionId {
  const { op, signal, onNamed } = handing;
  signal?.throwIfAborted();
  if (isGone(thread)) throw new ThreadClosedError(thread.threadId, op, thread.ended?.error);
  thread.touch();
  onNamed?.(id);
  if (submitNotice.isWatched) {
    const { threadId, env } = thread;
    submitNotice.tell({ scope: env.scope, threadId, submissionId: id, type: op.type });
  }
  const turnId = handing.turnId ?? (taskKindOf(op) === undefined || isUuid(id) ? undefined : newTurnId());
  const event = { type: "op.submit" as const, id, op, ...(turnId && { turnId }) };
  // What the thread does with it is no part of a tool call that has sent it.
  outsideCalls(() => thread.take(event));
  if (!isUrgent(op) || handing.id !== undefined) note(thread, { id, op, ...(turnId && { turnId }) }, handing);
  return id;
}

/** Whether the op is a command that was begun beside the running turn. */
const isBeside = (thread: Incarnation, { id, op }: Submission): boolean =>
  op.type === "run_user_shell_command" &&
  thread.takesInput &&
  thread.turn?.id !== id &&
  thread.intake.taskOf(id) === undefined;

/** The op was given to the thread: whatever of it nothing else will store, is stored now (T7). */
function note(thread: Incarnation, submission: Submission, { id: chosen, isNew, durability }: Handing): void {
  const { id, turnId: named } = submission;
  const { turn, session } = thread;
  const { openTurn } = session;
  const task = thread.intake.taskOf(id);
  const starts = taskKindOf(submission.op) !== undefined;
  const { deferred, queue = [] } = thread.remembered;
  const hasBegun = turn?.id === id || openTurn?.id === id;
  // What is refused waits for nothing.
  const isWaiting = thread.holds(id) || (deferred !== undefined && (task !== undefined || deferred.at(-1)?.id === id));
  const isNamed = chosen !== undefined && isNew !== true;
  // What it comes to says so itself.
  if (!thread.hasOwnLogic && (submission.op.type === "thread_rollback" || isBeside(thread, submission))) return;
  if (!isNamed && !isWaiting) return;
  const isOver = isEmptyInput(submission.op) && !thread.hasOwnLogic;
  const own = isOver ? undefined : (named ?? (starts && isUuid(id) ? id : undefined));
  const joined = task === turn?.id ? turn?.turnId : queue.find((waiting) => waiting.id === task)?.turnId;
  const turnId = hasBegun
    ? (turn?.turnId ?? openTurn?.msg.turn_id ?? own)
    : task === undefined || task === id
      ? own
      : joined;
  thread.intake.ledger.note(submission, {
    isNamed,
    isWaiting: isWaiting && durability !== "memory",
    turnId: turnId ?? undefined,
  });
}

/**
 * Resolves when the op, and what the thread had said before it, is stored (T7); undefined when it is already, or need not be.
 *
 * @throws StoreIoError, ThreadBusyError
 */
export function stored(thread: Incarnation, { op, signal, durability }: Handing): Promise<void> | undefined {
  const { writer } = thread;
  if (isUrgent(op) || durability === "memory" || (!writer.dirty && writer.failure === undefined)) return undefined;
  return raceAbort(thread.storage.flush(), signal);
}
