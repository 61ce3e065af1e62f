/** The implementations of turn.machine: each finds the turn's host under the thread actor's session id. */

import { fromPromise } from "xstate";
import { refusal } from "../../machines/thread.machine.ts";
import {
  type Resumption,
  type SampleOutcome,
  type Step,
  type TurnAbortReason,
  turnMachine,
} from "../../machines/turn.machine.ts";
import { backoffDelay } from "../kernel/backoff.ts";
import { sleep } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InternalDefect, SkeinError } from "../protocol/errors.ts";
import type { ErrorEvent, TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import { isUuid, newTurnId, toTurnId } from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import { turnAbortedMessage } from "../protocol/response-item.ts";
import { announceTurn, recordInOrder, recordInput, recordItem, recordNow, turnStamp } from "./announcement.ts";
import { countAsFull, needsCompaction } from "./compaction.ts";
import { failureOf } from "./failure.ts";
import type { Submission } from "./inbox.ts";
import { refusalIn, refusedPicturesNote, refusedReasoningNote } from "./picture-content.ts";
import { announceResumed, countAttempt } from "./resumed-turn.ts";
import { enterReview } from "./review/review.ts";
import { sample } from "./sampling.ts";
import { noteBegun } from "./task-notes.ts";
import { abandon, finishCalls, recordOutput, settleCalls } from "./tool-calls.ts";
import type { TurnHost } from "./turn-host.ts";
import { TurnRun } from "./turn-run.ts";

type Ending = Step & { reason: TurnAbortReason | null };

/** Finds what the name of an incarnation stands for. @throws InternalDefect */
export type HostLookup = (life: string) => TurnHost;

type Place = { readonly host: TurnHost; readonly run: TurnRun };

export function turnLogic(hostOf: HostLookup) {
  const at = (life: string): Place => {
    const host = hostOf(life);
    if (host.turn === undefined) throw new InternalDefect("a turn's step ran while no turn was running");
    return { host, run: host.turn };
  };
  /** A machine that was persisted goes on in a process that has not begun its turn: the turn is taken up there. */
  const takeUp = ({ life, task }: Step): Place => {
    const host = hostOf(life);
    return { host, run: host.turn ?? beginRun(host, task) };
  };
  const stepOf = <Output, Input extends Step = Step>(
    work: (host: TurnHost, run: TurnRun, input: Input) => Promise<Output>,
  ) =>
    fromPromise<Output, Input>(({ input }) => {
      const { host, run } = takeUp(input);
      return work(host, run, input);
    });

  return turnMachine.provide({
    actors: {
      prepare: fromPromise(({ input }) => {
        const { host, run } = takeUp(input);
        if (run.resumed === undefined) begin(host, run);
        else announceResumed(host, run, run.resumed.attempt);
        return prepare(host, run);
      }),
      sample: stepOf(sample),
      backOff: stepOf<void, Step & { error: unknown }>(backOff),
      runTools: stepOf(runTools),
      finish: stepOf(finish),
      settle: stepOf<void, Ending>(settle),
      storeEnd: stepOf<void, Ending>(storeEnd),
    },
    actions: {
      abortWork: ({ context }) => at(context.life).run.abort(turnEnded(context.abortReason)),
      publishError: ({ context }, { error }) => publishError(at(context.life), error),
      publishCompleted: ({ context }) => publishEnd(at(context.life)),
      publishAborted: ({ context }) => publishEnd(at(context.life)),
    },
    guards: {
      mayRetry: (_, { life, retries, error }) =>
        error instanceof SkeinError && error.retryable && retries < at(life).run.config.streamMaxRetries,
    },
  });
}

const turnEnded = (reason: string | null): DOMException =>
  new DOMException(`the turn was ${reason ?? "ended by an error"}`, "AbortError");

/** The turn's id is the submission's where that is a UUID, so that the chooser of the id knows the turn at once. */
function beginRun(host: TurnHost, task: Step["task"]): TurnRun {
  const named = task.turnId ?? (isUuid(task.id) ? task.id : undefined);
  const turnId = named === undefined ? newTurnId() : toTurnId(named);
  const op = host.intake.inbox.startOf(task.id)?.op;
  const root = op?.type === "user_input" ? op.root_turn_id : undefined;
  const rootTurnId = typeof root === "string" ? toTurnId(root) : undefined;
  const { id, kind, resumed } = task;
  const about = resumed === undefined ? { startedAt: host.clock.now(), rootTurnId } : stampOf(resumed);
  const run = new TurnRun({ id, kind, turnId, ...about, config: host.config, resumed });
  host.life.beginTurn(run);
  return run;
}

const stampOf = ({ startedAt, rootTurnId }: Resumption) => ({
  startedAt,
  rootTurnId: rootTurnId === undefined ? undefined : toTurnId(rootTurnId),
});

function begin(host: TurnHost, run: TurnRun): void {
  if (run.kind === "review") enterReview(host, run);
  announceTurn(host, run);
  noteBegun(host, run);
}

async function prepare(host: TurnHost, run: TurnRun): Promise<void> {
  const counting = run.resumed === undefined ? undefined : countAttempt(host, run);
  if (counting !== undefined) await counting;
  if (run.kind === "user_shell") return;
  // A thread that has everything in memory records its input at once: before `submit` resolves.
  const opening = host.past.open(run.signal);
  if (opening !== undefined) await opening;
  // The reviewer takes a place of its own among the running turns.
  if (run.kind === "review") return;
  const connecting = host.tools.open(host.config.mcpServers, run.signal);
  if (connecting !== undefined) await connecting;
  run.signal.throwIfAborted();
  const recording = needsCompaction(host, run) ? undefined : recordInput(host, run);
  if (recording !== undefined) await recording;
  run.signal.throwIfAborted();
  const place = host.reserveTurn(run.signal);
  run.occupy(place instanceof Promise ? await place : place, () => host.returnTurn(run.signal));
}

/** SPEC 4.5: a stream_error for each retry, then the server's delay or an exponential one. */
async function backOff(host: TurnHost, run: TurnRun, { retries, error }: Step & { error: unknown }): Promise<void> {
  const failure = error instanceof ModelError ? error : undefined;
  host.publish(run.id, {
    type: "stream_error",
    message: `Reconnecting... ${retries}/${run.config.streamMaxRetries}`,
    codex_error_info: { response_stream_disconnected: { http_status_code: failure?.httpStatus ?? null } },
    additional_details: textOfThrown(error),
  });
  const delayMs = backoffDelay(retries, { retryAfterMs: failure?.retryAfterMs });
  const { threadId, logger } = host;
  logger.debug(
    { threadId, turnId: run.turnId, retries, delayMs, status: failure?.httpStatus },
    "model request retried",
  );
  await sleep(host.clock, delayMs, run.signal);
}

async function runTools(host: TurnHost, run: TurnRun): Promise<SampleOutcome> {
  await finishCalls(host, run);
  return { calls: 0, pendingInput: host.intake.inbox.hasInput(run.id) };
}

async function finish(host: TurnHost, run: TurnRun): Promise<SampleOutcome> {
  await host.storage.flush();
  run.signal.throwIfAborted();
  const pendingInput = host.intake.inbox.hasInput(run.id);
  if (!pendingInput) host.closeInput(run);
  return { calls: 0, pendingInput };
}

/** Whatever was sent to the turn is in the history before it ends, and every call has its output. */
async function settle(host: TurnHost, run: TurnRun, { reason }: Ending): Promise<void> {
  host.closeInput(run);
  await recordInput(host, run);
  await Promise.all(run.beside);
  await settleCalls(host, run);
  // Until now it has waited in the inbox, where a thread that ends finds it.
  const joined = host.intake.inbox.takeInput(run.id);
  const isReturned = (submission: Submission) => reason !== null && isFollowed(submission);
  for (const { id } of joined.filter(isReturned)) host.intake.noteTaken(id);
  await recordInOrder(
    host,
    run,
    joined.filter((submission) => !isReturned(submission)),
  );
  if (reason === "interrupted") recordInterrupt(host, run);
}

/** The model is told that the turn was cut off, since 0.88: older rollouts are gone on with in their own words. */
function recordInterrupt(host: TurnHost, run: TurnRun): void {
  if (host.historyMode === "paginated") recordItem(host, run.id, turnAbortedMessage(run.turnId));
}

/** A client that names its message follows it: one that an interrupted turn has not taken is the client's again. */
const isFollowed = ({ op }: Submission): boolean => op.type === "user_input" && op.client_id !== undefined;

/** The end is stored before it is shown (T7). A thread that cannot store it has ended before it is shown. */
async function storeEnd(host: TurnHost, run: TurnRun, { reason }: Ending): Promise<void> {
  host.closeInput(run);
  const end = endOf(host, run, reason);
  run.decide(end);
  host.intake.noteEnding();
  host.record({ type: "event_msg", payload: end });
  await host.storage.syncOrEnd();
}

function endOf(host: TurnHost, run: TurnRun, reason: TurnAbortReason | null): TaskCompleteEvent | TurnAbortedEvent {
  const now = host.clock.now();
  const stamp = {
    ...turnStamp(run),
    completed_at: Math.floor(now / 1000),
    duration_ms: now - run.startedAt,
    ...(run.usage.total_tokens === 0 ? {} : { turn_token_usage: run.usage }),
  };
  if (reason !== null) return { type: "turn_aborted", reason, ...stamp };
  const firstToken = run.firstTokenAt === undefined ? {} : { time_to_first_token_ms: run.firstTokenAt - run.startedAt };
  return {
    type: "task_complete",
    last_agent_message: run.error ? null : run.lastAgentMessage,
    ...(run.error ? { error: run.error } : {}),
    ...stamp,
    ...firstToken,
  };
}

function publishEnd({ host, run }: { host: TurnHost; run: TurnRun }): void {
  if (run.end === undefined) throw new InternalDefect("a turn's end was to be shown before it was stored");
  run.finish();
  host.life.endTurn();
  host.publish(run.id, run.end, { recorded: true });
}

function publishError({ host, run }: { host: TurnHost; run: TurnRun }, error: unknown): void {
  if (error instanceof ModelError && error.info === "context_window_exceeded") countAsFull(host, run);
  omitRefused(host, run, error);
  const failure = failureOf(error);
  run.fail(failure);
  host.publish(run.id, { type: "error", ...failure });
}

/** The next request goes without the pictures, or the sealed reasoning, that this one may have been refused for. */
function omitRefused(host: TurnHost, run: TurnRun, error: unknown): void {
  const refusedFor = refusalIn(error);
  if (refusedFor === "none" || host.history?.mayBeRefusedFor(refusedFor) !== true) return;
  const isReasoning = refusedFor === "reasoning";
  recordItem(host, run.id, isReasoning ? refusedReasoningNote() : refusedPicturesNote());
  const what = isReasoning ? "earlier reasoning" : "a picture or file";
  const message = `The model's server refused ${what}; from now on it is left out of what is sent.`;
  host.publish(run.id, { type: "warning", message });
}

/** T4: a turn whose machine broke ends all the same, and what was sent to it is kept. */
export function abandonTurn(host: TurnHost, error: unknown): void {
  const run = host.turn;
  if (run === undefined || run.ended) return;
  publishError({ host, run }, error);
  run.abort(turnEnded(null));
  void recordInOrder(host, run, takeAll({ host, run }));
  endNow({ host, run }, null);
}

/**
 * T4: the thread ends under its turns. Each gets its one end, those that still waited too, and what was sent to it is kept.
 *
 * @param failure what the thread ends by, told with each turn
 * @param isLost whether nothing can be stored any more: then an end that waits to be stored is not shown
 */
export function endTurns(
  host: TurnHost,
  waiting: readonly Step["task"][],
  { failure, isLost }: { failure: ErrorEvent | undefined; isLost: boolean },
): void {
  const end = (run: TurnRun) => {
    if (failure !== undefined) host.publish(run.id, failure);
    run.abort(turnEnded("interrupted"));
    for (const { id } of recordNow(host, run, takeAll({ host, run })))
      if (id !== run.id) host.publish(id, failure ?? refusal("the thread has ended"));
    endNow({ host, run }, "interrupted");
  };
  const { turn } = host;
  if (turn !== undefined && !turn.ended) {
    if (turn.end === undefined) end(turn);
    else if (isLost) endUnstored({ host, run: turn }, failure);
    else publishEnd({ host, run: turn });
  }
  for (const task of waiting) {
    const run = beginRun(host, task);
    announceTurn(host, run);
    end(run);
  }
}

/** The end that waits to be stored may be stored yet, or is already: what is shown in its place is stored nowhere, or there would be two. */
function endUnstored({ host, run }: Place, failure: ErrorEvent | undefined): void {
  if (failure !== undefined) host.publish(run.id, failure);
  run.abort(turnEnded("interrupted"));
  run.decide(endOf(host, run, "interrupted"));
  publishEnd({ host, run });
}

/** All that waits for the turn. */
const takeAll = ({ host: { intake }, run }: Place): Submission[] =>
  [intake.inbox.take(run.id) ?? [], intake.inbox.takeInput(run.id)].flat();

/** The end of a turn that is aborted, and to whose history nothing is added any more. */
function endNow({ host, run }: Place, reason: TurnAbortReason | null): void {
  for (const call of run.calls.splice(0)) recordOutput(host, run, call, abandon(host, call));
  if (reason === "interrupted") recordInterrupt(host, run);
  const end = endOf(host, run, reason);
  run.decide(end);
  host.record({ type: "event_msg", payload: end });
  publishEnd({ host, run });
}
