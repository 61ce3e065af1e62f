/** Steps as a thread of this process writes them down: as lines of its rollout, read once in each of its lives. */
import * as z from "zod";
import { raceAbort } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import { type BegunStep, cutError, type StepLedger, type StepOptions, type StepResult } from "./steps.ts";

const LINE = "durable_step";

const lineSchema = z.union([
  z.looseObject({ id: z.string(), status: z.enum(["begun", "failed"]) }),
  z.looseObject({ id: z.string(), status: z.literal("done"), value: z.unknown().optional() }),
]);

/** The life of the thread that the steps belong to now. */
interface SteppingLife {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly clock: Clock;
  readonly store: ThreadStore;
  readonly origin: "new" | "resumed" | "forked";
  record(item: RolloutItem): void;
  readonly storage: { flush(): Promise<void> };
}

/** Whose steps they are, over all of its lives. */
export interface Stepping {
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

export class StepLines implements StepLedger {
  readonly #thread: Stepping;
  #known: Known | undefined;
  #reading: Promise<Known> | undefined;

  constructor(thread: Stepping) {
    this.#thread = thread;
  }

  closedError(): Error {
    return this.#thread.closedError();
  }

  async isDone(id: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.read(signal)).done.has(id);
  }

  /** What the rollout says, read once in each life. */
  async read(signal: AbortSignal | undefined): Promise<Known> {
    const life = await this.#thread.inMemory(signal);
    if (this.#known?.epoch === life.epoch) return this.#known;
    this.#reading ??= readSteps(life, this.#known).finally(() => {
      this.#reading = undefined;
    });
    this.#known = await this.#reading;
    return this.#known;
  }

  async begin(id: string, onCut: StepOptions["onCut"], signal: AbortSignal): Promise<BegunStep | StepResult> {
    const { threadId, clock } = await this.#thread.inMemory(signal);
    const { done, cuts: known } = await this.read(signal);
    if (done.has(id)) return { json: done.get(id) };
    const cuts = known.get(id) ?? 0;
    if (cuts > 0 && onCut === "fail") throw cutError(id);
    await this.write({ id, status: "begun" }, signal);
    return {
      threadId,
      clock,
      cuts,
      finish: (json, within) => this.finish(id, json, within),
      fail: () => this.fail(id),
    };
  }

  async finish(id: string, json: string | undefined, signal: AbortSignal): Promise<void> {
    (await this.read(signal)).done.set(id, json);
    await this.write({ id, status: "done", ...(json === undefined ? {} : { value: JSON.parse(json) }) }, signal);
  }

  async fail(id: string): Promise<void> {
    const now = await this.#thread.inMemory(undefined).catch(() => undefined);
    now?.record({ type: LINE, payload: { id, status: "failed" } });
    if (now !== undefined) (await this.read(undefined)).cuts.delete(id);
  }

  async write(payload: { readonly id: string; readonly status: "begun" | "done" }, signal: AbortSignal): Promise<void> {
    const life = await this.#thread.inMemory(signal);
    life.record({ type: LINE, payload });
    await raceAbort(life.storage.flush(), signal);
  }
}

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
