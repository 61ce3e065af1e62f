/** The tools of a thread's next request: its own, and what its MCP servers offer. */
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import type { BuiltInTool } from "../turn/tools/built-in-tool.ts";
import type { McpSession } from "../turn/tools/mcp/mcp-session.ts";

/** Nobody writes its fields but these methods. */
export class ThreadTools {
  /** The tools that need no connection. */
  readonly #own: ToolSet;
  readonly #join: () => McpSession;
  #current: ToolSet;
  #mcp: McpSession | undefined;
  #mcpTools: readonly BuiltInTool[] = [];

  /** @param join makes the thread's part in the manager's MCP servers */
  constructor(own: ToolSet, join: () => McpSession) {
    this.#own = own;
    this.#current = own;
    this.#join = join;
  }

  get current(): ToolSet {
    return this.#current;
  }

  /** The thread's part in the MCP servers. */
  get mcp(): McpSession {
    this.#mcp ??= this.#join();
    return this.#mcp;
  }

  /** Connects the servers that the settings name, where they name any. @throws the signal's reason */
  open(mcpServers: ResolvedThreadConfig["mcpServers"], signal: AbortSignal): Promise<void> | undefined {
    if (this.#mcp === undefined && Object.keys(mcpServers).length === 0) return undefined;
    return this.mcp.open(mcpServers, signal).then((tools) => {
      if (tools === this.#mcpTools) return;
      this.#mcpTools = tools;
      this.#current = this.#own.with(tools);
    });
  }

  close(): void {
    this.#mcp?.close();
  }
}
