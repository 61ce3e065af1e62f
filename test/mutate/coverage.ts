/** Which places of the sources a test file runs, as the engine counts them: type stripping moves no character. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

type Range = { readonly startOffset: number; readonly endOffset: number; readonly count: number };
type Script = { readonly url: string; readonly functions: readonly { readonly ranges: readonly Range[] }[] };

/** By path from the folder on: the ranges of each process that has loaded the file. */
export type Coverage = ReadonlyMap<string, readonly (readonly Range[])[]>;

/** Runs a test file. A group of its own, so that a mutant that never ends is ended with what it has started. */
export function passes(
  folder: string,
  test: string,
  { limitMs, env = {} }: { limitMs: number; env?: NodeJS.ProcessEnv },
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--no-warnings", test], {
      cwd: folder,
      stdio: "ignore",
      detached: true,
      env: { ...process.env, ...env },
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limitMs);
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve(code === 0);
    });
  });
}

/** Undefined for a test that fails as the sources are. */
export async function coverageOf(folder: string, test: string, limitMs: number): Promise<Coverage | undefined> {
  const at = mkdtempSync(join(tmpdir(), "skein-coverage-"));
  try {
    if (!(await passes(folder, test, { limitMs, env: { NODE_V8_COVERAGE: at } }))) return undefined;
    const found = new Map<string, Range[][]>();
    const base = `${pathToFileURL(folder).href}/`;
    for (const name of readdirSync(at)) {
      const { result } = JSON.parse(readFileSync(join(at, name), "utf8")) as { result: readonly Script[] };
      for (const { url, functions } of result) {
        if (!url.startsWith(base)) continue;
        const path = url.slice(base.length);
        const lives = found.get(path) ?? [];
        found.set(path, lives);
        lives.push(functions.flatMap(({ ranges }) => ranges));
      }
    }
    return found;
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

/** The innermost range counts. */
const countAt = (ranges: readonly Range[], offset: number): number => {
  let inner: Range | undefined;
  for (const range of ranges) {
    if (range.startOffset > offset || range.endOffset <= offset) continue;
    if (inner === undefined || range.endOffset - range.startOffset <= inner.endOffset - inner.startOffset)
      inner = range;
  }
  return inner?.count ?? 0;
};

export const isCovered = (coverage: Coverage, path: string, offset: number): boolean =>
  coverage.get(path)?.some((ranges) => countAt(ranges, offset) > 0) ?? false;
