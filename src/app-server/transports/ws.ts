/**
 * Clients over WebSockets, on a TCP port or a Unix socket: one message a text frame.
 *
 * A browser is refused: a request with an Origin is answered 403. Off loopback a token is needed. Frames stay plain:
 * the compression that Codex's clients offer is not taken up. `/healthz` and `/readyz` answer 200.
 */
import { chmod, rm } from "node:fs/promises";
import type { IncomingMessage, Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { InvalidRequestError, StoreIoError } from "../../protocol/errors.ts";
import type { Wire, WireListener } from "../wire.ts";
import { isLoopback } from "./listen.ts";
import { type Listener, type ListenOptions, MAX_MESSAGE_BYTES } from "./listener.ts";
import { type TokenCheck, tokenCheckOf } from "./token.ts";

const MAX_CONNECTIONS = 1_024;

export async function listenOnTcp(
  { host, port }: { host: string; port: number },
  options: ListenOptions,
): Promise<Listener> {
  const check = await tokenCheckOf(options.auth);
  if (check === undefined && !isLoopback(host)) {
    throw new InvalidRequestError(
      `--listen: ${host} can be reached from other machines; a token is needed: --ws-auth capability-token with --ws-token-file or --ws-token-sha256`,
    );
  }
  const server = serverOf(check, options);
  await listening(server.http, () => server.http.listen(port, host));
  const { port: taken } = server.http.address() as AddressInfo;
  return { url: `ws://${host.includes(":") ? `[${host}]` : host}:${taken}`, close: server.close };
}

export async function listenOnSocket(path: string, options: ListenOptions): Promise<Listener> {
  const server = serverOf(await tokenCheckOf(options.auth), options);
  if (!(await isListenedOn(path))) await rm(path, { force: true });
  await listening(server.http, () => server.http.listen(path));
  await chmod(path, 0o600);
  return { url: `unix://${path}`, close: server.close };
}

/** Whether another server answers there: a socket that nobody answers is left over, and in the way. */
function isListenedOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(new StoreIoError(`--listen: ${cause.message}`, { cause })));
    server.once("listening", resolve);
    listen();
  });
}

function serverOf(check: TokenCheck | undefined, { accept, logger }: ListenOptions) {
  // An import of it would load all of undici, for names of its that nobody here uses.
  const { createServer } = process.getBuiltinModule("node:http");
  const http = createServer((request, response) => {
    const isProbe = request.url === "/healthz" || request.url === "/readyz";
    response.statusCode = request.headers.origin !== undefined ? 403 : isProbe ? 200 : 404;
    response.end();
  });
  http.maxConnections = MAX_CONNECTIONS;
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });
  http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refusal = refusalOf(request, check);
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => accept(new SocketWire(ws, socket)));
  });
  http.on("clientError", (_error, socket) => socket.destroy());
  sockets.on("error", (err) => logger.warn({ err }, "the WebSocket server failed"));
  const close = async () => {
    for (const ws of sockets.clients) ws.terminate();
    sockets.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  };
  return { http, close };
}

function refusalOf({ headers }: IncomingMessage, check: TokenCheck | undefined): string | undefined {
  if (headers.origin !== undefined) return "403 Forbidden";
  return check === undefined || check(headers.authorization) ? undefined : "401 Unauthorized";
}

/** What may wait in a socket before its client counts as a slow reader. */
const HIGH_WATER_BYTES = 1024 * 1024;

class SocketWire implements Wire {
  listener: WireListener | undefined;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  #isSlow = false;
  /** What is said within one turn of the event loop goes out with one write: a system call costs what ten messages do. */
  #tick: NodeJS.Immediate | undefined;

  constructor(ws: WebSocket, socket: Duplex) {
    this.#ws = ws;
    this.#socket = socket;
    ws.on("message", (data, isBinary) => {
      if (!isBinary) this.listener?.onText(data.toString());
    });
    ws.once("close", () => this.listener?.onClosed());
    // What broke the line is followed by its close.
    ws.on("error", () => undefined);
  }

  send(text: string): boolean {
    if (this.#ws.readyState !== WebSocket.OPEN) return true;
    if (this.#tick === undefined) {
      this.#socket.cork();
      this.#tick = setImmediate(() => this.#uncork());
    }
    this.#ws.send(text, () => this.#onSent());
    if (this.#ws.bufferedAmount > HIGH_WATER_BYTES) this.#isSlow = true;
    return !this.#isSlow;
  }

  #uncork(): void {
    if (this.#tick === undefined) return;
    clearImmediate(this.#tick);
    this.#tick = undefined;
    this.#socket.uncork();
  }

  #onSent(): void {
    if (!this.#isSlow || this.#ws.bufferedAmount > 0) return;
    this.#isSlow = false;
    this.listener?.onDrain();
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  close(): void {
    this.#uncork();
    this.#ws.close(1001);
  }
}
