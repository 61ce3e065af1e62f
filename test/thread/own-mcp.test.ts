/** A question of an own logic's with the tools of a real MCP server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { defineThreadLogic } from "../../src/index.ts";
import { flatTools } from "../../src/model/conversation.ts";
import { call } from "../../src/model/script.ts";
import { linesOf, rig, typesOf, watch } from "../rig.ts";

const EVERYTHING = fileURLToPath(
  new URL("../../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url),
);

for (const [name, turn] of [
  ["ask", async ({ ask }) => (await ask({ input: "add" })).text],
  ["startTurn", async ({ startTurn }) => (await startTurn("add")).lastAgentMessage],
] as const satisfies readonly [string, Parameters<typeof defineThreadLogic>[0]["turn"]][]) {
  test(`${name}: the server's tools are offered, called, told and recorded`, async () => {
    await using r = await rig({
      script: [[call("mcp__every__get-sum", { a: 2, b: 40 })], "forty-two"],
      threadLogic: defineThreadLogic({ turn }),
      mcpServers: { every: { command: process.execPath, args: [EVERYTHING, "stdio"], startup_timeout_sec: 60 } },
    });
    const { thread } = await r.manager.startThread();
    const events = watch(thread);
    const result = await thread.run("how much?");
    assert.deepEqual([result.status, result.lastAgentMessage], ["completed", "forty-two"]);
    const tools = flatTools(r.model.requests[0]?.tools ?? []).map(({ name: tool }) => tool);
    assert.ok(tools.includes("mcp__every__get-sum") && tools.includes("mcp__every__echo"));
    const types = typesOf(events);
    assert.ok(types.includes("mcp_tool_call_begin") && types.includes("mcp_tool_call_end"));
    const lines = (await linesOf(r.store, thread.id)).map((line) => JSON.stringify(line));
    assert.equal(
      lines.filter((line) => line.includes('"function_call_output"') && line.includes("The sum of 2 and 40 is 42."))
        .length,
      1,
    );
  });
}
