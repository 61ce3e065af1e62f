/**
 * A client's way to the engine. Every request is made under a key of its own, so it is sent again after a lost connection without
 * being done twice; the wait for an invocation's answer is begun anew as often as its connection ends, for as long as the engine has a pulse.
 */
import * as z from "zod";
import { backoffDelay } from "../kernel/backoff.ts";
import { linkSignals } from "../kernel/cancellation.ts";
import { type Clock, sleep, systemClock } from "../kernel/clock.ts";
import { ClusterMismatchError, ClusterUnavailableError, InternalDefect } from "../protocol/errors.ts";
import { EnginePulse } from "./engine-pulse.ts";
import { encode } from "./wire.ts";
import { fromWire } from "./wire-error.ts";

export type IngressOptions = {
  readonly url: string;
  /** How long an engine that can't be reached is tried again. */
  readonly patienceMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock?: Clock;
};

type Path = readonly [service: string, ...parts: string[]];

const sentSchema = z.object({ invocationId: z.string(), status: z.string().optional() });

/** An invocation, and whether it was there before: somebody has sent the same under its key. */
export type Sent = { readonly invocation: string; readonly wasKnown: boolean };
const failureSchema = z.looseObject({
  message: z.string().default(""),
  source: z.string().optional(),
  metadata: z.looseObject({ skein: z.string().optional() }).optional(),
});

/** Why the engine has not answered. */
type Failure = { readonly why: string; readonly cause?: unknown; readonly isSilent?: boolean };

/** Answers that say: not now. */
const PASSING = new Set([408, 425, 429, 502, 503, 504]);
/** What the engine says of an invocation that has no outcome yet. */
const STILL_RUNS = 470;
const BACKOFF = { baseMs: 50, maxMs: 1_000 };
const LEAST_PULSE_MS = 1_000;

export class Ingress {
  readonly #options: IngressOptions;
  readonly #clock: Clock;
  readonly #pulse: EnginePulse;

  constructor(options: IngressOptions) {
    const { clock = systemClock, headers, patienceMs } = options;
    const url = options.url.replace(/\/+$/, "");
    this.#options = { ...options, url };
    this.#clock = clock;
    this.#pulse = new EnginePulse({ url, headers, clock, everyMs: Math.max(patienceMs, LEAST_PULSE_MS) });
  }

  /** @throws the handler's own error; ClusterUnavailableError, ClusterMismatchError, InvalidRequestError; the signal's reason */
  async call(
    path: Path,
    message: object,
    options: { key?: string; signal?: AbortSignal | undefined } = {},
  ): Promise<unknown> {
    const body = encode(message);
    return this.#ask(path, { method: "POST", body, key: options.key }, options.signal);
  }

  /** Hands a message in, without waiting for what becomes of it. */
  async send(
    path: Path,
    message: object,
    { key, signal }: { key: string; signal?: AbortSignal | undefined },
  ): Promise<Sent> {
    const answer = await this.#ask([...path, "send"], { method: "POST", body: encode(message), key }, signal);
    const sent = sentSchema.safeParse(answer);
    if (!sent.success) throw this.#stranger(sent.error);
    return { invocation: sent.data.invocationId, wasKnown: sent.data.status === "PreviouslyAccepted" };
  }

  /** Whether an invocation has ended with an error. */
  async hasFailed(invocation: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#ask(["restate", "invocation", invocation, "output"], { method: "GET" }, signal);
      return false;
    } catch {
      signal?.throwIfAborted();
      return true;
    }
  }

  /** What became of an invocation. */
  attach(invocation: string, signal?: AbortSignal): Promise<unknown> {
    return this.#ask(["restate", "invocation", invocation, "attach"], { method: "GET" }, signal);
  }

  async #ask(
    path: readonly string[],
    { method, body, key }: { method: string; body?: string; key?: string | undefined },
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const url = `${this.#options.url}/${path.map(encodeURIComponent).join("/")}`;
    const headers = {
      ...this.#options.headers,
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(key !== undefined && { "idempotency-key": key }),
    };
    let since: number | undefined;
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      const began = performance.now();
      const outcome = await this.#try(url, { method, headers, ...(body !== undefined && { body }) }, signal);
      if ("answer" in outcome) return outcome.answer;
      const now = performance.now();
      // A wait whose connection held for long was no failure to reach the engine, unless that said nothing meanwhile.
      if (outcome.isSilent) since ??= began;
      else if (since === undefined || now - began > this.#options.patienceMs) since = now;
      if (now - since >= this.#options.patienceMs) {
        throw new ClusterUnavailableError(
          `the cluster's engine at ${this.#options.url} can't be reached (${outcome.why}), tried for ${Math.round(now - since)} ms: see that restate-server runs there; what was sent may have been taken, so send it again under the same id`,
          { cause: outcome.cause },
        );
      }
      await sleep(this.#clock, backoffDelay(Math.min(tries, 10), BACKOFF), signal);
    }
  }

  async #try(
    url: string,
    init: RequestInit,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly answer: unknown } | Failure> {
    let response: Response;
    let text: string;
    using attempt = linkSignals(signal);
    const over = linkSignals(attempt.signal);
    this.#pulse.silence(over.signal).then(
      () => attempt.abort(),
      () => undefined,
    );
    try {
      response = await fetch(url, { ...init, signal: attempt.signal });
      text = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      if (attempt.signal.aborted) return { why: "it says nothing", isSilent: true };
      const { cause: inner } = cause as { cause?: { code?: string; message?: string } };
      return { why: inner?.code ?? inner?.message ?? String(cause), cause };
    } finally {
      over.abort();
    }
    if (response.status === STILL_RUNS) return { answer: undefined };
    if (response.ok) return { answer: this.#read(text) };
    const failure = readFailure(text);
    if (failure.metadata?.skein !== undefined) throw fromWire(JSON.parse(failure.metadata.skein));
    const isOfInvocation = failure.source === "invocation";
    if (!isOfInvocation && PASSING.has(response.status)) return { why: `status ${response.status}` };
    throw this.#refusal(response.status, failure, isOfInvocation);
  }

  #read(text: string): unknown {
    try {
      return text === "" ? undefined : JSON.parse(text);
    } catch (cause) {
      throw this.#stranger(cause);
    }
  }

  #stranger(cause: unknown): ClusterMismatchError {
    return new ClusterMismatchError(
      `what answers at ${this.#options.url} is no cluster's engine: give the address of restate-server's ingress, such as http://127.0.0.1:8080`,
      { cause },
    );
  }

  #refusal(status: number, { message }: z.infer<typeof failureSchema>, isOfInvocation: boolean): Error {
    if (isOfInvocation) {
      return new ClusterUnavailableError(
        `the engine has given up (${message || `status ${status}`}): no worker could carry it out; see that workers run, and their logs`,
      );
    }
    if (status === 404 && message.startsWith("service")) {
      return new ClusterUnavailableError(
        `the engine at ${this.#options.url} knows no worker of skein: start one, and register its address with the engine's admin port (POST /deployments)`,
      );
    }
    if (status === 404) {
      return new ClusterMismatchError(
        `the workers behind ${this.#options.url} don't know what this client asks (${message}): bring both to one release of skein`,
      );
    }
    return new InternalDefect(`the engine at ${this.#options.url} refused a request (status ${status}): ${message}`);
  }
}

function readFailure(text: string): z.infer<typeof failureSchema> {
  try {
    return failureSchema.parse(JSON.parse(text));
  } catch {
    return { message: text.slice(0, 200) };
  }
}
