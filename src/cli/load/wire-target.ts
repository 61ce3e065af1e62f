/** Threads of an app-server, over a WebSocket: JSON-RPC as its clients speak it. */
import { WebSocket } from "ws";
import * as z from "zod";
import { StoreIoError } from "../../protocol/errors.ts";
import { VERSION } from "../../version.ts";
import { type LoadTarget, TurnFailed } from "./target.ts";

const message = z.looseObject({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z
    .looseObject({
      threadId: z.string().optional(),
      turn: z
        .looseObject({
          status: z.string().optional(),
          error: z.looseObject({ codexErrorInfo: z.unknown() }).nullish(),
        })
        .optional(),
    })
    .optional(),
  result: z.unknown().optional(),
  error: z.looseObject({ code: z.number(), message: z.string() }).optional(),
});
type Message = z.infer<typeof message>;

const started = z.looseObject({ thread: z.looseObject({ id: z.string() }) });

/** The server's refusal, by its JSON-RPC number. */
class RpcRefusal extends Error {
  readonly code: string;
  constructor({ code, message: text }: { code: number; message: string }) {
    super(text);
    this.code = `rpc ${code}`;
  }
}

/** undefined for what is no message of JSON-RPC. */
function parsed(text: string): Message | undefined {
  try {
    return message.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

class Line {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #turns = new Map<string, PromiseWithResolvers<void>>();
  #nextId = 1;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => this.#hear(String(data)));
    socket.on("close", () => this.#lose());
  }

  #hear(text: string): void {
    const data = parsed(text);
    if (data === undefined) return;
    if (data.id !== undefined && data.method === undefined) this.#answer(data.id, data);
    else if (data.method === "turn/completed") this.#turnOver(data);
  }

  #answer(id: number, { result, error }: Message): void {
    const waiting = this.#answers.get(id);
    this.#answers.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new RpcRefusal(error));
  }

  #turnOver({ params }: Message): void {
    const waiting = this.#turns.get(params?.threadId ?? "");
    const status = params?.turn?.status ?? "unknown";
    if (status === "completed") waiting?.resolve();
    else waiting?.reject(new TurnFailed(infoOf(params?.turn?.error?.codexErrorInfo) ?? status));
  }

  #lose(): void {
    const lost = new TurnFailed("connection closed");
    for (const waiting of [...this.#answers.values(), ...this.#turns.values()]) waiting.reject(lost);
    this.#answers.clear();
    this.#turns.clear();
  }

  ask(method: string, params: object, signal: AbortSignal): Promise<unknown> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(new TurnFailed("connection closed"));
    const id = this.#nextId;
    this.#nextId += 1;
    const waiting = Promise.withResolvers<unknown>();
    this.#answers.set(id, waiting);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return untilAborted(waiting, signal, () => this.#answers.delete(id));
  }

  tell(method: string): void {
    this.#socket.send(JSON.stringify({ method }));
  }

  async turn(threadId: string, signal: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    over.promise.catch(() => undefined);
    this.#turns.set(threadId, over);
    try {
      await this.ask("turn/start", { threadId, input: [{ type: "text", text: "go", text_elements: [] }] }, signal);
      await untilAborted(over, signal, () => undefined);
    } finally {
      this.#turns.delete(threadId);
    }
  }

  async close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    this.#socket.close();
    const late = setTimeout(() => this.#socket.terminate(), 1_000);
    await closed;
    clearTimeout(late);
  }
}

async function untilAborted<T>(
  { promise, reject }: PromiseWithResolvers<T>,
  signal: AbortSignal,
  forget: () => void,
): Promise<T> {
  const onAbort = () => {
    forget();
    reject(signal.reason);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function infoOf(info: unknown): string | undefined {
  if (typeof info === "string") return info;
  return typeof info === "object" && info !== null ? Object.keys(info)[0] : undefined;
}

/** @throws what keeps the server from being reached */
export async function wireTarget(url: string, signal: AbortSignal): Promise<LoadTarget> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (cause) => {
      reject(new StoreIoError(`--target: no app-server can be reached there: ${cause.message}`, { cause }));
    });
    signal.addEventListener("abort", () => socket.terminate(), { once: true });
  });
  socket.on("error", () => undefined); // it closes, and what waits hears of that
  const line = new Line(socket);
  const clientInfo = { name: "skein-load", title: null, version: VERSION };
  await line.ask("initialize", { clientInfo, capabilities: { experimentalApi: true } }, signal);
  line.tell("initialized");
  return {
    start: async (until) => started.parse(await line.ask("thread/start", {}, until)).thread.id,
    turn: (threadId, until) => line.turn(threadId, until),
    fork: async (threadId, until) => started.parse(await line.ask("thread/fork", { threadId }, until)).thread.id,
    remove: async (threadId, until) => void (await line.ask("thread/archive", { threadId }, until)),
    [Symbol.asyncDispose]: () => line.close(),
  };
}
