/**
 * Durable steps of a thread: work whose result is stored in the rollout before it is given, and is never done again.
 *
 * A step stands there as lines of a type that Codex passes over: `begun` before its function runs, `done` with the result, or
 * `failed`. So a step whose process dies while its function runs is known as cut, and a fork has the results of the place that it was
 * forked at.
 */
import * as z from "zod";
import { type Backoff, backoffDelay } from "../kernel/backoff.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { type ErrorCode, InvalidRequestError, SkeinError, StepFailedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ThreadStore } from "../store/thread-store.ts";
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
const LINE = "durable_step";

const lineSchema = z.union([
  z.looseObject({ id: z.string(), status: z.enum(["begun", "failed"]) }),
  z.looseObject({ id: z.string(), status: z.literal("done"), value: z.unknown() }),
]);

/** The life of the thread that the steps belong to now. */
export interface SteppingLife {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly clock: Clock;
  readonly store: ThreadStore;
  readonly origin: "new" | "resumed" | "forked";
  record(item: RolloutItem): void;
  readonly storage: { flush(): Promise<void> };
}

/** Whose steps they are, over all of its lives. */
interface Stepping {
  /** The life that the thread leads now, loaded again where it has left memory. @throws ThreadClosedError */
  inMemory(signal: AbortSignal | undefined): Promise<SteppingLife>;
  closedError(): Error;
}

/** What the rollout says of the steps. */
type Known = {
  readonly epoch: number;
  readonly done: Map<string, string | undefined>;
  readonly cuts: Map<string, number>;
};

export class Steps {
  readonly #thread: Stepping;
  readonly #ending = new AbortController();
  #known: Known | undefined;
  #reading: Promise<Known> | undefined;
  readonly #running = new Map<string, RunningStep>();

  constructor(thread: Stepping) {
    this.#thread = thread;
  }

  /** The thread has ended. */
  close(): void {
    this.#ending.abort(this.#thread.closedError());
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
      const { done } = await this.#read(await this.#thread.inMemory(options.signal));
      if (done.has(id)) break;
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
    const first = await this.#thread.inMemory(options.signal);
    const within = async (signal: AbortSignal) => {
      const known = await this.#read(first);
      if (!known.done.has(id)) await this.#carryOut(id, work, { ...options, signal });
      return parsed(this.#known?.done.get(id)) as T;
    };
    const { signal: ended } = this.#ending;
    const both = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
    return raceAbort(within(both), both);
  }

  /** Tries the function as often as the policy says, and stores what it gave. */
  async #carryOut<T>(
    id: string,
    work: StepWork<T>,
    { attempts = DEFAULT_ATTEMPTS, backoff, retryOn, onCut, signal }: StepOptions & { signal: AbortSignal },
  ): Promise<void> {
    const life = await this.#thread.inMemory(signal);
    const { cuts } = await this.#read(life);
    const cut = cuts.get(id) ?? 0;
    if (cut > 0 && onCut === "fail") {
      throw new StepFailedError(
        `step \`${id}\` was cut: its process ended while its function ran, and what it did is unknown`,
        { stepId: id, reason: "cut" },
      );
    }
    await this.#write(life, { id, status: "begun" }, signal);
    try {
      await this.#attempt(id, work, { life, cuts: cut, attempts, backoff, retryOn, signal });
    } catch (error) {
      const now = await this.#thread.inMemory(undefined).catch(() => undefined);
      now?.record({ type: LINE, payload: { id, status: "failed" } });
      if (now !== undefined) (await this.#read(now)).cuts.delete(id);
      throw error;
    }
  }

  async #attempt<T>(
    id: string,
    work: StepWork<T>,
    how: Pick<StepOptions, "backoff" | "retryOn"> & {
      life: SteppingLife;
      cuts: number;
      attempts: number;
      signal: AbortSignal;
    },
  ): Promise<void> {
    const { life, cuts, attempts, backoff, retryOn, signal } = how;
    for (let attempt = 1; ; attempt += 1) {
      const context = { attempt, cuts, idempotencyKey: `${life.threadId}/${id}`, signal };
      try {
        signal.throwIfAborted();
        const value = await raceAbort(
          Promise.resolve().then(() => work(context)),
          signal,
        );
        await this.#finish(id, value, signal);
        return;
      } catch (error) {
        if (signal.aborted || error instanceof ResultError) throw error instanceof ResultError ? error.cause : error;
        if (attempt >= attempts || !isTriedAgain(error, attempt, retryOn)) throw failed(id, attempt, error);
        const retryAfterMs = error instanceof ModelError ? error.retryAfterMs : undefined;
        await sleep(life.clock, backoffDelay(attempt, { ...backoff, retryAfterMs }), signal);
      }
    }
  }

  async #finish(id: string, value: unknown, signal: AbortSignal): Promise<void> {
    try {
      if (value !== undefined) checkPlain(value, "result");
      const json = value === undefined ? undefined : JSON.stringify(value);
      if (json !== undefined && json.length > MAX_RESULT_BYTES) {
        throw new InvalidRequestError(
          `it has ${json.length} bytes, of at most ${MAX_RESULT_BYTES}; keep it elsewhere, and its place here`,
        );
      }
      const life = await this.#thread.inMemory(signal);
      const known = await this.#read(life);
      known.done.set(id, json);
      await this.#write(
        life,
        { id, status: "done", ...(json === undefined ? {} : { value: JSON.parse(json) }) },
        signal,
      );
    } catch (cause) {
      const isUnfit = cause instanceof InvalidRequestError;
      const why = isUnfit
        ? new InvalidRequestError(`the result of step \`${id}\` can't be stored: ${cause.message}`, { cause })
        : cause;
      throw new ResultError("no attempt", { cause: why });
    }
  }

  async #write(life: SteppingLife, payload: object, signal: AbortSignal): Promise<void> {
    life.record({ type: LINE, payload });
    await raceAbort(life.storage.flush(), signal);
  }

  /** What the rollout says, read once in each life. */
  async #read(life: SteppingLife): Promise<Known> {
    if (this.#known?.epoch === life.epoch) return this.#known;
    this.#reading ??= readSteps(life, this.#known).finally(() => {
      this.#reading = undefined;
    });
    this.#known = await this.#reading;
    return this.#known;
  }
}

/** Not the function's: what it gave can't be stored. */
class ResultError extends Error {}

async function readSteps(life: SteppingLife, before: Known | undefined): Promise<Known> {
  const known: Known = { epoch: life.epoch, done: new Map(), cuts: new Map() };
  if (life.origin === "new" && before === undefined) return known;
  await life.storage.flush();
  for await (const page of life.store.load(life.threadId, { wants: (type) => type === LINE })) {
    for (const line of page) if (line.type === LINE) take(known, line.payload);
  }
  return known;
}

function take({ done, cuts }: Known, payload: unknown): void {
  const read = lineSchema.safeParse(payload);
  if (!read.success) return;
  const { id } = read.data;
  if (read.data.status === "failed") cuts.delete(id);
  else if (read.data.status === "begun") cuts.set(id, (cuts.get(id) ?? 0) + 1);
  else done.set(id, read.data.value === undefined ? undefined : JSON.stringify(read.data.value));
}

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
