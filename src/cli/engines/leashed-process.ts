/**
 * A server that ends with whoever started it, however that one ends. A shell stands between the two and reads a pipe that
 * only the owner holds: a line in it asks for the end, and so does the pipe's own end, which the system brings about when the
 * owner is killed. The shell then ends the server politely, after a while by force, and removes the folder, unless the server is
 * to come back to it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const WATCH = `
ending=$1 tenths=$2 folder=$3; shift 3
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
(
  word=; read -r word <&3
  trap '' TERM
  if [ "$word" = kill ]; then tenths=0; else kill -s "$ending" "$server"; fi
  while [ "$tenths" -gt 0 ] && kill -0 "$server"; do sleep 0.1; tenths=$((tenths - 1)); done
  kill -s KILL "$server"
  case "$word" in kill|stop) ;; *) exit 7 ;; esac
) 2>/dev/null &
watch=$!
wait "$server"; code=$?
kill -s TERM "$watch" 2>/dev/null
wait "$watch"
if [ $? = 7 ] && [ -n "$folder" ]; then rm -rf -- "$folder"; fi
exit "$code"
`;

export type LeashedLaunch = {
  readonly argv: readonly string[];
  /** On top of what every program needs; settings of the owner's own environment are not the server's. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
  readonly cwd?: string;
  /** The file that gets what the server says. */
  readonly log: string;
  /** What is removed at its end, and where the owner has died. */
  readonly folder?: string;
  /** What asks the server to end. */
  readonly ending: "SIGINT" | "SIGTERM";
  /** How long it may take to end, before it is ended by force. */
  readonly graceMs: number;
};

export class LeashedProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #log: string;

  constructor({ argv, env = {}, cwd, log, folder = "", ending, graceMs }: LeashedLaunch) {
    const output = openSync(log, "a", 0o600);
    try {
      const args = ["-c", WATCH, "sh", ending.slice(3), String(Math.ceil(graceMs / 100)), folder, ...argv];
      // A session of its own: Ctrl-C of the terminal comes to the owner, who says when.
      this.#child = spawn("sh", args, {
        env: { ...plainEnvironment(), ...env },
        cwd,
        detached: true,
        stdio: ["pipe", output, output],
      });
    } finally {
      closeSync(output);
    }
    this.#log = log;
    this.#child.stdin?.on("error", () => undefined); // whoever is asked to end may have ended
    this.#exited = this.#child.exitCode === null ? once(this.#child, "exit").catch(() => undefined) : Promise.resolve();
  }

  get hasExited(): boolean {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resolves when it has ended, for whatever reason. */
  get exited(): Promise<unknown> {
    return this.#exited;
  }

  /** The end of what it has said. */
  get lastWords(): string {
    return readFileSync(this.#log, "utf8").trim().split("\n").slice(-5).join("\n");
  }

  /** Ends it as it wants to be ended; its folder stays. */
  async stop(): Promise<void> {
    await this.#ask("stop");
  }

  /** The same for good: its folder goes, also where the owner does not live to see it. */
  async end(): Promise<void> {
    await this.#ask("end");
  }

  /** Ends it as a machine does that loses its power. */
  async kill(): Promise<void> {
    await this.#ask("kill");
  }

  async #ask(word: "stop" | "end" | "kill"): Promise<void> {
    this.#child.stdin?.end(`${word}\n`);
    await this.#exited;
  }
}

const plainEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(["PATH", "HOME", "TMPDIR"].map((name) => [name, process.env[name]]));

/**
 * Asks again and again until the server answers.
 *
 * @throws what `ask` has thrown last, after `deadlineMs` or once the server has ended; the signal's reason
 */
export async function answerOf<T>(
  ask: () => Promise<T>,
  { server, deadlineMs, signal }: { server?: LeashedProcess; deadlineMs: number; signal?: AbortSignal | undefined },
): Promise<T> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > until || server?.hasExited === true) throw error;
    }
    await delay(RETRY_MS, undefined, { ...(signal !== undefined && { signal }) });
  }
}

const RETRY_MS = 50;
