/** What is read of threads' own lines for somebody who looks: their turns' figures, and what ran before he did. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import { costOf } from "../../protocol/budget.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { ifStored } from "../../store/is-stored.ts";
import { ALL_SOURCE_KINDS } from "../../store/thread-query.ts";
import { agentsUnder } from "../v2/agent-family.ts";
import type { Studio } from "./studio.ts";
import { familyOf } from "./tree-read.ts";
import type { Span, TurnFigures } from "./wire.ts";

/** Of so many threads the lines are read at once; of a whole home, those that were active last. */
const MOST_THREADS = 100;

/** Oldest first. An ephemeral thread has no lines to read. */
export async function figuresOf(
  { histories }: Studio,
  manager: ThreadManager,
  threadId: ThreadId,
): Promise<TurnFigures[]> {
  const history = await ifStored(histories.read(threadId));
  return (history?.turns ?? []).map(({ usage, provider, ...turn }) => {
    const price = turn.model === null ? undefined : manager.priceOf(turn.model, provider);
    return {
      ...turn,
      tokensIn: usage.input_tokens,
      tokensCached: usage.cached_input_tokens,
      tokensOut: usage.output_tokens,
      cost: price === undefined ? null : costOf(usage, price),
    };
  });
}

type Range = {
  readonly root: ThreadId | undefined;
  readonly forks: boolean;
  readonly from: number;
  readonly to: number;
  readonly most: number;
};

/** Spans that began before the collector did; `unread`: of so many threads that there are the lines were not read. */
export async function readEarlier(
  { collector, histories }: Studio,
  manager: ThreadManager,
  { root, forks, from, to, most }: Range,
): Promise<{ spans: Span[]; unread: number }> {
  const before = Math.min(to, (collector?.since ?? Number.POSITIVE_INFINITY) - 1);
  const ids = await whose(manager, { root, forks });
  const spans: Span[] = [];
  for (const id of ids.slice(0, MOST_THREADS)) {
    const history = await ifStored(histories.read(id));
    if (history === undefined) continue;
    const isHere = manager.loadedThread(id) !== undefined;
    for (const span of history.spans.within({ has: () => true, from, to: before, most }))
      spans.push(span[3] === null && !isHere ? upTo(span, history.lastAt) : span);
  }
  const oldestFirst = spans.sort((a, b) => a[2] - b[2] || Number(b[1] === "turn") - Number(a[1] === "turn"));
  return { spans: oldestFirst.slice(-most), unread: Math.max(0, ids.length - MOST_THREADS) };
}

async function whose(manager: ThreadManager, { root, forks }: Pick<Range, "root" | "forks">): Promise<ThreadId[]> {
  if (root === undefined) return newestOf(manager.store);
  if (forks) return [...(await familyOf(manager, root))];
  return [root, ...(await agentsUnder(manager.store, root, { archived: "either" }))];
}

/** What runs elsewhere, or was cut off, is known as far as its lines go. */
const upTo = ([threadId, kind, start, , , label, tokens]: Span, lastAt: number): Span => [
  threadId,
  kind,
  start,
  Math.max(start, lastAt),
  "as far as known",
  label,
  tokens,
];

async function newestOf(store: ThreadManager["store"]): Promise<ThreadId[]> {
  const query = { sourceKinds: ALL_SOURCE_KINDS, orderBy: "updatedAt", limit: MOST_THREADS } as const;
  return (await store.list(query)).threads.map(({ threadId }) => threadId);
}
