import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError, RolloutNotFoundError } from "../../protocol/errors.ts";
import { answer, fromTheFuture, gistOf, header, inStore, itemsOf, type MakeStore, user } from "./store-script.ts";

function circular(): object {
  const circle: Record<string, unknown> = {};
  circle.itself = [circle];
  return circle;
}

const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
};

const boom = (): never => {
  throw new Error("boom");
};

/** What no JSON can hold. */
const UNSTORABLE: Readonly<Record<string, () => unknown>> = {
  "a BigInt": () => 1n,
  "what holds itself": circular,
  "what nests too deep": () => deep(1_000),
  "a getter that throws": () => Object.defineProperty({}, "x", { enumerable: true, get: boom }),
  "a `toJSON` that throws": () => ({ toJSON: boom }),
  "a `toJSON` that gives a BigInt": () => ({ toJSON: () => 1n }),
  "a proxy that was revoked": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  },
};

/** What JSON makes something of: which is stored, and as it was when it was given. */
const CHANGED: Readonly<Record<string, readonly [make: () => unknown, stored: unknown]>> = {
  "NUL in texts and names": [() => ({ "a\0b": "\0", list: ["x\0"] }), { "a\0b": "\0", list: ["x\0"] }],
  "halves of surrogate pairs": [
    () => ({ text: "a\ud800", "b\udc00": ["\udfff", "\ud83d\ude80"], escaped: "\\ud800" }),
    { text: "a\ufffd", "b\ufffd": ["\ufffd", "\ud83d\ude80"], escaped: "\\ud800" },
  ],
  "an object that says how it is stored": [
    () => ({ at: new Date(0), own: { toJSON: () => ({ said: true }) } }),
    { at: "1970-01-01T00:00:00.000Z", own: { said: true } },
  ],
  "members that are no JSON": [
    () => ({ gone: undefined, run: () => 1, list: [undefined, Number.NaN, Number.POSITIVE_INFINITY], zero: -0 }),
    { list: [null, null, null], zero: 0 },
  ],
  "an object of a class": [() => new Map([["a", 1]]), {}],
};

export function valueSuite(make: MakeStore): void {
  for (const [kind, unstorable] of Object.entries(UNSTORABLE)) {
    test(
      `${kind} is refused before it is acknowledged, and leaves no trace (W8)`,
      inStore(make, async ({ store }) => {
        const told: Error[] = [];
        const writer = await store.create(header(), { onFailure: (error) => told.push(error) });
        writer.append(user("before"));
        const { ordinal } = writer.position();
        writer.append(fromTheFuture(unstorable()));
        assert.equal(writer.position().ordinal, ordinal);
        writer.append(Object.assign(answer("beside"), { further: unstorable() }));
        writer.append(answer("after"));
        assert.ok(writer.failure instanceof InvalidRequestError);
        await assert.rejects(writer.flush(), InvalidRequestError);
        assert.equal(writer.failure, undefined);
        await writer.sync();
        assert.equal(told.length, 2);
        assert.ok(told.every((error) => error instanceof InvalidRequestError));
        writer.append(fromTheFuture(unstorable()));
        await writer.close();
        assert.deepEqual(await gistOf(store, writer.threadId), ["[session_meta]", "before", "after"]);

        const base = await store.forkBase(writer.threadId, "full");
        assert.ok(base);
        const [bad, forked, adopted] = [header({ later: unstorable() }), header({ later: unstorable() }), header()];
        await assert.rejects(store.create(bad), InvalidRequestError);
        await assert.rejects(store.fork(forked, base), InvalidRequestError);
        await assert.rejects(store.adopt(adopted, [user("x"), fromTheFuture(unstorable())]), InvalidRequestError);
        for (const { id } of [bad, forked, adopted]) {
          await assert.rejects(store.header(id), RolloutNotFoundError);
          await (await store.create(header({ id }))).close();
        }
      }),
    );
  }

  for (const [kind, [given, stored]] of Object.entries(CHANGED)) {
    test(
      `${kind}: stored as JSON has it, the same in every store (W8)`,
      inStore(make, async ({ store, reopen }) => {
        const meta = header({ later: given() });
        const writer = await store.create(meta);
        const other = await store.adopt(header(), [fromTheFuture(given())]);
        writer.append(fromTheFuture(given()));
        writer.append(Object.assign(fromTheFuture({}), { further: given() }));
        await writer.flush();
        const lines = [
          { type: "session_meta", payload: { ...meta, later: stored } },
          { type: "dream_state", payload: stored },
          { type: "dream_state", payload: {}, further: stored },
        ];
        await Promise.all([writer.close(), other.close()]);
        const again = await reopen?.();
        for (const seen of again === undefined ? [store] : [store, again]) {
          assert.deepEqual(await itemsOf(seen, writer.threadId), lines);
          assert.deepEqual((await itemsOf(seen, other.threadId)).slice(1), lines.slice(1, 2));
          assert.deepEqual(await seen.header(writer.threadId), lines[0]?.payload);
        }
        await again?.close();
      }),
    );
  }

  test(
    "a value belongs to the store from append on: what its maker does to a draft of it later changes nothing",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      let clock = 1;
      const draft = Proxy.revocable({ at: 1 }, {});
      writer.append(fromTheFuture(Object.defineProperty({}, "now", { enumerable: true, get: () => clock })));
      writer.append(fromTheFuture({ draft: draft.proxy }));
      clock = 2;
      draft.revoke();
      await writer.close();
      const [, now, drafted] = await itemsOf(store, writer.threadId);
      assert.deepEqual(now, { type: "dream_state", payload: { now: 1 } });
      assert.deepEqual(drafted, { type: "dream_state", payload: { draft: { at: 1 } } });
    }),
  );

  test(
    "names and what is known of the repository take any text, and are found by it",
    inStore(make, async ({ store, reopen }) => {
      const writer = await store.create(header({ cwd: "/srv/a\0b" }));
      const { threadId } = writer;
      writer.append(user("first\0 words \ud800 here"));
      await writer.close();
      await store.rename(threadId, "name\0 of \udc00 it");
      await store.setGitInfo(threadId, { sha: "\0", branch: "b\ud800", originUrl: null });
      const again = await reopen?.();
      for (const seen of again === undefined ? [store] : [store, again]) {
        const [listed] = (await seen.list({ search: "words" })).threads;
        for (const thread of [listed, await seen.get(threadId)]) {
          assert.equal(thread?.name, "name\0 of \ufffd it");
          assert.equal(thread?.cwd, "/srv/a\0b");
          assert.equal(thread?.preview, "first\0 words \ufffd here");
          assert.deepEqual(thread?.gitInfo, { sha: "\0", branch: "b\ufffd", originUrl: null });
        }
      }
      await again?.close();
    }),
  );
}
