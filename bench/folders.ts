/**
 * Where the benches write. Every case has a folder of its own, and all of them go together, when the whole run is over:
 * for some minutes ext4 passes over the inodes of deleted files one by one, so that after the removal of a few thousand files
 * the creation of one takes a millisecond, and a case would pay for the one before it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = "SKEIN_BENCH_ROOT";

/** Makes the run's folder, unless a run around this one has; it goes when this process does. */
export function openRoot(): void {
  if (process.env[ROOT] !== undefined) return;
  const root = mkdtempSync(join(tmpdir(), "skein-bench-"));
  process.env[ROOT] = root;
  process.once("exit", () => rmSync(root, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
}

/** A new folder, for one case. */
export const benchFolder = (): Promise<string> => mkdtemp(join(process.env[ROOT] ?? tmpdir(), "case-"));
