import { LRUCache } from "lru-cache";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { RolloutHead } from "../rollout/head.ts";
import { DEEPEST, fileIdOf, type HistoryReader } from "../rollout/history-reader.ts";
import type { Segment } from "../rollout/segment.ts";
import { NOTHING_SAID, type Said, saidWith } from "./said.ts";

const REMEMBERED = 4_096;

/**
 * What the lines say that files inherit, while many files of a home are read: forks of forks share nearly all of it, and each
 * prefix is read once. What stands before a base's end never changes, so this holds as long as nobody writes into files; a look
 * or a check makes its own.
 */
export class InheritedSummaries {
  readonly #reader: HistoryReader;
  /**
   * By the file and the ordinal where the prefix ends; with how many ancestors it has. Bounded by size: a `max` would lay out
   * room for all of them at each look at the home, most of what a list costs.
   */
  readonly #known = new LRUCache<string, { readonly said: Said; readonly depth: number }>({
    maxSize: REMEMBERED,
    sizeCalculation: () => 1,
  });

  constructor(reader: HistoryReader) {
    this.#reader = reader;
  }

  /** What stands before the file's own lines. */
  async before(head: RolloutHead): Promise<Said> {
    const chain: { readonly key: string; readonly segment: Segment }[] = [];
    const seen = new Set([fileIdOf(head)]);
    let from = { said: NOTHING_SAID, depth: 0 };
    let isWhole = true;
    for (let heir = head; heir.base !== null; ) {
      const { fileId, end } = heir.base;
      // As `segments` breaks off: what a loop has told depends on where it was entered.
      isWhole = !seen.has(fileId) && seen.size < DEEPEST;
      if (!isWhole) break;
      seen.add(fileId);
      await yieldToLoop();
      const segment = await this.#reader.ancestor(heir, heir.base);
      if (segment === undefined) break;
      const key = `${fileId} ${end.ordinal} ${end.byteOffset}`;
      const known = this.#known.get(key);
      if (known !== undefined && known.depth + seen.size <= DEEPEST) {
        from = known;
        break;
      }
      chain.push({ key, segment });
      heir = segment.head;
    }
    for (const { key, segment } of chain.reverse()) {
      from = { said: await saidWith(this.#reader, from.said, segment), depth: from.depth + 1 };
      if (isWhole) this.#known.set(key, from);
    }
    return from.said;
  }
}
