/** Looks at everything in a home directory and names what is wrong. Changes nothing. */
import { dirname, join } from "node:path";
import { systemClock } from "../../../kernel/clock.ts";
import { silentLog } from "../../../kernel/log.ts";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import { SkeinError, StoreIoError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { ProblemKind, RolloutProblem } from "../../rollout-problem.ts";
import { Catalog } from "../catalog/catalog.ts";
import { InheritedSummaries } from "../catalog/inherited-summaries.ts";
import { readRow } from "../catalog/thread-row.ts";
import { type FileSystem, namesIn, nodeFileSystem } from "../file-system.ts";
import { Layout } from "../layout.ts";
import { LeaseKeeper } from "../lease/lease.ts";
import type { RolloutHead } from "../rollout/head.ts";
import { DEEPEST, HistoryReader } from "../rollout/history-reader.ts";
import { withFile } from "../rollout/line-reader.ts";
import { readTail } from "../rollout/tail.ts";
import { type FoundRollout, RolloutLocator } from "../rollout-locator.ts";
import { Lineages } from "./lineages.ts";
import { widePaths } from "./permissions.ts";

/**
 * - Those of reading a rollout, see ProblemKind, and `unterminated`: the last line lacks its line feed.
 * - `no_header`: no session_meta can be read. `foreign_header`: the header's id is not that of the file's name, or
 *   another thread's header stands among the lines.
 * - `orphan_lease`: of a process that is gone. `leftover`: a file that a broken-off take-over left.
 * - `catalog_missing`, `catalog_stale`, `catalog_extra`: a thread has no row, an outdated one, or a row has no file.
 * - `open_to_others`: other users of the machine can read or change the file or folder.
 * - `tombstone_unneeded`: of a deleted thread whose file is gone.
 */
export type FaultKind =
  | ProblemKind
  | "unterminated"
  | "no_header"
  | "foreign_header"
  | "orphan_lease"
  | "leftover"
  | "catalog_missing"
  | "catalog_stale"
  | "catalog_extra"
  | "open_to_others"
  | "tombstone_unneeded";

export type Fault = {
  readonly kind: FaultKind;
  readonly path: string;
  readonly threadId: ThreadId | null;
  /** In bytes; null where the fault has no place in a file. */
  readonly offset: number | null;
  readonly detail: string;
};

export type VerifyReport = {
  readonly home: string;
  readonly files: number;
  readonly lines: number;
  readonly bytes: number;
  readonly faults: readonly Fault[];
};

export type VerifyOptions = {
  readonly home: string;
  readonly fileSystem?: FileSystem;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly files: number; readonly faults: number }) => void;
};

/** @throws the signal's reason; StoreIoError when the home cannot be read at all. */
export async function verifyHome(options: VerifyOptions): Promise<VerifyReport> {
  const check = new HomeCheck(options);
  await check.rollouts();
  await check.leases();
  await check.tombstones();
  await check.catalog();
  await check.permissions();
  return check.report();
}

/** So many rows at once: all of a large home would keep the loop waiting. */
const CATALOG_PAGE = 500;

class HomeCheck {
  readonly #options: VerifyOptions;
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  readonly #locator: RolloutLocator;
  /** Tells nobody what it finds. */
  readonly #heads: HistoryReader;
  readonly #lineages: Lineages;
  readonly #inherited: InheritedSummaries;
  readonly #faults: Fault[] = [];
  /** Files without a header. */
  readonly #headless = new Set<string>();
  readonly #seen = new Map<ThreadId, FoundRollout[]>();
  readonly #leftovers = new Map<string, readonly string[]>();
  #files = 0;
  #lines = 0;
  #bytes = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#fs = options.fileSystem ?? nodeFileSystem;
    this.#layout = new Layout(options.home);
    this.#locator = new RolloutLocator(this.#fs, this.#layout, () => undefined);
    this.#heads = new HistoryReader(this.#fs, this.#locator, () => undefined);
    this.#lineages = new Lineages(this.#heads);
    this.#inherited = new InheritedSummaries(this.#heads);
  }

  report(): VerifyReport {
    const { home } = this.#options;
    return { home, files: this.#files, lines: this.#lines, bytes: this.#bytes, faults: this.#faults };
  }

  #add(kind: FaultKind, path: string, threadId: ThreadId | null, detail: string, offset: number | null = null): void {
    this.#faults.push({ kind, path, threadId, offset, detail });
    if (kind === "no_header") this.#headless.add(path);
  }

  async rollouts(): Promise<void> {
    for await (const { files: found } of this.#locator.walk()) {
      for (const file of found) {
        this.#options.signal?.throwIfAborted();
        this.#files += 1;
        const files = this.#seen.get(file.name.threadId) ?? [];
        this.#seen.set(file.name.threadId, [...files, file]);
        await this.#rollout(file);
        this.#options.onProgress?.({ files: this.#files, faults: this.#faults.length });
      }
    }
  }

  async #rollout({ path, name }: FoundRollout): Promise<void> {
    const { threadId } = name;
    const report = (problem: RolloutProblem) => {
      if (problem.path === path) this.#add(problem.kind, path, threadId, problem.detail, problem.offset);
    };
    const reader = new HistoryReader(this.#fs, this.#locator, report);
    try {
      const head = reader.head(path);
      this.#bytes += this.#fs.infoOf(path)?.size ?? 0;
      if (head.meta.id !== threadId) {
        this.#add("foreign_header", path, threadId, `the header names thread ${head.meta.id}`, 0);
      }
      const own = reader.own(path);
      if (head.base !== null) await reader.ancestor(head, head.base);
      await this.#lineage(head, threadId);
      let leading = true;
      for (const page of reader.linesOf(own)) {
        this.#lines += page.length;
        for (const { line, raw } of page) {
          if (line.type !== "session_meta") leading = false;
          else if (!leading && head.numbered && line.payload.id !== head.meta.id) {
            this.#add("foreign_header", path, threadId, `a header of thread ${line.payload.id}`, raw.start);
          }
        }
        await yieldToLoop();
      }
      const tail = withFile(this.#fs, path, (fd) => readTail(this.#fs, fd, head));
      if (tail.missingFeed) this.#add("unterminated", path, threadId, "the last line lacks its line feed", tail.size);
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      this.#add("no_header", path, threadId, error instanceof Error ? error.message : String(error), 0);
    }
    for (const leftover of this.#leftoversOf(path)) {
      this.#add("leftover", leftover, threadId, "a copy that a take-over did not put in place");
    }
  }

  async #lineage(head: RolloutHead, threadId: ThreadId): Promise<void> {
    const { depth } = await this.#lineages.of(head);
    if (depth < DEEPEST) return;
    const why = depth === Number.POSITIVE_INFINITY ? "lead back to each other" : `are more than ${DEEPEST}`;
    const detail = `the files that it inherits from ${why}: not all lines are there for the model`;
    this.#add("base_loop", head.path, threadId, detail, 0);
  }

  #leftoversOf(path: string): string[] {
    return this.#leftoversIn(dirname(path)).filter((other) => other.startsWith(`${path}.`));
  }

  /** Each folder is listed once, however many rollouts lie in it. */
  #leftoversIn(folder: string): readonly string[] {
    const known = this.#leftovers.get(folder);
    if (known !== undefined) return known;
    const found = namesIn(this.#fs, folder)
      .filter((name) => name.endsWith(".tmp"))
      .map((name) => join(folder, name));
    this.#leftovers.set(folder, found);
    return found;
  }

  async leases(): Promise<void> {
    const keeper = new LeaseKeeper(this.#fs, this.#layout.leases, systemClock, silentLog);
    for await (const { path, threadId } of keeper.orphans()) {
      this.#add("orphan_lease", path, threadId, "its owner is gone");
    }
  }

  async tombstones(): Promise<void> {
    for (const name of namesIn(this.#fs, this.#layout.tombstones)) {
      await yieldToLoop();
      const threadId = name.slice(name.indexOf("_") + 1) as ThreadId;
      if (this.#seen.has(threadId)) continue;
      this.#add("tombstone_unneeded", join(this.#layout.tombstones, name), threadId, "the thread's file is gone");
    }
  }

  /** A home without a catalog is whole: it is built when somebody asks for a list. */
  async catalog(): Promise<void> {
    if (this.#fs.infoOf(this.#layout.catalog) === undefined) return;
    try {
      await this.#catalog();
    } catch (cause) {
      if (cause instanceof SkeinError || this.#options.signal?.aborted) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new StoreIoError(
        `the catalog cannot be read (${why}); see that no other program holds it and that the disk is not full, and try again`,
        {
          cause,
        },
      );
    }
  }

  async #catalog(): Promise<void> {
    const { catalog, fresh } = Catalog.open(this.#layout.catalog);
    try {
      if (fresh) return;
      const missing = new Set(this.#seen.keys());
      const times = catalog.times();
      // What the next look takes in by itself is no fault: other programs write here too.
      const willLook = (path: string) => this.#fs.infoOf(dirname(path))?.changedMs !== times.get(dirname(path));
      for (const page of catalog.filePages(CATALOG_PAGE)) {
        for (const row of page) {
          await yieldToLoop();
          const path = row.rolloutPath ?? this.#layout.catalog;
          missing.delete(row.threadId);
          const info = this.#fs.infoOf(path);
          if (info !== undefined && this.#seen.has(row.threadId)) {
            if (info.size === row.fileSize && info.modifiedMs === row.mtimeMs)
              await this.#row(catalog, row.threadId, path);
          } else if (!willLook(path)) {
            this.#add("catalog_extra", path, row.threadId, "the catalog names a file that is not there");
          }
        }
      }
      for (const threadId of missing) {
        await yieldToLoop();
        const [file] = this.#seen.get(threadId) ?? [];
        if (file === undefined || this.#fs.infoOf(this.#layout.tombstone(threadId)) !== undefined) continue;
        if (willLook(file.path) || !this.#hasHeader(file.path)) continue;
        this.#add("catalog_missing", file.path, threadId, "the catalog does not know the thread");
      }
    } finally {
      catalog.close();
    }
  }

  async permissions(): Promise<void> {
    for await (const { path, mode, isReachable } of widePaths(this.#fs, this.#layout)) {
      if (isReachable) this.#add("open_to_others", path, null, `its mode is 0${mode.toString(8)}`);
    }
  }

  /** A row of a file that has not changed since has to say what the file says. */
  async #row(catalog: Catalog, threadId: ThreadId, path: string): Promise<void> {
    const row = catalog.get(threadId);
    if (row === undefined || !this.#hasHeader(path)) return;
    const notes = { names: new Map(), git: new Map() };
    const env = { fs: this.#fs, layout: this.#layout, reader: this.#heads };
    const wanted = await readRow(env, path, notes, this.#inherited);
    const { isWhole } = await this.#lineages.of(this.#heads.head(path));
    const wrong = (["preview", "cwd", "createdAt", "forkedFromId", "archived", "interrupted"] as const).filter(
      (field) => row[field] !== wanted[field],
    );
    // Of a history that is not whole any more the row may know more than the files.
    if (wrong.length === 0 || !isWhole) return;
    this.#add("catalog_stale", path, threadId, `the catalog has another ${wrong.join(", ")} than the file`);
  }

  #hasHeader(path: string): boolean {
    return !this.#headless.has(path);
  }
}
