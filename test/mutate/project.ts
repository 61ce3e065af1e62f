/** A copy of the project, in which mutants are made and met. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashOf } from "./coverage.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Always at one place, so that the engine's cache of compiled files serves all runs. */
export const FOLDER = join(tmpdir(), `skein-mutate-${hashOf(ROOT)}`);
/** Where tests put their files, which those that are killed leave behind. */
const SCRATCH = `${FOLDER}-files`;
/** What is known from run to run. */
export const KEPT = join(ROOT, ".cache/mutate");
export const ENV = { NODE_COMPILE_CACHE: join(KEPT, "compiled"), TMPDIR: SCRATCH };

export function copyProject(): void {
  removeProject();
  mkdirSync(FOLDER);
  emptyScratch();
  const pages = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
  for (const name of ["src", "machines", "test", "bench", "docs", "package.json", "tsconfig.json", ...pages]) {
    cpSync(join(ROOT, name), join(FOLDER, name), { recursive: true });
  }
  // Tests that ask for `dist` find what was built of the sources as they are: they run, and meet mutants only in their own process.
  for (const name of ["node_modules", "dist", "examples"]) symlinkSync(join(ROOT, name), join(FOLDER, name));
}

export function emptyScratch(): void {
  rmSync(SCRATCH, { recursive: true, force: true });
  mkdirSync(SCRATCH);
}

export function removeProject(): void {
  for (const folder of [FOLDER, SCRATCH]) rmSync(folder, { recursive: true, force: true });
}

export const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(FOLDER, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .toSorted();

export const read = (path: string): string => readFileSync(join(FOLDER, path), "utf8");
