import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";

/** A folder of the test's own, gone after it. */
export async function tempHome(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "skein-services-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files under a folder, by relative path. */
export async function writeTree(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}

export type LogLine = { readonly details: object; readonly message: string };

/** A log that keeps what it is told. */
export function keptLog(): { warn(details: object, message: string): void; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  return { lines, warn: (details, message) => void lines.push({ details, message }) };
}
