import assert from "node:assert/strict";
import { test } from "node:test";
import { RolloutNotFoundError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import {
  addTurn,
  forkAt,
  gistOf,
  header,
  inStore,
  linesOf,
  type MakeStore,
  storedThread,
  turnGist,
} from "./store-script.ts";

export function lineageSuite(make: MakeStore): void {
  test(
    "a thread says how it stores; its forks go on so, whether they inherit anything or not",
    inStore(make, async ({ store }) => {
      const meta = header({ history_mode: "legacy" });
      const writer = await store.create(meta);
      addTurn(writer, "one");
      await writer.close();
      const base = await store.forkBase(meta.id, "full");
      assert.ok(base);
      const modes = [writer.historyMode];
      for (const from of [base, { ...base, inherits: null }]) {
        const forked = await store.fork(header(), from);
        addTurn(forked, "two");
        await forked.close();
        const stored = await store.get(forked.threadId);
        const again = await store.open(forked.threadId);
        await again.close();
        modes.push(forked.historyMode, stored.historyMode, again.historyMode);
        const inherited = from.inherits === null ? [] : turnGist("one");
        const gist = (await gistOf(store, forked.threadId)).filter((line) => line !== "[session_meta]");
        assert.deepEqual(gist, [...inherited, ...turnGist("two")]);
      }
      assert.deepEqual(modes, Array(7).fill("legacy"));
    }),
  );

  test(
    "ancestors go up to the first, descendants down with parents before children",
    inStore(make, async ({ store }) => {
      const { id: root } = await storedThread(store, ["root"]);
      const a = await forkAt(store, root, "full", (writer) => addTurn(writer, "a"));
      const b = await forkAt(store, root, "full", (writer) => addTurn(writer, "b"));
      const aa = await forkAt(store, a, "full", (writer) => addTurn(writer, "aa"));
      const ab = await forkAt(store, a, { beforeUserMessage: 1 });
      const aaa = await forkAt(store, aa, "full");
      assert.deepEqual(await store.ancestors(aaa), [aa, a, root]);
      assert.deepEqual(await store.ancestors(ab), [a, root]);
      assert.deepEqual(await store.ancestors(root), []);
      const below = await store.descendants(root);
      assert.deepEqual([...below].sort(), [a, b, aa, ab, aaa].sort());
      const before = (parent: ThreadId, child: ThreadId) => below.indexOf(parent) < below.indexOf(child);
      assert.ok(before(a, aa) && before(a, ab) && before(aa, aaa));
      assert.deepEqual([...(await store.descendants(a))].sort(), [aa, ab, aaa].sort());
      assert.deepEqual(await store.descendants(aaa), []);
    }),
  );

  test(
    "deleting a parent breaks no fork, at any depth, and the parent stays named (F3)",
    inStore(make, async ({ store }) => {
      const { id: root, turns } = await storedThread(store, ["one", "two"]);
      const child = await forkAt(store, root, "full", (writer) => addTurn(writer, "three"));
      const grandchild = await forkAt(store, child, "full", (writer) => addTurn(writer, "four"));
      const kept = await linesOf(store, grandchild);
      const keptChild = await linesOf(store, child);
      await store.delete(root);
      assert.deepEqual(await linesOf(store, child), keptChild);
      await store.delete(child);
      assert.deepEqual(await linesOf(store, grandchild), kept);
      for (const gone of [root, child]) {
        await assert.rejects(store.get(gone), RolloutNotFoundError);
        await assert.rejects(store.open(gone), RolloutNotFoundError);
        await assert.rejects(linesOf(store, gone), RolloutNotFoundError);
        await assert.rejects(store.delete(gone), RolloutNotFoundError);
      }
      assert.deepEqual(
        (await store.list()).threads.map(({ threadId }) => threadId),
        [grandchild],
      );
      assert.deepEqual(await store.ancestors(grandchild), [child, root]);
      assert.equal((await store.get(grandchild)).preview, "one");

      const late = await forkAt(store, grandchild, { throughTurn: turns[0] ?? "" }, (writer) =>
        addTurn(writer, "late"),
      );
      assert.deepEqual(await gistOf(store, late), [
        "[session_meta]",
        ...turnGist("one"),
        "[session_meta]",
        ...turnGist("late"),
      ]);
      const writer = await store.open(grandchild);
      addTurn(writer, "five");
      await writer.close();
      assert.equal((await linesOf(store, grandchild)).length, kept.length + 4);
      await store.delete(grandchild);
      assert.equal((await gistOf(store, late)).length, 10);
      await store.delete(late);
      assert.deepEqual((await store.list()).threads, []);
    }),
  );

  test(
    "what was deleted between is passed over on the way down",
    inStore(make, async ({ store }) => {
      const { id: root } = await storedThread(store, ["one"]);
      const child = await forkAt(store, root, "full", (writer) => addTurn(writer, "two"));
      const grandchild = await forkAt(store, child, "full");
      await store.delete(child);
      assert.deepEqual(await store.descendants(root), [grandchild]);
    }),
  );

  test(
    "archived threads stay whole: read, forked, named by their forks, and brought back",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one", "two"]);
      const child = await forkAt(store, id, { beforeUserMessage: 1 }, (writer) => addTurn(writer, "other"));
      const lines = await linesOf(store, id);
      const forkLines = await linesOf(store, child);
      await store.archive(id);
      await store.archive(id);
      assert.equal((await store.get(id)).archived, true);
      assert.deepEqual(await linesOf(store, id), lines);
      assert.deepEqual(await linesOf(store, child), forkLines);
      const late = await forkAt(store, id, "full");
      assert.equal((await linesOf(store, late)).length, 10);
      assert.deepEqual(await store.ancestors(child), [id]);
      await store.unarchive(id);
      await store.unarchive(id);
      assert.equal((await store.get(id)).archived, false);
      assert.deepEqual(await linesOf(store, id), lines);
      assert.equal((await linesOf(store, late)).length, 10);
      const writer = await store.open(id);
      addTurn(writer, "three");
      await writer.close();
      assert.equal((await linesOf(store, id)).length, 13);
    }),
  );

  test(
    "an archived parent can be deleted, and a deleted thread's writer stores nothing more",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const child = await forkAt(store, id, "full", (writer) => addTurn(writer, "two"));
      await store.archive(id);
      await store.delete(id);
      assert.deepEqual((await store.list({ archived: true })).threads, []);
      assert.equal((await linesOf(store, child)).length, 10);

      const writer = await store.create(header());
      addTurn(writer, "one");
      await writer.flush();
      await store.delete(writer.threadId);
      addTurn(writer, "two");
      await assert.rejects(writer.flush());
      await writer.close();
      await assert.rejects(store.get(writer.threadId), RolloutNotFoundError);
    }),
  );
}
