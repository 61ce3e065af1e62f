/** What a caller asks of a thread's turns, and waits for: that one runs to its end, is cut, or that the newest are undone. */
import { definedFields } from "../protocol/defined-fields.ts";
import { NoActiveTurnError } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import { type Op, parseOp, type ThreadRollbackOp } from "../protocol/op.ts";
import { waitForTurn } from "../turn/tool-scope.ts";
import { activeTurnOf } from "./active-turn.ts";
import { givenSubmissionId } from "./call-checks.ts";
import type { Incarnation } from "./incarnation.ts";
import { withKnownInput } from "./known-input.ts";
import type { Mailbox } from "./mailbox.ts";
import { type Handing, handOver, isGone, stored } from "./submissions.ts";
import type { InterruptOptions, RollbackOptions, RolledBackTurns } from "./thread.ts";
import type { TurnResult } from "./turn-result.ts";
import { answerToRollback, endOfTurn, type Observed, TurnWatch } from "./turn-watch.ts";
import { bounded, type WaitOptions } from "./wait-options.ts";

/** For what a logic of an embedder's own may have no ear for. */
const PATIENCE = { deadlineMs: 10_000 };

/** Whose turns they are, over all of its lives. */
interface Turning extends Observed {
  readonly id: ThreadId;
  readonly incarnation: Incarnation;
  readonly mailbox: Mailbox;
}

/** Hands over an op that starts a turn, and waits for its end; when the wait is given up, the turn is interrupted. */
export async function runTurn(thread: Turning, given: Op, options: WaitOptions): Promise<TurnResult<never>> {
  options.signal?.throwIfAborted();
  const op = withKnownInput(parseOp(given));
  thread.mailbox.checkBudget(op);
  const watch = new TurnWatch(thread);
  try {
    return await waitForTurn(thread.id, () =>
      bounded(thread, "the turn", (signal) => runWatched(thread, watch, { op, signal }), options),
    );
  } catch (error) {
    if (watch.isRunning) void interruptTurn(thread, {}).catch(() => undefined);
    throw error;
  } finally {
    watch.stop();
  }
}

async function runWatched(thread: Turning, watch: TurnWatch, handing: Handing): Promise<TurnResult<never>> {
  await thread.mailbox.give({ ...handing, onNamed: (id) => watch.begin(id) });
  const result = await watch.result;
  // The end of an own logic's turn is shown as it comes. One that failed says why itself, a store that failed too.
  if (result.status === "completed") await stored(thread.incarnation, handing);
  return result;
}

/** Ends the turn that runs, and waits for its end. @throws NoActiveTurnError where another one than the named runs, or none */
export async function interruptTurn(thread: Turning, { turnId, ...options }: InterruptOptions): Promise<void> {
  const { incarnation } = thread;
  const running = incarnation.ended === undefined ? activeTurnOf(incarnation) : undefined;
  if (turnId !== undefined && running?.turnId !== turnId) {
    throw new NoActiveTurnError(
      running === undefined ? undefined : `expected active turn id ${turnId} but found ${running.turnId}`,
    );
  }
  if (isGone(incarnation)) return;
  const watch = running === undefined ? undefined : endOfTurn(thread, running.submissionId);
  const patience = incarnation.ownTurn === undefined ? {} : PATIENCE;
  try {
    void handOver(incarnation, { op: { type: "interrupt" } });
    if (watch !== undefined) await bounded(thread, "the interrupt", () => watch.ended, { ...patience, ...options });
  } finally {
    watch?.stop();
  }
}

/** Undoes the newest turns, and waits until that is stored; once for each `id`. */
export async function rollBack(
  thread: Turning,
  turns: RolledBackTurns,
  { id: given, ...options }: RollbackOptions,
): Promise<void> {
  const id = given === undefined ? undefined : givenSubmissionId(given);
  const op: Op =
    typeof turns === "number"
      ? { type: "thread_rollback", num_turns: turns }
      : { type: "thread_rollback", num_turns: 0, before_turn_id: turns.beforeTurn };
  const { answer, begin, stop } = answerToRollback(thread);
  let isNew = false;
  const onNamed = (named: SubmissionId) => {
    isNew = true;
    begin(named);
  };
  if (id !== undefined) begin(id);
  try {
    await bounded(
      thread,
      "the rollback",
      async (signal) => {
        await thread.mailbox.give({ op, id, signal, onNamed });
        if (isNew || isRollingBack(thread.incarnation, id)) await answer;
      },
      { ...(thread.incarnation.hasOwnLogic && PATIENCE), ...definedFields(options) },
    );
  } finally {
    stop();
  }
}

/** What an op takes back, as `Thread.rollback` is told it. */
export const rolledBackBy = ({ num_turns, before_turn_id }: ThreadRollbackOp): RolledBackTurns =>
  before_turn_id === undefined ? num_turns : { beforeTurn: before_turn_id };

function isRollingBack(
  { remembered: { rollback, deferred = [] } }: Incarnation,
  id: SubmissionId | undefined,
): boolean {
  return rollback === id || deferred.some((op) => op.id === id);
}
