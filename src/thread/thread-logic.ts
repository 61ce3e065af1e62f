/** The built-in thread logic: thread.machine with its implementations, provided once for a whole manager. */
import { fromPromise } from "xstate";
import { lifeOf, type Submission, type ThreadInput, threadMachine } from "../../machines/thread.machine.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InternalDefect } from "../protocol/errors.ts";
import type { EventMsg, ThreadRolledBackEvent } from "../protocol/event.ts";
import { type SubmissionId, toTurnId } from "../protocol/ids.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { AnchorIndex } from "../store/anchor-index.ts";
import { estimatedUsage } from "../turn/compaction.ts";
import { abandonTurn, turnLogic } from "../turn/turn-actors.ts";
import { askedCommand, runUserShell } from "../turn/user-shell.ts";
import { withEmissionShortcut } from "./emission-shortcut.ts";
import { failureEvent } from "./failed-op.ts";
import type { Incarnation } from "./incarnation.ts";
import { answerOp, answerTo, applySettings } from "./op-answers.ts";
import { isNoState } from "./saved-state.ts";
import { deafToForgeries } from "./told.ts";

const submission = (event: { type: string }): Submission => event as unknown as Submission;

/** Where the actors' live parts are, by the names of their incarnations. */
type Lives = ReadonlyMap<string, Incarnation>;

const liveIn =
  (lives: Lives) =>
  (life: string): Incarnation => {
    const thread = lives.get(life);
    if (thread === undefined) throw new InternalDefect(`no incarnation ${life} lives in this manager`);
    return thread;
  };

/** The turn alone, as own logics begin it. */
export const houseTurn = (lives: Lives) => turnLogic(liveIn(lives));

export function threadLogic(lives: Lives) {
  const liveAt = liveIn(lives);
  const threadOf = ({ context }: { context: ThreadInput }) => liveAt(lifeOf(context));
  const machine = threadMachine.provide({
    actors: {
      runTurn: turnLogic(liveAt),
      rollBack: fromPromise(({ input, signal }) => rollBack(liveAt(input.life), input, signal)),
      answer: fromPromise(({ input, signal }) => answerTo(liveAt(input.life), input, signal)),
      close: fromPromise(({ input }) => close(liveAt(input.life))),
    },
    actions: {
      holdInput: (scope, { task }) => holdInput(threadOf(scope), submission(scope.event), task),
      answerOp: (scope) => answerOp(threadOf(scope), submission(scope.event)),
      refuseRollback: (scope) =>
        refuseToRollBack(threadOf(scope), submission(scope.event).id, "Cannot rollback while a turn is in progress."),
      runBeside: (scope) => runBeside(threadOf(scope), submission(scope.event)),
      reportDefect: (scope) => reportDefect(threadOf(scope), scope.event),
      abandonTurn: (scope) => abandonTurn(threadOf(scope), (scope.event as { error?: unknown }).error),
    },
  });
  return deafToForgeries(withEmissionShortcut(machine));
}

function holdInput(thread: Incarnation, held: Submission, task: SubmissionId): void {
  if (held.op.type === "user_turn") applySettings(thread, held.id, held.op);
  thread.intake.inbox.hold(held, task);
  // What is only to be known waits for the next request; what a user says is not kept waiting.
  if (thread.turn?.id === task && held.op.type !== "inject_items") thread.turn.cutRequest();
}

/** What the command comes to joins the turn that runs then, or is recorded at once. */
function runBeside(thread: Incarnation, { id, op }: Submission): void {
  const { turn, intake } = thread;
  const asked = askedCommand(op);
  if (turn === undefined || asked === undefined) return;
  // Nobody is to run it a second time: what becomes of it is what becomes of the turn.
  intake.noteTaken(id);
  intake.ledger.note({ id, op }, { isNamed: !intake.hasGiven(id), isWaiting: false, turnId: turn.turnId });
  const record = (message: ResponseItem) =>
    thread.actor.send({ type: "op.submit", id, op: { type: "inject_items", items: [message] } });
  void runUserShell(thread, turn, { ...asked, record });
}

function refuseToRollBack(thread: Incarnation, id: SubmissionId, message: string): void {
  failRollback(thread, id, { type: "error", message, codex_error_info: "thread_rollback_failed" });
}

/** Nothing was taken back, so its id may be tried again. */
function failRollback(thread: Incarnation, id: SubmissionId, msg: EventMsg): void {
  thread.intake.ledger.forget(id);
  thread.publish(id, msg);
}

/** Whoever asked for it is told what it failed by, such as a store that can't be read. */
async function rollBack(thread: Incarnation, submission: Submission, signal: AbortSignal): Promise<void> {
  try {
    await rollBackTurns(thread, submission, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    thread.env.logger.error({ threadId: thread.threadId, err: error }, "a rollback failed");
    failRollback(thread, submission.id, failureEvent(error, "thread_rollback_failed"));
  }
}

/** SPEC 6.4: the marker is stored before it is shown; nothing is ever rewritten. */
async function rollBackTurns(thread: Incarnation, { id, op }: Submission, signal: AbortSignal): Promise<void> {
  const { num_turns: turns = 0, before_turn_id: turnId } = op.type === "thread_rollback" ? op : {};
  if (turns < 1 && turnId === undefined) {
    refuseToRollBack(thread, id, "num_turns must be >= 1");
    return;
  }
  const opening = thread.past.open(signal);
  if (opening !== undefined) await opening;
  await thread.storage.flush();
  const payload: ThreadRolledBackEvent | undefined =
    turnId === undefined
      ? { type: "thread_rolled_back", num_turns: turns }
      : await rollbackToTurn(thread, turnId, signal);
  if (payload === undefined) {
    refuseToRollBack(thread, id, `turn not found: ${turnId}`);
    return;
  }
  const marker: RolloutItem = { type: "event_msg", payload };
  await restore(thread, marker, signal);
  const usage = estimatedUsage(thread, thread.history?.estimatedTokens ?? 0);
  thread.session.noteUsage(usage);
  thread.publish(id, { type: "token_count", info: usage, rate_limits: thread.session.rateLimits ?? null });
  // With its marker: a process that dies between the two would do it twice, or never.
  const isNamed = !thread.intake.hasGiven(id);
  thread.intake.ledger.note({ id, op }, { isNamed, isWaiting: false, turnId: undefined });
  thread.record(marker);
  await thread.storage.sync();
  thread.publish(id, payload, { recorded: true });
  thread.past.keep();
}

/** undefined: the thread has no such turn. */
async function rollbackToTurn(
  { store, threadId }: Incarnation,
  turnId: string,
  signal: AbortSignal,
): Promise<ThreadRolledBackEvent | undefined> {
  const place = await store.findTurn(threadId, toTurnId(turnId));
  if (place === undefined) return undefined;
  const index = new AnchorIndex();
  const range = { from: { ordinal: place.start.ordinal }, wants: isNoState, signal };
  for await (const page of store.load(threadId, range)) {
    for (const line of page) index.observe(line, place.start, place.start);
  }
  return { type: "thread_rolled_back", num_turns: index.userMessageCount, before_turn_id: turnId };
}

/**
 * The history is read anew, as the marker leaves it: so what a compaction has taken in comes back, and what the model was told of the
 * settings is known as it was by then.
 */
async function restore(thread: Incarnation, marker: RolloutItem, signal: AbortSignal): Promise<void> {
  for (;;) {
    const before = thread.history?.length;
    const rebuilt = await thread.past.readWith(marker, signal);
    if (thread.history?.length !== before) {
      await thread.storage.flush();
      continue;
    }
    thread.past.replace(rebuilt.history);
    thread.session.noteTold(rebuilt.told);
    return;
  }
}

async function close(thread: Incarnation): Promise<void> {
  await thread.terminals.close();
  await thread.storage.close();
}

function reportDefect(thread: Incarnation, event: { type: string; error?: unknown }): void {
  thread.env.logger.error({ threadId: thread.threadId, err: event.error }, "a thread's work failed by a defect");
  thread.publish("" as SubmissionId, {
    type: "error",
    message: `internal error: ${textOfThrown(event.error)}`,
    codex_error_info: "other",
  });
}
