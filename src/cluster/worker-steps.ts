/**
 * Steps of clients, as the worker that has the thread writes them down: in the lines of one process, and in a note who has begun which. A client
 * that has not been heard of for a while has lost its step to whoever asks for it next, and is refused when it comes back.
 */
import * as z from "zod";
import { SendLines } from "../manager/send-lines.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { StepFailedError } from "../protocol/errors.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { StepLines } from "../thread/step-lines.ts";
import { cutError } from "../thread/steps.ts";
import { STEP_HELD_MS, type StepAnswer, type StepAsk } from "./wire.ts";

const noteSchema = z.object({
  claims: z.record(z.string(), z.object({ ref: z.string(), at: z.number(), cuts: z.number() })),
});

type Claims = z.infer<typeof noteSchema>["claims"];

const MOST_IN_LINE = 10_000;

export class WorkerSteps {
  readonly #notes: StandingNotes;
  readonly #lines = new SendLines(MOST_IN_LINE);

  constructor(notes: StandingNotes) {
    this.#notes = notes;
  }

  /** One after the other for each thread. Asked again, it answers again. @throws StepFailedError */
  async answer(thread: LiveThread, ask: StepAsk, signal: AbortSignal): Promise<StepAnswer> {
    return this.#lines.run(thread.id, () => this.#answer(thread, ask, signal));
  }

  async #answer(thread: LiveThread, ask: StepAsk, signal: AbortSignal): Promise<StepAnswer> {
    const { step, ref } = ask;
    const lines = new StepLines(thread);
    const { done } = await lines.read(signal);
    if (ask.what === "begin" && done.has(step)) return resultOf(done.get(step));
    const claims = noteSchema.safeParse(await this.#notes.read(thread.id, "steps")).data?.claims ?? {};
    const claim = claims[step];
    if (ask.what === "begin") return this.#begin(thread, { ask, claims, lines }, signal);
    // It was said before, and its worker died before the client heard so.
    if (ask.what === "done" && done.get(step) === jsonOf(ask.value) && done.has(step)) return {};
    if (claim?.ref !== ref) {
      if (ask.what === "failed") return {};
      throw lostError(step);
    }
    if (ask.what === "alive") await this.#write(thread, { ...claims, [step]: { ...claim, at: Date.now() } });
    else {
      if (ask.what === "done") await lines.finish(step, jsonOf(ask.value), signal);
      else await lines.fail(step);
      const { [step]: _, ...others } = claims;
      await thread.incarnation.storage.flush();
      await this.#write(thread, others);
    }
    return {};
  }

  async #begin(
    thread: LiveThread,
    { ask, claims, lines }: { ask: Extract<StepAsk, { what: "begin" }>; claims: Claims; lines: StepLines },
    signal: AbortSignal,
  ): Promise<StepAnswer> {
    const { step, ref, onCut } = ask;
    const claim = claims[step];
    if (claim !== undefined && claim.ref !== ref && Date.now() - claim.at < STEP_HELD_MS) return { held: true };
    const begun = (await lines.read(signal)).cuts.get(step) ?? 0;
    const cuts = claim?.ref === ref ? claim.cuts : begun;
    if (cuts > 0 && onCut === "fail") throw cutError(step);
    await this.#write(thread, { ...claims, [step]: { ref, at: Date.now(), cuts } });
    // Asked again, it may stand there: each beginning counts once.
    if (begun === cuts) await lines.write({ id: step, status: "begun" }, signal);
    return { cuts };
  }

  async #write({ id, epoch }: LiveThread, claims: Claims): Promise<void> {
    const note = Object.keys(claims).length === 0 ? undefined : { claims, fence: epoch };
    await this.#notes.write(id, "steps", note);
  }
}

const jsonOf = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const resultOf = (json: string | undefined): StepAnswer => ({
  done: true,
  ...definedFields({ value: json === undefined ? undefined : JSON.parse(json) }),
});

const lostError = (step: string): StepFailedError =>
  new StepFailedError(
    `step \`${step}\` was taken over by another client, since this one had not been heard of for ${STEP_HELD_MS / 1_000} s: its result is not stored; call the step again for the other's`,
    { stepId: step, reason: "cut" },
  );
