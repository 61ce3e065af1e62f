/** The server: any number of clients over the threads of a manager, or of a cluster. */

import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../kernel/log.ts";
import { runtimeOf } from "../manager/runtime-of.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { AppServerOptions } from "./app-server-options.ts";
import { Connection, type ConnectionServer, type Request } from "./connection.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import type { RequestId } from "./json-rpc.ts";
import { Continuation } from "./memos/continuation.ts";
import { Goals } from "./memos/goals.ts";
import { Queues } from "./memos/queues.ts";
import { serveGoals } from "./memos/served-goal-tools.ts";
import { ThreadMemos } from "./memos/thread-memos.ts";
import { OUTBOX_LIMITS } from "./outbox.ts";
import { refusedElsewhere } from "./refused-elsewhere.ts";
import { Router } from "./router.ts";
import type { ServedThread, ServedThreads } from "./served-threads.ts";
import type { ServerContext } from "./server-context.ts";
import { ServerRequests } from "./server-requests.ts";
import { studioMethods } from "./studio/methods.ts";
import { ThreadConfigs } from "./thread-configs.ts";
import { ThreadHub } from "./thread-hub.ts";
import type { AdmissionLimits } from "./transports/admission.ts";
import { listenOn } from "./transports/listen.ts";
import type { ListenAuth, Listener } from "./transports/listener.ts";
import { v1Methods } from "./v1/methods.ts";
import { v2Methods } from "./v2/methods.ts";
import { ThreadViews } from "./v2/thread-view.ts";
import { warnOfModel } from "./v2/turns.ts";
import type { Told } from "./v2/wire-types.ts";
import type { Wire } from "./wire.ts";

/** `manager`: none where threads run elsewhere; what their processes alone could tell is refused then. */
type Served = { readonly threads: ServedThreads; readonly manager: ThreadManager | undefined };

const DEFAULT_IN_FLIGHT = 1_024;

export class Server implements AsyncDisposable, ConnectionServer {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly #context: ServerContext;
  readonly #router: Router;
  readonly #connections = new Set<Connection>();
  readonly #listeners = new Set<Listener>();
  readonly #limits: ConnectionLimits;
  readonly #listenLimits: Partial<AdmissionLimits> | undefined;
  readonly #idle = new Set<() => void>();
  readonly #continuation: Continuation;

  constructor({ threads, manager }: Served, options: AppServerOptions) {
    this.clock = options.clock ?? systemClock;
    const logger = options.logger ?? silentLog;
    this.logger = logger;
    this.#limits = { ...OUTBOX_LIMITS, inFlight: DEFAULT_IN_FLIGHT, ...options.limits };
    this.#listenLimits = options.limits;
    this.#context = { ...this.#contextOf(threads, options, logger), hasClientTools: manager !== undefined };
    this.#continuation = new Continuation(threads.events$, this.#context);
    const own = manager === undefined ? {} : studioMethods({ ...this.#context, manager });
    this.#router = new Router([v2Methods(this.#context), v1Methods(this.#context), own], {
      refusal: manager === undefined ? refusedElsewhere : () => undefined,
      onDefect: (err, method) => logger.error({ err, method }, "a request failed by a defect"),
    });
  }

  #contextOf(
    manager: ServedThreads,
    options: AppServerOptions,
    logger: SkeinLogger,
  ): Omit<ServerContext, "hasClientTools"> {
    const { clock } = this;
    const cwd = options.cwd ?? process.cwd();
    const { home } = options;
    const requests = new ServerRequests(manager, clock);
    const views: ThreadViews = new ThreadViews(manager, () => hub);
    const memos = new ThreadMemos(typeof home === "object" ? home.home : home, logger);
    const broadcast = (told: Told) => hub.broadcast(told);
    const announceTurn = (thread: ServedThread) => warnOfModel({ hub, manager }, thread);
    const goals = new Goals({ manager, memos, clock, logger, broadcast, announceTurn });
    const queues = new Queues({ manager, memos, logger, broadcast, announceTurn });
    if (options.goalTools !== undefined) serveGoals(options.goalTools, goals);
    const hub: ThreadHub = new ThreadHub({
      manager,
      clock,
      connections: this.#connections,
      requests,
      onFailure: (event) => goals.onFailure(event),
      announce: async (thread) => {
        try {
          return { method: "thread/started", params: { thread: await views.read(thread.id) } };
        } catch (err) {
          logger.warn({ err, threadId: thread.id }, "an agent's thread could not be announced");
          return undefined;
        }
      },
    });
    const configs = new ThreadConfigs({ manager, home, overrides: options.overrides ?? [], cwd });
    const mcp = runtimeOf(manager)?.mcp ?? new McpPool({ environment: manager.environment, cwd, clock });
    return {
      manager,
      clock,
      logger,
      mcp,
      home: (typeof home === "object" ? home.home : home) ?? cwd,
      cwd,
      installationId: randomUUID(),
      configs,
      hub,
      requests,
      views,
      memos,
      queues,
      goals,
      hasGoalTools: options.goalTools !== undefined,
    };
  }

  get connections(): number {
    return this.#connections.size;
  }

  connect(wire: Wire): Connection {
    const connection = new Connection(wire, this, this.#limits);
    this.#connections.add(connection);
    return connection;
  }

  async listen(url: string, auth: ListenAuth = {}): Promise<Listener> {
    const { clock } = this;
    const { logger } = this.#context;
    const accept = (wire: Wire) => this.connect(wire);
    const listener = await listenOn(url, { auth, logger, clock, limits: this.#listenLimits, accept });
    this.#listeners.add(listener);
    return listener;
  }

  serve(connection: Connection, request: Request): void {
    this.#router.serve(connection, request);
  }

  onAnswer(connection: Connection, answer: { id: RequestId; result?: unknown; failed: boolean }): void {
    this.#context.requests.onAnswer(connection, answer);
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
    this.#context.hub.leave(connection);
    if (this.#connections.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }

  whenIdle(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    for (const connection of [...this.#connections]) connection.close();
    this.#continuation[Symbol.dispose]();
    this.#context.hub.close();
    this.#context.views.close();
    await this.#context.memos.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
