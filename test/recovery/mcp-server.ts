/** An MCP server with a tool that only looks, one that may be called twice and one that may not; each call leaves a line. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

type Message = { id?: number; method: string; params?: { name?: string } };

const [, , folder = ".", mode = "answers"] = process.argv;
const send = (message: object): boolean => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const inputSchema = { type: "object" };
const tools = [
  { name: "look", annotations: { readOnlyHint: true }, inputSchema },
  { name: "put", annotations: { idempotentHint: true }, inputSchema },
  { name: "push", annotations: { destructiveHint: false }, inputSchema },
];

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line) as Message;
  if (id === undefined) return;
  if (method === "initialize") {
    const serverInfo = { name: "fixture", version: "1" };
    send({ id, result: { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo } });
  } else if (method === "tools/list") send({ id, result: { tools } });
  else if (method === "tools/call") {
    appendFileSync(join(folder, "effects"), `${params?.name}\n`);
    if (mode === "answers") send({ id, result: { content: [{ type: "text", text: `did ${params?.name}` }] } });
  }
});
