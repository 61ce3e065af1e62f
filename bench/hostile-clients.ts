/** Connections that mean harm, held by a thread of their own: as soon as the server ends one, it is opened anew. */
import { connect, type Socket } from "node:net";
import { workerData } from "node:worker_threads";
import { frame, upgradeRequest } from "../test/app-server/raw-client.ts";

export const HOSTILE_KINDS = ["silent", "slow", "refused", "reset", "oversized"] as const;
export type HostileKind = (typeof HOSTILE_KINDS)[number];
export type HostileWork = { readonly kind: HostileKind; readonly port: number; readonly count: number };

const MIB = Buffer.alloc(60_000, 0x20);
const SLOW_BYTE_MS = 100;
/** A server that refuses at once is not asked in a tight loop: ten thousand connects a second are another test. */
const AGAIN_MS = 1_000;

const ACTS: Readonly<Record<HostileKind, (socket: Socket) => void>> = {
  silent: () => undefined,
  slow(socket) {
    const timer = setInterval(() => socket.write("x"), SLOW_BYTE_MS);
    socket.write("GET / HTTP/1.1\r\nX: ");
    socket.once("close", () => clearInterval(timer));
  },
  refused: (socket) => socket.write(upgradeRequest("Origin: http://evil")),
  reset(socket) {
    socket.write(upgradeRequest("Origin: http://evil"));
    socket.once("data", () => socket.resetAndDestroy());
  },
  oversized(socket) {
    socket.write(upgradeRequest());
    socket.once("data", () => {
      for (let left = 16; left > 0; left -= 1) socket.write(frame(MIB));
    });
  },
};

function hold({ kind, port, count }: HostileWork): void {
  const open = () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => ACTS[kind](socket));
    socket.on("error", () => undefined);
    socket.on("data", () => undefined);
    // A half that is kept is given up when it is broken.
    socket.once("end", () => socket.write("x"));
    socket.once("close", () => setTimeout(open, AGAIN_MS));
  };
  for (let left = count; left > 0; left -= 1) open();
}

if (workerData !== null) hold(workerData as HostileWork);
