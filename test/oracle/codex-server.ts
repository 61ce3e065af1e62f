import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

type Message = { id?: number; method?: string; params?: Record<string, unknown>; result?: unknown; error?: unknown };

const ANSWER_MS = 120_000;
const START_MS = 120_000;

/** A client of `codex app-server` over stdio. */
export class CodexServer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #waiting = new Set<{ passes: (message: Message) => boolean; resolve: (message: Message) => void }>();
  #nextId = 1;
  #stderr = "";

  private constructor(binary: string, home: string, cwd: string) {
    const env = {
      PATH: process.env.PATH,
      HOME: home,
      TZ: "UTC",
      SHELL: "/bin/sh",
      CODEX_HOME: home,
      RUST_LOG: "error",
    };
    this.#child = spawn(binary, ["app-server"], { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (chunk) => {
      this.#stderr += String(chunk);
    });
    if (this.#child.stdout === null) throw new Error("no stdout");
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#hear(JSON.parse(line)));
  }

  static async start(binary: string, home: string, cwd: string): Promise<CodexServer> {
    const server = new CodexServer(binary, home, cwd);
    const clientInfo = { name: "oracle", title: "oracle", version: "1.0.0" };
    await server.ask("initialize", { clientInfo, capabilities: { experimentalApi: true } }, START_MS);
    server.#send({ method: "initialized" });
    return server;
  }

  #hear(message: Message): void {
    if (message.id !== undefined && message.method === undefined) {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
    }
    for (const waiting of this.#waiting) if (waiting.passes(message)) waiting.resolve(message);
  }

  #send(message: Message): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /** @throws what the server answers as an error, or that it does not answer. */
  async ask(method: string, params: Record<string, unknown>, deadlineMs = ANSWER_MS): Promise<unknown> {
    const id = this.#nextId++;
    const answer = await this.#within(
      method,
      new Promise<Message>((resolve) => {
        this.#answers.set(id, resolve);
        this.#send({ id, method, params });
      }),
      deadlineMs,
    );
    if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result;
  }

  /** A whole turn on a loaded thread. */
  async turn(threadId: string, text: string): Promise<void> {
    const done = this.#next((message) => message.method === "turn/completed" && message.params?.threadId === threadId);
    await this.ask("turn/start", { threadId, input: [{ type: "text", text, text_elements: [] }] });
    await this.#within("turn/completed", done);
  }

  /** A whole compaction of a loaded thread. */
  async compact(threadId: string): Promise<void> {
    const done = this.#next((message) => message.method === "turn/completed" && message.params?.threadId === threadId);
    await this.ask("thread/compact/start", { threadId });
    await this.#within("turn/completed", done);
  }

  #next(passes: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve) => {
      const waiting = {
        passes,
        resolve: (message: Message) => {
          this.#waiting.delete(waiting);
          resolve(message);
        },
      };
      this.#waiting.add(waiting);
    });
  }

  async #within<T>(what: string, answer: Promise<T>, deadlineMs = ANSWER_MS): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer to ${what}; stderr: ${this.#stderr}`)), deadlineMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.stdin?.end();
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), 3_000);
    await exited;
    clearTimeout(killer);
  }
}
