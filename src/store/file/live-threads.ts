import type { Clock } from "../../kernel/clock.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { RolloutItem } from "../../protocol/rollout.ts";
import { type LastTurn, lastTurnAfter } from "../last-turn.ts";
import { modelUseOf, userTextOf } from "../thread-summary.ts";
import type { AnchorFold } from "./catalog/anchors.ts";
import type { Catalog, CatalogGrowth, CatalogRow } from "./catalog/catalog.ts";
import type { CatalogIndex } from "./catalog/index-of-home.ts";
import type { SummaryText } from "./catalog/said.ts";
import type { FilePosition } from "./file-position.ts";
import type { FileSystem } from "./file-system.ts";
import type { FileThreadWriter } from "./file-writer.ts";

/** A thread that this store writes, and what the catalog is to hear of it. */
export type LiveThread = {
  readonly writer: FileThreadWriter;
  /** undefined: the thread lies outside the home, or the catalog did not know it. */
  row: (CatalogRow & LastTurn) | undefined;
  /** undefined: the catalog has all it needs of it. */
  summary: SummaryText | undefined;
  /** In step with every line that was appended; undefined: the index of anchors catches up from the file when asked. */
  fold: AnchorFold | undefined;
  unsaved: number;
  updatedAt: number;
  grown: boolean;
};

/** Anchors that wait in memory, at most. */
const MAX_UNSAVED = 2_048;

export class LiveThreads {
  readonly #fs: FileSystem;
  readonly #clock: Clock;
  readonly #threads = new Map<ThreadId, LiveThread>();
  readonly #files = new Map<ThreadId, LiveThread>();
  readonly #grown = new Set<LiveThread>();
  #index: CatalogIndex | undefined;

  constructor(fs: FileSystem, clock: Clock) {
    this.#fs = fs;
    this.#clock = clock;
  }

  /** The index and these threads know each other. */
  connect(index: CatalogIndex): void {
    this.#index = index;
  }

  get(threadId: ThreadId | undefined): LiveThread | undefined {
    return threadId && this.#threads.get(threadId);
  }

  ofFile(fileId: ThreadId): LiveThread | undefined {
    return this.#files.get(fileId);
  }

  all(): LiveThread[] {
    return [...this.#threads.values()];
  }

  add(writer: FileThreadWriter, row: CatalogRow | undefined, summary: SummaryText | undefined): LiveThread {
    const live: LiveThread = {
      writer,
      row,
      summary,
      fold: undefined,
      unsaved: 0,
      updatedAt: row?.updatedAt ?? 0,
      grown: false,
    };
    this.#threads.set(writer.threadId, live);
    this.#files.set(writer.fileId, live);
    return live;
  }

  remove(writer: FileThreadWriter): void {
    const live = this.#threads.get(writer.threadId);
    if (live?.writer !== writer) return;
    this.saveFold(live);
    this.#noteRow(live);
    this.#threads.delete(writer.threadId);
    this.#files.delete(writer.fileId);
  }

  appended(writer: FileThreadWriter, item: RolloutItem, start: FilePosition, end: FilePosition): void {
    const live = this.#threads.get(writer.threadId);
    if (live?.writer !== writer) return;
    live.updatedAt = this.#clock.now();
    if (isFirstAfterHeader(writer, start)) live.fold ??= this.#followFromStart(writer);
    if (live.fold !== undefined) {
      live.fold.observe(item, start, end);
      live.unsaved += 1;
    }
    this.#noteTurn(live, item);
    this.#noteModel(live, item);
    if (live.summary !== undefined && live.row !== undefined) this.#addText(live, live.row, item);
  }

  /** The anchors of a thread that begins to grow go along with it, so that no later fork has to read what it wrote. */
  #followFromStart({ fileId, base }: FileThreadWriter): AnchorFold | undefined {
    return this.#index?.peek(({ anchors }) => {
      if (base === null) return anchors.fold(fileId, null);
      const through = anchors.indexedThrough(base.fileId);
      if (through === undefined || through.ordinal < base.end.ordinal) return undefined;
      return anchors.fold(fileId, { threadId: base.fileId, end: base.end });
    });
  }

  /** Told with the growth, so that a turn costs no row. */
  #noteTurn(live: LiveThread, item: RolloutItem): void {
    if (live.row === undefined) return;
    const last = lastTurnAfter(live.row, item, live.writer.historyMode);
    if (last !== live.row) live.row = { ...live.row, waiting: undefined, ...last };
  }

  #noteModel(live: LiveThread, item: RolloutItem): void {
    const { row } = live;
    const use = row === undefined ? undefined : modelUseOf(item);
    if (row === undefined || use === undefined) return;
    if (use.model === row.model && use.reasoningEffort === row.reasoningEffort) return;
    live.row = { ...row, ...use };
    this.#putRow(live, live.row);
  }

  #addText(live: LiveThread, row: CatalogRow, item: RolloutItem): void {
    const text = userTextOf(item);
    if (text === undefined || live.summary === undefined) return;
    if (live.summary.add(text)) {
      const { preview, searchText } = live.summary;
      live.row = { ...row, preview, searchText };
      this.#putRow(live, live.row);
    }
    if (live.summary.isFull) live.summary = undefined;
  }

  /** What is said of lines that are still to be written does not count after a crash: no file has this size. */
  #putRow({ updatedAt }: LiveThread, row: CatalogRow): void {
    void this.#index?.put({ ...row, updatedAt, fileSize: NO_SIZE });
  }

  /** Lines of this writer are in the file. */
  stored(writer: FileThreadWriter): void {
    const live = this.#threads.get(writer.threadId);
    if (live?.writer !== writer) return;
    if (live.unsaved > MAX_UNSAVED) this.saveFold(live);
    if (live.row === undefined) return;
    this.#grown.add(live);
    this.#index?.grew();
  }

  /** false: the anchors are not in step any more. */
  saveFold(live: LiveThread): boolean {
    const { fold } = live;
    if (fold === undefined) return false;
    live.unsaved = 0;
    if (live.writer.file.pending) return true; // anchors never run ahead of the file
    const saved = this.#index?.peek(() => fold.save()) ?? false;
    if (!saved) live.fold = undefined;
    return saved;
  }

  get hasGrown(): boolean {
    return this.#grown.size > 0;
  }

  /**
   * Tells the catalog what was stored since the last time, rows and anchors, in one transaction: each costs what hundreds of rows
   * do. What it can't take is told again.
   */
  tellGrowth(catalog: Catalog): void {
    const grown = [...this.#grown];
    try {
      catalog.transaction(() => {
        for (const live of grown) {
          if (live.fold === undefined || live.writer.file.pending) continue;
          live.unsaved = 0;
          if (!live.fold.save()) live.fold = undefined;
        }
        catalog.grow(grown.map((live) => this.#growthOf(live)).filter((growth) => growth !== undefined));
      });
    } catch (error) {
      // What was saved of their anchors is undone: they catch up from the files.
      for (const live of grown) live.fold = undefined;
      throw error;
    }
    for (const live of grown) this.#grown.delete(live);
  }

  #noteRow(live: LiveThread): void {
    if (!this.#grown.delete(live)) return;
    const growth = this.#growthOf(live);
    if (growth !== undefined) this.#index?.use((catalog) => catalog.grow([growth]));
  }

  #growthOf({ writer, row, updatedAt }: LiveThread): CatalogGrowth | undefined {
    const info = this.#fs.infoOf(writer.file.path);
    if (info === undefined || row === undefined) return undefined;
    const { interrupted, openTurn } = row;
    return {
      threadId: writer.threadId,
      updatedAt,
      fileSize: writer.file.pending ? NO_SIZE : info.size,
      mtimeMs: info.modifiedMs,
      interrupted,
      openTurn,
    };
  }
}

const NO_SIZE = -1;

const isFirstAfterHeader = ({ base }: FileThreadWriter, start: FilePosition): boolean =>
  start.ordinal === (base?.end.ordinal ?? 0) + 1;
