/**
 * What a scripted model says: plain data, built by the functions below, played by scriptedClient.
 */
import { ModelError } from "../protocol/model-error.ts";
import { type TokenUsage, zeroUsage } from "../protocol/token-usage.ts";
import type { ModelEvent, ModelRequest } from "./model-client.ts";

/** Until when a play waits: so many milliseconds of the client's clock, a promise, or work that may heed the abort. */
export type WaitFor = number | PromiseLike<unknown> | ((signal: AbortSignal) => PromiseLike<unknown>);

/** One step of a scripted answer. Made by `say`, `think`, `call`, `usage`, `wait`, `fail`, `cut`, `hang` and `raw`. */
export type Step =
  | { readonly step: "say"; readonly text: string; readonly deltas: readonly string[] }
  | { readonly step: "think"; readonly summary: string; readonly deltas: readonly string[] }
  | {
      readonly step: "call";
      readonly name: string;
      readonly args: string;
      readonly callId: string | undefined;
      readonly namespace: string | undefined;
    }
  | { readonly step: "wait"; readonly until: WaitFor }
  | { readonly step: "fail"; readonly error: ModelError }
  | { readonly step: "hang" }
  | { readonly step: "cut" }
  | { readonly step: "raw"; readonly event: ModelEvent }
  | { readonly step: "usage"; readonly usage: TokenUsage };

/** One answer. A text stands for `[say(text)]`. */
export type Play = string | readonly Step[];

/** Every answer of a client: chosen for each request (`n` counts them from 0), or played one after another. */
export type Script = ((request: ModelRequest, n: number) => Play) | readonly Play[];

/** An assistant's message: item_added, a text_delta for each of `deltas` (default: its words), item_done. */
export const say = (text: string, options: { readonly deltas?: readonly string[] } = {}): Step => ({
  step: "say",
  text,
  deltas: options.deltas ?? words(text),
});

/** A reasoning item with one summary part, streamed word by word. */
export const think = (summary: string): Step => ({ step: "think", summary, deltas: words(summary) });

/** A function call. Arguments given as text are sent as they are, also when they are no JSON. */
export const call = (
  name: string,
  args: unknown = {},
  options: { readonly callId?: string; readonly namespace?: string } = {},
): Step => ({
  step: "call",
  name,
  args: typeof args === "string" ? args : JSON.stringify(args),
  callId: options.callId,
  namespace: options.namespace,
});

/** Says nothing for a while. A promise that rejects, or work that does, fails the play with that error. */
export const wait = (until: WaitFor): Step => ({ step: "wait", until });

/** Ends the play with an error; a text makes a ModelError that is not retryable. */
export const fail = (error: ModelError | string): Step => ({
  step: "fail",
  error: typeof error === "string" ? new ModelError(error) : error,
});

/** Says nothing more until the request is aborted. */
export const hang = (): Step => ({ step: "hang" });

/** Ends the stream without `completed`, as a lost connection does. */
export const cut = (): Step => ({ step: "cut" });

/** Any event as it is. A `completed` ends the play. */
export const raw = (event: ModelEvent): Step => ({ step: "raw", event });

/** What the play's `completed` reports. Fields left out are 0, the total is the sum of input and output. */
export const usage = (tokens: Partial<TokenUsage>): Step => {
  const given = { ...zeroUsage, ...tokens };
  return {
    step: "usage",
    usage: { ...given, total_tokens: tokens.total_tokens ?? given.input_tokens + given.output_tokens },
  };
};

/** The text in pieces of one word with the white space behind it; joined, they are the text. */
export const words = (text: string): readonly string[] => text.match(/^\s+|\S+\s*/g) ?? [];
