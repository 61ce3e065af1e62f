/** A JSON-RPC client of an app-server, for Skein's and for the stock binary alike. */
import { readFileSync } from "node:fs";
import { openLine, type RpcLine, type ServerProcess } from "./rpc-line.ts";

type Message = {
  id?: number;
  method?: string;
  params?: { threadId?: string; turn?: { id: string } };
  result?: unknown;
  error?: unknown;
};

export class RpcClient {
  readonly #line: RpcLine;
  readonly #answers = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #turns = new Map<string, () => void>();
  #nextId = 1;

  static async open(server: ServerProcess, transport: string): Promise<RpcClient> {
    return new RpcClient(await openLine(server, transport));
  }

  constructor(line: RpcLine) {
    this.#line = line;
    line.onText = (text) => this.#take(JSON.parse(text) as Message);
  }

  #take({ id, method, params, result, error }: Message): void {
    if (id !== undefined && method === undefined) {
      const waiting = this.#answers.get(id);
      this.#answers.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(JSON.stringify(error)));
    } else if (method === "turn/completed" && params?.threadId !== undefined) {
      const done = this.#turns.get(params.threadId);
      this.#turns.delete(params.threadId);
      done?.();
    }
  }

  ask<T>(method: string, params: unknown): Promise<T> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#line.send(JSON.stringify({ id, method, params }));
    });
  }

  async initialize(): Promise<void> {
    await this.ask("initialize", {
      clientInfo: { name: "bench", title: "bench", version: "1" },
      capabilities: { experimentalApi: true },
    });
    this.#line.send(JSON.stringify({ method: "initialized" }));
  }

  /** A whole turn, from its start to turn/completed. */
  async turn(threadId: string): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#turns.set(threadId, resolve);
    });
    await this.ask("turn/start", { threadId, input: [{ type: "text", text: "go", text_elements: [] }] });
    await done;
  }

  /** Where others may connect; undefined over stdio. */
  get url(): string | undefined {
    return this.#line.url;
  }

  /** The server's. */
  get pid(): number {
    return this.#line.pid;
  }

  /** Resident memory of the server in bytes. */
  get rss(): number {
    const status = readFileSync(`/proc/${this.#line.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  }

  /** What the server has written so far, to files and sockets alike. */
  get writes(): { readonly calls: number; readonly bytes: number } {
    const io = readFileSync(`/proc/${this.#line.pid}/io`, "utf8");
    const of = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(io)?.[1] ?? Number.NaN);
    return { calls: of("syscw"), bytes: of("wchar") };
  }

  close(): Promise<void> {
    return this.#line.close();
  }
}
