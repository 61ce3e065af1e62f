/**
 * fs/watch: a client is told which of a folder's entries have changed, or that a file has. A watch has an id of its client's,
 * and ends with it.
 */
import { type FSWatcher, watch } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { onceAborted } from "../../../kernel/abort-listeners.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { isMissing } from "../../../services/io-failure.ts";
import type { Connection } from "../../connection.ts";
import { invalidRequest } from "../../rpc-error.ts";

/** Changes that come so close together are told at once. */
const GATHER_MS = 200;
/** Each takes a handle of the system's, of which other programs want some, too. */
const MOST_WATCHES = 256;

type Watched = { readonly watchId: string; readonly path: string };

export class FileWatches {
  readonly #clock: Clock;
  readonly #watches = new WeakMap<Connection, Map<string, FileWatch>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers when the watch has begun, with where it looks. @throws RpcError, or what the file system throws */
  async begin(connection: Connection, { watchId, path }: Watched): Promise<{ path: string }> {
    const own = this.#of(connection);
    if (own.has(watchId)) throw invalidRequest(`watchId already exists: ${watchId}`);
    if (own.size >= MOST_WATCHES) throw invalidRequest(`fs/watch: a client has at most ${MOST_WATCHES} watches`);
    const made = new FileWatch(this.#clock, (changedPaths) => {
      connection.tell({ method: "fs/changed", params: { watchId, changedPaths } });
    });
    own.set(watchId, made);
    try {
      return { path: await made.begin(path) };
    } catch (error) {
      own.delete(watchId);
      throw error;
    }
  }

  end(connection: Connection, watchId: string): void {
    const own = this.#watches.get(connection);
    own?.get(watchId)?.end();
    own?.delete(watchId);
  }

  #of(connection: Connection): Map<string, FileWatch> {
    const found = this.#watches.get(connection);
    if (found !== undefined) return found;
    const own = new Map<string, FileWatch>();
    this.#watches.set(connection, own);
    onceAborted(connection.signal, () => {
      for (const each of own.values()) each.end();
      own.clear();
    });
    return own;
  }
}

class FileWatch {
  readonly #clock: Clock;
  readonly #tell: (paths: string[]) => void;
  readonly #changed = new Set<string>();
  #timer: unknown;
  #watcher: FSWatcher | undefined;
  #hasEnded = false;

  constructor(clock: Clock, tell: (paths: string[]) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** A file, and what is not there yet, is watched by way of its folder: an editor replaces files rather than write them. */
  async begin(path: string): Promise<string> {
    const at = await realPathOf(path);
    const isFolder = at !== undefined && (await stat(at)).isDirectory();
    const shown = at ?? path;
    if (this.#hasEnded) return shown;
    const folder = isFolder ? shown : dirname(shown);
    const only = isFolder ? undefined : basename(shown);
    const watcher = watch(folder, { persistent: false }, (_, name) => {
      if (name !== null && (only === undefined || name === only)) this.#note(join(folder, name));
    });
    watcher.on("error", () => this.end());
    this.#watcher = watcher;
    return shown;
  }

  #note(path: string): void {
    this.#changed.add(path);
    this.#timer ??= this.#clock.background(() => {
      this.#timer = undefined;
      const paths = [...this.#changed].toSorted();
      this.#changed.clear();
      this.#tell(paths);
    }, GATHER_MS);
  }

  end(): void {
    this.#hasEnded = true;
    this.#watcher?.close();
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }
}

async function realPathOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
