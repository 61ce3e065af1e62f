/**
 * A debug line for each JSON-RPC message of a connection: its method, its id, how long its answer took. Never parameters,
 * results or texts of errors. Methods and ids that a client chose may hold anything: long ones are cut, secrets' shapes left out.
 */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { withoutSecretShapes } from "../protocol/secrets.ts";
import type { Answer, Incoming, RequestId, ServerRequest } from "./json-rpc.ts";

type Begun = { readonly method: string; readonly at: number };

/** Of one message. `ms` from a request to its answer; `code` of an error. */
type Facts = { id?: RequestId; method?: string; ms?: number; ok?: boolean; code?: number };

/** Of a text that a client chose. */
const LONGEST = 100;

export class MessageLog {
  readonly #logger: SkeinLogger;
  readonly #clock: Clock;
  readonly #connection: number;
  /** Requests that have no answer yet: the client's and the server's. */
  readonly #received = new Map<RequestId, Begun>();
  readonly #asked = new Map<RequestId, Begun>();

  constructor({ logger, clock }: { readonly logger: SkeinLogger; readonly clock: Clock }, connection: number) {
    this.#logger = logger;
    this.#clock = clock;
    this.#connection = connection;
  }

  opened(): void {
    this.#logger.debug({ connection: this.#connection }, "connection opened");
  }

  closed(): void {
    this.#received.clear();
    this.#asked.clear();
    this.#logger.debug({ connection: this.#connection }, "connection closed");
  }

  received(message: Incoming): void {
    if (message.kind === "request") {
      this.#received.set(message.id, this.#begin(message.method));
      this.#say({ id: message.id, method: message.method }, "request received");
    } else if (message.kind === "notification") this.#say({ method: message.method }, "notification received");
    else if (message.kind === "refused") this.#say({ id: message.id }, "request refused");
    else
      this.#say(
        { id: message.id, ok: message.kind === "result", ...this.#end(this.#asked, message.id) },
        "answer received",
      );
  }

  answered(answer: Answer): void {
    const code = "error" in answer ? { code: answer.error.code } : {};
    this.#say({ id: answer.id, ...this.#end(this.#received, answer.id), ...code }, "answer sent");
  }

  asked({ id, method }: ServerRequest): void {
    this.#asked.set(id, this.#begin(method));
    this.#say({ id, method }, "request sent");
  }

  told(method: string): void {
    this.#say({ method }, "notification sent");
  }

  #begin(method: string): Begun {
    return { method, at: elapsedBy(this.#clock) };
  }

  #end(begun: Map<RequestId, Begun>, id: RequestId): { method?: string; ms?: number } {
    const { method, at } = begun.get(id) ?? {};
    begun.delete(id);
    return method === undefined || at === undefined ? {} : { method, ms: elapsedBy(this.#clock) - at };
  }

  #say({ id, method, ...more }: Facts, message: string): void {
    if (this.#logger.isLevelEnabled?.("debug") === false) return;
    const shown = {
      connection: this.#connection,
      ...(id === undefined ? {} : { id: typeof id === "number" ? id : safe(String(id)) }),
      ...(method === undefined ? {} : { method: safe(method) }),
      ...more,
    };
    this.#logger.debug(shown, message);
  }
}

const safe = (text: string): string => withoutSecretShapes(text.slice(0, LONGEST));
