/** An MCP server with one tool, which answers with the `_meta` of its own request; `fail` among the arguments makes it fail. */
import { createInterface } from "node:readline";

type Message = {
  id?: number;
  method: string;
  params?: { _meta?: { traceparent?: string }; arguments?: { fail?: boolean } };
};

const send = (id: number | undefined, result: object): boolean =>
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line) as Message;
  if (method === "initialize") {
    const serverInfo = { name: "meta", version: "1" };
    send(id, { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo });
  }
  if (method === "tools/list") send(id, { tools: [{ name: "meta", inputSchema: { type: "object" } }] });
  if (method === "tools/call") {
    const text = JSON.stringify(params?._meta ?? null);
    send(id, { content: [{ type: "text", text }], isError: params?.arguments?.fail === true });
  }
}
