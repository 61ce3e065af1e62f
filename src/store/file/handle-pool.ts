import type { Clock } from "../../kernel/clock.ts";
import { errorCode, type FileSystem } from "./file-system.ts";

/** What has a file that is written to; `path` may change while it lives. */
export type HandleKey = { readonly path: string };

type Handle = { readonly fd: number; readonly key: HandleKey; pins: number; used: boolean; discarded: boolean };

const IDLE_SWEEP_MS = 1_000;
const OUT_OF_HANDLES: ReadonlySet<string | undefined> = new Set(["EMFILE", "ENFILE"]);

/**
 * Open files under a cap, the least recently used closed first, and none of them for a file at rest: what was not used
 * between two sweeps is closed.
 */
export class HandlePool {
  readonly #fs: FileSystem;
  readonly #clock: Clock;
  readonly #max: number;
  /** In the order of use, the oldest first. */
  readonly #open = new Map<HandleKey, Handle>();
  #sweep: unknown;

  constructor(fs: FileSystem, clock: Clock, max: number) {
    this.#fs = fs;
    this.#clock = clock;
    this.#max = Math.max(1, max);
  }

  get size(): number {
    return this.#open.size;
  }

  /** The file opened for appending. It must be there. */
  use(key: HandleKey): number {
    const found = this.#open.get(key);
    if (found !== undefined) {
      found.used = true;
      this.#open.delete(key);
      this.#open.set(key, found);
      return found.fd;
    }
    while (this.#open.size >= this.#max && this.#closeOldest()) {}
    const handle: Handle = { fd: this.#openFile(key.path), key, pins: 0, used: true, discarded: false };
    this.#open.set(key, handle);
    this.#sweep ??= this.#clock.background(() => this.#closeIdle(), IDLE_SWEEP_MS);
    return handle.fd;
  }

  /** Keeps the file open while `work` waits for it. */
  async pinned<T>(key: HandleKey, work: (fd: number) => Promise<T>): Promise<T> {
    const fd = this.use(key);
    const handle = this.#open.get(key);
    if (handle === undefined) return work(fd);
    handle.pins += 1;
    try {
      return await work(fd);
    } finally {
      handle.pins -= 1;
      if (handle.discarded && handle.pins === 0) this.#fs.close(handle.fd);
    }
  }

  /** The next use opens the file anew. */
  discard(key: HandleKey): void {
    const handle = this.#open.get(key);
    if (handle === undefined) return;
    this.#open.delete(key);
    if (handle.pins === 0) this.#fs.close(handle.fd);
    else handle.discarded = true;
  }

  closeAll(): void {
    for (const key of [...this.#open.keys()]) this.discard(key);
    if (this.#sweep !== undefined) this.#clock.clearTimeout(this.#sweep);
    this.#sweep = undefined;
  }

  #openFile(path: string): number {
    try {
      return this.#fs.open(path, "update");
    } catch (error) {
      if (!OUT_OF_HANDLES.has(errorCode(error)) || !this.#closeOldest()) throw error;
      return this.#openFile(path);
    }
  }

  #closeOldest(): boolean {
    for (const handle of this.#open.values()) {
      if (handle.pins > 0) continue;
      this.discard(handle.key);
      return true;
    }
    return false;
  }

  #closeIdle(): void {
    this.#sweep = undefined;
    for (const handle of [...this.#open.values()]) {
      if (!handle.used && handle.pins === 0) this.discard(handle.key);
      handle.used = false;
    }
    if (this.#open.size > 0) this.#sweep = this.#clock.background(() => this.#closeIdle(), IDLE_SWEEP_MS);
  }
}
