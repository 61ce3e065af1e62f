import type { McpServers } from "../../../protocol/mcp-servers.ts";
import { McpServer, type McpServerParts } from "./mcp-server.ts";

type Shared = { readonly server: McpServer; users: number };

/** Servers in use by one holder, until it releases them. */
export interface McpLease {
  readonly servers: readonly McpServer[];
  release(): void;
}

/** The MCP servers of a manager: threads with the same table share them, and the last user's leaving closes them. */
export class McpPool {
  readonly #shared = new Map<string, Shared>();
  readonly #closing = new Set<Promise<void>>();
  readonly #parts: McpServerParts;

  constructor(parts: McpServerParts) {
    this.#parts = parts;
  }

  /** How many servers are in use. */
  get size(): number {
    return this.#shared.size;
  }

  /** Takes part in the servers of a table, those that are switched off left out. They start when they are told to. */
  acquire(table: McpServers): McpLease {
    const keys: string[] = [];
    const servers: McpServer[] = [];
    for (const [name, config] of Object.entries(table)) {
      if (config.enabled === false) continue;
      // By all that it says; an object itself shows no secrets.
      const key = JSON.stringify([name, Object.entries(config)]);
      const shared = this.#shared.get(key) ?? { server: new McpServer(name, config, this.#parts), users: 0 };
      shared.users += 1;
      this.#shared.set(key, shared);
      keys.push(key);
      servers.push(shared.server);
    }
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      for (const key of keys) this.#leave(key);
    };
    return { servers, release };
  }

  #leave(key: string): void {
    const shared = this.#shared.get(key);
    if (shared === undefined) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#shared.delete(key);
    const closing = shared.server.close();
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }

  /** Closes all servers, also those in use. */
  async close(): Promise<void> {
    const servers = [...this.#shared.values()].map(({ server }) => server.close());
    this.#shared.clear();
    await Promise.all([...servers, ...this.#closing]);
  }
}
