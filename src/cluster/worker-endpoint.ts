/** Where a worker is reached: by the engine, over HTTP/2 without TLS, and by clients for live events. */
import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { isIP } from "node:net";
import { raceAbort } from "../kernel/cancellation.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { isLoopback } from "../kernel/loopback.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { Listening, ListenOptions } from "./listening.ts";
import { answerLive, LIVE_PATH, type LiveAnswer, type LiveHost } from "./live-side.ts";
import { loadFetchSdk, type RestateSdk } from "./restate-sdk.ts";
import type { servicesOf } from "./services.ts";

export type EndpointParts = {
  readonly sdk: RestateSdk;
  readonly services: ReturnType<typeof servicesOf>;
  readonly live: LiveHost;
  readonly identityKeys: readonly string[] | undefined;
  readonly logger: SkeinLogger;
};

const CLOSE_MS = 2_000;

export class WorkerEndpoint {
  readonly #parts: EndpointParts;
  #server: Http2Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();

  /** @throws InvalidRequestError for identity keys that are none */
  constructor(parts: EndpointParts) {
    this.#parts = parts;
    if (parts.identityKeys === undefined) return;
    try {
      parts.sdk.createEndpointHandler(this.#options);
    } catch (cause) {
      throw new InvalidRequestError(
        `createWorker: identityKeys: not all are public keys of an engine (${textOfThrown(cause)}): give them whole, as publickeyv1_...`,
        { cause },
      );
    }
  }

  get #options() {
    const { services, identityKeys } = this.#parts;
    return { services, ...(identityKeys && { identityKeys: [...identityKeys] }), logger: this.#log };
  }

  /** What the SDK says goes to the worker's log: its trouble as warnings, the rest as details. */
  readonly #log = ({ level }: { level: string }, ...said: unknown[]): void => {
    const [message = "", ...details] = said.map((part) => (part instanceof Error ? part.message : String(part)));
    // Who listens on the loopback alone has no need of keys.
    const isTrouble = level === "warn" || level === "error";
    if (isTrouble && !message.startsWith("Accepting requests without validating"))
      this.#parts.logger.warn({ details }, message);
    else this.#parts.logger.debug({ details }, message);
  };

  async listen({ port = 0, host = "127.0.0.1" }: ListenOptions = {}): Promise<Listening> {
    if (this.#server !== undefined) throw new InvalidRequestError("listen: the worker listens already");
    if (this.#parts.identityKeys === undefined && !isLoopback(host)) {
      throw new InvalidRequestError(
        `listen: ${host} can be reached from other machines, and whoever reaches a worker runs its threads: give identityKeys, the engine's public keys, or listen on 127.0.0.1`,
      );
    }
    const handle = this.#parts.sdk.createEndpointHandler(this.#options);
    const server = createServer((request, response) => {
      if (request.url.startsWith(LIVE_PATH)) void this.#serveLive(request, response);
      else handle(request, response);
    });
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", (err) => this.#parts.logger.debug({ err }, "a connection of the engine's failed"));
    });
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, resolve);
      });
    } catch (error) {
      this.#server = undefined; // another port may be free
      throw error;
    }
    server.on("error", (err) => this.#parts.logger.warn({ err }, "the worker's server failed"));
    const address = server.address();
    if (typeof address !== "object" || address === null)
      throw new InvalidRequestError("listen: give a host and a port");
    const shown = isIP(host) === 6 ? `[${host}]` : host;
    return { url: `http://${shown}:${address.port}`, host, port: address.port };
  }

  async #serveLive(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const { authorization } = request.headers;
    try {
      const { status, type, body } = this.#live(request.url, authorization, gone.signal);
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
      for await (const part of body) {
        if (!response.write(part))
          await raceAbort(new Promise((resolve) => response.once("drain", resolve)), gone.signal);
      }
    } catch (err) {
      if (!gone.signal.aborted) this.#parts.logger.debug({ err }, "a live stream ended");
    }
    response.end();
  }

  #live(url: string, authorization: string | undefined, signal: AbortSignal): LiveAnswer {
    return answerLive(this.#parts.live, { url, authorization, signal });
  }

  handler(): (request: Request) => Promise<Response> {
    const handle = loadFetchSdk().createEndpointHandler({ ...this.#options, bidirectional: true });
    return async (request) => {
      const { pathname, search } = new URL(request.url);
      if (!pathname.startsWith(LIVE_PATH)) return handle(request);
      const authorization = request.headers.get("authorization") ?? undefined;
      const { status, type, body } = this.#live(`${pathname}${search}`, authorization, request.signal);
      const encoded = (async function* () {
        const encoder = new TextEncoder();
        for await (const part of body) yield encoder.encode(part);
      })();
      return new Response(ReadableStream.from(encoded), {
        status,
        headers: { "content-type": type, "cache-control": "no-store" },
      });
    };
  }

  /** Resolves when no connection is left. */
  async end(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    const cut = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, CLOSE_MS);
    await closed;
    clearTimeout(cut);
  }
}
