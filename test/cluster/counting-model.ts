/** A model's server that answers in a few words, slowly enough to be killed under, and counts who asked what. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const WORD_MS = 20;
const WORDS = ["one ", "two ", "three"];

const event = (data: { type: string; [field: string]: unknown }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

export class CountingModel implements AsyncDisposable {
  readonly baseUrl: string;
  readonly #server: Server;
  /** How often each input was the last of a request. */
  readonly asked = new Map<string, number>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.baseUrl = `http://127.0.0.1:${port}/v1`;
  }

  static async start(): Promise<CountingModel> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const model = new CountingModel(server, typeof address === "object" && address !== null ? address.port : 0);
    server.on("request", async (request, response) => {
      const input = lastInput(await bodyOf(request));
      model.asked.set(input, (model.asked.get(input) ?? 0) + 1);
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const chunk of answer()) {
        response.write(chunk);
        await delay(WORD_MS);
        if (response.destroyed) return;
      }
      response.end();
    });
    return model;
  }

  /** Requests beyond the first for an input. */
  get repeated(): number {
    return [...this.asked.values()].reduce((sum, count) => sum + count - 1, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function answer(): string[] {
  const item = { type: "message", role: "assistant", id: "msg_1" };
  const usage = { input_tokens: 10, output_tokens: 3, total_tokens: 13 };
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const content = [{ type: "output_text", text: WORDS.join("") }];
  return [
    event({ type: "response.created", response: { id: "resp_1" } }),
    event({ type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } }),
    ...WORDS.map((delta) => event({ type: "response.output_text.delta", ...place, delta })),
    event({ type: "response.output_item.done", output_index: 0, item: { ...item, content } }),
    event({ type: "response.completed", response: { id: "resp_1", usage } }),
  ];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

function lastInput(body: string): string {
  const { input = [] } = JSON.parse(body) as { input?: { role?: string; content?: { text?: string }[] }[] };
  return (
    input
      .findLast(({ role }) => role === "user")
      ?.content?.map(({ text = "" }) => text)
      .join("") ?? ""
  );
}
