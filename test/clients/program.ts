/** The programs that clients are tried on: stock Codex of two versions, and ours. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { codexBinary } from "../oracle/codex-binary.ts";
import { CLI, end, type Place } from "./place.ts";
import { type Json, StdioClient, type Wire } from "./stdio-client.ts";

export type Program = { readonly name: string; readonly command: readonly string[] };

export const SKEIN: Program = { name: "Skein", command: [process.execPath, CLI] };
export const STOCK = ["0.169.0", "0.171.0"] as const;
const PATIENCE_MS = 60_000;
const LOOK_MS = 50;

/** Stock programs that can be had here, the older first. */
export function stockPrograms(): Program[] {
  return STOCK.flatMap((version): Program[] => {
    const binary = codexBinary(version);
    return binary === undefined ? [] : [{ name: `Codex ${version}`, command: [binary] }];
  });
}

export function start({ command }: Program, place: Place, args: readonly string[]): ChildProcess {
  const [file = "", ...before] = command;
  return spawn(file, [...before, ...args], { cwd: place.work, env: place.env, stdio: ["pipe", "pipe", "ignore"] });
}

export function outputOf(
  { command }: Program,
  place: Place,
  args: readonly string[],
): { status: number | null; text: string } {
  const [file = "", ...before] = command;
  const options = { cwd: place.work, env: place.env, encoding: "utf8", timeout: PATIENCE_MS } as const;
  const { status, stdout, stderr } = spawnSync(file, [...before, ...args], options);
  return { status, text: `${stdout}${stderr}` };
}

/** One executable for clients that take a path: the program, in the place's home. */
export function executable({ command }: Program, { folder, home }: { folder: string; home: string }): string {
  const path = join(folder, "codex");
  const words = command.map((word) => `'${word}'`).join(" ");
  writeFileSync(path, `#!/bin/sh\nCODEX_HOME='${home}' exec ${words} "$@"\n`, { mode: 0o755 });
  return path;
}

export async function greet(client: StdioClient, name: string): Promise<Json> {
  const clientInfo = { name, title: name, version: "1.0.0" };
  const answer = await client.ask("initialize", { clientInfo, capabilities: { experimentalApi: true } });
  client.send({ method: "initialized" });
  return answer;
}

/** A client over stdio, greeted, whose program was begun with these arguments. */
export async function stdioClient(program: Program, place: Place, args: readonly string[]): Promise<StdioClient> {
  const client = new StdioClient(start(program, place, args));
  await greet(client, "driver");
  return client;
}

/** Until somebody takes connections there. */
async function untilOpen(url: string, child: ChildProcess): Promise<void> {
  const { hostname, port } = new URL(url);
  const to = url.startsWith("unix://") ? { path: url.slice("unix://".length) } : { host: hostname, port: Number(port) };
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await takesConnections(to))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`nobody listens at ${url}`);
    await pause(LOOK_MS);
  }
}

function takesConnections(to: { path: string } | { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(to, () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** A server on an address of its own, as it is when it answers. */
export class Listener implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** @param at where to listen; a port of its own without it */
  static async start(program: Program, place: Place, at?: string): Promise<Listener> {
    const url = at ?? `ws://127.0.0.1:${await freePort()}`;
    const child = start(program, place, ["app-server", "--listen", url]);
    const listener = new Listener(child, url);
    try {
      await untilOpen(url, child);
    } catch (error) {
      await end(child);
      throw error;
    }
    return listener;
  }

  async client(name: string): Promise<StdioClient> {
    const socket = new WebSocket(this.url);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", () => reject(new Error("no connection")), { once: true });
    });
    const client = new StdioClient(socketWire(socket));
    await greet(client, name);
    return client;
  }

  /** By SIGKILL, as a crash. */
  async kill(): Promise<void> {
    await end(this.#child, "SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child);
  }
}

const socketWire = (socket: WebSocket): Wire => ({
  hear: (take) => socket.addEventListener("message", ({ data }) => take(String(data))),
  send: (text) => socket.send(text),
  close: async () => socket.close(),
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
