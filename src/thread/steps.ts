/**
 * Durable steps of a thread: work whose result is stored in the rollout before it is given, and is never done again.
 *
 * A step stands there as lines of a type that Codex passes over: `begun` before its function runs, `done` with the result, or
 * `failed`. So a step whose process dies while its function runs is known as cut, and a fork has the results of the place that it was
 * forked at.
 */
import { type Backoff, backoffDelay } from "../kernel/backoff.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { type ErrorCode, InvalidRequestError, SkeinError, StepFailedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import { RunningStep } from "./running-step.ts";
import { checkPlain } from "./saved-state.ts";
import type { WaitOptions } from "./wait-options.ts";

/** What a step's function is given. */
export type StepContext = {
  /** Counted from 1. */
  readonly attempt: number;
  /** How often the step was cut before: its process died while its function ran. */
  readonly cuts: number;
  /** The same in every attempt and every process: for services that take a key against doing things twice. */
  readonly idempotencyKey: string;
  /** Fires when the caller gives up, and when the thread ends. */
  readonly signal: AbortSignal;
};

/** How often a step is tried, and how its caller waits. */
export type StepOptions = WaitOptions & {
  /** How often its function may throw. Default 3. */
  readonly attempts?: number | undefined;
  /** The pauses between attempts. Default 200 ms, doubled each time up to 60 s, plus or minus a tenth. */
  readonly backoff?: Partial<Backoff> | undefined;
  /**
   * Which errors are tried again: a function of the error, or their classes and codes. Default: all but aborts and those of Skein's
   * that say that they would come again.
   */
  readonly retryOn?:
    | ((error: unknown, attempt: number) => boolean)
    | readonly ((abstract new (...args: never[]) => Error) | ErrorCode)[]
    | undefined;
  /** What becomes of a step whose process died while its function ran: it runs again (the default), or fails with StepFailedError. */
  readonly onCut?: "rerun" | "fail" | undefined;
};

/** What a step does. Its result has to be JSON, which is stored. */
export type StepWork<T> = (context: StepContext) => T | PromiseLike<T>;

/** Of its JSON. */
const MAX_RESULT_BYTES = 1024 * 1024;
const MAX_ID_LENGTH = 256;
const DEFAULT_ATTEMPTS = 3;

/** A step that is begun: who has it tells what becomes of it. */
export type BegunStep = {
  readonly threadId: ThreadId;
  readonly clock: Clock;
  readonly cuts: number;
  /** Fires when somebody else has it. */
  readonly lost?: AbortSignal | undefined;
  /** Resolves when the result is stored, JSON or nothing. */
  finish(json: string | undefined, signal: AbortSignal): Promise<void>;
  fail(): Promise<void>;
};

export type StepResult = { readonly json: string | undefined };

/** Where it is written down what became of a thread's steps. */
export interface StepLedger {
  /** Whether its result is known here. */
  isDone(id: string, signal: AbortSignal | undefined): Promise<boolean>;
  /** @throws StepFailedError for one that was cut, where `onCut` says so */
  begin(id: string, onCut: StepOptions["onCut"], signal: AbortSignal): Promise<BegunStep | StepResult>;
  closedError(): Error;
}

export class Steps {
  readonly #ledger: StepLedger;
  readonly #ending = new AbortController();
  readonly #running = new Map<string, RunningStep>();

  constructor(ledger: StepLedger) {
    this.#ledger = ledger;
  }

  /** The thread has ended. */
  close(): void {
    this.#ending.abort(this.#ledger.closedError());
  }

  /**
   * Gives the step's result: the stored one, or that of its function. Calls of one id that overlap share it.
   * @param options the deadline is the caller's to keep
   */
  async run<T>(id: string, work: StepWork<T>, options: StepOptions): Promise<T> {
    check(id, work);
    for (;;) {
      options.signal?.throwIfAborted();
      const running = this.#running.get(id);
      if (running === undefined) break;
      // Whoever has begun it may have given it up: then this one does it.
      const settled = (result: Promise<unknown>) => result.catch(() => undefined);
      await running.result((result) => raceAbort(settled(result), options.signal));
      if (await this.#ledger.isDone(id, options.signal)) break;
    }
    const mine = new RunningStep(id, () => this.#runAlone(id, work, options));
    this.#running.set(id, mine);
    try {
      return await mine.result((result) => result);
    } finally {
      if (this.#running.get(id) === mine) this.#running.delete(id);
    }
  }

  async #runAlone<T>(id: string, work: StepWork<T>, options: StepOptions): Promise<T> {
    const { signal: ended } = this.#ending;
    const both = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
    const within = async () => parsed(await this.#carryOut(id, work, { ...options, signal: both })) as T;
    return raceAbort(within(), both);
  }

  /** Tries the function as often as the policy says, and stores what it gave. */
  async #carryOut<T>(
    id: string,
    work: StepWork<T>,
    { attempts = DEFAULT_ATTEMPTS, backoff, retryOn, onCut, signal: given }: StepOptions & { signal: AbortSignal },
  ): Promise<string | undefined> {
    const begun = await this.#ledger.begin(id, onCut, given);
    if ("json" in begun) return begun.json;
    const signal = begun.lost === undefined ? given : AbortSignal.any([given, begun.lost]);
    try {
      return await this.#attempt(id, work, { begun, attempts, backoff, retryOn, signal });
    } catch (error) {
      await begun.fail();
      throw error;
    }
  }

  async #attempt<T>(
    id: string,
    work: StepWork<T>,
    how: Pick<StepOptions, "backoff" | "retryOn"> & { begun: BegunStep; attempts: number; signal: AbortSignal },
  ): Promise<string | undefined> {
    const { begun, attempts, backoff, retryOn, signal } = how;
    for (let attempt = 1; ; attempt += 1) {
      const context = { attempt, cuts: begun.cuts, idempotencyKey: `${begun.threadId}/${id}`, signal };
      try {
        signal.throwIfAborted();
        const value = await raceAbort(
          Promise.resolve().then(() => work(context)),
          signal,
        );
        return await finish(id, begun, value, signal);
      } catch (error) {
        if (signal.aborted || error instanceof ResultError) throw error instanceof ResultError ? error.cause : error;
        if (attempt >= attempts || !isTriedAgain(error, attempt, retryOn)) throw failed(id, attempt, error);
        const retryAfterMs = error instanceof ModelError ? error.retryAfterMs : undefined;
        await sleep(begun.clock, backoffDelay(attempt, { ...backoff, retryAfterMs }), signal);
      }
    }
  }
}

async function finish(id: string, begun: BegunStep, value: unknown, signal: AbortSignal): Promise<string | undefined> {
  try {
    if (value !== undefined) checkPlain(value, "result");
    const json = value === undefined ? undefined : JSON.stringify(value);
    if (json !== undefined && json.length > MAX_RESULT_BYTES) {
      throw new InvalidRequestError(
        `it has ${json.length} bytes, of at most ${MAX_RESULT_BYTES}; keep it elsewhere, and its place here`,
      );
    }
    await begun.finish(json, signal);
    return json;
  } catch (cause) {
    const isUnfit = cause instanceof InvalidRequestError;
    const why = isUnfit
      ? new InvalidRequestError(`the result of step \`${id}\` can't be stored: ${cause.message}`, { cause })
      : cause;
    throw new ResultError("no attempt", { cause: why });
  }
}

export const cutError = (id: string): StepFailedError =>
  new StepFailedError(`step \`${id}\` was cut: its process ended while its function ran, and what it did is unknown`, {
    stepId: id,
    reason: "cut",
  });

/** Not the function's: what it gave can't be stored. */
class ResultError extends Error {}

const parsed = (json: string | undefined): unknown => (json === undefined ? undefined : JSON.parse(json));

const failed = (id: string, attempts: number, cause: unknown): StepFailedError =>
  new StepFailedError(
    `step \`${id}\` failed ${attempts === 1 ? "" : `${attempts} times, at last `}by: ${textOfThrown(cause)}`,
    { cause, stepId: id, attempts },
  );

function isTriedAgain(error: unknown, attempt: number, retryOn: StepOptions["retryOn"]): boolean {
  if (typeof retryOn === "function") return retryOn(error, attempt);
  if (retryOn !== undefined) {
    return retryOn.some((each) =>
      typeof each === "string" ? error instanceof SkeinError && error.code === each : error instanceof each,
    );
  }
  if (error instanceof SkeinError) return error.retryable;
  return !(error instanceof Error && error.name === "AbortError");
}

function check(id: unknown, work: unknown): void {
  if (typeof id !== "string" || id === "" || id.length > MAX_ID_LENGTH)
    throw new InvalidRequestError(
      `step: give an id of 1 to ${MAX_ID_LENGTH} characters, unlike those of the thread's other steps`,
    );
  if (typeof work !== "function") throw new InvalidRequestError(`step \`${id}\`: give its function`);
}
