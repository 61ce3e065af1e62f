/** The part that one thread takes in the MCP servers of its manager: from its first turn on, until it leaves memory. */
import { raceAbort } from "../../../kernel/cancellation.ts";
import { textOfThrown } from "../../../kernel/thrown.ts";
import type { EventMsg } from "../../../protocol/event.ts";
import type { McpServers } from "../../../protocol/mcp-servers.ts";
import type { McpStartupStatus } from "../../../protocol/tool-events.ts";
import type { JsonObject } from "../../../protocol/unknown-kind.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import { toolName } from "./mcp-names.ts";
import type { McpLease, McpPool } from "./mcp-pool.ts";
import type { McpServer } from "./mcp-server.ts";
import { mcpTool } from "./mcp-tool.ts";

type Opened = {
  readonly table: McpServers;
  readonly lease: McpLease;
  /** Resolves when every server is ready or has failed. */
  readonly settled: Promise<void>;
  /** Those that are ready. */
  readonly ready: Set<McpServer>;
};

export class McpSession {
  readonly #pool: McpPool;
  readonly #publish: (msg: EventMsg) => void;
  #opened: Opened | undefined;
  /** The tools that were last given out, and the servers' lists that they were made of. */
  #made: { readonly lists: readonly (readonly unknown[])[]; readonly tools: readonly BuiltInTool[] } = {
    lists: [],
    tools: [],
  };

  /** @param publish tells of the start-up, which belongs to no submission */
  constructor(pool: McpPool, publish: (msg: EventMsg) => void) {
    this.#pool = pool;
    this.#publish = publish;
  }

  /**
   * The tools of the servers in the table. A table that differs from the last one replaces its servers; a server that
   * failed to start is left out until then. The same list is given as long as nothing changes.
   *
   * @throws the signal's reason
   */
  async open(table: McpServers, signal?: AbortSignal): Promise<readonly BuiltInTool[]> {
    const opened = this.#opened?.table === table ? this.#opened : this.#replace(table);
    await raceAbort(opened.settled, signal);
    const servers = opened.lease.servers.filter((server) => opened.ready.has(server));
    const lists = servers.map(({ tools }) => tools);
    if (lists.length !== this.#made.lists.length || lists.some((list, index) => list !== this.#made.lists[index])) {
      this.#made = { lists, tools: servers.flatMap((server) => server.tools.map((tool) => mcpTool(server, tool))) };
    }
    return this.#made.tools;
  }

  #replace(table: McpServers): Opened {
    const before = this.#opened;
    const lease = this.#pool.acquire(table);
    const ready = new Set<McpServer>();
    const opened = { table, lease, ready, settled: this.#start(lease.servers, ready) };
    this.#opened = opened;
    before?.lease.release();
    return opened;
  }

  async #start(servers: readonly McpServer[], ready: Set<McpServer>): Promise<void> {
    if (servers.length === 0) return;
    const failed: { server: string; error: string }[] = [];
    await Promise.all(
      servers.map(async (server) => {
        const tell = (status: McpStartupStatus) =>
          this.#publish({ type: "mcp_startup_update", server: server.name, status });
        tell({ state: "starting" });
        try {
          await server.start();
          ready.add(server);
          tell({ state: "ready" });
        } catch (error) {
          const message = textOfThrown(error);
          failed.push({ server: server.name, error: message });
          tell({ state: "failed", error: message });
        }
      }),
    );
    const names = servers.filter((server) => ready.has(server)).map(({ name }) => name);
    this.#publish({ type: "mcp_startup_complete", ready: names, failed, cancelled: [] });
  }

  /** The fields of the answer to list_mcp_tools. */
  async list(table: McpServers): Promise<JsonObject> {
    await this.open(table);
    const servers = this.#opened?.lease.servers ?? [];
    const ready = [...(this.#opened?.ready ?? [])];
    return {
      tools: Object.fromEntries(
        ready.flatMap((server) => server.tools.map((tool) => [toolName(server.name, tool.name), tool])),
      ),
      resources: {},
      resource_templates: {},
      auth_statuses: Object.fromEntries(
        servers.map(({ name, config }) => [
          name,
          config.bearer_token_env_var === undefined ? "unsupported" : "bearer_token",
        ]),
      ),
    };
  }

  close(): void {
    this.#opened?.lease.release();
    this.#opened = undefined;
  }
}
