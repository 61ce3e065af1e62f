/** The server: any number of clients over the threads of a manager, or of a cluster. */

import { runtimeOf } from "../manager/runtime-of.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { AppServerOptions } from "./app-server-options.ts";
import type { Connection } from "./client.ts";
import { Continuation } from "./memos/continuation.ts";
import { Goals } from "./memos/goals.ts";
import { Queues } from "./memos/queues.ts";
import { Sections } from "./memos/sections.ts";
import { serveGoals } from "./memos/served-goal-tools.ts";
import { ThreadMemos } from "./memos/thread-memos.ts";
import { Reception } from "./reception.ts";
import { refusedElsewhere } from "./refused-elsewhere.ts";
import { refusedInDrain } from "./refused-in-drain.ts";
import { Router } from "./router.ts";
import type { ServedThread, ServedThreads } from "./served-threads.ts";
import type { ServerContext } from "./server-context.ts";
import { ServerRequests } from "./server-requests.ts";
import { studioMethods } from "./studio/methods.ts";
import { ThreadConfigs } from "./thread-configs.ts";
import { ThreadHub } from "./thread-hub.ts";
import type { ListenAuth, Listener } from "./transports/listener.ts";
import { v1Methods } from "./v1/methods.ts";
import { v2Methods } from "./v2/methods.ts";
import { ThreadViews } from "./v2/thread-view.ts";
import { warnOfModel } from "./v2/turns.ts";
import type { Told } from "./v2/wire-types.ts";
import type { Wire } from "./wire.ts";

/** `manager`: none where threads run elsewhere; what their processes alone could tell is refused then. */
type Served = { readonly threads: ServedThreads; readonly manager: ThreadManager | undefined };

export class Server implements AsyncDisposable {
  readonly #reception: Reception;
  readonly #context: ServerContext;
  readonly #continuation: Continuation;
  /** Fires when nothing new is to begin any more. */
  readonly #ending = new AbortController();

  /** @param reception where clients may have come in already */
  constructor({ threads, manager }: Served, options: AppServerOptions, reception = new Reception(options)) {
    this.#reception = reception;
    this.#context = { ...this.#contextOf(threads, options), hasClientTools: manager !== undefined };
    this.#continuation = new Continuation(threads.events$, this.#context);
    const own = manager === undefined ? {} : studioMethods({ ...this.#context, manager });
    const router = new Router([v2Methods(this.#context), v1Methods(this.#context), own], {
      refusal: (method) =>
        (manager === undefined ? refusedElsewhere(method) : undefined) ??
        (this.#ending.signal.aborted ? refusedInDrain(method) : undefined),
      logger: reception.logger,
    });
    const { hub, requests } = this.#context;
    reception.open({
      serve: (connection, request) => router.serve(connection, request),
      onAnswer: (connection, answer) => requests.onAnswer(connection, answer),
      onLeft: (connection) => hub.leave(connection),
    });
  }

  #contextOf(manager: ServedThreads, options: AppServerOptions): Omit<ServerContext, "hasClientTools"> {
    const { clock, logger, cwd, connections, installationId } = this.#reception;
    const { home } = options;
    const requests = new ServerRequests(manager, clock);
    const folder = typeof home === "object" ? home.home : home;
    const sections = new Sections(folder, { clock, logger });
    const views: ThreadViews = new ThreadViews(manager, sections, () => hub);
    const memos = new ThreadMemos(folder, { store: manager.store, logger });
    const broadcast = (told: Told) => hub.broadcast(told);
    const announceTurn = (thread: ServedThread) => warnOfModel({ hub, manager }, thread);
    const ending = this.#ending.signal;
    const goals = new Goals({ manager, memos, clock, logger, broadcast, announceTurn, ending });
    const queues = new Queues({ manager, memos, logger, broadcast, announceTurn, ending });
    if (options.goalTools !== undefined) serveGoals(options.goalTools, goals);
    const hub: ThreadHub = new ThreadHub({
      manager,
      clock,
      connections,
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
      home: this.#reception.home,
      cwd,
      installationId,
      configs,
      hub,
      requests,
      views,
      memos,
      queues,
      goals,
      sections,
      hasGoalTools: options.goalTools !== undefined,
    };
  }

  get connections(): number {
    return this.#reception.connections.size;
  }

  connect(wire: Wire): Connection {
    return this.#reception.connect(wire);
  }

  listen(url: string, auth: ListenAuth = {}): Promise<Listener> {
    return this.#reception.listen(url, auth);
  }

  whenIdle(): Promise<void> {
    return this.#reception.whenIdle();
  }

  /** Turns are let end, unless they wait for an answer that nobody is there to give: these are interrupted. No others begin. */
  drain(): void {
    this.#ending.abort();
    this.#context.requests.drain();
  }

  async close(): Promise<void> {
    await this.#reception.close();
    this.#continuation[Symbol.dispose]();
    this.#context.hub.close();
    this.#context.views.close();
    await this.#context.memos.settled();
    this.#context.sections[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
