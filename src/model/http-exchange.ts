/**
 * One HTTP request and its answer.
 *
 * - The exchange is open, ended (the whole answer came) or failed; the latter two are final and leave no timer or
 *   listener behind.
 * - An abort and `destroy` close the socket at once, also while it is still connecting.
 * - While the reader waits, an idle timer runs; while it does not, none does. At most `HIGH_BYTES` and one chunk wait
 *   for the reader, then the socket is paused.
 * - One reader, one `head` or `read` at a time.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Clock } from "../kernel/clock.ts";
import { idleTimeout } from "./model-failure.ts";
import type { ResponseHeaders } from "./rate-limit-headers.ts";

const HIGH_BYTES = 1024 * 1024;
/** How long the rest of an answer that is complete for the reader may take before its connection is given up. */
const DRAIN_MS = 1000;

export type Head = { readonly status: number; readonly headers: ResponseHeaders };

export type ExchangeOptions = { readonly signal: AbortSignal; readonly clock: Clock; readonly idleTimeoutMs: number };

/** The connection failed; `cause` is what Node said. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  /** The connection had served before: the server may have closed it just when the request went out. */
  readonly wasReused: boolean;

  constructor(cause: Error, options: { wasReused: boolean }) {
    super(cause.message, { cause });
    this.wasReused = options.wasReused;
  }
}

export class HttpExchange {
  readonly #request: ClientRequest;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #idleTimeoutMs: number;
  #response: IncomingMessage | undefined;
  #chunks: Buffer[] = [];
  #waitingBytes = 0;
  #state: "open" | "ended" | "failed" = "open";
  #error: unknown;
  /** Nobody reads any more, but the connection may serve again. */
  #isDraining = false;
  #drainTimer: unknown;
  #wake: (() => void) | undefined;

  /** @param request its body already given */
  constructor(request: ClientRequest, { signal, clock, idleTimeoutMs }: ExchangeOptions) {
    this.#request = request;
    this.#signal = signal;
    this.#clock = clock;
    this.#idleTimeoutMs = idleTimeoutMs;
    request.on("response", (response) => this.#begin(response));
    request.on("error", this.#onError);
    if (signal.aborted) this.destroy(signal.reason);
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /**
   * Status and headers of the answer.
   * @throws TransportError; ModelError when idle for too long; the signal's reason.
   */
  async head(): Promise<Head> {
    while (this.#response === undefined && this.#state === "open") await this.#change();
    const response = this.#response;
    if (response === undefined || this.#state === "failed") throw this.#error;
    return { status: response.statusCode ?? 0, headers: response.headers };
  }

  /**
   * The next piece of the body; undefined at its end. Throws as {@link head} does; what came before a connection failed
   * is read first.
   */
  async read(): Promise<Buffer | undefined> {
    while (this.#chunks.length === 0 && this.#state === "open") await this.#change();
    const chunk = this.#chunks.shift();
    if (chunk === undefined) {
      if (this.#state === "failed") throw this.#error;
      return undefined;
    }
    this.#waitingBytes -= chunk.length;
    if (this.#waitingBytes <= HIGH_BYTES && this.#response?.isPaused()) this.#response.resume();
    return chunk;
  }

  /** The body as text, at most `maxBytes` of it; the rest is not waited for. */
  async text(maxBytes: number): Promise<string> {
    const parts: Buffer[] = [];
    let left = maxBytes;
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) {
      parts.push(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) break;
    }
    this.release();
    return Buffer.concat(parts).toString("utf8");
  }

  /** The reader has all that it wants: what is left is thrown away, and the connection serves again if it is little. */
  release(): void {
    if (this.#state !== "open" || this.#isDraining) return;
    this.#isDraining = true;
    this.#chunks = [];
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#response?.resume();
    this.#drainTimer = this.#clock.background(() => this.destroy(new Error("the answer did not end")), DRAIN_MS);
  }

  /** Closes the connection. Does nothing once the answer has ended. */
  destroy(reason: unknown): void {
    if (!this.#settle("failed", reason)) return;
    this.#chunks = [];
    this.#request.destroy();
  }

  readonly #onAbort = () => this.destroy(this.#signal.reason);

  /** Stays attached after the end: a late error of a socket that is going down must not be thrown at the process. */
  readonly #onError = (error: Error) => {
    this.#settle("failed", new TransportError(error, { wasReused: this.#request.reusedSocket }));
  };

  #begin(response: IncomingMessage): void {
    this.#response = response;
    response.on("error", this.#onError);
    response.on("data", (chunk: Buffer) => this.#take(chunk));
    response.on("end", () => this.#settle("ended", undefined));
    this.#wake?.();
  }

  #take(chunk: Buffer): void {
    if (this.#isDraining || this.#state !== "open") return;
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > HIGH_BYTES) this.#response?.pause();
    this.#wake?.();
  }

  #settle(state: "ended" | "failed", error: unknown): boolean {
    if (this.#state !== "open") return false;
    this.#state = state;
    this.#error = error;
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (this.#drainTimer !== undefined) this.#clock.clearTimeout(this.#drainTimer);
    this.#wake?.();
    return true;
  }

  /** Resolves when anything has happened. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => this.destroy(idleTimeout()), this.#idleTimeoutMs);
      this.#wake = () => {
        this.#wake = undefined;
        this.#clock.clearTimeout(timer);
        resolve();
      };
    });
  }
}
