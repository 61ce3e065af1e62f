/**
 * Hears which files of a folder other programs change, so that a look need not ask all of them (C1). The system tells when the event
 * loop asks it for the next time; where it can't watch, or not so many folders, a scan finds what was missed (C2).
 */
import { join } from "node:path";
import type { FileSystem } from "../file-system.ts";

/** Each takes some of what the system has for all processes of a user. */
const MOST_FOLDERS = 4_096;

export class FolderWatches implements Disposable {
  readonly #fs: FileSystem;
  readonly #watches = new Map<string, Disposable>();
  #changed = new Set<string>();
  #isClosed = false;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** From now on, its files are heard of. Before they are asked, so that no change falls between. */
  watch(folder: string): void {
    if (this.#isClosed || this.#watches.has(folder) || this.#watches.size >= MOST_FOLDERS) return;
    const watch = this.#fs.watch(folder, (name) => this.#changed.add(join(folder, name)));
    if (watch !== undefined) this.#watches.set(folder, watch);
  }

  /** The folder is gone; one that comes to stand in its place is another. */
  forget(folder: string): void {
    this.#watches.get(folder)?.[Symbol.dispose]();
    this.#watches.delete(folder);
  }

  /** The files that have changed since this was asked last, up to the moment of the call. */
  async take(): Promise<ReadonlySet<string>> {
    if (this.#watches.size === 0) return this.#changed;
    // The first turn may have begun before the change: the system is asked anew in the second.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** They could not be looked at. */
  giveBack(changed: ReadonlySet<string>): void {
    for (const path of changed) this.#changed.add(path);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#watches.clear();
  }
}
