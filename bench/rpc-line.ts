/** How a JSON-RPC client of an app-server talks to it: over the streams of its process, or over a WebSocket. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

export interface RpcLine {
  readonly pid: number;
  /** Where others may connect; undefined over stdio. */
  readonly url?: string;
  onText: (text: string) => void;
  send(text: string): void;
  /** Ends the line and the server, by force after five seconds. */
  close(): Promise<void>;
}

export type ServerProcess = {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
};

export async function openLine(server: ServerProcess, transport: string): Promise<RpcLine> {
  return transport === "ws" ? WsLine.open(server) : new StdioLine(server);
}

function start({ command: [program = "", ...args], env, cwd }: ServerProcess): ChildProcess {
  return spawn(program, args, { cwd, env: { PATH: process.env.PATH ?? "", ...env }, stdio: ["pipe", "pipe", "pipe"] });
}

async function end(child: ChildProcess, ask: () => void): Promise<void> {
  const ended = once(child, "exit");
  ask();
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(timer);
}

class StdioLine implements RpcLine {
  onText: (text: string) => void = () => undefined;
  readonly #child: ChildProcess;
  #rest = "";

  constructor(server: ServerProcess) {
    this.#child = start(server);
    this.#child.stderr?.resume();
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (this.#rest + chunk).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.onText(line);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  send(text: string): void {
    this.#child.stdin?.write(`${text}\n`);
  }

  close(): Promise<void> {
    return end(this.#child, () => this.#child.stdin?.end());
  }
}

class WsLine implements RpcLine {
  onText: (text: string) => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #socket: WebSocket;

  readonly url: string;

  static async open({ command, ...rest }: ServerProcess): Promise<WsLine> {
    const child = start({ ...rest, command: [...command, "--listen", "ws://127.0.0.1:0"] });
    if (child.stderr === null) throw new Error("the server has no standard error");
    for await (const line of createInterface(child.stderr)) {
      const url = /ws:\/\/\S+/.exec(line)?.[0];
      if (url === undefined) continue;
      const socket = new WebSocket(url, { perMessageDeflate: false });
      await once(socket, "open");
      return new WsLine(child, socket, url);
    }
    throw new Error("the server ended before it listened");
  }

  constructor(child: ChildProcess, socket: WebSocket, url: string) {
    this.url = url;
    this.#child = child;
    this.#socket = socket;
    child.stderr?.resume();
    socket.on("message", (data) => this.onText(data.toString()));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(): Promise<void> {
    this.#socket.close();
    return end(this.#child, () => this.#child.kill("SIGTERM"));
  }
}
