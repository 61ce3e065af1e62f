/**
 * Who may hold a connection of a listener.
 *
 * - A socket has an error listener from its first moment to its last: a reset is nobody's failure.
 * - Until its client has initialized, a connection is a stranger's. It has a deadline, may send little, and shares a few
 *   places with all other strangers. When those are taken, the stranger that has been there longest is cut off: it has
 *   had the most time, and a later client still gets in.
 * - A client's place is never taken for a stranger.
 */
import type { Socket } from "node:net";
import type { Clock } from "../../kernel/clock.ts";

/** What a listener lets in before its clients have initialized. */
export type AdmissionLimits = {
  /** Connections of one listener. Default 1,024. */
  readonly connections: number;
  /** Of them, those whose clients have not initialized. Default 128. */
  readonly strangers: number;
  /** How long a client may take from connecting to `initialize`, in milliseconds. Default 10,000. */
  readonly initializeMs: number;
  /** How much a client may send before it has initialized. Default 256 KiB. */
  readonly strangerBytes: number;
};

export const ADMISSION_LIMITS: AdmissionLimits = {
  connections: 1_024,
  strangers: 128,
  initializeMs: 10_000,
  strangerBytes: 256 * 1024,
};

type Stranger = { readonly timer: unknown; bytes: number; dismiss: (why: string) => void };

export class Admission {
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;
  /** In the order in which they came. */
  readonly #strangers = new Map<Socket, Stranger>();
  readonly #clients = new Set<Socket>();

  constructor(clock: Clock, limits: AdmissionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Somebody has connected. */
  enter(socket: Socket): void {
    // What broke is followed by its close.
    socket.on("error", () => undefined);
    const { connections, strangers, initializeMs } = this.#limits;
    const room = Math.min(strangers, connections - this.#clients.size);
    if (room <= 0) {
      socket.destroy();
      return;
    }
    if (this.#strangers.size >= room) this.#dismissOldest();
    const timer = this.#clock.background(() => this.#dismiss(socket, "initialize did not come in time"), initializeMs);
    this.#strangers.set(socket, { timer, bytes: 0, dismiss: () => socket.destroy() });
    socket.once("close", () => this.#leave(socket));
  }

  /** The socket speaks the protocol from now on; `dismiss` says why before it ends the line. */
  upgraded(socket: Socket, dismiss: (why: string) => void): void {
    const stranger = this.#strangers.get(socket);
    if (stranger !== undefined) stranger.dismiss = dismiss;
  }

  /** Counts what a stranger sends, from here on. */
  meter(socket: Socket): void {
    const count = (chunk: Buffer) => {
      const stranger = this.#strangers.get(socket);
      if (stranger === undefined) {
        socket.off("data", count);
        return;
      }
      stranger.bytes += chunk.length;
      if (stranger.bytes <= this.#limits.strangerBytes) return;
      socket.off("data", count);
      this.#dismiss(socket, `more than ${this.#limits.strangerBytes} bytes came before initialize`);
    };
    socket.on("data", count);
  }

  /** Its client has initialized. */
  admit(socket: Socket): void {
    if (!this.#strangers.has(socket)) return;
    this.#leave(socket);
    this.#clients.add(socket);
  }

  /** Ends all connections. */
  close(): void {
    for (const socket of [...this.#strangers.keys(), ...this.#clients]) socket.destroy();
  }

  #dismissOldest(): void {
    const [oldest] = this.#strangers.keys();
    if (oldest !== undefined) this.#dismiss(oldest, "too many connections that have not initialized");
  }

  #dismiss(socket: Socket, why: string): void {
    const stranger = this.#strangers.get(socket);
    this.#leave(socket);
    stranger?.dismiss(why);
  }

  #leave(socket: Socket): void {
    const stranger = this.#strangers.get(socket);
    if (stranger !== undefined) this.#clock.clearTimeout(stranger.timer);
    this.#strangers.delete(socket);
    this.#clients.delete(socket);
  }
}
