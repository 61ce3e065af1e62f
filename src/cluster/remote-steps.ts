/** Steps of a cluster's thread: their functions run here, and what became of them is written down by the worker that has the thread. */

import { linkSignals } from "../kernel/cancellation.ts";
import { type Clock, sleep, systemClock } from "../kernel/clock.ts";
import { StepFailedError } from "../protocol/errors.ts";
import { newItemId, type ThreadId } from "../protocol/ids.ts";
import type { BegunStep, StepLedger, StepOptions, StepResult } from "../thread/steps.ts";
import { STEP_HELD_MS, type StepAnswer, type StepAsk } from "./wire.ts";

/** Whose steps they are. */
export interface StepsHost {
  readonly threadId: ThreadId;
  ask(ask: StepAsk, signal: AbortSignal | undefined): Promise<StepAnswer>;
  closedError(): Error;
}

const ALIVE_MS = STEP_HELD_MS / 3;
const FIRST_LOOK_MS = 50;
const LAST_LOOK_MS = 2_000;

export class RemoteSteps implements StepLedger {
  readonly #host: StepsHost;
  readonly #clock: Clock = systemClock;

  constructor(host: StepsHost) {
    this.#host = host;
  }

  closedError(): Error {
    return this.#host.closedError();
  }

  /** Whoever begins it is told. */
  async isDone(): Promise<boolean> {
    return false;
  }

  async begin(step: string, onCut: StepOptions["onCut"], signal: AbortSignal): Promise<BegunStep | StepResult> {
    const ref = newItemId();
    try {
      for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(LAST_LOOK_MS, pauseMs * 2)) {
        const answer = await this.#host.ask({ what: "begin", step, ref, onCut }, signal);
        if ("done" in answer) return { json: answer.value === undefined ? undefined : JSON.stringify(answer.value) };
        if ("cuts" in answer) return this.#begun(step, ref, answer.cuts);
        await sleep(this.#clock, pauseMs, signal);
      }
    } catch (error) {
      // It may have been begun all the same.
      if (!(error instanceof StepFailedError)) this.#forget(step, ref);
      throw error;
    }
  }

  #begun(step: string, ref: string, cuts: number): BegunStep {
    const over = linkSignals();
    const lost = new AbortController();
    void this.#beat(step, ref, over.signal).catch((error: unknown) => {
      if (error instanceof StepFailedError) lost.abort(error);
    });
    return {
      ...{ threadId: this.#host.threadId, clock: this.#clock, cuts, lost: lost.signal },
      finish: async (json, signal) => {
        const value = json === undefined ? {} : { value: JSON.parse(json) };
        await this.#host.ask({ what: "done", step, ref, ...value }, signal);
        over.abort();
      },
      fail: async () => {
        over.abort();
        if (!lost.signal.aborted) this.#forget(step, ref);
      },
    };
  }

  /** Says again and again that somebody is at it; an engine that is away is asked again. */
  async #beat(step: string, ref: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#clock, ALIVE_MS, signal);
      await this.#host.ask({ what: "alive", step, ref }, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof StepFailedError) throw error;
      });
    }
  }

  /** Nobody waits for that: the next one begins it anew. */
  #forget(step: string, ref: string): void {
    this.#host.ask({ what: "failed", step, ref }, undefined).catch(() => undefined);
  }
}
