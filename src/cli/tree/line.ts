/** A line to an app-server that is only looked at: one in this process over a home, or a running one. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import * as z from "zod";
import { createAppServer } from "../../app-server/app-server.ts";
import { linkedWires } from "../../app-server/wire.ts";
import { InvalidRequestError, StoreIoError, ThreadManager } from "../../index.ts";
import { lineTo, openLine } from "../../studio/bridge.ts";
import { withStore } from "../home.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";

export type SourceOptions = {
  readonly home?: string;
  readonly connect?: string;
  readonly wsTokenFile?: string;
};

const messageSchema = z.object({
  id: z.union([z.string(), z.number()]).optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ message: z.string() }).optional(),
});

/** Of one answer: the largest page of a tree takes a second. */
const DEADLINE_MS = 60_000;

export class Line {
  readonly #send: (text: string) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #listeners = new Map<string, (params: unknown) => void>();
  readonly #ended = Promise.withResolvers<never>();
  #next = 1;

  constructor(send: (text: string) => void) {
    this.#send = send;
    this.#ended.promise.catch(() => undefined);
  }

  /** Rejects when the server has gone, says what cannot be read, or somebody interrupts. @throws StoreIoError, InvalidRequestError */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  take(text: string): void {
    try {
      this.#heed(text);
    } catch (cause) {
      this.end(new InvalidRequestError("the server says what this version of skein does not understand", { cause }));
    }
  }

  #heed(text: string): void {
    const { id, method, params, result, error } = messageSchema.parse(JSON.parse(text));
    if (method !== undefined) {
      this.#listeners.get(method)?.(params);
      return;
    }
    const waiting = this.#waiting.get(Number(id));
    this.#waiting.delete(Number(id));
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new InvalidRequestError(`the server says: ${error.message}`));
  }

  end(reason: Error): void {
    this.#ended.reject(reason);
  }

  /** The answer, as its schema reads it. @throws InvalidRequestError, StoreIoError */
  async ask<T>(schema: z.ZodType<T>, method: string, params: object = {}): Promise<T> {
    const id = this.#next++;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#send(JSON.stringify({ id, method, params }));
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new StoreIoError(`the server has not answered ${method}`)), DEADLINE_MS);
    const told = await Promise.race([waiting.promise, this.ended, late.promise]).finally(() => clearTimeout(timer));
    const answer = schema.safeParse(told);
    if (answer.success) return answer.data;
    throw new InvalidRequestError(`the server's answer to ${method} is none that this version of skein understands`, {
      cause: answer.error,
    });
  }

  on<T>(schema: z.ZodType<T>, method: string, listener: (params: T) => void): void {
    this.#listeners.set(method, (params) => listener(schema.parse(params)));
  }

  async greet(): Promise<void> {
    const clientInfo = { name: "skein-tree", title: "skein tree", version: "1" };
    await this.ask(z.unknown(), "initialize", { clientInfo, capabilities: { experimentalApi: true } });
  }
}

/** Interrupted, it ends at once, whatever it waits for. @throws Exit with the code of that, StoreIoError, InvalidRequestError */
export async function withLine(options: SourceOptions, io: Io, use: (line: Line) => Promise<void>): Promise<void> {
  using interruption = new Interruption();
  try {
    await overLine(options, io, interruption.signal, use);
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  }
  await drained(io.stdout);
  interruption.throwIfInterrupted();
}

async function overLine(
  options: SourceOptions,
  io: Io,
  signal: AbortSignal,
  use: (line: Line) => Promise<void>,
): Promise<void> {
  const { connect } = options;
  const endsBy = (line: Line) => signal.addEventListener("abort", () => line.end(signal.reason as Error));
  if (connect === undefined) {
    await withStore(options, io, async (store) => {
      await using manager = await ThreadManager.create({ store, timers: "own" });
      await using server = createAppServer(manager, { cwd: io.cwd() });
      const wires = linkedWires();
      const line = new Line((text) => wires.client.send(text));
      endsBy(line);
      wires.client.onText = (text) => line.take(text);
      wires.client.onClosed = () => line.end(new StoreIoError("the server has gone"));
      server.connect(wires.server);
      // Nothing else in here keeps the process: what only looks has no timer that would.
      const holding = setInterval(() => undefined, DEADLINE_MS);
      await line
        .greet()
        .then(() => use(line))
        .finally(() => clearInterval(holding));
    });
    return;
  }
  const socket = lineTo(connect, await tokenOf(options, io));
  const line = new Line((text) => socket.send(text));
  endsBy(line);
  signal.addEventListener("abort", () => socket.terminate());
  let cause: unknown;
  socket.on("message", (data) => line.take(data.toString()));
  socket.on("error", (error) => {
    cause = error;
  });
  socket.on("close", () => line.end(new StoreIoError(`--connect: the server at ${connect} has gone`, { cause })));
  try {
    await openLine(socket, connect);
    await line.greet();
    await use(line);
  } finally {
    socket.terminate();
  }
}

/** The token of `--ws-token-file`. @throws InvalidRequestError */
export async function tokenOf(
  { wsTokenFile }: Pick<SourceOptions, "wsTokenFile">,
  { cwd }: Io,
): Promise<string | undefined> {
  if (wsTokenFile === undefined) return undefined;
  const path = resolve(cwd(), wsTokenFile);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new InvalidRequestError(`--ws-token-file: ${path} can't be read`, { cause });
  });
  return text.trim();
}
