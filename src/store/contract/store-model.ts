/**
 * Random histories against the plainest model: each thread an array of its lines, copied at every fork. Where an anchor
 * cuts is asked of SPEC 6.2's own function and of a search for turn events, not of the store's index.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type * as FastCheck from "fast-check";
import { importOptional } from "../../kernel/optional-package.ts";
import { newTurnId, type ThreadId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import type { RolloutItem } from "../../protocol/rollout.ts";
import { truncateBeforeNth } from "../../protocol/truncation.ts";
import type { ThreadStore } from "../thread-store.ts";
import {
  aborted,
  answer,
  begun,
  compacted,
  ended,
  fromTheFuture,
  header,
  linesOf,
  type MakeStore,
  plain,
  rolledBack,
  rolledBackTo,
  user,
} from "./store-script.ts";

type Model = { readonly items: RolloutItem[]; archived: boolean; forkedFrom: ThreadId | null };

type AnchorKind = "full" | "message" | "through" | "before";

/** `thread` and `pick` are taken modulo what there is to choose from. */
type Step =
  | { do: "create" }
  | { do: "turn"; thread: number; messages: number; open: boolean }
  | { do: "loose"; thread: number; what: "compacted" | "unknown" | "answer" }
  | { do: "rollBack"; thread: number; turns: number }
  | { do: "revert"; thread: number; pick: number }
  | { do: "fork"; thread: number; by: AnchorKind; pick: number }
  | { do: "delete"; thread: number }
  | { do: "archive"; thread: number };

function stepsOf(fc: typeof FastCheck): FastCheck.Arbitrary<Step[]> {
  const nat = fc.nat({ max: 11 });
  return fc.array(
    fc.oneof(
      { weight: 1, arbitrary: fc.constant<Step>({ do: "create" }) },
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant("turn" as const),
          thread: nat,
          messages: fc.nat({ max: 2 }),
          open: fc.boolean(),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("loose" as const),
          thread: nat,
          what: fc.constantFrom("compacted", "unknown", "answer"),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("rollBack" as const), thread: nat, turns: fc.nat({ max: 4 }) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("revert" as const), thread: nat, pick: nat }) },
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant("fork" as const),
          thread: nat,
          by: fc.constantFrom("full", "message", "through", "before"),
          pick: nat,
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("delete" as const), thread: nat }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("archive" as const), thread: nat }) },
    ),
    { minLength: 1, maxLength: 30 },
  );
}

/** undefined: it is not installed. */
async function fastCheck(): Promise<typeof FastCheck | undefined> {
  try {
    return await importOptional<typeof FastCheck>("fast-check", (cause) => new Missing("fast-check", { cause }));
  } catch (error) {
    if (error instanceof Missing) return undefined;
    throw error;
  }
}

class Missing extends Error {}

export function modelSuite(make: MakeStore, runs: number): void {
  test("the store gives what arrays that are copied at every fork give", async (t) => {
    const fc = await fastCheck();
    if (fc === undefined) return t.skip("with the package fast-check, random histories are played as well");
    await fc.assert(
      fc.asyncProperty(stepsOf(fc), async (script) => {
        const under = await make();
        try {
          const play = new Play(under.store);
          await play.take({ do: "create" });
          for (const step of script) await play.take(step);
          await play.compare(under.store);
          if (under.reopen === undefined) return;
          await under.store.close();
          const next = await under.reopen();
          await play.compare(next);
          await next.close();
        } finally {
          await under.dispose();
        }
      }),
      { numRuns: runs },
    );
  });
}

class Play {
  readonly #store: ThreadStore;
  readonly #models = new Map<ThreadId, Model>();

  constructor(store: ThreadStore) {
    this.#store = store;
  }

  async take(step: Step): Promise<void> {
    if (step.do === "create") return this.#create();
    const ids = [...this.#models.keys()];
    const id = ids[step.thread % ids.length];
    const model = id === undefined ? undefined : this.#models.get(id);
    if (id === undefined || model === undefined) return;
    switch (step.do) {
      case "turn":
        return this.#append(id, model, turnItems(step.messages, step.open, isOpen(model.items)));
      case "loose":
        return this.#append(id, model, [looseItem(isOpen(model.items) ? "unknown" : step.what)]);
      case "rollBack":
        return this.#append(id, model, [...closing(model.items), rolledBack(step.turns)]);
      case "revert": {
        const turns = liveTurns(model.items);
        const turn = turns[step.pick % Math.max(1, turns.length)];
        if (turn === undefined) return;
        return this.#append(id, model, [...closing(model.items), rolledBackTo(turn.turnId)]);
      }
      case "fork":
        return this.#fork(id, model, step.by, step.pick);
      case "delete":
        this.#models.delete(id);
        return this.#store.delete(id);
      case "archive":
        model.archived = !model.archived;
        return model.archived ? this.#store.archive(id) : this.#store.unarchive(id);
    }
  }

  async #create(): Promise<void> {
    const meta = header();
    await (await this.#store.create(meta)).close();
    this.#models.set(meta.id, { items: [{ type: "session_meta", payload: meta }], archived: false, forkedFrom: null });
  }

  async #append(id: ThreadId, model: Model, items: readonly RolloutItem[]): Promise<void> {
    const writer = await this.#store.open(id);
    assert.equal(writer.position().ordinal, model.items.length);
    for (const item of items) writer.append(item);
    model.items.push(...items);
    await writer.close();
  }

  async #fork(id: ThreadId, model: Model, by: AnchorKind, pick: number): Promise<void> {
    const { items } = model;
    const turns = liveTurns(items);
    const turn = turns[pick % Math.max(1, turns.length)];
    const at = anchorOf(by, pick, turn);
    if (at === undefined) return;
    const base = await this.#store.forkBase(id, at);
    if (base === undefined) {
      assert.equal(by, "message");
      assert.deepEqual(truncateBeforeNth(items, pick), []);
      return;
    }
    const end = base.inherits?.end.ordinal ?? 0;
    if (at === "full") assert.equal(end, items.length);
    else if ("beforeUserMessage" in at) {
      assert.deepEqual(history(items.slice(0, end)), history(truncateBeforeNth(items, pick)));
    } else assert.equal(end, "throughTurn" in at ? turn?.end : turn?.start);
    assert.equal(base.openTurn !== null, isOpen(items.slice(0, end)));

    const writer = await this.#store.fork(header(), base);
    const repair = base.openTurn === null ? [] : closing(items.slice(0, end));
    for (const item of repair) writer.append(item);
    await writer.close();
    const meta = await this.#store.header(writer.threadId);
    this.#models.set(writer.threadId, {
      items: [...items.slice(0, end), { type: "session_meta", payload: meta }, ...repair],
      archived: false,
      forkedFrom: id,
    });
  }

  async compare(store: ThreadStore): Promise<void> {
    for (const [id, model] of this.#models) {
      const lines = await linesOf(store, id);
      assert.deepEqual(plain(lines), plain(model.items));
      assert.deepEqual(
        lines.map(({ ordinal }) => ordinal),
        lines.map((_, n) => n),
      );
      const half = Math.floor(lines.length / 2);
      assert.deepEqual(await linesOf(store, id, { from: { ordinal: half } }), lines.slice(half));
      assert.deepEqual(await linesOf(store, id, { toOrdinal: half }), lines.slice(0, half));
      const compaction = model.items.findLastIndex(({ type }) => type === "compacted");
      assert.deepEqual(await linesOf(store, id, { from: "compaction" }), lines.slice(Math.max(0, compaction)));
      const stored = await store.get(id);
      assert.deepEqual([stored.archived, stored.forkedFromId], [model.archived, model.forkedFrom]);
      for (const turn of liveTurns(model.items)) {
        const place = await store.findTurn(id, turn.turnId);
        assert.deepEqual([place?.start.ordinal, place?.end?.ordinal], [turn.start, turn.end]);
      }
    }
    for (const archived of [false, true]) {
      const listed: ThreadId[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = await store.list({ archived, limit: 4, ...(cursor === undefined ? {} : { cursor }) });
        listed.push(...page.threads.map(({ threadId }) => threadId));
        cursor = page.nextCursor;
      }
      const expected = [...this.#models].filter(([, model]) => model.archived === archived).map(([id]) => id);
      assert.deepEqual(listed, expected.reverse());
    }
  }
}

/**
 * A turn begins with its messages, since what lies between its start and the first one goes with the turn, against the
 * letter of SPEC 6.2. A turn that runs on is joined by the next one's messages, or ended; it never stays behind another one.
 */
function turnItems(messages: number, open: boolean, running: boolean): RolloutItem[] {
  const turnId = newTurnId();
  const texts = Array.from({ length: messages }, (_, n) => [user(`${turnId} ${n}`), answer(`answer ${n}`)]).flat();
  return [...(running ? [] : [begun(turnId)]), ...texts, ...(open ? [] : [ended(turnId)])];
}

function looseItem(what: "compacted" | "unknown" | "answer"): RolloutItem {
  if (what === "compacted") return compacted("summary");
  return what === "unknown" ? fromTheFuture({ n: 1 }) : answer("by the way");
}

const history = (items: readonly RolloutItem[]) => items.filter(({ type }) => type === "response_item");

type LiveTurn = { readonly turnId: ReturnType<typeof newTurnId>; readonly start: number; end: number | undefined };

/** The turns that no rollback touched: they end before the first message that was taken back. */
function liveTurns(items: readonly RolloutItem[]): LiveTurn[] {
  let turns: LiveTurn[] = [];
  for (const [index, item] of items.entries()) {
    if (item.type !== "event_msg") continue;
    const msg = item.payload;
    if (msg.type === "task_started") {
      turns.push({ turnId: msg.turn_id as LiveTurn["turnId"], start: index, end: undefined });
    } else if (msg.type === "task_complete" || msg.type === "turn_aborted") {
      const last = turns.at(-1);
      if (last !== undefined) last.end ??= index + 1;
    } else if (msg.type === "thread_rolled_back") {
      const named = turns.find(({ turnId }) => turnId === msg.before_turn_id)?.start;
      const taken = named ?? (msg.num_turns > 0 ? firstTaken(items.slice(0, index), msg.num_turns) : undefined);
      if (taken !== undefined) turns = turns.filter(({ start, end }) => start < taken && (end ?? index) <= taken);
    }
  }
  return turns;
}

/** The first of the last `count` messages. */
function firstTaken(items: readonly RolloutItem[], count: number): number | undefined {
  for (let n = 0; ; n += 1) {
    const before = truncateBeforeNth(items, n);
    const after = truncateBeforeNth(items, n + count);
    if (before.length === 0) return undefined;
    if (after.length === 0) return before.length;
  }
}

function isOpen(items: readonly RolloutItem[]): boolean {
  const last = items.findLast(
    (item) =>
      item.type === "event_msg" && ["task_started", "task_complete", "turn_aborted"].includes(item.payload.type),
  );
  return last?.type === "event_msg" && last.payload.type === "task_started";
}

function anchorOf(
  by: AnchorKind,
  pick: number,
  turn: LiveTurn | undefined,
): Exclude<ForkAnchor, "interrupted"> | undefined {
  if (by === "full") return "full";
  if (by === "message") return { beforeUserMessage: pick };
  if (turn === undefined || (by === "through" && turn.end === undefined)) return undefined;
  return by === "through" ? { throughTurn: turn.turnId } : { beforeTurn: turn.turnId };
}

function closing(items: readonly RolloutItem[]): RolloutItem[] {
  return isOpen(items) ? [aborted(newTurnId())] : [];
}
