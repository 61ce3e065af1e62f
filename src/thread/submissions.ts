/**
 * How an op gets into a thread: named, checked, and handed to the actor. Whatever allows it happens at once, so that ops
 * keep the order of their submission (T3); what does not gives a promise, and later ops wait for it.
 */
import { raceAbort } from "../kernel/cancellation.ts";
import { OverloadedError, ThreadClosedError } from "../protocol/errors.ts";
import { isUuid, type SubmissionId, toSubmissionId, toTurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import { outsideCalls } from "../turn/tool-scope.ts";
import type { Incarnation } from "./incarnation.ts";

/** That an op of a caller's id was taken, or is being taken. */
export type Acceptance = SubmissionId | Promise<SubmissionId>;

/** How many of its callers' submission ids a thread remembers besides those that its stored turns bear. */
const REMEMBERED_IDS = 256;

/** Ops that must not wait for a disk that hangs. */
const URGENT: ReadonlySet<string> = new Set(["interrupt", "shutdown", "exec_approval", "patch_approval"]);

export const isUrgent = (op: Op): boolean => URGENT.has(op.type);

export type Handing = {
  readonly op: Op;
  /** The caller's own id: with one that the thread has seen nothing runs again. Without, the thread's counter gives one. */
  readonly id?: SubmissionId | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told the id just before the thread hears of the op. */
  readonly onNamed?: ((id: SubmissionId) => void) | undefined;
};

/** Gives the op to the thread. @throws ThreadClosedError (gives the op back), OverloadedError, StoreIoError */
export function handOver(thread: Incarnation, handing: Handing): SubmissionId | Promise<SubmissionId> {
  const { id } = handing;
  if (id === undefined) return admit(thread, nextId(thread), handing);
  const known = thread.acceptances.get(id);
  if (known !== undefined || isOwnId(thread, id)) return known ?? id;
  if (isUuid(id) && thread.origin !== "new") return remember(thread, id, admitUnlessStored(thread, id, handing));
  return remember(thread, id, admit(thread, id, handing));
}

/** From "0" on as Codex does, past the ids that callers have taken. */
function nextId(thread: Incarnation): SubmissionId {
  let id: SubmissionId;
  do {
    id = toSubmissionId(String(thread.submissions));
    thread.submissions += 1;
  } while (thread.acceptances.has(id));
  return id;
}

/** Whether the id is one that the thread's counter has given already. */
const isOwnId = ({ submissions }: Incarnation, id: SubmissionId): boolean =>
  Number(id) < submissions && String(Number(id)) === id;

/** An op that was not taken was not seen either: its id may be tried again. */
function remember(thread: Incarnation, id: SubmissionId, acceptance: Acceptance): Acceptance {
  const { acceptances } = thread;
  acceptances.set(id, acceptance);
  if (acceptances.size > REMEMBERED_IDS) acceptances.delete(acceptances.keys().next().value ?? id);
  if (acceptance instanceof Promise) {
    acceptance.then(
      () => acceptances.has(id) && acceptances.set(id, id),
      () => acceptances.delete(id),
    );
  }
  return acceptance;
}

async function admitUnlessStored(thread: Incarnation, id: SubmissionId, handing: Handing): Promise<SubmissionId> {
  const stored = await raceAbort(thread.store.findTurn(thread.threadId, toTurnId(id)), handing.signal);
  return stored === undefined ? admit(thread, id, handing) : id;
}

/** A store that failed is tried again first: nothing is taken that cannot be stored. */
function admit(thread: Incarnation, id: SubmissionId, handing: Handing): SubmissionId | Promise<SubmissionId> {
  const { op, signal } = handing;
  if (isUrgent(op) || thread.writer.failure === undefined) return send(thread, id, handing);
  return raceAbort(thread.writer.flush(), signal).then(() => send(thread, id, handing));
}

/** Whether the thread is not in memory any more, or about to leave it: it has to be loaded again first. */
export const isGone = (thread: Incarnation): boolean => thread.endReason !== undefined || thread.leaving !== undefined;

function send(thread: Incarnation, id: SubmissionId, { op, signal, onNamed }: Handing): SubmissionId {
  signal?.throwIfAborted();
  if (isGone(thread)) throw new ThreadClosedError(thread.threadId, op);
  const { waitingOps, env } = thread;
  if (!isUrgent(op) && waitingOps >= env.mailboxCapacity) {
    throw new OverloadedError(`thread ${thread.threadId} has ${waitingOps} ops waiting; try again later`);
  }
  thread.touch();
  onNamed?.(id);
  // What the thread does with it is no part of a tool call that has sent it.
  outsideCalls(() => thread.actor.send({ type: "op.submit", id, op }));
  return id;
}

/** Resolves when what the thread had said before the op is stored (T7). A write that fails is told by its own event. */
export async function stored(thread: Incarnation, { op, signal }: Handing): Promise<void> {
  if (isUrgent(op) || !thread.writer.dirty) return;
  await raceAbort(
    thread.writer.flush().catch(() => undefined),
    signal,
  );
}
