/**
 * Who has come in: connections and what listens for them. It can be there before the server is: `initialize` is answered at once, since
 * it needs nothing of what a server works with, and all else waits, in its order, until {@link Reception.open}.
 */
import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../kernel/log.ts";
import type { AppServerOptions } from "./app-server-options.ts";
import { Connection, type ConnectionServer, type Request } from "./connection.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import { OUTBOX_LIMITS } from "./outbox.ts";
import { Router } from "./router.ts";
import { errorObjectOf } from "./rpc-error.ts";
import type { AdmissionLimits } from "./transports/admission.ts";
import { listenOn } from "./transports/listen.ts";
import type { ListenAuth, Listener } from "./transports/listener.ts";
import { initializeMethods } from "./v2/initialize.ts";
import type { Wire } from "./wire.ts";

/** What serves those who have come in. */
type House = Pick<ConnectionServer, "serve" | "onAnswer"> & {
  onLeft(connection: Connection): void;
};

const DEFAULT_IN_FLIGHT = 1_024;

export class Reception implements AsyncDisposable, ConnectionServer {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly home: string;
  readonly cwd: string;
  readonly installationId = randomUUID();
  readonly connections = new Set<Connection>();
  readonly #listeners = new Set<Listener>();
  readonly #limits: ConnectionLimits;
  readonly #listenLimits: Partial<AdmissionLimits> | undefined;
  readonly #idle = new Set<() => void>();
  readonly #first: Router;
  readonly #opened = Promise.withResolvers<House>();
  #house: House | undefined;
  /** Something waits: what comes after it must not go before it. */
  #holds = false;

  constructor(options: Pick<AppServerOptions, "home" | "cwd" | "clock" | "logger" | "limits">) {
    const { home, cwd = process.cwd(), clock = systemClock, logger = silentLog, limits } = options;
    this.clock = clock;
    this.logger = logger;
    this.cwd = cwd;
    this.home = (typeof home === "object" ? home.home : home) ?? cwd;
    this.#limits = { ...OUTBOX_LIMITS, inFlight: DEFAULT_IN_FLIGHT, ...limits };
    this.#listenLimits = limits;
    this.#first = new Router([initializeMethods(this)], { refusal: () => undefined, logger });
  }

  /** The server is there: what waits is served, and from now on all that comes. */
  open(house: House): void {
    this.#house = house;
    this.#opened.resolve(house);
  }

  /** There will be no server: whoever waits is told why, and so is who comes now. */
  refuse(error: unknown): void {
    const why = errorObjectOf(error);
    this.open({
      serve: (connection, { id }) => connection.answer({ id, error: why }),
      onAnswer: () => undefined,
      onLeft: () => undefined,
    });
  }

  connect(wire: Wire): Connection {
    const connection = new Connection(wire, this, this.#limits);
    this.connections.add(connection);
    return connection;
  }

  async listen(url: string, auth: ListenAuth = {}): Promise<Listener> {
    const { clock, logger } = this;
    const accept = (wire: Wire) => this.connect(wire);
    const listener = await listenOn(url, { auth, logger, clock, limits: this.#listenLimits, accept });
    this.#listeners.add(listener);
    return listener;
  }

  serve(connection: Connection, request: Request): void {
    if (this.#house !== undefined && !this.#holds) this.#house.serve(connection, request);
    else if (request.method === "initialize" && !this.#holds) this.#first.serve(connection, request);
    else this.#hold(connection, request);
  }

  /** It counts as being worked on, so that its client's line stays open for the answer. */
  #hold(connection: Connection, request: Request): void {
    this.#holds = true;
    connection.run(undefined, async () => {
      const house = await this.#opened.promise;
      this.#holds = false;
      house.serve(connection, request);
    });
  }

  onAnswer(connection: Connection, answer: Parameters<ConnectionServer["onAnswer"]>[1]): void {
    this.#house?.onAnswer(connection, answer);
  }

  onClosed(connection: Connection): void {
    this.connections.delete(connection);
    this.#house?.onLeft(connection);
    if (this.connections.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }

  whenIdle(): Promise<void> {
    if (this.connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Ends all lines. */
  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    for (const connection of [...this.connections]) connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
