/** The real command in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };
export type Surroundings = {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
};

/** A running command. Of the test's own environment it sees only the path, so that no key and no home leak in. */
export function start(args: readonly string[], { env = {}, cwd }: Surroundings = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...env },
    ...(cwd !== undefined && { cwd }),
  });
}

/** Resolves when the command has ended. */
export function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs the command to its end. */
export function skein(args: readonly string[], surroundings: Surroundings = {}): Promise<Ended> {
  const child = start(args, surroundings);
  child.stdin.end(surroundings.input ?? "");
  return ended(child);
}

/** The JSON values of a command's lines. */
export const jsonLines = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/**
 * Resolves with what the command has printed on its standard output, as soon as this is in it. A command that ends before
 * fails its test with what it said instead, such as that `npm run build` has to make the studio's page first.
 */
export function printed(child: ChildProcessWithoutNullStreams, wanted: string | RegExp): Promise<string> {
  let seen = "";
  let said = "";
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer | string) => {
      seen += chunk.toString();
      if (typeof wanted === "string" ? seen.includes(wanted) : wanted.test(seen)) resolve(seen);
    });
    child.stderr.on("data", (chunk: Buffer | string) => {
      said += chunk.toString();
    });
    child.once("close", (code) =>
      reject(new Error(`the command ended with ${code} and did not print ${String(wanted)}: ${seen}${said}`)),
    );
  });
}
