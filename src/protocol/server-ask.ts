/** What is asked of an MCP server in no turn, and what comes of it. */

/** A call of a tool; its arguments must be an object. */
export type ToolAsk = {
  readonly server: string;
  readonly tool: string;
  readonly arguments?: unknown;
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
};

/** A call of a tool, or the reading of a resource. */
export type ServerAsk = ToolAsk | (Pick<ToolAsk, "server" | "meta"> & { readonly uri: string });

/** As the server gave it; or what refused it, the server or the way to it, by a number of JSON-RPC. */
export type ServerAnswer =
  | { readonly answer: Readonly<Record<string, unknown>> }
  | { readonly refused: { readonly rpcCode: number; readonly message: string } };
