/** How an op gets into a thread: checked, named, handed over in order, and answered when the thread's past is stored. */
import { raceAbort } from "../kernel/cancellation.ts";
import { OverloadedError, ThreadClosedError } from "../protocol/errors.ts";
import { isUuid, type SubmissionId, toSubmissionId, toTurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { Incarnation } from "./incarnation.ts";
import type { WaitOptions } from "./thread.ts";

/** How many of its callers' submission ids a thread remembers besides those that its stored turns bear. */
const REMEMBERED_IDS = 256;

/** Ops that must not wait for a disk that hangs. */
const URGENT: ReadonlySet<string> = new Set(["interrupt", "shutdown", "exec_approval", "patch_approval"]);

/** Names the op by the thread's counter, from "0" on as Codex does, and hands it over. */
export function acceptOp(thread: Incarnation, op: Op, options: WaitOptions): Promise<SubmissionId> {
  const id = toSubmissionId(String(thread.submissions));
  thread.submissions += 1;
  return accept(thread, { id, op }, options);
}

/** Hands the op over under the caller's id, unless the thread has seen that id. */
export async function acceptOpOnce(
  thread: Incarnation,
  { id, op }: { id: SubmissionId; op: Op },
  options: WaitOptions,
): Promise<SubmissionId> {
  if (thread.seenIds.has(id)) return id;
  thread.seenIds.add(id);
  if (thread.seenIds.size > REMEMBERED_IDS) thread.seenIds.delete(thread.seenIds.values().next().value ?? id);
  if (isUuid(id) && thread.origin !== "new" && (await thread.store.findTurn(thread.threadId, toTurnId(id)))) return id;
  return accept(thread, { id, op }, options);
}

async function accept(
  thread: Incarnation,
  { id, op }: { id: SubmissionId; op: Op },
  { signal }: WaitOptions,
): Promise<SubmissionId> {
  if (thread.endReason !== undefined) throw new ThreadClosedError(thread.threadId, op);
  const isUrgent = URGENT.has(op.type);
  if (!isUrgent) {
    if (thread.waitingOps >= thread.env.mailboxCapacity) {
      throw new OverloadedError(`thread ${thread.threadId} has ${thread.waitingOps} ops waiting; try again later`);
    }
    if (thread.writer.failure !== undefined) await thread.writer.flush();
  }
  thread.lastActiveAt = thread.clock.now();
  thread.actor.send({ type: "op.submit", id, op });
  // A write that fails now is told by its own event, and by the next submit.
  if (!isUrgent && thread.writer.dirty)
    await raceAbort(thread.writer.flush(), signal).catch(ignoreUnlessAborted(signal));
  return id;
}

const ignoreUnlessAborted =
  (signal: AbortSignal | undefined) =>
  (error: unknown): void => {
    if (signal?.aborted) throw error;
  };
