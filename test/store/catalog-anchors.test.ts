import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { InternalDefect, InvalidForkPointError } from "../../src/protocol/errors.ts";
import { newThreadId, newTurnId, type ThreadId } from "../../src/protocol/ids.ts";
import type { ForkAnchor } from "../../src/protocol/initial-history.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { AnchorIndex } from "../../src/store/anchor-index.ts";
import {
  aborted,
  answer,
  begun,
  ended,
  fromTheFuture,
  rolledBack,
  user,
} from "../../src/store/contract/store-script.ts";
import { LOOKUPS } from "../../src/store/file/catalog/anchor-views.ts";
import type { AnchorBase } from "../../src/store/file/catalog/anchors.ts";
import { Catalog } from "../../src/store/file/catalog/catalog.ts";
import type { FilePosition } from "../../src/store/file/file-position.ts";
import { planOf } from "./query-plan.ts";

const LINE_BYTES = 10;

/** A thread on paper: all its lines, and from where on they are its own. */
type Paper = { readonly id: ThreadId; readonly lines: RolloutItem[]; readonly base: AnchorBase | null; saved: number };

const startOf = (paper: Paper): number => paper.base?.end.ordinal ?? 0;

/** Where a line of the thread's own file lies. */
const ownPlace = (paper: Paper, ordinal: number): FilePosition => ({
  ordinal,
  byteOffset: (ordinal - startOf(paper)) * LINE_BYTES,
});

const newPaper = (lines: readonly RolloutItem[] = [], base: AnchorBase | null = null): Paper => ({
  id: newThreadId(),
  lines: [...lines],
  base,
  saved: base?.end.ordinal ?? 0,
});

function takeIn(catalog: Catalog, paper: Paper, upTo = paper.lines.length): void {
  const fold = catalog.anchors.fold(paper.id, paper.base);
  assert.deepEqual(fold.through, ownPlace(paper, paper.saved));
  for (let ordinal = paper.saved; ordinal < upTo; ordinal += 1) {
    const item = paper.lines[ordinal];
    assert.ok(item);
    fold.observe(item, ownPlace(paper, ordinal), ownPlace(paper, ordinal + 1));
  }
  assert.equal(fold.save(), true);
  paper.saved = upTo;
}

/** Makes a fork of the lines below the ordinal, with a header line of its own. */
function forkOf(papers: ReadonlyMap<ThreadId, Paper>, source: Paper, end: number): Paper {
  let holder = source;
  while (holder.base !== null && end <= startOf(holder)) {
    const next = papers.get(holder.base.threadId);
    assert.ok(next);
    holder = next;
  }
  const base = { threadId: holder.id, end: ownPlace(holder, end) };
  const fork = newPaper(source.lines.slice(0, end), base);
  fork.lines.push(fromTheFuture("header"));
  return fork;
}

const inCatalog = async (body: (catalog: Catalog, path: string) => void | Promise<void>): Promise<void> => {
  const home = mkdtempSync(join(tmpdir(), "skein-anchors-"));
  const path = join(home, "catalog.sqlite");
  const { catalog } = Catalog.open(path);
  try {
    await body(catalog, path);
  } finally {
    catalog.close();
    rmSync(home, { recursive: true });
  }
};

/** What the index that reads everything says. */
function indexOf(paper: Paper): AnchorIndex {
  const index = new AnchorIndex();
  for (const [ordinal, item] of paper.lines.entries()) {
    index.observe(item, { ordinal }, { ordinal: ordinal + 1 });
  }
  return index;
}

function outcome<T>(ask: () => T): T | string {
  try {
    return ask();
  } catch (error) {
    assert.ok(error instanceof InvalidForkPointError);
    return error.message;
  }
}

function compare(catalog: Catalog, papers: ReadonlyMap<ThreadId, Paper>, paper: Paper): void {
  const { anchors } = catalog;
  const index = indexOf(paper);
  const end = { ordinal: paper.lines.length, byteOffset: 0 };
  assert.equal(anchors.userMessageCount(paper.id), index.userMessageCount);
  const turnIds = paper.lines.flatMap((item) =>
    item.type === "event_msg" && item.payload.type === "task_started" ? [String(item.payload.turn_id)] : [],
  );
  const all: ForkAnchor[] = [
    "full",
    ...Array.from({ length: index.userMessageCount + 2 }, (_, n) => ({ beforeUserMessage: n })),
    ...[...turnIds, "nobody"].flatMap((id) => [{ throughTurn: id }, { beforeTurn: id }]),
  ];
  for (const at of all) {
    const expected = outcome(() => index.resolve(at, end));
    const found = outcome(() => anchors.resolve(paper.id, at));
    if (typeof expected === "string" || expected === undefined || typeof found === "string") {
      assert.deepEqual(found, expected, JSON.stringify(at));
      continue;
    }
    assert.deepEqual(
      [found?.end.ordinal, found?.openTurn],
      [expected.end.ordinal, expected.openTurn],
      JSON.stringify(at),
    );
    const holder = papers.get(found?.threadId ?? paper.id);
    assert.ok(holder && found);
    assert.ok(found.end.ordinal > startOf(holder) || holder.base === null, "held by an ancestor");
    assert.deepEqual(found.end, ownPlace(holder, found.end.ordinal));
  }
  for (const id of turnIds) {
    const [expected, found] = [index.findTurn(id), anchors.findTurn(paper.id, id)];
    assert.deepEqual([found?.start.ordinal, found?.end?.ordinal], [expected?.start.ordinal, expected?.end?.ordinal]);
  }
}

type Step =
  | { do: "lines"; thread: number; kinds: Kind[] }
  | { do: "save"; thread: number }
  | { do: "fork"; thread: number; at: number };
type Kind =
  | "turn"
  | "begin"
  | "user"
  | "answer"
  | "stop"
  | "other"
  | "rollBack1"
  | "rollBack2"
  | "rollBack9"
  | "rollBack0";

const KINDS: Kind[] = [
  "turn",
  "turn",
  "begin",
  "user",
  "answer",
  "stop",
  "other",
  "rollBack1",
  "rollBack2",
  "rollBack9",
  "rollBack0",
];
const nat = fc.nat({ max: 99 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant("lines" as const),
      thread: nat,
      kinds: fc.array(fc.constantFrom(...KINDS), { maxLength: 8 }),
    }),
    fc.record({ do: fc.constant("save" as const), thread: nat }),
    fc.record({ do: fc.constant("fork" as const), thread: nat, at: nat }),
  ),
  { minLength: 1, maxLength: 16 },
);

/** A turn begins only when none runs, as threads write them. */
function linesOf(kind: Kind, before: readonly RolloutItem[]): RolloutItem[] {
  const last = before.findLast(
    (item) =>
      item.type === "event_msg" && ["task_started", "task_complete", "turn_aborted"].includes(item.payload.type),
  );
  const runs = last?.type === "event_msg" && last.payload.type === "task_started";
  const id = newTurnId();
  const close = runs ? [aborted(id)] : [];
  switch (kind) {
    case "turn":
      return [...close, begun(id), user("u"), answer("a"), ended(id)];
    case "begin":
      return [...close, begun(id)];
    case "user":
      return [user("u")];
    case "answer":
      return [answer("a")];
    case "stop":
      return [ended(id)];
    case "other":
      return [fromTheFuture(1)];
    default:
      return [rolledBack(Number(kind.slice(-1)))];
  }
}

test("any history, saved in any pieces and forked at any line, resolves as by reading all of it", async () => {
  await inCatalog((catalog) => {
    fc.assert(
      fc.property(steps, (script) => {
        const first = newPaper([fromTheFuture("header")]);
        const papers = new Map([[first.id, first]]);
        const pick = (n: number) => [...papers.values()][n % papers.size] ?? first;
        for (const step of script) {
          const paper = pick(step.thread);
          if (step.do === "save") takeIn(catalog, paper);
          else if (step.do === "lines") for (const kind of step.kinds) paper.lines.push(...linesOf(kind, paper.lines));
          else {
            takeIn(catalog, paper);
            const fork = forkOf(papers, paper, 1 + (step.at % paper.lines.length));
            papers.set(fork.id, fork);
            takeIn(catalog, fork);
          }
        }
        for (const paper of papers.values()) {
          takeIn(catalog, paper);
          compare(catalog, papers, paper);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("a stale index goes on from where it ends; lines that it has are passed over", async () => {
  await inCatalog((catalog) => {
    const paper = newPaper([fromTheFuture("header"), begun("t1"), user("one"), answer("yes"), ended("t1")]);
    assert.equal(catalog.anchors.indexedThrough(paper.id), undefined);
    takeIn(catalog, paper, 2);
    assert.deepEqual(catalog.anchors.indexedThrough(paper.id), { ordinal: 2, byteOffset: 20 });
    assert.equal(catalog.anchors.findTurn(paper.id, "t1")?.end, null);

    const fold = catalog.anchors.fold(paper.id, null);
    for (const [ordinal, item] of paper.lines.entries()) {
      fold.observe(item, ownPlace(paper, ordinal), ownPlace(paper, ordinal + 1));
    }
    assert.equal(fold.save(), true);
    assert.equal(fold.save(), true);
    fold.observe(begun("t2"), ownPlace(paper, 5), ownPlace(paper, 6));
    assert.equal(fold.save(), true);
    assert.deepEqual(fold.through, { ordinal: 6, byteOffset: 60 });
    assert.equal(catalog.anchors.userMessageCount(paper.id), 1);
    assert.deepEqual(catalog.anchors.nthUserMessage(paper.id, 0), ownPlace(paper, 1));
    assert.equal(catalog.anchors.nthUserMessage(paper.id, 1), undefined);
    assert.deepEqual(catalog.anchors.lastTurn(paper.id), { turnId: "t2", start: ownPlace(paper, 5), end: null });
    assert.deepEqual(catalog.anchors.findTurn(paper.id, "t1"), {
      turnId: "t1",
      start: ownPlace(paper, 1),
      end: ownPlace(paper, 5),
    });
  });
});

test("of two that take in the same lines, one does", async () => {
  await inCatalog((catalog, path) => {
    const other = Catalog.open(path).catalog;
    const paper = newPaper([fromTheFuture("header"), begun("t1"), user("one"), ended("t1")]);
    const folds = [catalog, other].map(({ anchors }) => anchors.fold(paper.id, null));
    for (const fold of folds) {
      for (const [n, item] of paper.lines.entries()) fold.observe(item, ownPlace(paper, n), ownPlace(paper, n + 1));
    }
    assert.deepEqual(
      folds.map((fold) => fold.save()),
      [true, false],
    );
    const late = [catalog, other].map(({ anchors }) => anchors.fold(paper.id, null));
    for (const fold of late) fold.observe(user("two"), ownPlace(paper, 4), ownPlace(paper, 5));
    assert.deepEqual(
      late.map((fold) => fold.save()),
      [true, false],
    );
    assert.equal(other.anchors.userMessageCount(paper.id), 2);
    other.close();
  });
});

test("a fork needs its base, starts anew when the base turns out another, and before its first line ends in the base", async () => {
  await inCatalog((catalog) => {
    const root = newPaper([fromTheFuture("header"), begun("t1"), user("one"), ended("t1")]);
    const base = { threadId: root.id, end: ownPlace(root, 4) };
    const fork = newPaper([...root.lines], base);
    assert.throws(() => catalog.anchors.fold(fork.id, base).save(), InternalDefect);
    takeIn(catalog, root, 3);
    assert.throws(() => catalog.anchors.fold(fork.id, base).save(), InternalDefect);
    takeIn(catalog, root);
    assert.equal(catalog.anchors.fold(fork.id, base).save(), true);
    assert.deepEqual(catalog.anchors.resolve(fork.id, "full"), { threadId: root.id, end: base.end, openTurn: null });

    const orphan = newPaper([fromTheFuture("header"), user("own")]);
    takeIn(catalog, orphan);
    assert.equal(catalog.anchors.userMessageCount(orphan.id), 1);
    const found = catalog.anchors.fold(orphan.id, base);
    assert.deepEqual(found.through, { ordinal: 4, byteOffset: 0 });
    assert.equal(found.save(), true);
    assert.equal(catalog.anchors.userMessageCount(orphan.id), 1);
    assert.equal(catalog.anchors.fold(orphan.id, null).through.ordinal, 4);
    assert.equal(catalog.anchors.findTurn(orphan.id, "t1")?.start.ordinal, 1);
  });
});

test("to forget a thread is to forget those that inherit from it", async () => {
  await inCatalog((catalog) => {
    const papers = new Map<ThreadId, Paper>();
    const root = newPaper([fromTheFuture("header"), begun("t1"), user("one"), ended("t1")]);
    papers.set(root.id, root);
    takeIn(catalog, root);
    const child = forkOf(papers, root, 4);
    papers.set(child.id, child);
    takeIn(catalog, child);
    const grandchild = forkOf(papers, child, 5);
    takeIn(catalog, grandchild);
    const other = newPaper([fromTheFuture("header"), user("x")]);
    takeIn(catalog, other);
    catalog.anchors.forget(root.id);
    catalog.anchors.forget(newThreadId());
    for (const { id } of [root, child, grandchild]) {
      assert.equal(catalog.anchors.indexedThrough(id), undefined);
      assert.equal(catalog.anchors.resolve(id, "full"), undefined);
      assert.equal(catalog.anchors.lastTurn(id), undefined);
    }
    assert.equal(catalog.anchors.userMessageCount(other.id), 1);
    root.saved = 0;
    takeIn(catalog, root);
    assert.equal(catalog.anchors.findTurn(root.id, "t1")?.end?.ordinal, 4);
  });
});

test("every lookup is a search for all that it knows", async () => {
  await inCatalog((_catalog, path) => {
    const plans = Object.entries(LOOKUPS).map(([name, sql]) => [name, planOf(path, sql).join("; ")]);
    assert.deepEqual(Object.fromEntries(plans), {
      byId: "SEARCH anchored USING INDEX sqlite_autoindex_anchored_1 (id=?)",
      byNumber: "SEARCH anchored USING INTEGER PRIMARY KEY (rowid=?)",
      message: "SEARCH messages USING PRIMARY KEY (t=? AND n=? AND line<?)",
      lastMessage: "SEARCH messages USING INDEX messages_line (t=? AND line<?)",
      lastTurn: "SEARCH turns USING PRIMARY KEY (t=? AND start<?)",
      turnByStart: "SEARCH turns USING PRIMARY KEY (t=? AND start=?)",
      turnById: "SEARCH turns USING INDEX turns_id (t=? AND id=? AND start<?)",
      stop: "SEARCH stops USING PRIMARY KEY (t=? AND start=?)",
      rollback: "SEARCH rollbacks USING PRIMARY KEY (t=? AND line<?)",
    });
  });
});
