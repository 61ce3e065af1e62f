import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { latch } from "./latch.ts";

export type Received = { method: string; url: string; headers: IncomingHttpHeaders; body: string };
export type Reply = (response: ServerResponse, request: Received) => void | Promise<void>;

/** A loopback server that gives one reply after another, then the last one again. */
export class ModelServer implements AsyncDisposable {
  readonly requests: Received[] = [];
  /** Connections made so far. */
  connections = 0;
  readonly #replies: Reply[];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #whenIdle: (() => void)[] = [];
  #open = 0;

  private constructor(replies: Reply[]) {
    this.#replies = replies;
    this.#server.on("connection", (socket) => {
      this.connections += 1;
      this.#open += 1;
      socket.once("close", () => {
        this.#open -= 1;
        if (this.#open === 0) for (const wake of this.#whenIdle.splice(0)) wake();
      });
    });
  }

  static async start(...replies: Reply[]): Promise<ModelServer> {
    const server = new ModelServer(replies);
    const { opened, open } = latch();
    server.#server.listen(0, "127.0.0.1", () => open());
    await opened;
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  /** Resolves when every connection is closed. */
  disconnected(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { opened, open } = latch();
    this.#server.close(() => open());
    this.#server.closeAllConnections();
    await opened;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    const received = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") };
    const reply = this.#replies[Math.min(this.requests.length, this.#replies.length - 1)];
    this.requests.push(received);
    await reply?.(response, received);
  }
}

/** A whole answer with a status and a body. */
export const answering =
  (status: number, body: unknown = "", headers: Record<string, string> = {}): Reply =>
  (response) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
  };

/** A stream of text as it is, then its end. */
export const streaming =
  (text: string | Buffer, headers: Record<string, string> = {}): Reply =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", ...headers }).end(text);
  };

/** The text of server-sent events that carry these values. */
export const sse = (...events: object[]): string =>
  events
    .map((event) => `${"type" in event ? `event: ${String(event.type)}\n` : ""}data: ${JSON.stringify(event)}\n\n`)
    .join("");

export const created = { type: "response.created", response: { id: "resp_1" } };
export const completed = {
  type: "response.completed",
  response: {
    id: "resp_1",
    usage: {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 15,
    },
  },
};

/** The events of one message. */
export function message(...deltas: string[]): object[] {
  const item = { type: "message", role: "assistant", id: "msg_1" };
  const content = [{ type: "output_text", text: deltas.join("") }];
  return [
    { type: "response.output_item.added", item: { ...item, content: [] } },
    ...deltas.map((delta) => ({ type: "response.output_text.delta", item_id: "msg_1", delta })),
    { type: "response.output_item.done", item: { ...item, content } },
  ];
}

export const wholeAnswer = (...deltas: string[]): string => sse(created, ...message(...deltas), completed);
