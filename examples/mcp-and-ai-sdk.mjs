/**
 * A model of the AI SDK's interface that uses an MCP server's tools. The model here plays two answers; in a program of yours
 * it is `openai("gpt-5.1")` or any other provider's. The server is this same file, started with `--server`.
 */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { memoryStore, ThreadManager } from "skein";
import { aiSdkClient } from "skein/ai-sdk";

if (process.argv.includes("--server")) serve();
else await main();

async function main() {
  const manager = await ThreadManager.create({
    store: memoryStore(),
    model: aiSdkClient(playedModel()),
    mcpServers: { weather: { command: process.execPath, args: [fileURLToPath(import.meta.url), "--server"] } },
  });
  const { thread } = await manager.startThread();
  thread.events$.subscribe(({ msg }) => {
    if (msg.type === "mcp_tool_call_begin") console.log("asks", msg.invocation.server, msg.invocation.tool);
  });
  console.log((await thread.run("How is the weather in Bern?")).lastAgentMessage);
  await manager.shutdown();
}

/** What a provider of the AI SDK returns: a call first, an answer once the call's output is there. */
function playedModel() {
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
  const finish = (unified) => ({ type: "finish", usage, finishReason: { unified, raw: undefined } });
  return {
    specificationVersion: "v4",
    provider: "played",
    modelId: "played-1",
    async doStream({ prompt }) {
      const hasOutput = prompt.some((message) => message.role === "tool");
      const input = JSON.stringify({ city: "Bern" });
      const parts = hasOutput
        ? [
            { type: "text-start", id: "0" },
            { type: "text-delta", id: "0", delta: "Sunny in Bern." },
            { type: "text-end", id: "0" },
            finish("stop"),
          ]
        : [{ type: "tool-call", toolCallId: "call-1", toolName: "mcp__weather__report", input }, finish("tool-calls")];
      return { stream: ReadableStream.from(parts) };
    },
  };
}

/** A server of the Model Context Protocol over stdio, as small as it can be. Write yours with the protocol's own SDK. */
function serve() {
  const inputSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const answers = {
    initialize: ({ protocolVersion }) => ({
      protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: "weather", version: "1" },
    }),
    "tools/list": () => ({ tools: [{ name: "report", description: "The weather of a city.", inputSchema }] }),
    "tools/call": ({ arguments: { city } }) => ({ content: [{ type: "text", text: `sunny in ${city}` }] }),
  };
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line);
    if (id === undefined) return;
    const answer = answers[method];
    const outcome = answer ? { result: answer(params ?? {}) } : { error: { code: -32601, message: `no ${method}` } };
    process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...outcome })}\n`);
  });
}
