/**
 * Which places of the sources a test file runs, as the engine counts them: type stripping moves no character. It is kept
 * between runs, and looked at again when the test has changed. Of a source that has changed since, every place in a new line
 * counts as run by whoever loads it.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runTests } from "./run-tests.ts";

type Range = { readonly startOffset: number; readonly endOffset: number; readonly count: number };
type Script = { readonly url: string; readonly functions: readonly { readonly ranges: readonly Range[] }[] };

/** From where to where, by turns: not run, run, not run, ... */
type Borders = readonly number[];

export type Coverage = {
  readonly ms: number;
  /** By path: the source as it was, and what of it was run. */
  readonly sources: Readonly<Record<string, { readonly hash: string; readonly borders: Borders }>>;
};

export const hashOf = (...texts: readonly string[]): string => {
  const hash = createHash("sha256");
  for (const part of texts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 16);
};

/** @param placeIn where the place was in the source as it was, by that one's hash; undefined where that is not known */
export function isCovered({ sources }: Coverage, path: string, placeIn: (hash: string) => number | undefined): boolean {
  const known = sources[path];
  if (known === undefined) return true;
  const offset = placeIn(known.hash);
  if (offset === undefined) return known.borders.length > 0;
  return known.borders.filter((border) => border <= offset).length % 2 === 1;
}

/** Ranges lie within each other: the innermost one says whether its place was run. */
function paint(run: Uint8Array, ranges: readonly Range[]): void {
  const life = new Uint8Array(run.length);
  const fromOuter = ranges.toSorted((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  for (const { startOffset, endOffset, count } of fromOuter) life.fill(Math.min(count, 1), startOffset, endOffset);
  for (const [at, wasRun] of life.entries()) if (wasRun === 1) run[at] = 1;
}

function bordersOf(run: Uint8Array): Borders {
  const borders: number[] = [];
  for (let at = 0; at <= run.length; at++) if ((run[at] ?? 0) !== (run[at - 1] ?? 0)) borders.push(at);
  return borders;
}

/** Undefined for a test that fails as the sources are. */
async function look(
  folder: string,
  test: string,
  { paths, env }: { paths: readonly string[]; env: NodeJS.ProcessEnv },
): Promise<Coverage | undefined> {
  const at = mkdtempSync(join(tmpdir(), "skein-coverage-"));
  try {
    const began = performance.now();
    const outcome = await runTests(folder, [test], { limitMs: 120_000, env: { ...env, NODE_V8_COVERAGE: at } });
    if (outcome.kind !== "passed") return undefined;
    const ms = Math.round(performance.now() - began);
    const texts = new Map(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
    const painted = new Map([...texts].map(([path, { length }]) => [path, new Uint8Array(length)]));
    const base = `${pathToFileURL(folder).href}/`;
    for (const name of readdirSync(at)) {
      const { result } = JSON.parse(readFileSync(join(at, name), "utf8")) as { result: readonly Script[] };
      for (const { url, functions } of result) {
        const run = url.startsWith(base) ? painted.get(url.slice(base.length)) : undefined;
        if (run !== undefined)
          paint(
            run,
            functions.flatMap(({ ranges }) => ranges),
          );
      }
    }
    const sources = [...painted].map(([path, run]) => [
      path,
      { hash: hashOf(texts.get(path) ?? ""), borders: bordersOf(run) },
    ]);
    return { ms, sources: Object.fromEntries(sources) };
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

/** What a test runs of the files at `paths`, or undefined if it fails as they are. `kept` is the folder of what is known. */
export async function coverageOf(
  folder: string,
  test: string,
  { kept, ...of }: { kept: string; paths: readonly string[]; env: NodeJS.ProcessEnv },
): Promise<Coverage | undefined> {
  const file = join(kept, `${hashOf(test, readFileSync(join(folder, test), "utf8"))}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Coverage;
  const found = await look(folder, test, of);
  mkdirSync(kept, { recursive: true });
  if (found !== undefined) writeFileSync(file, JSON.stringify(found));
  return found;
}
