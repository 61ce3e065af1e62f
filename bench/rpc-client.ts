/** A JSON-RPC client of an app-server over stdio, for Skein's and for the stock binary alike. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";

type Message = {
  id?: number;
  method?: string;
  params?: { threadId?: string; turn?: { id: string } };
  result?: unknown;
  error?: unknown;
};

export class RpcClient {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #turns = new Map<string, () => void>();
  #nextId = 1;
  #rest = "";

  constructor(command: readonly string[], env: Record<string, string>, cwd: string) {
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, {
      cwd,
      env: { PATH: process.env.PATH ?? "", ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => this.#hear(chunk));
  }

  #hear(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#take(JSON.parse(line) as Message);
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
      this.#child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  async initialize(): Promise<void> {
    await this.ask("initialize", {
      clientInfo: { name: "bench", title: "bench", version: "1" },
      capabilities: { experimentalApi: true },
    });
    this.#child.stdin?.write(`${JSON.stringify({ method: "initialized" })}\n`);
  }

  /** A whole turn, from its start to turn/completed. */
  async turn(threadId: string): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#turns.set(threadId, resolve);
    });
    await this.ask("turn/start", { threadId, input: [{ type: "text", text: "go", text_elements: [] }] });
    await done;
  }

  /** Resident memory of the server in bytes. */
  get rss(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(timer);
  }
}
