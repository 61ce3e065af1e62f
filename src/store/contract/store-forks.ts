import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidForkPointError } from "../../protocol/errors.ts";
import { newTurnId } from "../../protocol/ids.ts";
import type { ForkBase } from "../thread-store.ts";
import {
  aborted,
  addTurn,
  answer,
  begun,
  context,
  ended,
  forkAt,
  gistOf,
  header,
  inStore,
  itemsOf,
  linesOf,
  type MakeStore,
  rolledBack,
  storedThread,
  turnGist,
  user,
} from "./store-script.ts";

const endOf = (base: ForkBase | undefined): number | undefined => base?.inherits?.end.ordinal;

export function forkSuite(make: MakeStore): void {
  test(
    "a fork says where it begins, goes on with the ordinals of its base and shares its lines (W3, W4)",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one", "two"]);
      const shared = await linesOf(store, id);
      const base = await store.forkBase(id, "full");
      assert.ok(base?.inherits);
      const { end, threadId } = base.inherits;
      assert.deepEqual([base.source, threadId, end.ordinal, base.openTurn], [id, id, 9, null]);
      const meta = header({ cwd: "/elsewhere" });
      const writer = await store.fork(meta, base);
      assert.equal(writer.epoch, 1);
      assert.equal(writer.position().ordinal, 10);
      const stored = await store.header(meta.id);
      const end_byte_offset = stored.history_base?.end_byte_offset ?? -1;
      assert.ok(end_byte_offset >= 0); // what a file store counts; others have no bytes
      assert.deepEqual(stored, {
        ...meta,
        forked_from_id: id,
        forked_from_ordinal_exclusive: 9,
        history_base: { thread_id: id, end_ordinal_exclusive: 9, end_byte_offset },
      });
      addTurn(writer, "three");
      await writer.close();
      const lines = await linesOf(store, meta.id);
      assert.deepEqual(lines.slice(0, 9), shared);
      assert.deepEqual(
        lines.map(({ ordinal }) => ordinal),
        lines.map((_, n) => n),
      );
      assert.equal(lines.length, 14);
      assert.deepEqual(await linesOf(store, id), shared);
      assert.deepEqual((await itemsOf(store, meta.id, { from: { ordinal: 7 }, toOrdinal: 11 })).length, 4);
    }),
  );

  test(
    "source and fork go their own ways",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const child = await forkAt(store, id, "full", (writer) => addTurn(writer, "of the child"));
      const parent = await store.open(id);
      addTurn(parent, "of the parent");
      parent.append(rolledBack(2));
      await parent.close();
      assert.deepEqual(await gistOf(store, child), [
        "[session_meta]",
        ...turnGist("one"),
        "[session_meta]",
        ...turnGist("of the child"),
      ]);
      assert.equal(endOf(await store.forkBase(child, { beforeUserMessage: 1 })), 6);
      assert.equal(endOf(await store.forkBase(child, { beforeUserMessage: 0 })), 1);
      assert.equal(await store.forkBase(id, { beforeUserMessage: 0 }), undefined);
    }),
  );

  test(
    "beforeUserMessage cuts at its turn's start, or before itself when the turn goes on; outside it inherits nothing",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      const turn = newTurnId();
      for (const item of [
        context(), // 1
        user("before any turn"), // 2
        answer("ok"), // 3
        begun(turn), // 4
        context(), // 5
        user("first"), // 6
        answer("yes"), // 7
        user("steered"), // 8
        answer("oh"), // 9
        ended(turn), // 10
      ]) {
        writer.append(item);
      }
      addTurn(writer, "next"); // 11 to 14
      await writer.flush();
      const { threadId } = writer;
      const cuts = [];
      for (let n = 0; n < 6; n += 1) {
        const base = await store.forkBase(threadId, { beforeUserMessage: n });
        cuts.push(base && [endOf(base), base.openTurn?.turnId ?? null]);
      }
      assert.deepEqual(cuts, [[2, null], [4, null], [8, turn], [11, null], undefined, undefined]);
      for (const huge of [Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, Number.POSITIVE_INFINITY]) {
        assert.equal(endOf(await store.forkBase(threadId, { beforeUserMessage: huge })), 15);
      }
      for (const n of [-1, 0.5, Number.NaN]) {
        await assert.rejects(store.forkBase(threadId, { beforeUserMessage: n }), InvalidForkPointError);
      }
      await writer.close();
      const child = await forkAt(store, threadId, { beforeUserMessage: 1 });
      assert.deepEqual(await gistOf(store, child), [
        "[session_meta]",
        "<environment_context>\n  <cwd>/srv</cwd>\n</environment_context>",
        "before any turn",
        "ok",
        "[session_meta]",
      ]);
    }),
  );

  test(
    "throughTurn includes the turn, beforeTurn leaves it out; unknown turns and the end of a running one are refused",
    inStore(make, async ({ store }) => {
      const { id, turns } = await storedThread(store, ["one", "two"]);
      const writer = await store.open(id);
      const stopped = newTurnId();
      const running = newTurnId();
      for (const item of [begun(stopped), user("three"), aborted(stopped), begun(running), user("four")]) {
        writer.append(item);
      }
      await writer.flush();
      const ends = async (anchor: "throughTurn" | "beforeTurn", turnId: string) =>
        endOf(await store.forkBase(id, anchor === "throughTurn" ? { throughTurn: turnId } : { beforeTurn: turnId }));
      const [one = "", two = ""] = turns;
      assert.deepEqual(
        [await ends("beforeTurn", one), await ends("throughTurn", one), await ends("beforeTurn", two)],
        [1, 5, 5],
      );
      assert.deepEqual([await ends("throughTurn", stopped), await ends("beforeTurn", running)], [12, 12]);
      await assert.rejects(ends("throughTurn", running), (error) => {
        assert.ok(error instanceof InvalidForkPointError);
        return error.message.includes(running);
      });
      for (const unknown of [newTurnId(), ""]) {
        for (const anchor of ["throughTurn", "beforeTurn"] as const) {
          await assert.rejects(ends(anchor, unknown), new InvalidForkPointError(`turn not found: ${unknown}`));
        }
      }
      await writer.close();
      const child = await forkAt(store, id, { throughTurn: one });
      assert.deepEqual(await gistOf(store, child), ["[session_meta]", ...turnGist("one"), "[session_meta]"]);
    }),
  );

  test(
    "a fork of a running turn tells which turn breaks off; with the interruption recorded it is whole again",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      addTurn(writer, "one");
      const running = newTurnId();
      writer.append(begun(running));
      writer.append(user("two"));
      await writer.flush();
      for (const at of ["full", "interrupted"] as const) {
        assert.deepEqual((await store.forkBase(writer.threadId, at))?.openTurn, { turnId: running });
      }
      const child = await forkAt(store, writer.threadId, "interrupted", (own) => own.append(aborted(running)));
      assert.equal((await store.forkBase(child, "full"))?.openTurn, null);
      assert.deepEqual((await store.findTurn(child, running))?.end?.ordinal, 9);
      assert.equal((await store.findTurn(writer.threadId, running))?.end, null);
      assert.equal(endOf(await store.forkBase(child, { throughTurn: running })), 9);
      assert.deepEqual((await store.forkBase(child, { throughTurn: running }))?.inherits?.threadId, child);
      const before = await store.forkBase(child, { beforeTurn: running });
      assert.deepEqual([before?.inherits?.threadId, endOf(before)], [writer.threadId, 5]);
      writer.append(ended(running));
      await writer.close();
      assert.equal((await store.forkBase(writer.threadId, "full"))?.openTurn, null);
    }),
  );

  test(
    "a running turn that was rolled back runs no more",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id);
      for (const item of [begun(newTurnId()), user("two"), rolledBack(1)]) writer.append(item);
      await writer.close();
      assert.equal((await store.forkBase(id, "full"))?.openTurn, null);
      assert.equal(await store.forkBase(id, { beforeUserMessage: 1 }), undefined);
    }),
  );

  test(
    "a history without turn events is open while its last message has no answer",
    inStore(make, async ({ store }) => {
      const writer = await store.adopt(header(), [user("one"), answer("yes"), user("two")]);
      const openTurn = async () => {
        await writer.flush();
        return (await store.forkBase(writer.threadId, "full"))?.openTurn;
      };
      assert.deepEqual(await openTurn(), { turnId: null });
      writer.append(answer("two, too"));
      assert.equal(await openTurn(), null);
      writer.append(user("three"));
      assert.deepEqual(await openTurn(), { turnId: null });
      writer.append({ type: "event_msg", payload: { type: "turn_aborted", reason: "interrupted" } });
      assert.equal(await openTurn(), null);
      writer.append(user("four"));
      assert.deepEqual(await openTurn(), { turnId: null });
      writer.append(rolledBack(1));
      assert.equal(await openTurn(), null);
      writer.append(user("five"));
      writer.append(rolledBack(0));
      assert.deepEqual(await openTurn(), { turnId: null });
      const copy = await store.adopt(header(), await linesOf(store, writer.threadId, { toOrdinal: 8 }));
      await copy.flush();
      assert.deepEqual((await store.forkBase(copy.threadId, "full"))?.openTurn, { turnId: null });
      await copy.close();
      await assert.rejects(store.forkBase(writer.threadId, { throughTurn: "rollout-1" }), (error) => {
        assert.ok(error instanceof InvalidForkPointError);
        return error.message.includes("'rollout-1' is not a persisted canonical turn in the source thread");
      });
      await writer.close();
    }),
  );

  test(
    "findTurn tells where a turn lies",
    inStore(make, async ({ store }) => {
      const { id, turns } = await storedThread(store, ["one", "two"]);
      const child = await forkAt(store, id, "full", (writer) => turns.push(addTurn(writer, "three")));
      const places = await Promise.all(turns.map((turn) => store.findTurn(child, turn)));
      assert.deepEqual(
        places.map((place) => [place?.turnId, place?.start.ordinal, place?.end?.ordinal]),
        [
          [turns[0], 1, 5],
          [turns[1], 5, 9],
          [turns[2], 10, 14],
        ],
      );
      assert.equal(await store.findTurn(id, turns[2] ?? newTurnId()), undefined);
      assert.equal(await store.findTurn(child, newTurnId()), undefined);
    }),
  );

  test(
    "rolled-back messages and turns are no anchors; their lines stay",
    inStore(make, async ({ store }) => {
      const { id, turns } = await storedThread(store, ["one", "two", "three"]);
      const writer = await store.open(id);
      writer.append(rolledBack(2)); // 13
      const again = addTurn(writer, "again"); // 14 to 17
      await writer.close();
      const [one, two, three] = turns;
      assert.equal(endOf(await store.forkBase(id, { beforeUserMessage: 1 })), 14);
      assert.equal(await store.forkBase(id, { beforeUserMessage: 2 }), undefined);
      assert.ok(one && two && three);
      assert.equal(endOf(await store.forkBase(id, { throughTurn: one })), 5);
      for (const gone of [two, three]) {
        assert.equal(await store.findTurn(id, gone), undefined);
        await assert.rejects(store.forkBase(id, { throughTurn: gone }), InvalidForkPointError);
      }
      const child = await forkAt(store, id, { beforeTurn: again });
      assert.deepEqual(await gistOf(store, child), [
        "[session_meta]",
        ...turnGist("one", "two", "three"),
        "(thread_rolled_back)",
        "[session_meta]",
      ]);
    }),
  );

  test(
    "a fork rolls back into what it inherits, and its base does not notice",
    inStore(make, async ({ store }) => {
      const { id, turns } = await storedThread(store, ["one", "two", "three"]);
      const [one, two] = turns;
      assert.ok(one && two);
      const child = await forkAt(store, id, "full", (writer) => {
        addTurn(writer, "four"); // 14 to 17
        writer.append(rolledBack(3));
        addTurn(writer, "other two"); // 19 to 22
      });
      assert.deepEqual(
        [
          endOf(await store.forkBase(child, { beforeUserMessage: 0 })),
          endOf(await store.forkBase(child, { beforeUserMessage: 1 })),
          await store.forkBase(child, { beforeUserMessage: 2 }),
        ],
        [1, 19, undefined],
      );
      assert.equal((await store.findTurn(child, one))?.start.ordinal, 1);
      assert.equal(await store.findTurn(child, two), undefined);
      assert.equal((await store.findTurn(id, two))?.start.ordinal, 5);
      assert.equal(endOf(await store.forkBase(id, { beforeUserMessage: 2 })), 9);
    }),
  );

  test(
    "a fork at an inherited place begins at the ancestor that holds it, at any depth",
    inStore(make, async ({ store }) => {
      const { id: root, turns } = await storedThread(store, ["r1", "r2"]);
      const [r1, r2] = turns;
      assert.ok(r1 && r2);
      let parent = root;
      const history = ["[session_meta]", ...turnGist("r1", "r2")];
      for (let depth = 0; depth < 20; depth += 1) {
        parent = await forkAt(store, parent, "full", (writer) => addTurn(writer, `depth ${depth}`));
        history.push("[session_meta]", ...turnGist(`depth ${depth}`));
      }
      assert.deepEqual(await gistOf(store, parent), history);
      assert.equal((await store.ancestors(parent)).length, 20);

      for (const [at, end] of [
        [{ throughTurn: r1 }, 5],
        [{ beforeTurn: r2 }, 5],
        [{ beforeUserMessage: 1 }, 5],
        [{ throughTurn: r2 }, 9],
      ] as const) {
        const base = await store.forkBase(parent, at);
        assert.deepEqual([base?.source, base?.inherits?.threadId, endOf(base)], [parent, root, end]);
      }
      const child = await forkAt(store, parent, { beforeUserMessage: 1 }, (writer) => addTurn(writer, "away"));
      assert.deepEqual(await gistOf(store, child), [
        "[session_meta]",
        ...turnGist("r1"),
        "[session_meta]",
        ...turnGist("away"),
      ]);
      const meta = await store.header(child);
      assert.deepEqual([meta.forked_from_id, meta.history_base?.thread_id], [parent, root]);
      assert.equal(endOf(await store.forkBase(child, { beforeUserMessage: 1 })), 6);
    }),
  );

  test(
    "a fork that inherits nothing is a new thread that names its source",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const meta = header();
      const writer = await store.fork(meta, { source: id, inherits: null, openTurn: null });
      assert.equal(writer.position().ordinal, 1);
      addTurn(writer, "own");
      await writer.close();
      const stored = await store.header(meta.id);
      assert.equal(stored.forked_from_id, id);
      assert.equal(stored.history_base ?? null, null);
      assert.deepEqual(await gistOf(store, meta.id), ["[session_meta]", ...turnGist("own")]);
      assert.deepEqual(await store.ancestors(meta.id), [id]);
    }),
  );

  test(
    "loads of a fork find the last compaction wherever it lies",
    inStore(make, async ({ store }) => {
      const source = await store.create(header());
      addTurn(source, "one");
      source.append({ type: "compacted", payload: { message: "so far" } });
      addTurn(source, "two");
      await source.close();
      const child = await forkAt(store, source.threadId, "full", (writer) => addTurn(writer, "three"));
      assert.deepEqual(await gistOf(store, child, { from: "compaction" }), [
        "[compacted]",
        ...turnGist("two"),
        "[session_meta]",
        ...turnGist("three"),
      ]);
    }),
  );
}
