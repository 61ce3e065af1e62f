/** A program that prints JSON lines, run with its children for so long and no longer. */
import { spawn } from "node:child_process";
import type { Line } from "./summary.ts";

export type Ended = { readonly lines: readonly Line[]; readonly seconds: number; readonly failure: string | undefined };

export type Program = {
  readonly command: readonly string[];
  readonly seconds: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly onLine?: (line: Line) => void;
};

const GROUP = "SKEIN_BENCH_GROUP";
let endsOnSignals = false;

/** An exit runs what ends the children; a signal alone would leave them. */
function endOnSignals(): void {
  if (endsOnSignals) return;
  endsOnSignals = true;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
}

/** Never rejects: what was printed before it failed, or was ended, is kept. */
export function runBounded({ command, seconds, env, cwd, onLine }: Program): Promise<Ended> {
  const begun = performance.now();
  const [program = "", ...args] = command;
  const lines: Line[] = [];
  return new Promise((resolve) => {
    // A group of its own, so that what it has started ends with it; within one, all stay in that.
    const leads = process.env[GROUP] === undefined;
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "inherit"],
      detached: leads,
      env: { ...process.env, ...env, [GROUP]: "1" },
      ...(cwd !== undefined && { cwd }),
    });
    const end = () => {
      if (leads) killGroup(child.pid);
      else child.kill("SIGKILL");
    };
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      end();
    }, seconds * 1_000);
    endOnSignals();
    process.once("exit", end);
    let rest = "";
    child.stdout.on("data", (chunk: Buffer) => {
      const parts = (rest + String(chunk)).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts.flatMap(lineOf)) {
        lines.push(line);
        onLine?.(line);
      }
    });
    const done = (failure: string | undefined) => {
      clearTimeout(timer);
      process.off("exit", end);
      resolve({ lines, seconds: (performance.now() - begun) / 1_000, failure });
    };
    child.on("error", (error) => done(error.message));
    child.on("close", (code, signal) =>
      done(
        isLate ? `took longer than ${seconds} s` : code === 0 ? undefined : `ended with ${signal ?? `code ${code}`}`,
      ),
    );
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** What is no JSON is for people. */
function lineOf(text: string): Line[] {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? [value as Line] : [];
  } catch {
    return [];
  }
}
