import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { end } from "./place.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read of an answer is checked against its schema
export type Json = any;
export type Message = { id?: number | string; method?: string; params?: Json; result?: Json; error?: Json };

const DEADLINE_MS = 45_000;

/** What a client speaks over: whole messages, as text. */
export type Wire = {
  hear(take: (text: string) => void): void;
  send(text: string): void;
  close(): Promise<void>;
};

/** How a client speaks: `head` goes into every message that it sends. */
export type Speech = { readonly head?: object; readonly ids?: "numbers" | "texts" };

function pipesOf(child: ChildProcess): Wire {
  const { stdin, stdout } = child;
  if (stdout === null) throw new Error("no stdout");
  return {
    hear: (take) => void createInterface({ input: stdout }).on("line", take),
    send: (text) => void stdin?.write(`${text}\n`),
    close: () => end(child),
  };
}

/** A client over a server's standard input and output that keeps all it hears, and which request an answer is to. */
export class StdioClient implements AsyncDisposable {
  readonly heard: { message: Message; answered?: string }[] = [];
  /** Requests that were refused. */
  readonly failed: string[] = [];
  /** What approvals are answered with; undefined: not at all. */
  decision: string | undefined = "accept";
  /** What calls of the client's own tools are answered with. */
  toolAnswer: Json;
  readonly #wire: Wire;
  readonly #head: object;
  readonly #ids: Speech["ids"];
  readonly #methods = new Map<number | string, string>();
  readonly #waiting = new Set<() => void>();
  #next = 1;

  constructor(over: ChildProcess | Wire, { head = {}, ids = "numbers" }: Speech = {}) {
    this.#ids = ids;
    this.#wire = "hear" in over ? over : pipesOf(over);
    this.#head = head;
    this.#wire.hear((text) => this.#hear(JSON.parse(text) as Message));
  }

  #hear(message: Message): void {
    const answered = message.method === undefined ? this.#methods.get(message.id ?? "") : undefined;
    this.heard.push(answered === undefined ? { message } : { message, answered });
    if (message.method !== undefined && message.id !== undefined && this.decision !== undefined) {
      const isCall = message.method === "item/tool/call";
      this.send({ id: message.id, result: isCall ? this.toolAnswer : { decision: this.decision } });
    }
    for (const wake of [...this.#waiting]) wake();
  }

  send(message: Message): void {
    this.#wire.send(JSON.stringify({ ...this.#head, ...message }));
  }

  /** The result; a refusal is noted, and ends the session. */
  async ask(method: string, params?: Json): Promise<Json> {
    const id = this.#ids === "texts" ? `of-${this.#next++}` : this.#next++;
    this.#methods.set(id, method);
    this.send(params === undefined ? { id, method } : { id, method, params });
    const answer = await this.#find(`the answer to ${method}`, (each) => each.id === id && each.method === undefined);
    if (answer.error !== undefined) this.failed.push(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result;
  }

  /** The first notification that fits, now or later. */
  async nth(method: string, fits: (params: Json) => boolean): Promise<Message> {
    return this.#find(method, (each) => each.method === method && fits(each.params));
  }

  async turn(threadId: string, words: string): Promise<void> {
    const input = [{ type: "text", text: words, text_elements: [] }];
    const { turn } = await this.ask("turn/start", { threadId, input });
    await this.nth("turn/completed", (params) => params.threadId === threadId && params.turn.id === turn.id);
  }

  async #find(what: string, fits: (message: Message) => boolean): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const look = () => {
      const found = this.heard.find(({ message }) => fits(message));
      if (found !== undefined) resolve(found.message);
    };
    const timer = setTimeout(() => reject(new Error(`did not come: ${what}; last: ${this.#last()}`)), DEADLINE_MS);
    this.#waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  #last(): string {
    const told = this.heard.slice(-6).map(({ message }) => JSON.stringify(message).slice(0, 300));
    return told.join("\n    ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire.close();
  }
}
