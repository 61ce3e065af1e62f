import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** What a model request carried that matters here. */
export type ModelRequest = { readonly input: readonly { type: string; role?: string; content?: unknown }[] };

/** A loopback Responses API that answers `ack: <the last user text>` and remembers what it was asked. */
export class ResponsesServer implements AsyncDisposable {
  readonly requests: ModelRequest[] = [];
  readonly #server: Server;
  #answers = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        if (request.method !== "POST" || !/^\/v1\/responses(\?|$)/.test(request.url ?? "")) {
          response.writeHead(404, { "content-type": "application/json" }).end('{"error":{"message":"not found"}}');
          return;
        }
        const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as ModelRequest;
        this.requests.push(body);
        response.writeHead(200, { "content-type": "text/event-stream" });
        for (const event of this.#events(body)) {
          response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        }
        response.end();
      });
    });
  }

  static async listen(): Promise<ResponsesServer> {
    const mock = new ResponsesServer();
    await new Promise<void>((resolve) => mock.#server.listen(0, "127.0.0.1", resolve));
    return mock;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  #events(body: ModelRequest): ({ type: string } & Record<string, unknown>)[] {
    this.#answers += 1;
    const id = `msg_oracle_${this.#answers}`;
    const text = `ack: ${
      wordsOf(body)
        .at(-1)
        ?.replace(/^user: /, "") ?? ""
    }`;
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
    const head = { type: "message", role: "assistant", id };
    return [
      { type: "response.created", response: { id: `resp_${id}` } },
      { type: "response.output_item.added", output_index: 0, item: { ...head, content: [] } },
      { type: "response.output_text.delta", item_id: id, output_index: 0, content_index: 0, delta: text },
      {
        type: "response.output_item.done",
        output_index: 0,
        item: { ...head, content: [{ type: "output_text", text }] },
      },
      { type: "response.completed", response: { id: `resp_${id}`, usage } },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The conversation in a request: `role: text`, without what the programs themselves add to it. */
export function wordsOf({ input }: ModelRequest): string[] {
  return input.flatMap((item) => {
    if (item.type !== "message" || (item.role !== "user" && item.role !== "assistant")) return [];
    const parts = Array.isArray(item.content) ? (item.content as { text?: string }[]) : [];
    const text = parts.map((part) => part.text ?? "").join("");
    return /^\s*(<environment_context>|# AGENTS\.md|<user_instructions>|<permissions|<skill)/.test(text)
      ? []
      : [`${item.role}: ${text}`];
  });
}
