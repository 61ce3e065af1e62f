/**
 * A loopback server that answers every request of the Responses API with the same stream, in a process of its own: at once, or word by
 * word where the request says `slowly`.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** About as fast as a fast model. */
const SLOWLY_MS = 10;

const event = (data: { type: string; [field: string]: unknown }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

/** One chunk for each event, as a model's server sends them. */
function answerOf(deltas: number): string[] {
  const item = { type: "message", role: "assistant", id: "msg_1" };
  const words = Array.from({ length: deltas }, (_, at) => `word${at} `);
  const usage = { input_tokens: 100, output_tokens: deltas, total_tokens: 100 + deltas };
  return [
    event({ type: "response.created", response: { id: "resp_1" } }),
    event({ type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } }),
    ...words.map((delta) =>
      event({ type: "response.output_text.delta", item_id: "msg_1", output_index: 0, content_index: 0, delta }),
    ),
    event({
      type: "response.output_item.done",
      output_index: 0,
      item: { ...item, content: [{ type: "output_text", text: words.join("") }] },
    }),
    event({ type: "response.completed", response: { id: "resp_1", usage } }),
  ];
}

if (process.argv[2] === "--serve") {
  const chunks = answerOf(Number(process.argv[3]));
  const server = createServer((request, response) => {
    let isSlow = false;
    request.setEncoding("utf8").on("data", (text: string) => {
      isSlow ||= text.includes("slowly");
    });
    request.on("end", async () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const chunk of chunks) {
        if (isSlow) await delay(SLOWLY_MS);
        response.write(chunk);
      }
      response.end();
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.send?.(typeof address === "object" && address !== null ? address.port : 0);
  });
  process.on("disconnect", () => process.exit(0));
}

/** Starts the server; `stop` ends it. */
export async function startSseServer(
  deltas: number,
): Promise<{ baseUrl: string; port: number; pid: number; stop: () => void }> {
  const child = fork(import.meta.filename, ["--serve", String(deltas)], { execArgv: ["--no-warnings"] });
  const [port] = (await once(child, "message")) as [number];
  return { baseUrl: `http://127.0.0.1:${port}/v1`, port, pid: child.pid ?? 0, stop: () => child.disconnect() };
}
