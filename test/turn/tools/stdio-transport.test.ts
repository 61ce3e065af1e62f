/** The pipe to an MCP server: what becomes of a message when the server has ended. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { ReadBuffer, serializeMessage } from "@modelcontextprotocol/client";
import { systemClock } from "../../../src/kernel/clock.ts";
import { NotDeliveredError, StdioTransport } from "../../../src/turn/tools/mcp/stdio-transport.ts";

const PING = { jsonrpc: "2.0", id: 1, method: "ping" } as const;

test("a message to a server that has ended, or was never started, is told to be undelivered", async () => {
  const transport = new StdioTransport({
    argv: ["/bin/true"],
    cwd: tmpdir(),
    env: {},
    clock: systemClock,
    framing: { buffer: new ReadBuffer(), serialize: serializeMessage },
  });
  await assert.rejects(transport.send(PING), NotDeliveredError);
  const closed = new Promise<void>((resolve) => {
    transport.onclose = resolve;
  });
  await transport.start();
  await closed;
  await assert.rejects(transport.send(PING), NotDeliveredError);
  await transport.close();
});
