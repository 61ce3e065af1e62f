/**
 * Tells one client what changes in the tree: at most so often, each thread once, as it is when it is told. A client that
 * reads slowly is told later, and less often.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { Connection } from "../connection.ts";
import type { Collector } from "./collector.ts";
import type { TreeChanges, TreeRow } from "./wire.ts";

export type TreeWatchOptions = {
  readonly collector: Collector;
  readonly connection: Connection;
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly instanceId: string;
  readonly everyMs: number;
  /** Threads that have changed before. */
  readonly changed: readonly ThreadId[];
};

const READ_AT_ONCE = 64;

export class TreeWatch implements Disposable {
  readonly #options: TreeWatchOptions;
  readonly #stop: () => void;
  #rows = new Set<ThreadId>();
  #patches = new Set<ThreadId>();
  #timer: unknown;
  #isTelling = false;
  #isOver = false;

  constructor(options: TreeWatchOptions) {
    this.#options = options;
    this.#rows = new Set(options.changed);
    this.#stop = options.collector.onChange((threadId, change) => {
      (change === "row" ? this.#rows : this.#patches).add(threadId);
      this.#arm();
    });
    if (options.changed.length > 0) this.#arm();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#isTelling || this.#isOver) return;
    const { clock, everyMs } = this.#options;
    this.#timer = clock.background(() => {
      this.#timer = undefined;
      void this.#tell();
    }, everyMs);
  }

  async #tell(): Promise<void> {
    const { connection, logger } = this.#options;
    this.#isTelling = true;
    try {
      await connection.congestion();
      if (!this.#isOver) connection.tell({ method: "skein/tree/changed", params: await this.#changes() });
    } catch (err) {
      logger.warn({ err }, "the tree's changes could not be read; they are told with the next");
    } finally {
      this.#isTelling = false;
    }
    if (this.#rows.size + this.#patches.size > 0) this.#arm();
  }

  async #changes(): Promise<TreeChanges> {
    const { collector, instanceId } = this.#options;
    const { seq } = collector;
    const fresh = this.#rows;
    const changed = this.#patches;
    // What changes while these are read is told with the next.
    this.#rows = new Set();
    this.#patches = new Set();
    try {
      const { rows, removed } = await this.#read([...fresh]);
      const patches = [...changed].filter((id) => !fresh.has(id)).map((id) => collector.rows.patch(id));
      return { instanceId, seq, rows, patches, removed };
    } catch (error) {
      for (const id of fresh) this.#rows.add(id);
      for (const id of changed) this.#patches.add(id);
      throw error;
    }
  }

  async #read(ids: readonly ThreadId[]): Promise<{ rows: TreeRow[]; removed: ThreadId[] }> {
    const rows: TreeRow[] = [];
    const removed: ThreadId[] = [];
    for (let at = 0; at < ids.length; at += READ_AT_ONCE) {
      const some = ids.slice(at, at + READ_AT_ONCE);
      await Promise.all(
        some.map(async (id) => {
          const row = await this.#options.collector.rows.read(id);
          if (row === undefined) removed.push(id);
          else rows.push(row);
        }),
      );
    }
    return { rows, removed };
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#stop();
    this.#options.clock.clearTimeout(this.#timer);
  }
}
