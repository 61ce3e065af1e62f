/** What a thread publishes when its life ends: waiters get their answer, and the error is reported. */
import { refusal, type ThreadContext } from "../../machines/thread.machine.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { ThreadBusyError } from "../protocol/errors.ts";
import type { ErrorEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import { endTurns } from "../turn/turn-actors.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { Door } from "./door.ts";
import { interruptionOf, type LifeEnd } from "./life-end.ts";
import type { OwnLife } from "./own-life.ts";
import type { Session } from "./session.ts";
import type { SubmissionLedger } from "./submission-ledger.ts";

/** Whose life ends. */
export interface EndingThread extends TurnHost {
  readonly session: Session;
  readonly door: Door;
  readonly logger: SkeinLogger;
  readonly intake: TurnHost["intake"] & { readonly ledger: SubmissionLedger };
  /** What its machine remembers. */
  readonly remembered: Partial<ThreadContext>;
}

/** What a thread that did not end on purpose says of it. */
function failureOf({ reason, error }: LifeEnd): ErrorEvent | undefined {
  if (reason === "crashed") {
    return { type: "error", message: `the thread crashed: ${textOfThrown(error)}`, codex_error_info: "other" };
  }
  if (reason !== "lost") return undefined;
  return error instanceof ThreadBusyError
    ? { type: "error", message: `the thread was taken over: ${error.message}`, codex_error_info: "lease_lost" }
    : {
        type: "error",
        message: `the thread can't be stored: ${textOfThrown(error)}`,
        codex_error_info: "store_failed",
      };
}

/** Turns get their end, ops that wait are refused. `own`: what an embedder's own logic still owes. */
export function sayLastWords(thread: EndingThread, end: LifeEnd, own: OwnLife | undefined): void {
  const { threadId, session, door } = thread;
  const failure = failureOf(end);
  const isLost = end.reason === "lost";
  // The manager logs crashes, since it decides what follows them.
  if (isLost) thread.logger.error({ threadId, epoch: end.epoch, err: end.error }, failure?.message);
  const { queue = [], rollback = null, deferred = [], questions = [] } = thread.remembered;
  const said = door.log.next;
  const before = session.status;
  // Whoever loads the thread goes on with its turns: they have not ended.
  const isTakenUp = end.reason === "crashed" || end.reason === "moved";
  const goesOn = isTakenUp && own === undefined && thread.config.recovery === "continue";
  if (!goesOn) endTurns(thread, queue, { failure, isLost });
  const open = goesOn ? undefined : session.openTurn;
  if (own !== undefined) own.sayLast(failure);
  else if (open !== undefined) {
    if (failure !== undefined) thread.publish(open.id, failure);
    thread.publish(open.id, interruptionOf(open.msg));
  }
  const refused = [...deferred, ...questions].filter(({ id }) => !goesOn || !thread.intake.ledger.isWaiting(id));
  for (const id of [rollback, ...refused.map((op) => op.id)].filter((id) => id !== null))
    thread.publish(id, failure ?? refusal("the thread has ended"));
  if (failure === undefined) return;
  if (door.log.next === said) thread.publish(INITIAL_SUBMISSION_ID, failure);
  // Waiters hear that their op won't be done; one that had nothing to do is as it was.
  session.cameTo(before === "running" && !goesOn ? { errored: failure.message } : before);
}
