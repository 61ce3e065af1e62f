import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../protocol/errors.ts";
import { newThreadId } from "../../protocol/ids.ts";
import { header, inStore, type MakeStore } from "./store-script.ts";

/** Where a store keeps standing notes: each of a thread and a kind is one value, whole, and goes with the thread. */
export function noteSuite(make: MakeStore): void {
  test(
    "a note is read as it was written last, is taken away by undefined, and is one of its kind and thread",
    inStore(make, async ({ store, reopen }) => {
      const { notes } = store;
      if (notes === undefined) return;
      const [a, b] = [newThreadId(), newThreadId()];
      assert.equal(await notes.read(a, "budget"), undefined);
      assert.deepEqual(await notes.threads("timers"), []);
      const value = { text: "é \u0000 \ud83d\ude00", list: [1, null, { deep: true }] };
      await notes.write(a, "timers", { old: "x".repeat(10_000) });
      await notes.write(a, "timers", value);
      await notes.write(a, "budget", { used: 1 });
      await assert.rejects(notes.write(a, "budget", { used: 1n }), InvalidRequestError);
      await notes.write(b, "timers", []);
      const others = await reopen?.();
      for (const seen of others?.notes === undefined ? [notes] : [notes, others.notes]) {
        assert.deepEqual(await seen.read(a, "timers"), value);
        assert.deepEqual((await seen.threads("timers")).toSorted(), [a, b].toSorted());
        assert.deepEqual(await seen.threads("budget"), [a]);
      }
      await others?.close();
      await notes.write(a, "timers", undefined);
      await notes.write(a, "timers", undefined);
      assert.equal(await notes.read(a, "timers"), undefined);
      assert.deepEqual(await notes.read(a, "budget"), { used: 1 });
    }),
  );

  test(
    "a note that is fenced is replaced by none with a lower fence, and by any that has none",
    inStore(make, async ({ store, reopen }) => {
      const { notes } = store;
      if (notes === undefined) return;
      const meta = header();
      const { id } = meta;
      await (await store.create(meta)).close();
      const others = await reopen?.();
      for (const late of others?.notes === undefined ? [notes] : [notes, others.notes]) {
        await notes.write(id, "cluster", { of: "an earlier one", fence: 2 });
        await notes.write(id, "cluster", { of: "a later one", fence: 3 });
        await late.write(id, "cluster", { of: "an earlier one, late", fence: 2 });
        assert.deepEqual(await notes.read(id, "cluster"), { of: "a later one", fence: 3 });
        await late.write(id, "cluster", { of: "the same", fence: 3 });
        assert.deepEqual(await notes.read(id, "cluster"), { of: "the same", fence: 3 });
        await late.write(id, "cluster", { of: "anybody" });
        await late.write(id, "cluster", { of: "who comes next", fence: 1 });
        assert.deepEqual(await notes.read(id, "cluster"), { of: "who comes next", fence: 1 });
        await notes.write(id, "cluster", undefined);
      }
      await others?.close();
    }),
  );

  test(
    "the notes of a thread that is deleted are gone, and those of others stay",
    inStore(make, async ({ store }) => {
      const { notes } = store;
      if (notes === undefined) return;
      const [gone, kept] = [header(), header()];
      for (const meta of [gone, kept]) {
        await (await store.create(meta)).close();
        await notes.write(meta.id, "mail", [meta.id]);
      }
      await store.delete(gone.id);
      assert.equal(await notes.read(gone.id, "mail"), undefined);
      // Whoever stands still meanwhile, and writes late, brings nothing back.
      await notes.write(gone.id, "cluster", { fence: 7 });
      assert.equal(await notes.read(gone.id, "cluster"), undefined);
      assert.deepEqual(await notes.threads("mail"), [kept.id]);
    }),
  );
}
