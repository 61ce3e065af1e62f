/** The implementations of turn.machine: each finds the turn's host under the thread actor's session id. */
import { fromPromise } from "xstate";
import { type SampleOutcome, type Step, type TurnAbortReason, turnMachine } from "../../machines/turn.machine.ts";
import { backoffDelay } from "../kernel/backoff.ts";
import { sleep } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InternalDefect, SkeinError } from "../protocol/errors.ts";
import type { TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import { isUuid, newTurnId, toTurnId } from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import { announceTurn, recordInOrder, recordInput, turnStamp } from "./announcement.ts";
import { countAsFull, needsCompaction } from "./compaction.ts";
import type { Submission } from "./inbox.ts";
import { sample } from "./sampling.ts";
import { abandon, finishCalls, recordOutput, settleCalls } from "./tool-calls.ts";
import type { TurnHost } from "./turn-host.ts";
import { TurnRun } from "./turn-run.ts";

type Ending = Step & { reason: TurnAbortReason | null };

/** Finds what a thread actor's session id stands for. @throws InternalDefect */
export type HostLookup = (session: string) => TurnHost;

export function turnLogic(hostOf: HostLookup) {
  const at = (thread: string): { host: TurnHost; run: TurnRun } => {
    const host = hostOf(thread);
    if (host.turn === undefined) throw new InternalDefect("a turn's step ran while no turn was running");
    return { host, run: host.turn };
  };
  const stepOf = <Output, Input extends Step = Step>(
    work: (host: TurnHost, run: TurnRun, input: Input) => Promise<Output>,
  ) =>
    fromPromise<Output, Input>(({ input }) => {
      const { host, run } = at(input.thread);
      return work(host, run, input);
    });

  return turnMachine.provide({
    actors: {
      prepare: fromPromise(({ input }) => {
        const host = hostOf(input.thread);
        host.turn = startRun(host, input.task);
        announceTurn(host, host.turn);
        return prepare(host, host.turn);
      }),
      sample: stepOf(sample),
      backOff: stepOf<void, Step & { error: unknown }>(backOff),
      runTools: stepOf(runTools),
      finish: stepOf(finish),
      settle: stepOf<void, Ending>(settle),
      storeEnd: stepOf<void, Ending>(storeEnd),
    },
    actions: {
      abortWork: ({ context }) => at(context.thread).run.abort(turnEnded(context.abortReason)),
      publishError: ({ context }, { error }) => publishError(at(context.thread), error),
      publishCompleted: ({ context }) => publishEnd(at(context.thread)),
      publishAborted: ({ context }) => publishEnd(at(context.thread)),
    },
    guards: {
      mayRetry: (_, { thread, retries, error }) =>
        error instanceof SkeinError && error.retryable && retries < at(thread).run.config.streamMaxRetries,
    },
  });
}

const turnEnded = (reason: string | null): DOMException =>
  new DOMException(`the turn was ${reason ?? "ended by an error"}`, "AbortError");

/** The turn's id is the submission's where that is a UUID, so that whoever chose the id knows the turn at once. */
function startRun(host: TurnHost, task: { id: TurnRun["id"]; kind: string }): TurnRun {
  const turnId = isUuid(task.id) ? toTurnId(task.id) : newTurnId();
  const op = host.inbox.startOf(task.id)?.op;
  const root = op?.type === "user_input" ? op.root_turn_id : undefined;
  const rootTurnId = typeof root === "string" ? toTurnId(root) : undefined;
  return new TurnRun({ ...task, turnId, rootTurnId, config: host.config, startedAt: host.clock.now() });
}

async function prepare(host: TurnHost, run: TurnRun): Promise<void> {
  if (run.kind === "user_shell") return;
  await host.openHistory(run.signal);
  await host.openTools(run.signal);
  run.signal.throwIfAborted();
  if (!needsCompaction(host, run)) await recordInput(host, run);
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
  await finishCalls(host, run);
  await sleep(host.clock, backoffDelay(retries, { retryAfterMs: failure?.retryAfterMs }), run.signal);
}

async function runTools(host: TurnHost, run: TurnRun): Promise<SampleOutcome> {
  await finishCalls(host, run);
  return { calls: 0, pendingInput: host.inbox.hasInput(run.id) };
}

async function finish(host: TurnHost, run: TurnRun): Promise<SampleOutcome> {
  await host.flush();
  run.signal.throwIfAborted();
  const pendingInput = host.inbox.hasInput(run.id);
  run.takesInput = pendingInput;
  return { calls: 0, pendingInput };
}

/** Whatever was sent to the turn is in the history before it ends, and every call has its output. */
async function settle(host: TurnHost, run: TurnRun, { reason }: Ending): Promise<void> {
  run.takesInput = false;
  const joined = host.inbox.takeInput(run.id);
  await recordInput(host, run);
  await Promise.all(run.beside);
  await settleCalls(host, run);
  await recordInOrder(host, run, reason === null ? joined : joined.filter((submission) => !isFollowed(submission)));
}

/** A client that names its message follows it: one that an interrupted turn has not taken is the client's again. */
const isFollowed = ({ op }: Submission): boolean => op.type === "user_input" && op.client_id !== undefined;

/** The end is stored before it is shown. A store that fails is told by its own event and does not hold the end back. */
async function storeEnd(host: TurnHost, run: TurnRun, { reason }: Ending): Promise<void> {
  run.takesInput = false;
  run.end = endOf(host, run, reason);
  host.record({ type: "event_msg", payload: run.end });
  await host.sync().catch(() => undefined);
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
  run.ended = true;
  run.vacate();
  host.turn = undefined;
  host.publish(run.id, run.end, { recorded: true });
}

function publishError({ host, run }: { host: TurnHost; run: TurnRun }, error: unknown): void {
  if (error instanceof ModelError && error.info === "context_window_exceeded") countAsFull(host, run);
  run.error = {
    message: textOfThrown(error),
    codex_error_info: error instanceof ModelError ? error.info : "other",
  };
  host.publish(run.id, { type: "error", ...run.error });
}

/** T4: a turn whose machine broke ends all the same, and what was sent to it is kept. */
export function abandonTurn(host: TurnHost, error: unknown): void {
  const run = host.turn;
  if (run === undefined || run.ended) return;
  publishError({ host, run }, error);
  run.takesInput = false;
  run.abort(turnEnded(null));
  void recordInOrder(host, run, [host.inbox.take(run.id) ?? [], host.inbox.takeInput(run.id)].flat());
  for (const call of run.calls.splice(0)) recordOutput(host, run, call, abandon(host, call));
  run.end = endOf(host, run, null);
  host.record({ type: "event_msg", payload: run.end });
  publishEnd({ host, run });
}
