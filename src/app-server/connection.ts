/**
 * One client: its state, its line and its requests in flight.
 *
 * - Every request that came with an id is answered exactly once, or its connection is gone.
 * - A client that has too much in flight, or does not read its answers, gets -32001 for further requests, and is read
 *   no further while its outbox is full. It is not cut off for being slow, but one that takes nothing at all for so long has stalled.
 * - Nothing but answers goes to a client that has not initialized.
 */

import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { ClientInfo } from "./client.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import {
  type Answer,
  type Incoming,
  type Outgoing,
  type RequestId,
  readMessage,
  type ServerRequest,
} from "./json-rpc.ts";
import { MessageLog } from "./message-log.ts";
import { Outbox } from "./outbox.ts";
import { RequestOrder, type Scope } from "./request-order.ts";
import { errorObjectOf, invalidRequest, overloaded } from "./rpc-error.ts";
import type { Access } from "./studio/wire.ts";
import type { Told } from "./v2/wire-types.ts";
import type { Wire, WireListener } from "./wire.ts";

/** What initialize tells of a client. */
export type Introduction = {
  readonly client: ClientInfo;
  readonly experimentalApi: boolean;
  /** Notifications that it does not want. */
  readonly optOut: ReadonlySet<string>;
};

export type Request = Extract<Incoming, { kind: "request" }>;

/** Serves the connections' messages. */
export interface ConnectionServer {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  serve(connection: Connection, request: Request): void;
  onAnswer(connection: Connection, answer: { id: RequestId; result?: unknown; failed: boolean }): void;
  onClosed(connection: Connection): void;
}

/** How long the answers of a client that sends nothing more may take, and then each piece of them to be read; nobody can tell whether it still reads. */
export const LAST_ANSWERS_MS = 60_000;
/** How long a client may take nothing of a full outbox, which grows by all that its threads say. */
export const STALLED_MS = 600_000;

/** How many there have been in this process: their names in the log. */
let connections = 0;

export class Connection implements WireListener {
  readonly #wire: Wire;
  readonly #server: ConnectionServer;
  readonly #limits: ConnectionLimits;
  readonly #outbox: Outbox;
  readonly #log: MessageLog;
  readonly #order = new RequestOrder();
  readonly #gone = new AbortController();
  readonly #ended = new AbortController();
  #late: unknown;
  #introduction: Introduction | undefined;
  #access: Access;
  /** By whose methods it has asked for threads. */
  readonly versions = new Set<"v1" | "v2">();

  constructor(wire: Wire, server: ConnectionServer, limits: ConnectionLimits) {
    this.#wire = wire;
    this.#access = wire.access ?? "act";
    this.#server = server;
    this.#limits = limits;
    this.#outbox = new Outbox(wire, limits, (threadId) => this.tell(deltasLeftOut(threadId)));
    this.#log = new MessageLog(server, ++connections);
    this.#log.opened();
    wire.listener = this;
  }

  get client(): ClientInfo | undefined {
    return this.#introduction?.client;
  }

  get experimentalApi(): boolean {
    return this.#introduction?.experimentalApi ?? false;
  }

  /** The client has initialized. */
  introduce(introduction: Introduction): void {
    this.#introduction = introduction;
    this.#wire.admitted?.();
  }

  get access(): Access {
    return this.#access;
  }

  /** false: it may only look. */
  beginActing(): boolean {
    if (this.#access === "ask") this.#access = "act";
    return this.#access === "act";
  }

  /** Such a client hears nothing of threads that it has not asked for. */
  get speaksOnlyV1(): boolean {
    return this.versions.has("v1") && !this.versions.has("v2");
  }

  /** Fires when the client has gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Fires when the client sends nothing more: nobody can end what it has started but the server. */
  get inputEnded(): AbortSignal {
    return this.#ended.signal;
  }

  /** While the client does not read what waits for it: a promise of its catching up, or leaving. */
  congestion(): Promise<void> | undefined {
    return this.isOpen ? this.#outbox.congestion() : undefined;
  }

  get isOpen(): boolean {
    return !this.#gone.signal.aborted;
  }

  onText(text: string): void {
    const message = readMessage(text);
    if (message === undefined) return;
    this.#log.received(message);
    if (message.kind === "request") this.#take(message);
    else if (message.kind === "refused")
      this.answer({ id: message.id, error: errorObjectOf(invalidRequest(`Invalid request: ${message.why}`)) });
    else if (message.kind === "result")
      this.#server.onAnswer(this, { id: message.id, result: message.result, failed: false });
    else if (message.kind === "error") this.#server.onAnswer(this, { id: message.id, failed: true });
  }

  #take(request: Request): void {
    if (this.#outbox.isFull || this.#order.inFlight >= this.#limits.inFlight) {
      this.answer({ id: request.id, error: errorObjectOf(overloaded()) });
      if (this.#outbox.isFull) this.#wire.pause();
      return;
    }
    this.#server.serve(this, request);
  }

  /** Has a request worked on when its turn has come. */
  run(scope: Scope, work: () => Promise<void>): void {
    this.#order.run(scope, work);
  }

  answer(answer: Answer): void {
    if (!this.isOpen) return;
    this.#log.answered(answer);
    this.#push(answer);
  }

  tell({ method, params }: Told): void {
    const known = this.#introduction;
    if (known === undefined || !this.isOpen || known.optOut.has(method)) return;
    if (EXPERIMENTAL.has(method) && !known.experimentalApi) return;
    this.#log.told(method);
    this.#push({ method, params, emittedAtMs: this.#server.clock.now() });
  }

  ask(request: ServerRequest): void {
    if (!this.isOpen) return;
    this.#log.asked(request);
    this.#push(request);
  }

  #push(message: Outgoing): void {
    this.#outbox.push(message);
    if (this.#outbox.isFull && this.#late === undefined) this.#expect(STALLED_MS);
  }

  onDrain(): void {
    if (!this.isOpen) return;
    this.#outbox.drain();
    const { isFull } = this.#outbox;
    if (!isFull) this.#wire.resume();
    if (!this.#ended.signal.aborted) this.#expect(isFull ? STALLED_MS : undefined);
    else if (this.#order.inFlight === 0) this.#expect(LAST_ANSWERS_MS);
  }

  onEnded(): void {
    this.#ended.abort();
    this.#expect(LAST_ANSWERS_MS);
    const answered = this.#order.whenIdle().then(() => this.#outbox.whenSent());
    void answered.then(() => this.onClosed());
  }

  /** Gives the client up unless it moves within this time. */
  #expect(withinMs: number | undefined): void {
    const { clock } = this.#server;
    clock.clearTimeout(this.#late);
    this.#late = withinMs === undefined ? undefined : clock.setTimeout(() => this.#giveUp(withinMs), withinMs);
  }

  #giveUp(afterMs: number): void {
    const { inFlight } = this.#order;
    const why = this.#ended.signal.aborted ? "sends nothing more" : "reads nothing";
    this.#server.logger.warn({ inFlight, afterMs }, `requests were given up: their client ${why}`);
    this.close();
    this.onClosed();
  }

  onClosed(): void {
    if (!this.isOpen) return;
    this.#server.clock.clearTimeout(this.#late);
    this.#ended.abort();
    this.#gone.abort(new DOMException("the client has gone", "AbortError"));
    this.#outbox.clear();
    this.#log.closed();
    this.#server.onClosed(this);
  }

  close(): void {
    this.#wire.close();
  }
}

/** What only clients with experimentalApi are told. */
const EXPERIMENTAL: ReadonlySet<string> = new Set(["thread/settings/updated", "thread/queue/changed"]);

const deltasLeftOut = (threadId: string): Told => ({
  method: "warning",
  params: {
    threadId,
    message:
      "This client reads slowly: some pieces of running items were left out. Each item is whole in item/completed.",
  },
});
