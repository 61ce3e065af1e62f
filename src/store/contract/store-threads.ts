import assert from "node:assert/strict";
import { test } from "node:test";
import { DuplicateThreadError, RolloutNotFoundError, StoreIoError } from "../../protocol/errors.ts";
import { newThreadId, newTurnId } from "../../protocol/ids.ts";
import type { RolloutItem, RolloutLine } from "../../protocol/rollout.ts";
import {
  addTurn,
  answer,
  begun,
  compacted,
  ended,
  forkAt,
  fromTheFuture,
  gistOf,
  header,
  inStore,
  itemsOf,
  linesOf,
  type MakeStore,
  plain,
  storedThread,
  turnGist,
  user,
} from "./store-script.ts";

export function threadSuite(make: MakeStore): void {
  test(
    "a new thread is its header, stored before create resolves",
    inStore(make, async ({ store }) => {
      const meta = header({ git: { commit_hash: "c0ffee", branch: "main" }, added_later: { kept: [1, null] } });
      const writer = await store.create(meta);
      assert.equal(writer.threadId, meta.id);
      assert.equal(writer.epoch, 1);
      assert.equal(writer.failure, undefined);
      assert.equal(writer.dirty, false);
      assert.deepEqual(await store.header(meta.id), meta);
      assert.deepEqual(await itemsOf(store, meta.id), plain([{ type: "session_meta", payload: meta }]));
      assert.equal(writer.position().ordinal, 1);
      await writer.close();
    }),
  );

  test(
    "lines come back in the order of append, numbered from 0 without gaps, with UTC times (W1, W4)",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      const items = Array.from({ length: 1500 }, (_, n) => (n % 2 === 0 ? user(`u${n}`) : answer(`a${n}`)));
      for (const [n, item] of items.entries()) {
        writer.append(item);
        assert.equal(writer.position().ordinal, n + 2);
        if (n % 400 === 0) await writer.flush();
      }
      const before = writer.position();
      await writer.flush();
      assert.equal(writer.dirty, false);
      assert.deepEqual(writer.position(), before);
      const lines = await linesOf(store, writer.threadId);
      assert.deepEqual(plain(lines.slice(1)), plain(items));
      assert.deepEqual(
        lines.map((line) => line.ordinal),
        lines.map((_, n) => n),
      );
      for (const { timestamp } of lines) assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      await writer.close();
      await writer.close();
    }),
  );

  test(
    "an open thread goes on where it ended, with a higher epoch and the same header",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const meta = await store.header(id);
      for (const epoch of [2, 3]) {
        const writer = await store.open(id);
        assert.equal(writer.epoch, epoch);
        assert.equal(writer.position().ordinal, 1 + 4 * (epoch - 1));
        addTurn(writer, `turn ${epoch}`);
        await writer.close();
      }
      assert.deepEqual(await gistOf(store, id), ["[session_meta]", ...turnGist("one", "turn 2", "turn 3")]);
      assert.deepEqual(await store.header(id), meta);
    }),
  );

  test(
    "what was flushed is there for the next store, and epochs go on rising",
    inStore(make, async ({ store, reopen }) => {
      if (reopen === undefined) return;
      const { id } = await storedThread(store, ["one", "two"]);
      const child = await forkAt(store, id, { beforeUserMessage: 1 }, (writer) => addTurn(writer, "other"));
      await store.rename(id, "a name");
      await store.archive(child);
      const kept = [await linesOf(store, id), await linesOf(store, child), await store.get(id), await store.get(child)];
      await store.close();
      const next = await reopen();
      assert.deepEqual(
        [await linesOf(next, id), await linesOf(next, child), await next.get(id), await next.get(child)],
        kept,
      );
      assert.deepEqual(
        (await next.list()).threads.map(({ threadId }) => threadId),
        [id],
      );
      const writer = await next.open(id);
      assert.equal(writer.epoch, 2);
      await writer.close();
      assert.deepEqual(await next.ancestors(child), [id]);
      await next.close();
    }),
  );

  test(
    "only lines of the wanted types are given, each at its place, of forks too",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id);
      for (let n = 0; n < 300; n += 1) writer.append({ type: "logic_state", payload: { n } });
      addTurn(writer, "two");
      await writer.close();
      const child = await forkAt(store, id, "full");
      for (const thread of [id, child]) {
        const all = await linesOf(store, thread);
        for (const range of [{}, { from: { ordinal: 3 } }, { from: { ordinal: 120 }, toOrdinal: all.length - 1 }]) {
          const { from = { ordinal: 0 }, toOrdinal = all.length } = range;
          const inRange = all.slice(from.ordinal, toOrdinal);
          for (const wants of [
            (type: string) => type !== "logic_state",
            (type: string) => type === "logic_state",
            (type: string) => type === "session_meta",
            () => false,
            (type: string, event?: string) => type !== "event_msg" || event === "task_complete",
          ]) {
            const eventOf = (line: RolloutLine) => (line.type === "event_msg" ? line.payload.type : undefined);
            const wanted = inRange.filter((line) => wants(line.type, eventOf(line)));
            assert.deepEqual(await linesOf(store, thread, { ...range, wants }), wanted);
          }
        }
      }
    }),
  );

  test(
    "lines and fields of unknown kinds survive (W5)",
    inStore(make, async ({ store }) => {
      const items: RolloutItem[] = [
        fromTheFuture({ deep: [{ a: null }], text: "\u2028 \ud83d\ude80 \u0000 é" }),
        fromTheFuture("no object"),
        fromTheFuture(null),
        {
          type: "event_msg",
          payload: { type: "turn_aborted", reason: "of the future", extra: { x: 1 } },
        } as RolloutItem,
        {
          type: "response_item",
          payload: { type: "message", role: "oracle", content: [], extra: true },
        } as RolloutItem,
      ];
      const writer = await store.create(header());
      for (const item of items) writer.append(item);
      await writer.close();
      assert.deepEqual((await itemsOf(store, writer.threadId)).slice(1), plain(items));
      const child = await forkAt(store, writer.threadId, "full");
      assert.deepEqual((await itemsOf(store, child)).slice(1, -1), plain(items));
    }),
  );

  test(
    "an adopted thread has its own header and the lines that it was given, other members of a line included",
    inStore(make, async ({ store }) => {
      const foreign = header();
      const turnId = newTurnId();
      const items: RolloutItem[] = [
        { type: "session_meta", payload: foreign },
        begun(turnId),
        { ...user("hello"), metadata: { history_sequence: 4 } } as unknown as RolloutItem,
        answer("world"),
        ended(turnId),
        fromTheFuture([1]),
      ];
      const meta = header();
      const writer = await store.adopt(meta, items);
      assert.equal(writer.epoch, 1);
      assert.equal(writer.position().ordinal, items.length + 1);
      addTurn(writer, "more");
      await writer.close();
      const stored = await itemsOf(store, meta.id);
      assert.deepEqual(stored.slice(0, 7), plain([{ type: "session_meta", payload: meta }, ...items]));
      assert.equal(stored.length, 11);
      assert.deepEqual(await store.header(meta.id), meta);
      assert.equal((await store.get(meta.id)).preview, "hello");
      const fork = await store.forkBase(meta.id, { throughTurn: turnId });
      assert.equal(fork?.inherits?.end.ordinal, 6);
      await assert.rejects(store.header(foreign.id), RolloutNotFoundError);
    }),
  );

  test(
    "an id is given once, however the thread comes about",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const before = await linesOf(store, id);
      const base = await store.forkBase(id, "full");
      assert.ok(base);
      await assert.rejects(store.create(header({ id })), DuplicateThreadError);
      await assert.rejects(store.fork(header({ id }), base), DuplicateThreadError);
      await assert.rejects(store.adopt(header({ id }), [user("x")]), DuplicateThreadError);
      await store.archive(id);
      await assert.rejects(store.create(header({ id })), DuplicateThreadError);
      assert.deepEqual(await linesOf(store, id), before);
      const twin = newThreadId();
      const both = await Promise.allSettled([store.create(header({ id: twin })), store.create(header({ id: twin }))]);
      assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    }),
  );

  test(
    "what is not there is not found",
    inStore(make, async ({ store }) => {
      const id = newThreadId();
      for (const missing of [id, { rolloutPath: `/nowhere/rollout-2026-01-01T00-00-00-${id}.jsonl` }]) {
        await assert.rejects(store.open(missing), RolloutNotFoundError);
        await assert.rejects(store.header(missing), RolloutNotFoundError);
        await assert.rejects(linesOf(store, missing), RolloutNotFoundError);
        await assert.rejects(store.forkBase(missing, "full"), RolloutNotFoundError);
      }
      for (const ask of ["get", "archive", "unarchive", "delete", "ancestors", "descendants"] as const) {
        await assert.rejects(store[ask](id), RolloutNotFoundError, ask);
      }
      await assert.rejects(store.rename(id, "x"), RolloutNotFoundError);
      await assert.rejects(store.findTurn(id, newTurnId()), RolloutNotFoundError);
      const gone = { threadId: id, end: { ordinal: 1, byteOffset: 100 } };
      await assert.rejects(store.fork(header(), { source: id, inherits: gone, openTurn: null }), RolloutNotFoundError);
    }),
  );

  test(
    "a range gives what lies in it: by ordinals, and from the last compaction on",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      addTurn(writer, "one");
      writer.append(compacted("first summary"));
      addTurn(writer, "two");
      writer.append(compacted("second summary"));
      addTurn(writer, "three");
      await writer.flush();
      const { threadId } = writer;
      const all = await linesOf(store, threadId);
      assert.equal(all.length, 15);
      const part = async (range: Parameters<typeof linesOf>[2]) => {
        const lines = await linesOf(store, threadId, range);
        return lines.map(({ ordinal }) => ordinal);
      };
      const upTo = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);
      assert.deepEqual(await part({ from: "start" }), upTo(0, 15));
      assert.deepEqual(await part({ from: { ordinal: 3 } }), upTo(3, 15));
      assert.deepEqual(await part({ from: { ordinal: 3 }, toOrdinal: 7 }), upTo(3, 7));
      assert.deepEqual(await part({ toOrdinal: 0 }), []);
      assert.deepEqual(await part({ toOrdinal: 99 }), upTo(0, 15));
      assert.deepEqual(await part({ from: { ordinal: 99 } }), []);
      assert.deepEqual(await part({ from: { ordinal: 7 }, toOrdinal: 3 }), []);
      assert.deepEqual(await part({ from: "compaction" }), upTo(10, 15));
      assert.deepEqual(await part({ from: "compaction", toOrdinal: 10 }), upTo(5, 10));
      assert.deepEqual(await part({ from: "compaction", toOrdinal: 5 }), upTo(0, 5));
      await writer.close();
    }),
  );

  test(
    "a load reads what was there when it began, and ends at the caller's break",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      for (let n = 0; n < 3000; n += 1) writer.append(answer(`line ${n}`));
      await writer.flush();
      let seen = 0;
      for await (const page of store.load(writer.threadId)) {
        writer.append(answer("later"));
        seen += page.length;
      }
      assert.equal(seen, 3001);
      for await (const page of store.load(writer.threadId)) {
        assert.equal(page[0]?.ordinal, 0);
        break;
      }
      await writer.close();
    }),
  );

  test(
    "an abort ends the work with its reason, unwrapped, and leaves nothing behind",
    inStore(make, async ({ store }) => {
      const reason = { why: "not wanted any more" };
      const signal = AbortSignal.abort(reason);
      const same = (error: unknown) => error === reason;
      const { id } = await storedThread(store, ["one"]);
      const base = await store.forkBase(id, "full");
      assert.ok(base);
      const metas = [header(), header(), header()] as const;
      await assert.rejects(store.create(metas[0], { signal }), same);
      await assert.rejects(store.fork(metas[1], base, { signal }), same);
      await assert.rejects(store.adopt(metas[2], [user("x")], { signal }), same);
      await assert.rejects(store.open(id, { signal }), same);
      for (const meta of metas) await assert.rejects(store.header(meta.id), RolloutNotFoundError);
      await assert.rejects(linesOf(store, id, { signal }), same);

      const writer = await store.open(id);
      for (let n = 0; n < 3000; n += 1) writer.append(answer(`line ${n}`));
      await assert.rejects(writer.flush({ signal }), same);
      await writer.flush();
      const controller = new AbortController();
      await assert.rejects(async () => {
        for await (const _page of store.load(id, { signal: controller.signal })) controller.abort(reason);
      }, same);
      await writer.close();
      assert.equal((await linesOf(store, id)).length, 3005);
    }),
  );

  test(
    "a long thread is read from any of its lines on",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      for (let n = 1; n <= 1_000; n += 1) writer.append(answer(`line ${n} ${"of many ".repeat(40)}`));
      await writer.close();
      for (const ordinal of [0, 1, 17, 400, 777, 999, 1_000]) {
        const [first] = await linesOf(store, writer.threadId, { from: { ordinal }, toOrdinal: ordinal + 1 });
        assert.equal(first?.ordinal, ordinal);
      }
    }),
  );

  test(
    "a closed writer stores nothing more",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id);
      await writer.close();
      await writer.flush();
      writer.append(user("too late"));
      await assert.rejects(writer.flush());
      assert.ok(writer.failure);
      assert.deepEqual(await gistOf(store, id), ["[session_meta]", ...turnGist("one")]);
    }),
  );

  test(
    "close flushes every writer, and then the store takes nothing more",
    inStore(make, async ({ store, reopen }) => {
      const writers = await Promise.all([store.create(header()), store.create(header()), store.create(header())]);
      for (const writer of writers) addTurn(writer, "last words");
      await store.close();
      await store.close();
      for (const writer of writers) await writer.close();
      await assert.rejects(store.create(header()));
      if (reopen === undefined) return;
      const next = await reopen();
      for (const { threadId } of writers) {
        assert.deepEqual(await gistOf(next, threadId), ["[session_meta]", ...turnGist("last words")]);
      }
      await next.close();
    }),
  );

  test(
    "a closed store refuses whatever it is asked, and says that it is closed",
    inStore(make, async ({ store }) => {
      const { id, turns } = await storedThread(store, ["one"]);
      const base = await store.forkBase(id, "full");
      const [turnId] = turns;
      assert.ok(base !== undefined && turnId !== undefined);
      await store.close();
      const calls: Record<string, () => Promise<unknown>> = {
        create: () => store.create(header()),
        fork: () => store.fork(header(), base),
        adopt: () => store.adopt(header(), [user("x")]),
        open: () => store.open(id),
        header: () => store.header(id),
        load: () => linesOf(store, id),
        forkBase: () => store.forkBase(id, "full"),
        findTurn: () => store.findTurn(id, turnId),
        get: () => store.get(id),
        list: () => store.list(),
        ancestors: () => store.ancestors(id),
        descendants: () => store.descendants(id),
        rename: () => store.rename(id, "late"),
        setGitInfo: () => store.setGitInfo(id, null),
        archive: () => store.archive(id),
        unarchive: () => store.unarchive(id),
        delete: () => store.delete(id),
      };
      if (store.holderOf !== undefined) calls.holderOf = () => Promise.resolve(store.holderOf?.(id));
      for (const [name, call] of Object.entries(calls)) {
        await assert.rejects(call(), (error) => error instanceof StoreIoError && /closed/.test(error.message), name);
      }
    }),
  );
}
