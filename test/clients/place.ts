/** A home and a workspace of their own, over a scripted model. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mockProviderToml } from "../mock-provider.ts";
import { ModelServer } from "./model-server.ts";

/** As it is built: what a user runs. */
export const CLI = new URL("../../dist/src/cli/main.js", import.meta.url).pathname;

/** To a model that stock's list does not have it gives no apply_patch, and warns. */
export const knownModel = (toml: string): string => toml.replace(/^model = .*$/m, 'model = "gpt-6.1-sol"');

/** A folder that goes with the test, a home and a workspace in it, and a model. */
export class Place implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "skein-clients-"));
  readonly model: ModelServer;

  private constructor(model: ModelServer) {
    this.model = model;
    for (const name of ["home", "work", "client", "tmp"]) mkdirSync(join(this.folder, name));
    writeFileSync(join(this.home, "config.toml"), knownModel(mockProviderToml(model.baseUrl)));
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
    const { home } = this;
    // Stock Codex has no sandbox where its home lies in the folder for temporary files.
    const TMPDIR = join(this.folder, "tmp");
    return { PATH: process.env.PATH ?? "", HOME: home, CODEX_HOME: home, TMPDIR, TZ: "UTC", SHELL: "/bin/sh" };
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
