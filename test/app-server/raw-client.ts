/** Clients that keep to nothing: they speak in bytes. */
import { once } from "node:events";
import { connect, type NetConnectOpts, type Socket } from "node:net";

export const UPGRADE = [
  "GET / HTTP/1.1",
  "Host: 127.0.0.1",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

export const upgradeRequest = (...further: string[]): string => `${[...UPGRADE, ...further].join("\r\n")}\r\n\r\n`;

/** A socket that keeps its half open, and says nothing by itself. */
export async function rawSocket(target: NetConnectOpts): Promise<Socket> {
  const socket = connect({ ...target, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

export const portOf = (url: string): number => Number(new URL(url).port);

/** What came until the server ended the line. */
export function received(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  return new Promise((resolve) => {
    if (socket.destroyed || socket.readableEnded) resolve(text);
    for (const end of ["end", "close"]) socket.once(end, () => resolve(text));
  });
}

/** A masked frame of a client; the mask is all zeros, so that the payload can be read. */
export function frame(payload: Uint8Array, { opcode = 1, isFinal = true } = {}): Buffer {
  const { length } = payload;
  const first = (isFinal ? 0x80 : 0) | opcode;
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([first, ...size, 0, 0, 0, 0]), payload]);
}
