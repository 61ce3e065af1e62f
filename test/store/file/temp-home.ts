/** Real folders for tests of the file store, gone afterwards. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RolloutItem, RolloutLine } from "../../../src/protocol/rollout.ts";
import { type FileStore, type FileStoreOptions, fileStore } from "../../../src/store/file/file-store.ts";

const HOMES = new URL("../../data/homes/", import.meta.url);

/** A home directory, and the stores that were opened on it. */
export class TempHome implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "skein-home-"));
  readonly #stores: FileStore[] = [];

  /** With a copy of one of Codex's homes. */
  static of(name: string): TempHome {
    const home = new TempHome();
    cpSync(new URL(name, HOMES), home.path, { recursive: true });
    return home;
  }

  open(options: Partial<FileStoreOptions> = {}): FileStore {
    const store = fileStore({ home: this.path, fsync: "never", ...options });
    this.#stores.push(store);
    return store;
  }

  /** All rollouts, by path. */
  rollouts(): string[] {
    return readdirSync(this.path, { recursive: true, encoding: "utf8" })
      .filter((path) => /rollout-[^/]*\.jsonl$/.test(path))
      .map((path) => join(this.path, path))
      .sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#stores) await store.close().catch(() => undefined);
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const homeNames = (): string[] =>
  readdirSync(HOMES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);

/** Every line of a file that is JSON, with nothing of ours in between. */
export function parsedLines(path: string): (RolloutLine & { ordinal?: number })[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((text) => {
      try {
        return text === "" ? [] : [JSON.parse(text)];
      } catch {
        return [];
      }
    });
}

export async function loaded(store: FileStore, thread: Parameters<FileStore["load"]>[0]): Promise<RolloutLine[]> {
  const lines: RolloutLine[] = [];
  for await (const page of store.load(thread)) lines.push(...page);
  return lines;
}

/** Lines without ordinals, to compare across files. */
export const withoutOrdinals = (lines: readonly RolloutItem[]): unknown[] =>
  lines.map((line) => {
    const { ordinal: _ordinal, ...rest } = line as RolloutLine;
    return rest;
  });

export const putFile = (path: string, bytes: string | Uint8Array): void => writeFileSync(path, bytes);
