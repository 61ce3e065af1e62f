/** Runs one command to its end, its timeout or its interruption, with its output bounded and told as it comes. */
import type { Readable } from "node:stream";
import type { Clock } from "../../../kernel/clock.ts";
import { ProcessGroup } from "../process-group.ts";
import { OutputWindow } from "./output-window.ts";

export type CommandOptions = {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onOutput: (stream: "stdout" | "stderr", chunk: Buffer) => void;
};

export type CommandResult = {
  readonly ending: "exited" | "timedOut" | "aborted";
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, as they came. */
  readonly aggregated: string;
  /** How many lines came, and how many bytes `aggregated` lacks in its middle. */
  readonly lines: number;
  readonly omittedBytes: number;
  readonly durationMs: number;
};

/** What is kept of each stream, and of both together. */
const KEPT_BYTES = 256 * 1024;

/** Bytes told as deltas; the rest is only counted, since a replay would hold all of it. */
const TOLD_BYTES = 1024 * 1024;

/** How long the pipes may stay open after the command's end: whoever holds them has left the group. */
const DRAIN_MS = 100;

/** GNU timeout's exit code, as Codex gives it. */
export const TIMEOUT_EXIT_CODE = 124;

/** The numbers of the signals that end programs, for exit codes in the way of shells. */
const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGABRT: 6,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

/** @throws when the program cannot be started. An abort ends the command and resolves with what it wrote until then. */
export async function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const { clock, signal, timeoutMs, onOutput } = options;
  const startedAt = clock.now();
  const group = new ProcessGroup(argv, options);
  const { child } = group;
  const windows = { stdout: new OutputWindow(KEPT_BYTES), stderr: new OutputWindow(KEPT_BYTES) };
  const both = new OutputWindow(KEPT_BYTES);
  let told = 0;
  const listen = (name: "stdout" | "stderr") =>
    child[name]?.on("data", (chunk: Buffer) => {
      windows[name].push(chunk);
      both.push(chunk);
      if (told < TOLD_BYTES) onOutput(name, chunk.subarray(0, TOLD_BYTES - told));
      told += chunk.length;
    });
  listen("stdout");
  listen("stderr");

  let ending = "exited" as CommandResult["ending"];
  const end = (how: "timedOut" | "aborted") => {
    ending = how;
    group.terminate();
  };
  const timer = clock.setTimeout(() => end("timedOut"), timeoutMs);
  const onAbort = () => end("aborted");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const exitCode = await exitOf(group);
    clock.clearTimeout(timer);
    await streamsClosed([child.stdout, child.stderr], clock);
    return {
      ending,
      exitCode: ending === "timedOut" ? TIMEOUT_EXIT_CODE : exitCode,
      stdout: windows.stdout.text(),
      stderr: windows.stderr.text(),
      aggregated: both.text(),
      lines: both.lines,
      omittedBytes: both.omittedBytes,
      durationMs: clock.now() - startedAt,
    };
  } finally {
    clock.clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** How the group's leader ended. @throws when it could not be started */
export function exitOf({ child }: ProcessGroup): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + (SIGNALS[signal ?? ""] ?? 0)));
  });
}

/** Resolves when both pipes have ended, or are cut off. */
export async function streamsClosed(streams: readonly (Readable | null)[], clock: Clock): Promise<void> {
  const open = streams.filter((stream) => stream !== null && !stream.closed);
  if (open.length === 0) return;
  const late = Promise.withResolvers<void>();
  const timer = clock.setTimeout(late.resolve, DRAIN_MS);
  const all = Promise.all(open.map((stream) => new Promise((resolve) => stream?.once("close", resolve))));
  await Promise.race([all, late.promise]);
  clock.clearTimeout(timer);
  for (const stream of open) stream?.destroy();
}
