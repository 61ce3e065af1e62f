/**
 * The catalog as the file store uses it: an index that may be missing, late or damaged at any time.
 *
 * X1  Nothing but a list, a lineage query or a deletion ever waits for it, and nothing fails because of it that the
 *     files alone could answer.
 * X2  Rows and growth are written in batches, off the path of appends. What is lost of them, the next look mends.
 * X3  While another process holds the catalog, what waits for it goes on waiting, and the event loop does not.
 * X4  To ask makes no home: where there is none, the catalog is in memory until somebody else has made one.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, elapsedBy } from "../../../kernel/clock.ts";
import type { SkeinLogger } from "../../../kernel/log.ts";
import { InternalDefect, SkeinError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import { isSqliteBusy } from "../sqlite.ts";
import { Catalog, type CatalogRow, isCatalogDamage } from "./catalog.ts";
import { IN_MEMORY } from "./database.ts";

const GROWTH_MS = 250;
const ROWS_MS = 250;
const RETRY_MS = 5_000;
const BUSY_RETRY_MS = 100;
const REFRESH_MS = 5_000;
/** At most a twentieth of the time goes into looking. */
const REFRESH_SHARE = 19;

export type CatalogIndexOptions = {
  readonly path: string;
  readonly clock: Clock;
  readonly log: SkeinLogger;
  /** Brings the catalog up to date with the files: with all of them, or with those that seem to have changed. */
  readonly scan: (catalog: Catalog, rest: () => Promise<void>) => Promise<void>;
  readonly look: (catalog: Catalog, when: { readonly isFirst: boolean }) => Promise<void>;
  /** The threads that grow. */
  readonly growing: {
    readonly hasGrown: boolean;
    /** Tells the catalog what grew since the last time. */
    tellGrowth(catalog: Catalog): void;
  };
};

export class CatalogIndex {
  readonly #options: CatalogIndexOptions;
  #catalog: Catalog | undefined;
  #retryAt = Number.NEGATIVE_INFINITY;
  #refreshAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Settles when the rows are complete as far as this process knows. */
  #ready: Promise<void> = Promise.resolve();
  #complete = false;
  readonly #rows = new Map<ThreadId, CatalogRow>();
  #batch: (PromiseWithResolvers<boolean> & { readonly timer: unknown }) | undefined;
  #growthTimer: unknown;
  #retryTimer: unknown;
  /** The look that runs, and the one that all who came since then share. */
  #looking: Promise<void> | undefined;
  #nextLook: Promise<void> | undefined;
  #hasLooked = false;
  /** Settles when the look that asks files at this moment is done. */
  #asking: Promise<void> | undefined;
  /** Another process held it when it was last asked. */
  isBusy = false;

  constructor(options: CatalogIndexOptions) {
    this.#options = options;
  }

  /** Whether every thread of the home has a row. */
  get isComplete(): boolean {
    this.#open();
    return this.#complete;
  }

  /** Resolves when a rebuild that runs, if one does, is done. */
  async ready(): Promise<void> {
    this.#open();
    await this.#ready;
  }

  /**
   * Asks or changes the catalog, after all that waits for it. undefined: it cannot be used now.
   * @throws what our own errors `work` throws: they are answers.
   */
  use<T>(work: (catalog: Catalog) => T): T | undefined {
    return this.peek((catalog) => {
      if (this.#rows.size > 0) this.#writeRows(catalog);
      return work(catalog);
    });
  }

  /** As {@link use}, for questions to which waiting rows are no answer: those about anchors. */
  peek<T>(work: (catalog: Catalog) => T): T | undefined {
    const catalog = this.#open();
    if (catalog === undefined) return undefined;
    try {
      const answer = work(catalog);
      this.isBusy = false;
      return answer;
    } catch (error) {
      if (error instanceof SkeinError && !(error instanceof InternalDefect)) throw error;
      this.#failed(error);
      return undefined;
    }
  }

  /** A thread's row, also one that waits to be written. */
  row(threadId: ThreadId): CatalogRow | undefined {
    const waiting = this.#rows.get(threadId);
    if (waiting !== undefined) return waiting;
    return this.peek((catalog) => catalog.get(threadId));
  }

  /**
   * Resolves with whether the row is written: soon, and with those that come meanwhile, since a transaction costs what hundreds
   * of rows do. Whoever has just made a thread goes on with it first.
   */
  put(row: CatalogRow): Promise<boolean> {
    this.#rows.set(row.threadId, row);
    const { clock } = this.#options;
    this.#batch ??= { ...Promise.withResolvers(), timer: clock.background(() => this.#endBatch(), ROWS_MS) };
    return this.#batch.promise;
  }

  #endBatch(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    this.#options.clock.clearTimeout(batch.timer);
    batch.resolve(this.#writeNow());
  }

  /** false: not yet. What waits is tried again. */
  #writeNow(): boolean {
    const isWritten = this.use(() => true) ?? false;
    if (!isWritten && this.#rows.size > 0 && !this.#closed) {
      this.#retryTimer ??= this.#options.clock.background(() => {
        this.#retryTimer = undefined;
        this.#writeNow();
      }, BUSY_RETRY_MS);
    }
    return isWritten;
  }

  /** Something grew: it will be noted soon. */
  grew(): void {
    this.#growthTimer ??= this.#options.clock.background(() => this.noteGrowth(), GROWTH_MS);
  }

  noteGrowth(): void {
    if (this.#growthTimer !== undefined) this.#options.clock.clearTimeout(this.#growthTimer);
    this.#growthTimer = undefined;
    const { growing } = this.#options;
    if (!growing.hasGrown) return;
    const isNoted = this.use((catalog) => {
      growing.tellGrowth(catalog);
      return true;
    });
    if (!isNoted && !this.#closed) this.grew();
  }

  /** Takes in what the folders show to have changed (C1). One look serves all who asked before it began. */
  async look(): Promise<void> {
    if (this.#looking === undefined) return this.#look();
    this.#nextLook ??= this.#looking.then(() => {
      this.#nextLook = undefined;
      return this.#look();
    });
    return this.#nextLook;
  }

  #look(): Promise<void> {
    const looking = this.#lookNow().finally(() => {
      if (this.#looking === looking) this.#looking = undefined;
    });
    this.#looking = looking;
    return looking;
  }

  async #lookNow(): Promise<void> {
    await this.ready();
    const catalog = this.#open();
    if (catalog === undefined) return;
    this.noteGrowth();
    this.#writeWaiting(); // or the look would read their files
    try {
      const looked = this.#options.look(catalog, { isFirst: !this.#hasLooked });
      this.#asking = looked.then(noMatter, noMatter);
      await looked;
      this.#hasLooked = true;
    } catch (error) {
      if (catalog === this.#catalog && !this.#closed) this.#failed(error);
    } finally {
      this.#asking = undefined;
    }
  }

  /** A scan goes on when nobody looks: a list waits for one step of it at most. */
  async #rest(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#asking !== undefined) await this.#asking;
  }

  /**
   * Looks for what other programs changed, now and then; nobody waits for it. A look takes as long as there are files,
   * so the pause until the next one grows with it.
   */
  refresh(): void {
    const catalog = this.#open();
    const { clock } = this.#options;
    if (catalog === undefined || elapsedBy(clock) < this.#refreshAt) return;
    this.#refreshAt = Number.POSITIVE_INFINITY;
    void this.#ready.then(async () => {
      const begun = elapsedBy(clock);
      await this.#scan(catalog);
      this.#refreshAt = elapsedBy(clock) + Math.max(REFRESH_MS, REFRESH_SHARE * (elapsedBy(clock) - begun));
    });
  }

  /** Starts a scan that lists wait for. */
  rescan(): void {
    const catalog = this.#open();
    if (catalog === undefined) return;
    const before = this.#ready;
    this.#ready = before.then(() => this.#scan(catalog));
  }

  close(): void {
    this.noteGrowth();
    this.#endBatch();
    this.#writeWaiting();
    this.#closed = true;
    if (this.#retryTimer !== undefined) this.#options.clock.clearTimeout(this.#retryTimer);
    try {
      this.#catalog?.close();
    } catch (error) {
      this.#options.log.warn({ error }, "the catalog did not close");
    }
    this.#catalog = undefined;
  }

  #open(): Catalog | undefined {
    this.#leaveMemory();
    if (this.#catalog !== undefined || this.#closed || elapsedBy(this.#options.clock) < this.#retryAt)
      return this.#catalog;
    try {
      const { catalog, fresh } = Catalog.open(this.#hasHome() ? this.#options.path : IN_MEMORY);
      this.#catalog = catalog;
      this.#complete = !fresh;
      if (fresh) this.#refreshAt = elapsedBy(this.#options.clock) + REFRESH_MS;
      this.#ready = fresh ? this.#scan(catalog) : Promise.resolve();
    } catch (error) {
      this.isBusy = isSqliteBusy(error);
      this.#retryAt = elapsedBy(this.#options.clock) + (this.isBusy ? BUSY_RETRY_MS : RETRY_MS);
      this.#complete = false;
      this.#options.log.warn({ error, path: this.#options.path }, "the catalog cannot be opened; going on without it");
    }
    return this.#catalog;
  }

  #hasHome(): boolean {
    return existsSync(dirname(this.#options.path));
  }

  /** X4: what was in memory is read anew from the files, as a fresh catalog is. */
  #leaveMemory(): void {
    if (this.#catalog?.path !== IN_MEMORY || !this.#hasHome()) return;
    this.#catalog.close();
    this.#catalog = undefined;
  }

  async #scan(catalog: Catalog): Promise<void> {
    try {
      if (catalog !== this.#catalog) return;
      await this.#options.scan(catalog, () => this.#rest());
      if (catalog === this.#catalog) this.#complete = true;
    } catch (error) {
      if (catalog === this.#catalog && !this.#closed) this.#failed(error);
    }
  }

  #writeWaiting(): void {
    if (this.#rows.size > 0) this.use(() => undefined);
  }

  #writeRows(catalog: Catalog): void {
    const rows = [...this.#rows.values()];
    catalog.put(rows);
    this.#rows.clear();
  }

  #failed(error: unknown): void {
    const { log, path } = this.#options;
    this.isBusy = isSqliteBusy(error);
    if (!isDamage(error)) {
      log.warn({ error, path }, "the catalog did not answer");
      return;
    }
    log.warn({ error, path }, "the catalog is damaged; it is built anew from the files");
    try {
      this.#catalog?.close();
    } catch {
      // It is thrown away.
    }
    this.#catalog = undefined;
    this.#complete = false;
    this.#open();
  }
}

const noMatter = (): void => undefined;

function isDamage(error: unknown): boolean {
  try {
    return isCatalogDamage(error);
  } catch {
    return false;
  }
}
