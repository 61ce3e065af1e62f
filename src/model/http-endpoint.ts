/**
 * A model server's base URL: connections, authorization, request retries.
 *
 * - Connections are kept alive and belong to the endpoint; an idle one is closed after a while, and does not keep the
 *   process alive. (node:http and not undici 7, which answers an abort by a new connection, and whose import costs
 *   80 ms.)
 * - A request is tried again, silently, where no answer came or the answer was 429 or 5xx; at once where a kept
 *   connection turned out to be closed. What cannot get better by itself (a used-up plan or quota) is not. No wait is longer than LONGEST_SILENT_MS: a server that asks for more is
 *   reported, with its wish, to the caller.
 * - No error holds a secret: not the key, nor values of headers or query parameters that may be one, in whatever form.
 */

import type { Agent, ClientRequest } from "node:http";
import { backoffDelay, parseRetryAfter } from "../kernel/backoff.ts";
import { linkSignals, raceAbort } from "../kernel/cancellation.ts";
import { type Clock, sleep, systemClock } from "../kernel/clock.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ModelError } from "../protocol/model-error.ts";
import { redact, secretValues } from "../protocol/secrets.ts";
import type { EndpointOptions } from "./endpoint-options.ts";
import { type Head, HttpExchange, TransportError } from "./http-exchange.ts";
import { clientClosed, connectionFailed, failureOfStatus, notSendable } from "./model-failure.ts";
import { headerOf, type ResponseHeaders } from "./rate-limit-headers.ts";

const MAX_ERROR_BODY_BYTES = 16 * 1024;
const LONGEST_SILENT_MS = 60_000;
const IDLE_CONNECTION_MS = 30_000;
const MAX_RETRIES = 100;

export type Ask = {
  readonly method: "GET" | "POST";
  /** Under the base URL, with a leading slash. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
  /** Hears the headers of each answer that is a failure. */
  readonly onRefusal?: (headers: ResponseHeaders) => void;
};

/** A successful answer, its body still to be read. */
export type Opened = {
  readonly exchange: HttpExchange;
  readonly head: Head;
  /** The text without the endpoint's secrets. */
  readonly redact: (text: string) => string;
};

type Failed = { readonly failure: ModelError; readonly isTransient: boolean; readonly isStale?: boolean };

type HttpModule = Pick<typeof import("node:http"), "request" | "Agent">;

export class HttpEndpoint {
  readonly clock: Clock;
  readonly #options: EndpointOptions;
  readonly #url: URL;
  readonly #search: string;
  readonly #secrets: readonly string[];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #maxRetries: number;
  readonly #http: HttpModule;
  readonly #agent: Agent;
  readonly #open = new Set<HttpExchange>();
  readonly #closing = new AbortController();

  /** @throws InvalidRequestError when `baseUrl` is no HTTP URL, or a number is out of range. */
  constructor(options: EndpointOptions) {
    const { headers = {}, queryParams = {}, originator = "skein", requestMaxRetries = 4 } = options;
    if (!(requestMaxRetries >= 0)) {
      throw new InvalidRequestError(`requestMaxRetries must be 0 or more; got ${requestMaxRetries}`);
    }
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#url = httpUrl(options.baseUrl);
    this.#search = new URLSearchParams(queryParams).toString();
    const { username, password } = this.#url;
    const basic = `${decoded(username)}:${decoded(password)}`;
    this.#secrets = [
      ...secretValues(headers),
      ...secretValues(queryParams),
      ...(options.secrets ?? []),
      password,
      decoded(password),
      basic,
    ];
    this.#maxRetries = Math.min(requestMaxRetries, MAX_RETRIES);
    const userAgent = options.userAgent ?? `${originator} (${process.platform}; ${process.arch})`;
    // Loaded here, for those who never ask a model over HTTP.
    this.#http = process.getBuiltinModule(this.#url.protocol === "https:" ? "node:https" : "node:http");
    this.#agent = options.agent ?? new this.#http.Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
    this.#headers = { "user-agent": userAgent, originator, ...lowerCased(headers) };
  }

  /**
   * Sends the request, again if need be, until the server answers with success.
   *
   * @param accepts further statuses that are no failure
   * @throws ModelError; or the signal's reason, at any moment.
   */
  async open(ask: Ask, { accepts = [] }: { readonly accepts?: readonly number[] } = {}): Promise<Opened> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#try(ask, accepts);
      if (!("failure" in outcome)) return outcome;
      const { failure, isTransient, isStale = false } = outcome;
      const delayMs = isStale ? 0 : backoffDelay(attempt, { retryAfterMs: failure.retryAfterMs });
      if (!isTransient || attempt > this.#maxRetries || delayMs > LONGEST_SILENT_MS) throw failure;
      const { path } = ask;
      this.#options.logger?.debug({ path, attempt, delayMs, status: failure.httpStatus }, "HTTP request retried");
      await this.#pause(delayMs, ask.signal);
    }
  }

  /** Closes every connection; answers that are under way fail. */
  close(): Promise<void> {
    this.#closing.abort(clientClosed());
    for (const exchange of this.#open) exchange.destroy(clientClosed());
    if (this.#options.agent === undefined) this.#agent.destroy();
    return Promise.resolve();
  }

  async #try(ask: Ask, accepts: readonly number[]): Promise<Opened | Failed> {
    const { signal } = ask;
    const apiKey = await this.#apiKey(signal);
    const safe = (text: string) => redact(text, [...this.#secrets, apiKey]);
    const exchange = this.#send(ask, apiKey);
    try {
      const head = await exchange.head();
      if ((head.status >= 200 && head.status < 300) || accepts.includes(head.status)) {
        return { exchange, head, redact: safe };
      }
      ask.onRefusal?.(head.headers);
      const failure = await this.#failure(exchange, head, { path: ask.path, safe });
      const isLimit = failure.info === "usage_limit_exceeded";
      return { failure, isTransient: !isLimit && (head.status === 429 || head.status >= 500) };
    } catch (error) {
      exchange.destroy(error);
      signal.throwIfAborted();
      if (!(error instanceof TransportError)) throw error;
      const failure = connectionFailed(this.#shownUrl(ask.path), error.cause);
      return { failure, isTransient: true, isStale: error.wasReused };
    }
  }

  #send(ask: Ask, apiKey: string | undefined): HttpExchange {
    this.#closing.signal.throwIfAborted();
    const authorization = apiKey === undefined ? basicAuthorization(this.#url) : { authorization: `Bearer ${apiKey}` };
    const length = ask.body === undefined ? {} : { "content-length": String(Buffer.byteLength(ask.body)) };
    const request = this.#request(ask, { ...ask.headers, ...length, ...authorization, ...this.#headers });
    const idleTimeoutMs = this.#options.idleTimeoutMs ?? 300_000;
    const exchange = new HttpExchange(request, { signal: ask.signal, clock: this.clock, idleTimeoutMs });
    this.#open.add(exchange);
    request.once("close", () => this.#open.delete(exchange));
    request.end(ask.body);
    return exchange;
  }

  #request({ method, path }: Ask, headers: Record<string, string>): ClientRequest {
    const { protocol, hostname, port } = this.#url;
    try {
      return this.#http.request({
        protocol,
        hostname: hostname.replace(/^\[|\]$/g, ""),
        port,
        method,
        path: `${this.#pathOf(path)}${this.#search === "" ? "" : `?${this.#search}`}`,
        headers,
        agent: this.#agent,
      });
    } catch (error) {
      throw notSendable(error);
    }
  }

  async #failure(
    exchange: HttpExchange,
    head: Head,
    { path, safe }: { path: string; safe: Opened["redact"] },
  ): Promise<ModelError> {
    const body = safe(await exchange.text(MAX_ERROR_BODY_BYTES));
    const nowMs = this.clock.now();
    const retryAfterMs = retryAfterOf(head.headers, nowMs);
    const url = safe(this.#shownUrl(path));
    const requestId = headerOf(head.headers, "x-request-id") ?? headerOf(head.headers, "x-oai-request-id");
    const place = { url, requestId: requestId === undefined ? undefined : safe(requestId) };
    return failureOfStatus({ status: head.status, body, ...place, retryAfterMs, nowMs });
  }

  async #apiKey(signal: AbortSignal): Promise<string | undefined> {
    const { apiKey } = this.#options;
    const key = typeof apiKey === "function" ? await raceAbort(Promise.resolve(apiKey({ signal })), signal) : apiKey;
    return key?.trim();
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const link = linkSignals(signal, this.#closing.signal);
    try {
      await sleep(this.clock, ms, link.signal);
    } finally {
      link[Symbol.dispose]();
    }
  }

  #pathOf(path: string): string {
    return `${this.#url.pathname.replace(/\/+$/, "")}${path}`;
  }

  /** Without query, user and password. */
  #shownUrl(path: string): string {
    return `${this.#url.origin}${this.#pathOf(path)}`;
  }
}

/** OpenAI's header of milliseconds is the more exact one. */
function retryAfterOf(headers: ResponseHeaders, nowMs: number): number | undefined {
  const ms = Number(headerOf(headers, "retry-after-ms") ?? Number.NaN);
  return ms >= 0 ? ms : parseRetryAfter(headerOf(headers, "retry-after"), nowMs);
}

/** Credentials in the URL are Basic authorization, as everywhere. */
function basicAuthorization({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const credentials = `${decoded(username)}:${decoded(password)}`;
  return { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function httpUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new InvalidRequestError("baseUrl must be an http or https URL");
  }
  return url;
}

const lowerCased = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
