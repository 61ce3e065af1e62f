/** Test files, run in one process, which ends at the first failure. */
import { spawn } from "node:child_process";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";

export type Outcome =
  | { readonly kind: "passed" }
  /** Which file failed; undefined where the process did not get as far as its first test. */
  | { readonly kind: "failed" | "timedOut"; readonly test: string | undefined };

const REPORTER = join(import.meta.dirname, "first-failure.ts");

/** A group of its own, so that a mutant that never ends is ended with what it has started. */
export async function runTests(
  folder: string,
  tests: readonly string[],
  { limitMs, env }: { limitMs: number; env: NodeJS.ProcessEnv },
): Promise<Outcome> {
  const child = spawn(
    process.execPath,
    ["--no-warnings", "--test", "--test-isolation=none", `--test-reporter=${REPORTER}`, ...tests],
    {
      cwd: folder,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      detached: true,
      env: { ...process.env, ...env },
    },
  );
  const { pid } = child;
  let isTimedOut = false;
  const end = () => {
    try {
      if (pid !== undefined) process.kill(-pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  const timer = setTimeout(() => {
    isTimedOut = true;
    end();
  }, limitMs);
  const exit = new Promise<number | null>((resolve) => child.on("exit", resolve));
  const [code, told] = await Promise.all([
    exit.finally(() => {
      clearTimeout(timer);
      // What a failing test has started, and not ended, would go on beside the next mutant.
      end();
    }),
    text(child.stdio[3] as NodeJS.ReadableStream),
  ]);
  if (code === 0) return { kind: "passed" };
  const last = told
    .trimEnd()
    .split("\n")
    .at(-1)
    ?.replace(/^(?:at|failed) /, "");
  return { kind: isTimedOut ? "timedOut" : "failed", test: last ? relative(folder, last) : undefined };
}
