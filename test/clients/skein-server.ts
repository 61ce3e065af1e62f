/** Our server as a process, in a home of its own, over a scripted model. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { mockProviderToml } from "../mock-provider.ts";
import { ModelServer } from "./model-server.ts";

export const CLI = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const DEADLINE_MS = 20_000;

/** A folder that goes with the test, a home and a workspace in it, and a model. */
export class Place implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "skein-clients-"));
  readonly model: ModelServer;

  private constructor(model: ModelServer) {
    this.model = model;
    for (const name of ["home", "work", "client"]) mkdirSync(join(this.folder, name));
    writeFileSync(join(this.home, "config.toml"), mockProviderToml(model.baseUrl));
  }

  static async create(): Promise<Place> {
    return new Place(await ModelServer.listen());
  }

  get home(): string {
    return join(this.folder, "home");
  }

  get work(): string {
    return join(this.folder, "work");
  }

  get client(): string {
    return join(this.folder, "client");
  }

  get env(): Record<string, string> {
    return { PATH: process.env.PATH ?? "", HOME: this.home, CODEX_HOME: this.home, TZ: "UTC", SHELL: "/bin/sh" };
  }

  /** `skein app-server` over stdio: its input and its lines. */
  spawnStdio(): ChildProcess {
    const args = [CLI, "app-server", "--home", this.home];
    return spawn(process.execPath, args, { cwd: this.work, env: this.env, stdio: ["pipe", "pipe", "inherit"] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Ends a process that we started, and waits until it has. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const killer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(killer);
}

/** `skein app-server` over a WebSocket. */
export class SkeinServer implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(place: Place, listen = "ws://127.0.0.1:0"): Promise<SkeinServer> {
    const args = [CLI, "app-server", "--home", place.home, "--listen", listen];
    const child = spawn(process.execPath, args, {
      cwd: place.work,
      env: place.env,
      stdio: ["ignore", "inherit", "pipe"],
    });
    const errors = child.stderr;
    if (errors === null) throw new Error("no stderr");
    const url = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the server does not listen")), DEADLINE_MS);
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
      createInterface({ input: errors }).on("line", (line) => {
        const found = /listening on (\S+)/.exec(line)?.[1];
        if (found === undefined) process.stderr.write(`server: ${line}\n`);
        else {
          clearTimeout(timer);
          resolve(found);
        }
      });
    });
    return new SkeinServer(child, url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child);
  }
}
