/**
 * A network of this machine's own: each node in a network namespace behind a bridge, so that one can be cut off from the others and from
 * everybody else, as a failed switch does: no connection is ended, and nothing comes through. Needs root and `ip`.
 */
import { spawnSync } from "node:child_process";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Of the range for tests of networks (RFC 2544), which no network has. */
const SUBNET = "198.18.77";

const ip = (...args: readonly string[]): void => {
  const { status, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${error?.message ?? stderr}`);
};

const NAMED = /^sk(\d+)(n\d+)?$/;

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
};

/** The names of namespaces, or of links, that a process has made which was killed before it could remove them. */
const leftOf = (...list: readonly string[]): string[] =>
  (spawnSync("ip", list, { encoding: "utf8" }).stdout ?? "").split("\n").flatMap((line) => {
    const name = line.replace(/^\d+: /, "").split(/[\s:@]/)[0] ?? "";
    const [, pid] = NAMED.exec(name) ?? [];
    return pid !== undefined && !isAlive(Number(pid)) ? [name] : [];
  });

/** What was killed leaves its network behind: names carry the process, and whoever comes next removes those of dead ones. */
function removeLeft(): void {
  // Another run may be at it too: one that is gone is well. A namespace takes its end of each pair along, and so the other end.
  for (const name of leftOf("netns", "list")) spawnSync("ip", ["netns", "del", name]);
  for (const name of leftOf("-o", "link", "show", "type", "bridge")) spawnSync("ip", ["link", "del", name]);
}

export type NodePlace = { readonly ip: string; readonly prefix: readonly string[] };

export class NodeNetwork implements AsyncDisposable {
  /** Where the nodes reach what runs outside of the namespaces. */
  readonly host = `${SUBNET}.1`;
  readonly #name = `sk${process.pid}`;
  readonly #undo: (() => void)[] = [];
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly places: readonly NodePlace[];

  private constructor(count: number) {
    this.places = Array.from({ length: count }, (_, n) => ({
      ip: `${SUBNET}.${n + 11}`,
      prefix: ["ip", "netns", "exec", this.#namespace(n)],
    }));
  }

  /** Why there can be none here; false where there can. */
  static get missing(): string | false {
    if (process.getuid?.() !== 0) return "network namespaces need root";
    return spawnSync("ip", ["netns", "list"]).status === 0 ? false : "`ip netns` is not there";
  }

  static create(count: number): NodeNetwork {
    removeLeft();
    const network = new NodeNetwork(count);
    try {
      network.#build();
    } catch (error) {
      network.#tearDown();
      throw error;
    }
    return network;
  }

  #namespace(n: number): string {
    return `${this.#name}n${n}`;
  }

  #link(n: number): string {
    return `${this.#name}v${n}`;
  }

  #build(): void {
    ip("link", "add", this.#name, "type", "bridge");
    this.#undo.push(() => ip("link", "del", this.#name));
    ip("addr", "add", `${this.host}/24`, "dev", this.#name);
    ip("link", "set", this.#name, "up");
    for (const [n, place] of this.places.entries()) {
      const [namespace, link] = [this.#namespace(n), this.#link(n)];
      ip("netns", "add", namespace);
      this.#undo.push(() => ip("netns", "del", namespace));
      ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
      ip("link", "set", link, "master", this.#name, "up");
      ip("-n", namespace, "addr", "add", `${place.ip}/24`, "dev", "eth0");
      ip("-n", namespace, "link", "set", "eth0", "up");
      ip("-n", namespace, "link", "set", "lo", "up");
    }
  }

  cutOff(n: number): void {
    ip("link", "set", this.#link(n), "down");
  }

  mend(n: number): void {
    ip("link", "set", this.#link(n), "up");
  }

  /** The nodes reach a port of the loopback by the address that this gives. */
  async forward(port: number): Promise<string> {
    const server = createServer((from) => {
      const to = connect(port, "127.0.0.1");
      for (const socket of [from, to]) {
        this.#sockets.add(socket);
        socket
          .on("error", () => undefined)
          .on("close", () => {
            this.#sockets.delete(socket);
            from.destroy();
            to.destroy();
          });
      }
      from.pipe(to).pipe(from);
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, this.host, resolve));
    this.#servers.push(server);
    return `http://${this.host}:${port}`;
  }

  #tearDown(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#tearDown();
  }
}
