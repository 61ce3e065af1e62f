/** What may be given beside a call of a thread, and of which kind. */
import type { Backoff } from "../kernel/backoff.ts";
import { type OptionKinds, ofType, oneOf, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { StepOptions } from "./steps.ts";
import type { EventsOptions, InterruptOptions, NamedSubmission, RunOptions, SubmitOptions } from "./thread.ts";

export const NAMED = ["id", "op", "rerun", "isNew"] satisfies (keyof NamedSubmission)[];
export const SUBMIT = [...WAIT_OPTIONS, "durability", "whenFull"] satisfies (keyof SubmitOptions)[];
export const SUBMIT_KINDS = {
  whenFull: oneOf("wait", "reject", "dropOldest"),
};
export const RUN = [...WAIT_OPTIONS, "outputSchema"] satisfies (keyof RunOptions)[];
export const RUN_KINDS: OptionKinds = {
  outputSchema: (value) =>
    typeof value === "function" || (typeof value === "object" && value !== null)
      ? undefined
      : "must be a JSON Schema, or a Standard Schema such as zod's",
};
export const EVENTS = ["after", "signal"] satisfies (keyof EventsOptions)[];
export const EVENTS_KINDS: OptionKinds = {
  after: (value) => {
    const seq = isJsonObject(value) && typeof value.epoch === "number" ? value.seq : value;
    return typeof seq === "number" && !Number.isNaN(seq) ? undefined : "must be a seq, or { epoch, seq }";
  },
};
export const INTERRUPT = [...WAIT_OPTIONS, "turnId"] satisfies (keyof InterruptOptions)[];
export const INTERRUPT_KINDS = { turnId: ofType("string") };

const isErrorName = (value: unknown): boolean => typeof value === "string" || typeof value === "function";
const isAmount = (value: unknown): boolean => typeof value === "number" && value >= 0;
const BACKOFF = ["baseMs", "factor", "maxMs", "jitter"] satisfies (keyof Backoff)[] as readonly string[];

export const STEP = [...WAIT_OPTIONS, "attempts", "backoff", "retryOn", "onCut"] satisfies (keyof StepOptions)[];
export const STEP_KINDS: OptionKinds = {
  attempts: (value) =>
    Number.isSafeInteger(value) && Number(value) >= 1 ? undefined : "must be a whole number from 1 on",
  backoff: (value) =>
    isJsonObject(value) && Object.entries(value).every(([name, given]) => BACKOFF.includes(name) && isAmount(given))
      ? undefined
      : `must be an object of numbers: ${BACKOFF.join(", ")}`,
  retryOn: (value) =>
    typeof value === "function" || (Array.isArray(value) && value.every(isErrorName))
      ? undefined
      : "must be a function, or a list of classes and codes of errors",
  onCut: oneOf("rerun", "fail"),
};
