/** A program in a terminal of its own, by tmux. */
import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Place } from "./place.ts";

const DEADLINE_MS = 20_000;
const LOOK_MS = 50;
const STILL_LOOK_MS = 150;
/** Looks that have to show the same. */
const STILL = 4;
const LOOKS_AT_MOST = 40;

export const hasTmux = (): boolean => spawnSync("tmux", ["-V"]).status === 0;

/** The client has a home of its own, with the same settings. */
export function clientEnv({ client, home }: Place): Record<string, string> {
  copyFileSync(join(home, "config.toml"), join(client, "config.toml"));
  return { PATH: process.env.PATH ?? "", HOME: client, CODEX_HOME: client, TZ: "UTC", LANG: "C.UTF-8" };
}

export class Terminal implements Disposable {
  /** A tmux server that nobody else uses. */
  readonly #socket: string;

  constructor(socket: string, command: readonly string[], options: { cwd: string; env: Record<string, string> }) {
    this.#socket = socket;
    const env = Object.entries(options.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const start = ["new-session", "-d", "-x", "120", "-y", "100", "-c", options.cwd, ...env, ...command];
    this.#tmux("-f", "/dev/null", "start-server", ";", "set-option", "-g", "remain-on-exit", "on", ";", ...start);
  }

  #tmux(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync("tmux", ["-S", this.#socket, ...args], { encoding: "utf8" });
    if (status !== 0) throw new Error(`tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  get screen(): string {
    return this.#tmux("capture-pane", "-p");
  }

  get hasEnded(): boolean {
    return this.#tmux("display-message", "-p", "#{pane_dead}").trim() === "1";
  }

  key(...names: string[]): void {
    this.#tmux("send-keys", ...names);
  }

  /** Types the text, and enters it once it is seen: what comes too fast counts as pasted. */
  async enter(text: string): Promise<void> {
    this.#tmux("send-keys", "-l", text);
    await this.until(`the prompt ${text}`, (screen) => screen.includes(`› ${text}`));
    await pause(PASTE_MS);
    this.key("Enter");
  }

  async see(text: string): Promise<void> {
    await this.until(`to see ${text}`, (screen) => screen.includes(text));
  }

  async until(what: string, isSo: (screen: string) => boolean): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const { screen } = this;
      if (isSo(screen)) return;
      if (Date.now() > deadline) throw new Error(`waited for ${what}:\n${screen.replace(/\n\s*\n+/g, "\n")}`);
      await pause(LOOK_MS);
    }
  }

  /** Until nothing on the screen changes, or the patience ends: what it shows then. A turn that runs shows its seconds. */
  async rest(): Promise<string> {
    let last = "";
    for (let same = 0, look = 0; same < STILL && look < LOOKS_AT_MOST; look += 1) {
      await pause(STILL_LOOK_MS);
      const { screen } = this;
      same = screen === last && !screen.includes("esc to interrupt") ? same + 1 : 0;
      last = screen;
    }
    return last;
  }

  /** A key for a question, until the question is gone: what comes while the screen is still being drawn is lost. */
  async answer(question: string, key: string): Promise<void> {
    await this.see(question);
    await this.until("the question to take its answer", (screen) => {
      if (!screen.includes(question)) return true;
      this.key(key);
      return false;
    });
  }

  async untilEnded(): Promise<void> {
    await this.until("the program to end", () => this.hasEnded);
  }

  [Symbol.dispose](): void {
    spawnSync("tmux", ["-S", this.#socket, "kill-server"]);
  }
}

/** The TUI takes an Enter that follows a burst of characters this fast for part of what was pasted. */
const PASTE_MS = 300;
