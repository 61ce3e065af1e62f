import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";
import { latch } from "./latch.ts";

export type Fault =
  | { readonly kind: "trickle"; readonly bytes: number }
  | { readonly kind: "cut"; readonly after: number }
  | { readonly kind: "stall"; readonly after: number };

/** A TCP proxy that hands on what the client sends, and spoils what the server answers. */
export class FaultProxy implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #server;

  private constructor(targetPort: number, fault: Fault) {
    this.#server = createServer({ noDelay: true }, (client) => {
      const upstream = connect(targetPort, "127.0.0.1");
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.once("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.pipe(upstream);
      void spoil(upstream, client, fault);
    });
  }

  static async start(targetPort: number, fault: Fault): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort, fault);
    const { opened, open } = latch();
    proxy.#server.listen(0, "127.0.0.1", () => open());
    await opened;
    return proxy;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** Connections between the client and the proxy, and between the proxy and the server. */
  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { opened, open } = latch();
    this.#server.close(() => open());
    for (const socket of this.#sockets) socket.destroy();
    await opened;
  }
}

async function spoil(from: Socket, to: Socket, fault: Fault): Promise<void> {
  let passed = 0;
  try {
    for await (const data of from) {
      const chunk = data as Buffer;
      if (fault.kind === "trickle") {
        for (let at = 0; at < chunk.length; at += fault.bytes) await write(to, chunk.subarray(at, at + fault.bytes));
        continue;
      }
      const part = chunk.subarray(0, Math.max(0, fault.after - passed));
      passed += chunk.length;
      if (part.length > 0) await write(to, part);
      if (passed >= fault.after && fault.kind === "cut") return void to.destroy();
    }
    to.end();
  } catch {
    to.destroy();
  }
}

/** One packet: the next write comes after this one has gone out and the event loop has turned. */
const write = (socket: Socket, bytes: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : setImmediate(resolve)));
  });
