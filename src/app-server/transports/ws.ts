/**
 * Clients over WebSockets, on a TCP port or a Unix socket: one message a text frame.
 *
 * A browser is refused, unless the listener serves it a page of its own (see PageDoor): a request with an Origin is answered 403, and so is one whose Host is a name where no token
 * guards a loopback port, since a page may have any name lead here. Off loopback a token is needed. Frames stay plain: the
 * compression that Codex's clients offer is not taken up. `/healthz` and `/readyz` answer 200.
 */
import type { IncomingMessage, Server } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { WebSocketServer } from "ws";
import { isLoopback } from "../../kernel/loopback.ts";
import { InvalidRequestError, StoreIoError } from "../../protocol/errors.ts";
import type { Access } from "../studio/wire.ts";
import { ADMISSION_LIMITS, Admission } from "./admission.ts";
import { type Listener, type ListenOptions, MAX_MESSAGE_BYTES, type Refusal } from "./listener.ts";
import { placeSocket } from "./socket-path.ts";
import { SocketWire } from "./socket-wire.ts";
import { type TokenCheck, tokenCheckOf } from "./token.ts";

/** After how long a peer that has vanished is looked for. */
const KEEP_ALIVE_MS = 60_000;

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
  const server = serverOf((request) => refusalOf(request, check, { byAddress: check === undefined }), options);
  await listening(server.http, () => server.http.listen(port, host));
  const { port: taken } = server.http.address() as AddressInfo;
  return { url: `ws://${host.includes(":") ? `[${host}]` : host}:${taken}`, close: server.close };
}

export async function listenOnSocket(path: string, options: ListenOptions): Promise<Listener> {
  const check = await tokenCheckOf(options.auth);
  const server = serverOf((request) => refusalOf(request, check), options);
  const listen = (address: string) => listening(server.http, () => server.http.listen(address));
  try {
    const place = await placeSocket(path, listen);
    const close = async () => {
      place.remove();
      await server.close();
    };
    return { url: `unix://${path}`, close };
  } catch (error) {
    await server.close();
    throw error;
  }
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(new StoreIoError(`--listen: ${cause.message}`, { cause })));
    server.once("listening", resolve);
    listen();
  });
}

type Admitted = { readonly access: Access } | Refusal;
type Screen = (request: IncomingMessage) => Refusal | undefined;

function serverOf(screen: Screen, { accept, logger, clock, limits, auth: { page } }: ListenOptions) {
  // An import of it would load all of undici, for names of its that nobody here uses.
  const { createServer } = process.getBuiltinModule("node:http");
  const admission = new Admission(clock, { ...ADMISSION_LIMITS, ...limits });
  const http = createServer({ keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (request, response) => {
    if (page !== undefined) {
      page.serve(request, response);
      return;
    }
    const isProbe = request.url === "/healthz" || request.url === "/readyz";
    response.statusCode = request.headers.origin !== undefined ? 403 : isProbe ? 200 : 404;
    // A line that only asks keeps no place.
    response.setHeader("connection", "close");
    response.end();
  });
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    autoPong: false,
    // Never what was offered first: a page offers its token too.
    ...(page !== undefined && { handleProtocols: () => page.protocol }),
  });
  http.on("connection", (socket: Socket) => admission.enter(socket));
  http.on("upgrade", (request: IncomingMessage, stream, head: Buffer) => {
    // Over HTTP/1 without TLS it is always a socket.
    const socket = stream as Socket;
    const admitted: Admitted = page?.admit(request) ?? screen(request) ?? { access: "act" };
    if ("status" in admitted) {
      refuse(socket, admitted);
      return;
    }
    const { access } = admitted;
    admission.meter(socket);
    sockets.handleUpgrade(request, socket, head, (ws) => accept(new SocketWire(ws, { socket, admission, access })));
  });
  http.on("clientError", (_error, socket) => socket.destroy());
  // Such as too many open files, at an accept: who waits is taken when there are fewer.
  const onError = (err: Error) => logger.warn({ err }, "a connection could not be taken");
  http.once("listening", () => http.on("error", onError));
  sockets.on("error", (err) => logger.warn({ err }, "the WebSocket server failed"));
  const close = async () => {
    for (const ws of sockets.clients) ws.terminate();
    sockets.close();
    admission.close();
    await new Promise((resolve) => http.close(resolve));
  };
  return { http, close };
}

/** Answers, and waits for nothing more: the peer may keep its half open for as long as it likes. */
function refuse(socket: Socket, { status, why }: Refusal): void {
  const body = `${why}\n`;
  const head = [
    `HTTP/1.1 ${status}`,
    "Connection: close",
    "Content-Type: text/plain",
    `Content-Length: ${body.length}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.destroySoon();
}

function refusalOf(
  { headers }: IncomingMessage,
  check: TokenCheck | undefined,
  { byAddress = false } = {},
): Refusal | undefined {
  if (headers.origin !== undefined) return { status: "403 Forbidden", why: "no browser may connect" };
  if (byAddress && !isOwnName(headers.host)) {
    return {
      status: "403 Forbidden",
      why: "connect to localhost or an IP address, or have the server ask for a token",
    };
  }
  if (check === undefined || check(headers.authorization)) return undefined;
  return { status: "401 Unauthorized", why: "a bearer token is needed, and is not this one" };
}

/** What no name server decides on. */
function isOwnName(host = ""): boolean {
  const name = host.replace(/:\d*$/, "").replace(/^\[|\]$/g, "");
  return name.toLowerCase() === "localhost" || isIP(name) !== 0;
}
