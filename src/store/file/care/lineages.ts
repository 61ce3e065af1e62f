import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { RolloutHead } from "../rollout/head.ts";
import { fileIdOf, type HistoryReader } from "../rollout/history-reader.ts";

/** `depth`: how many ancestors there are; Infinity where they lead back to each other. `isWhole`: all that is inherited is there. */
export type Lineage = { readonly depth: number; readonly isWhole: boolean };

type Step = { readonly base: RolloutHead | undefined; readonly isGood: boolean };

/** What files inherit from, each of them looked at once, however many do so. */
export class Lineages {
  readonly #reader: HistoryReader;
  readonly #known = new Map<ThreadId, Lineage>();

  constructor(reader: HistoryReader) {
    this.#reader = reader;
  }

  async of(head: RolloutHead): Promise<Lineage> {
    /** Whether the way from it to its base is good. */
    const walked = new Map<ThreadId, boolean>();
    let lineage: Lineage = { depth: -1, isWhole: true };
    for (let at: RolloutHead | undefined = head; at !== undefined; ) {
      const fileId = fileIdOf(at);
      const known = walked.has(fileId) ? { depth: Number.POSITIVE_INFINITY, isWhole: false } : this.#known.get(fileId);
      if (known !== undefined) {
        lineage = known;
        break;
      }
      const { base, isGood }: Step = await this.#baseOf(at);
      walked.set(fileId, isGood);
      at = base;
    }
    for (const [fileId, isGood] of [...walked].reverse()) {
      lineage = { depth: lineage.depth + 1, isWhole: lineage.isWhole && isGood };
      this.#known.set(fileId, lineage);
    }
    return lineage;
  }

  async #baseOf(head: RolloutHead): Promise<Step> {
    let isGood = !head.hasLostBase && head.misnamedEnd === undefined;
    if (head.base === null) return { base: undefined, isGood };
    await yieldToLoop();
    const segment = await this.#reader.ancestor(head, head.base, () => {
      isGood = false;
    });
    return { base: segment?.head, isGood };
  }
}
