/**
 * The page over an app-server that runs elsewhere: each line of the page is a line to that server. What the page may call
 * is decided here, as the server behind knows nothing of it.
 */
import { once } from "node:events";
import { WebSocket } from "ws";
import * as z from "zod";
import { mayCall, WHY_NOT } from "../app-server/studio/access.ts";
import type { Access } from "../app-server/studio/wire.ts";
import { listenOn } from "../app-server/transports/listen.ts";
import { type Listener, MAX_MESSAGE_BYTES } from "../app-server/transports/listener.ts";
import type { Wire, WireListener } from "../app-server/wire.ts";
import { systemClock } from "../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../kernel/log.ts";
import { InvalidRequestError, StoreIoError } from "../protocol/errors.ts";
import { type StudioPageOptions, type StudioServer, servePage } from "./create-studio.ts";

export type BridgeOptions = StudioPageOptions & {
  /** `ws://HOST:PORT` or `unix:PATH` (also `unix:///PATH`): a running app-server. */
  readonly connect: string;
  /** Its bearer token, where it asks for one. */
  readonly token?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
};

/** @throws InvalidRequestError for an address that is none */
function targetOf(connect: string): string {
  if (/^wss?:\/\//.test(connect)) return connect;
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(connect)?.[1];
  if (path !== undefined) return `ws+unix:${path}:/`;
  throw new InvalidRequestError(`--connect: \`${connect}\` must be ws://HOST:PORT or unix:/absolute/path`);
}

/** Opens a line to an app-server. */
export const lineTo = (connect: string, token?: string): WebSocket =>
  new WebSocket(targetOf(connect), {
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handshakeTimeout: 10_000,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
  });

/** Resolves when it is open. @throws StoreIoError that says why it does not open */
export async function openLine(socket: WebSocket, connect: string): Promise<void> {
  await once(socket, "open").catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : "";
    const hint = / 401\b/.test(why) ? "; it wants the token of --ws-token-file, or another one" : "";
    throw new StoreIoError(`--connect: ${connect} can't be reached: ${why}${hint}`, { cause });
  });
}

/**
 * Serves the page over a running app-server. The server may go and come back later: the page says so, and connects again.
 *
 * @throws InvalidRequestError for an address that is none; StoreIoError where no server is there, or lets nobody in
 */
export async function bridgeStudio(options: BridgeOptions): Promise<StudioServer> {
  const { connect, token, logger = silentLog } = options;
  const first = lineTo(connect, token);
  try {
    await openLine(first, connect);
  } finally {
    // What is said of a line that nobody uses any more is nobody's business.
    first.on("error", () => undefined).terminate();
  }
  let listener: Listener | undefined;
  const accept = (wire: Wire) => void new Bridge(wire, lineTo(connect, token));
  return servePage(
    options,
    async (url, page) => {
      listener = await listenOn(url, { auth: { page }, logger, clock: systemClock, accept });
      return listener;
    },
    async () => listener?.close(),
  );
}

const requestSchema = z.looseObject({ id: z.union([z.string(), z.number()]).optional(), method: z.string() });
const answerSchema = z.looseObject({ id: z.union([z.string(), z.number()]), result: z.looseObject({}) });

class Bridge implements WireListener {
  readonly #wire: Wire;
  readonly #server: WebSocket;
  #access: Access;
  /** What is said before the server is there. */
  #waiting: string[] | undefined = [];
  /** Requests whose answer says what the server thinks this line may do. */
  readonly #asksAccess = new Set<string | number>();

  constructor(wire: Wire, server: WebSocket) {
    this.#wire = wire;
    this.#server = server;
    this.#access = wire.access ?? "act";
    wire.listener = this;
    server.on("open", () => {
      for (const text of this.#waiting ?? []) server.send(text);
      this.#waiting = undefined;
    });
    server.on("message", (data, isBinary) => {
      if (!isBinary) this.#wire.send(this.#told(data.toString()));
    });
    server.on("close", () => wire.close());
    // What broke the line is followed by its close.
    server.on("error", () => undefined);
  }

  onText(text: string): void {
    const request = requestSchema.safeParse(parsed(text));
    // An answer to a question of the server's is an act: the page answers by a method.
    if (!request.success) return;
    const { id, method } = request.data;
    if (method === "initialize") this.#wire.admitted?.();
    if (this.#access !== "act" && !mayCall(this.#access, method)) this.#refuse(id, WHY_NOT[this.#access]);
    else if (method === "skein/acting/begin") this.#begin(id);
    else this.#pass(text, { id, method });
  }

  #pass(text: string, { id, method }: { id?: string | number | undefined; method: string }): void {
    if (method === "skein/info/read" && id !== undefined) this.#asksAccess.add(id);
    if (this.#waiting !== undefined) this.#waiting.push(text);
    else if (this.#server.readyState === WebSocket.OPEN) this.#server.send(text);
  }

  #begin(id: string | number | undefined): void {
    if (this.#access === "look") {
      this.#refuse(id, WHY_NOT.look);
      return;
    }
    this.#access = "act";
    if (id !== undefined) this.#wire.send(JSON.stringify({ id, result: {} }));
  }

  #refuse(id: string | number | undefined, message: string): void {
    if (id === undefined) return;
    this.#wire.send(JSON.stringify({ id, error: { code: -32600, message, data: { code: "invalid_request" } } }));
  }

  /** What the server says, with what this line may do. */
  #told(text: string): string {
    if (this.#asksAccess.size === 0) return text;
    const answer = answerSchema.safeParse(parsed(text));
    if (!answer.success || !this.#asksAccess.delete(answer.data.id)) return text;
    return JSON.stringify({ ...answer.data, result: { ...answer.data.result, access: this.#access } });
  }

  onDrain(): void {
    // The page reads faster than anything is said to it, or its line ends.
  }

  onEnded(): void {
    this.#server.close();
  }

  onClosed(): void {
    this.#server.terminate();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
