/** Between a store and its server: once the server has done what it was asked to change, the answer can be kept from who asked. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** `cut`: the connection ends in place of the answer. `silent`: nothing comes. */
export type Loss = "cut" | "silent";

const CHANGES = /INSERT INTO|UPDATE |DELETE FROM|COMMIT/;
const STATEMENT_NAME = /skein_[0-9a-f]{24}/;
/** ReadyForQuery: what was asked is done; outside of a transaction (I) it is committed. */
const DONE = "Z\0\0\0\x05";

export class LosingProxy implements AsyncDisposable {
  readonly connectionString: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Of statements that were prepared, those that change something. */
  readonly #changing = new Set<string>();
  #loss: Loss | undefined;
  #after = 0;
  /** How many answers were lost. */
  lost = 0;

  private constructor(server: Server, address: URL) {
    this.#server = server;
    const { hostname, port } = address;
    server.on("connection", (client) => this.#serve(client, connect(Number(port), hostname)));
    const own = new URL(address);
    own.port = String((server.address() as AddressInfo).port);
    this.connectionString = own.href;
  }

  static async before(connectionString: string): Promise<LosingProxy> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LosingProxy(server, new URL(connectionString));
  }

  /** From now on, each answer to a change is lost, but for the next `after`. */
  lose(loss: Loss, after = 0): void {
    this.#loss = loss;
    this.#after = after;
    this.lost = 0;
  }

  over(): void {
    this.#loss = undefined;
  }

  #serve(client: Socket, server: Socket): void {
    let asked = "";
    let answer = "";
    for (const [socket, other] of [[client, server] as const, [server, client] as const]) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (data) => {
      asked += data.toString("latin1");
      server.write(data);
    });
    server.on("data", (data) => {
      answer += data.toString("latin1");
      const isDone = answer.slice(0, -1).endsWith(DONE);
      if (!isDone && this.#loss !== undefined) return;
      const isLost = isDone && answer.endsWith("I") && this.#isLost(asked);
      if (isDone) asked = "";
      if (!isLost) client.write(answer, "latin1");
      else if (this.#loss === "cut") client.destroy();
      answer = "";
    });
  }

  #isLost(asked: string): boolean {
    const name = STATEMENT_NAME.exec(asked)?.[0] ?? "";
    const changes = CHANGES.test(asked) || this.#changing.has(name);
    if (changes && name !== "") this.#changing.add(name);
    if (this.#loss === undefined || !changes) return false;
    if (this.#after > 0) {
      this.#after -= 1;
      return false;
    }
    this.lost += 1;
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
