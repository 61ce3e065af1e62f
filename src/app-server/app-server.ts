import type { ThreadManager } from "../manager/thread-manager.ts";
import type { AppServerOptions } from "./app-server-options.ts";
import type { Connection } from "./client.ts";
import { Server } from "./server.ts";
import type { ListenAuth, Listener } from "./transports/listener.ts";
import type { Wire } from "./wire.ts";

/** A server of Codex's app-server protocol over one ThreadManager. `[Symbol.asyncDispose]` closes it; the manager goes on. */
export interface AppServer extends AsyncDisposable {
  /** Takes on a client. */
  connect(wire: Wire): Connection;
  /** Listens at `stdio://`, `ws://IP:PORT` or `unix://PATH`. @throws InvalidRequestError */
  listen(url: string, auth?: ListenAuth): Promise<Listener>;
  /** How many clients there are. */
  readonly connections: number;
  /** Resolves when the last client has gone. */
  whenIdle(): Promise<void>;
  /** Ends all lines. The manager and its threads go on. */
  close(): Promise<void>;
}

/** Serves Codex's app-server protocol, v1 and v2, over a manager. */
export const createAppServer = (manager: ThreadManager, options: AppServerOptions = {}): AppServer =>
  new Server({ threads: manager, manager }, options);
