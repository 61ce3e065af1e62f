/** A client of the server within the process. Nothing here sleeps: whoever waits is woken by what comes. */
import { once } from "node:events";
import type { WebSocket } from "ws";
import { type AppServer, createAppServer } from "../../src/app-server/app-server.ts";
import type { AppServerOptions } from "../../src/app-server/app-server-options.ts";
import { type ClientEnd, linkedWires } from "../../src/app-server/wire.ts";
import type { ThreadManagerOptions } from "../../src/manager/options.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a test reads of an answer is checked by its assertions
export type Json = any;
export type Message = {
  id?: string | number;
  method?: string;
  params?: Json;
  result?: Json;
  error?: Json;
  emittedAtMs?: number;
};

export class RpcFailure extends Error {
  readonly code: number;
  readonly data: Json;
  constructor({ code, message, data }: { code: number; message: string; data?: Json }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export class TestClient {
  /** Everything that came, in order. */
  readonly log: Message[] = [];
  readonly #end: Pick<ClientEnd, "send" | "close">;
  readonly #waiting = new Set<() => void>();
  #next = 1;
  #read = 0;

  constructor(end: ClientEnd) {
    this.#end = end;
    end.onText = (text) => this.take(text);
  }

  take(text: string): void {
    this.log.push(JSON.parse(text));
    for (const wake of [...this.#waiting]) wake();
  }

  send(message: Message): void {
    this.#end.send(JSON.stringify(message));
  }

  raw(text: string): void {
    this.#end.send(text);
  }

  close(): void {
    this.#end.close();
  }

  async request(method: string, params?: Json): Promise<Json> {
    const id = this.#next++;
    this.send(params === undefined ? { id, method } : { id, method, params });
    const { result, error } = await this.find((message) => message.id === id && message.method === undefined);
    if (error !== undefined) throw new RpcFailure(error);
    return result;
  }

  async failure(method: string, params?: Json): Promise<RpcFailure> {
    try {
      await this.request(method, params);
    } catch (error) {
      if (error instanceof RpcFailure) return error;
      throw error;
    }
    throw new Error(`${method} did not fail`);
  }

  /** Waits until it is so; asked now, and again whenever something comes. */
  async until(isSo: () => boolean): Promise<void> {
    if (!isSo()) await this.find(isSo);
  }

  /** The first message of all that fits, now or later. */
  async find(fits: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const found = this.log.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  /** The next notification or request of this method that nobody has read, and what came before it is passed over. */
  async next(method: string, fits: (params: Json) => boolean = () => true): Promise<Message> {
    for (;;) {
      const at = this.log.findIndex(
        (message, index) => index >= this.#read && message.method === method && fits(message.params),
      );
      if (at !== -1) {
        this.#read = at + 1;
        return this.log[at] as Message;
      }
      const seen = this.log.length;
      await this.find((message) => this.log.indexOf(message) >= seen);
    }
  }

  get methods(): string[] {
    return this.log.flatMap(({ method }) => method ?? []);
  }

  initialize(capabilities: Json = { experimentalApi: true }, name = "spec-client"): Promise<Json> {
    const clientInfo = { name, title: "Spec Client", version: "1.0.0" };
    return this.request("initialize", { clientInfo, capabilities });
  }

  /** Runs a turn to its end. */
  async turn(threadId: string, text: string): Promise<Json> {
    const { turn } = await this.request("turn/start", { threadId, input: [{ type: "text", text }] });
    const { params } = await this.find(
      ({ method, params }) => method === "turn/completed" && params.threadId === threadId && params.turn.id === turn.id,
    );
    return params.turn;
  }
}

export type Fixture = AsyncDisposable & {
  manager: ThreadManager;
  server: AppServer;
  /** @param ends gets the function that says that the client reads again */
  connect: (options?: Parameters<typeof linkedWires>[0], ends?: { drain?: () => void }) => TestClient;
  client: TestClient;
};

/** A manager, a server over it, and a client that has initialized. */
export async function serve(
  options: { manager?: ThreadManagerOptions; server?: AppServerOptions; capabilities?: Json } = {},
): Promise<Fixture> {
  const manager = await ThreadManager.create({ store: memoryStore(), config: { cwd: "/w" }, ...options.manager });
  const server = createAppServer(manager, { cwd: "/w", ...options.server });
  const connect: Fixture["connect"] = (wireOptions, ends) => {
    const wires = linkedWires(wireOptions);
    if (ends !== undefined) ends.drain = wires.drain;
    server.connect(wires.server);
    return new TestClient(wires.client);
  };
  const client = connect();
  await client.initialize(options.capabilities);
  return {
    manager,
    server,
    connect,
    client,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await manager.shutdown();
    },
  };
}

/** A client over a WebSocket, once that is open. */
export async function clientOver(socket: WebSocket): Promise<TestClient> {
  await once(socket, "open");
  const client = new TestClient({
    send: (text) => socket.send(text),
    close: () => socket.close(),
    onText: undefined,
    onClosed: undefined,
  });
  socket.on("message", (data) => client.take(data.toString()));
  return client;
}
