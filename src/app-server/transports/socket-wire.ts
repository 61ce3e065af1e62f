/** One client over a WebSocket: one message a text frame. */
import type { Socket } from "node:net";
import { WebSocket } from "ws";
import type { Access } from "../studio/wire.ts";
import type { Wire, WireListener } from "../wire.ts";
import type { Admission } from "./admission.ts";

/** What may wait in a socket before its client counts as a slow reader. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** The code of a line that ends since its client does not keep to the rules. */
const POLICY_VIOLATION = 1008;

export class SocketWire implements Wire {
  listener: WireListener | undefined;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #admission: Admission;
  #isSlow = false;
  #isAdmitted = false;
  /** What is said within one turn of the event loop goes out with one write: a system call costs what ten messages do. */
  #tick: NodeJS.Immediate | undefined;

  readonly access: Access | undefined;

  constructor(
    ws: WebSocket,
    { socket, admission, access }: { socket: Socket; admission: Admission; access?: Access | undefined },
  ) {
    this.access = access;
    this.#ws = ws;
    this.#socket = socket;
    this.#admission = admission;
    ws.on("message", (data, isBinary) => {
      if (!isBinary) this.listener?.onText(data.toString());
    });
    ws.once("close", () => this.listener?.onClosed());
    // What broke the line is followed by its close.
    ws.on("error", () => undefined);
    // A client that pings and does not read gets no further answers, which would wait here without bound.
    ws.on("ping", (data) => {
      if (ws.readyState === WebSocket.OPEN && ws.bufferedAmount < HIGH_WATER_BYTES)
        ws.pong(data, false, () => undefined);
    });
    admission.upgraded(socket, (why) => this.#dismiss(why));
  }

  admitted(): void {
    this.#isAdmitted = true;
    this.#admission.admit(this.#socket);
  }

  /** Tells why, and waits for nobody: a stranger that does not read keeps nothing. */
  #dismiss(why: string): void {
    this.#uncork();
    this.#ws.close(POLICY_VIOLATION, why);
    this.#socket.destroySoon();
    if (this.#socket.writableLength > 0) this.#socket.destroy();
  }

  send(text: string): boolean {
    if (this.#ws.readyState !== WebSocket.OPEN) return true;
    if (this.#tick === undefined) {
      this.#socket.cork();
      this.#tick = setImmediate(() => this.#uncork());
    }
    this.#ws.send(text, () => this.#onSent());
    if (this.#ws.bufferedAmount > HIGH_WATER_BYTES) {
      this.#isSlow = true;
      if (!this.#isAdmitted) this.#dismiss("the answers were not read");
    }
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
