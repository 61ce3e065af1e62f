import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError, RolloutNotFoundError } from "../../protocol/errors.ts";
import { newThreadId, newTurnId, type ThreadId, type TurnId } from "../../protocol/ids.ts";
import type { RolloutItem, SessionMeta } from "../../protocol/rollout.ts";
import { rolloutPathOf } from "../rollout-path.ts";
import type { StoredThread, ThreadQuery, ThreadStore } from "../thread-store.ts";
import {
  aborted,
  addTurn,
  answer,
  begun,
  compacted,
  context,
  ended,
  forkAt,
  header,
  inStore,
  type MakeStore,
  rolledBack,
  storedThread,
  user,
} from "./store-script.ts";

const idsOf = async (store: ThreadStore, query?: ThreadQuery): Promise<ThreadId[]> =>
  (await store.list(query)).threads.map(({ threadId }) => threadId);

/** Every thread that a query gives, page by page. */
async function walk(store: ThreadStore, query: ThreadQuery): Promise<ThreadId[]> {
  const found: ThreadId[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await store.list(cursor === undefined ? query : { ...query, cursor });
    found.push(...page.threads.map(({ threadId }) => threadId));
    cursor = page.nextCursor;
  }
  return found;
}

const newestFirst = (order: "createdAt" | "updatedAt") => (a: StoredThread, b: StoredThread) =>
  b[order] - a[order] || (a.threadId > b.threadId ? -1 : 1);

const small = (store: ThreadStore, fields: Partial<SessionMeta> = {}) =>
  storedThread(store, ["x"], fields).then(({ id }) => id);

export function listSuite(make: MakeStore): void {
  test(
    "metadata tells what the header and the first message say",
    inStore(make, async ({ store }) => {
      const parent = newThreadId();
      const meta = header({
        source: { subagent: { thread_spawn: { parent_thread_id: parent, depth: 1 } } },
        git: { commit_hash: "c0ffee", branch: "main", repository_url: "https://example.org/r.git" },
      });
      const writer = await store.create(meta);
      await writer.flush();
      assert.equal((await store.get(meta.id)).preview, "");
      writer.append(context());
      writer.append(user("Notes\n## My request for Codex:\n  mend the fence \n"));
      writer.append(answer("done"));
      writer.append(user("another"));
      await writer.close();
      const { updatedAt, rolloutPath, ...rest } = await store.get(meta.id);
      assert.ok(Number.isInteger(updatedAt) && updatedAt > 0);
      assert.ok(rolloutPath === null || rolloutPath.length > 0);
      assert.equal(rolloutPathOf(writer), rolloutPath);
      assert.deepEqual(rest, {
        threadId: meta.id,
        createdAt: Date.parse(meta.timestamp),
        preview: "mend the fence",
        name: null,
        cwd: meta.cwd,
        modelProvider: "mock",
        cliVersion: "0.0.1",
        originator: "contract",
        historyMode: "paginated",
        source: meta.source,
        gitInfo: { sha: "c0ffee", branch: "main", originUrl: "https://example.org/r.git" },
        model: null,
        reasoningEffort: null,
        forkedFromId: null,
        parentThreadId: parent,
        archived: false,
        interrupted: false,
        openTurn: null,
      });
      const bare = await small(store, { source: undefined, model_provider: null, timestamp: "no time" });
      const seen = await store.get(bare);
      assert.deepEqual([seen.source, seen.modelProvider, seen.gitInfo, seen.createdAt], ["vscode", null, null, 0]);
    }),
  );

  test(
    "a fork shows the first message that it inherits, even when it was rolled back; else its own",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one", "two"]);
      const fork = await forkAt(store, id, { beforeUserMessage: 1 }, (writer) => addTurn(writer, "other"));
      assert.deepEqual([(await store.get(fork)).preview, (await store.get(fork)).forkedFromId], ["one", id]);
      const empty = await forkAt(store, id, { beforeUserMessage: 0 });
      assert.equal((await store.get(empty)).preview, "");
      const writer = await store.open(empty);
      addTurn(writer, "own");
      await writer.close();
      assert.equal((await store.get(empty)).preview, "own");

      const fresh = await store.create(header());
      await fresh.flush();
      const early = await forkAt(store, fresh.threadId, "full");
      fresh.append(user("after the fork"));
      await fresh.close();
      const previews = [(await store.get(fresh.threadId)).preview, (await store.get(early)).preview];
      assert.deepEqual(previews, ["after the fork", ""]);
    }),
  );

  test(
    "lists go from the newest to the oldest, by creation or by change",
    inStore(make, async ({ store }) => {
      const ids: ThreadId[] = [];
      for (let n = 0; n < 6; n += 1) ids.push(await small(store));
      const twin = { timestamp: header().timestamp };
      for (let n = 0; n < 3; n += 1) ids.push(await small(store, twin));
      const touched = await store.open(ids[1] ?? newThreadId());
      addTurn(touched, "newer");
      await touched.close();
      for (const orderBy of ["createdAt", "updatedAt"] as const) {
        const all = await Promise.all(ids.map((id) => store.get(id)));
        const expected = all.sort(newestFirst(orderBy));
        assert.deepEqual((await store.list({ orderBy })).threads, expected);
        assert.deepEqual(
          await walk(store, { orderBy, limit: 2 }),
          expected.map(({ threadId }) => threadId),
        );
      }
      assert.deepEqual(await idsOf(store), await idsOf(store, { orderBy: "createdAt" }));
    }),
  );

  test(
    "a page holds 25 threads by default and 1 to 100 when asked",
    inStore(make, async ({ store }) => {
      for (let n = 0; n < 103; n += 1) await (await store.create(header())).close();
      const sizes = [];
      for (const limit of [undefined, 0, -5, 1, 2.9, 100, 500, Number.POSITIVE_INFINITY]) {
        sizes.push((await store.list(limit === undefined ? {} : { limit })).threads.length);
      }
      assert.deepEqual(sizes, [25, 1, 1, 1, 2, 100, 100, 100]);
      const first = await store.list({ limit: 100 });
      assert.ok(first.nextCursor);
      const rest = await store.list({ limit: 100, cursor: first.nextCursor });
      assert.deepEqual([rest.threads.length, rest.nextCursor], [3, null]);
      assert.equal((await store.list({ limit: 3, cursor: first.nextCursor })).nextCursor, null);
      assert.equal(new Set(await walk(store, { limit: 10 })).size, 103);
    }),
  );

  test(
    "cursors hold their place while threads come, change and go; a made-up one is refused",
    inStore(make, async ({ store }) => {
      const ids: ThreadId[] = [];
      for (let n = 0; n < 8; n += 1) ids.push(await small(store));
      ids.reverse();
      const first = await store.list({ limit: 3 });
      assert.deepEqual(
        first.threads.map(({ threadId }) => threadId),
        ids.slice(0, 3),
      );
      assert.ok(first.nextCursor);
      await small(store);
      const oldest = await small(store, { timestamp: "2020-01-01T00:00:00.000Z" });
      await store.delete(ids[2] ?? oldest);
      await store.delete(ids[4] ?? oldest);
      const touched = await store.open(ids[5] ?? oldest);
      addTurn(touched, "changed");
      await touched.close();
      const second = await store.list({ limit: 10, cursor: first.nextCursor });
      assert.deepEqual(
        second.threads.map(({ threadId }) => threadId),
        [ids[3], ids[5], ids[6], ids[7], oldest],
      );
      assert.equal(second.nextCursor, null);
      for (const cursor of ["garbage", "", "2026-01-01T00:00:00.000Z|nobody"]) {
        await assert.rejects(store.list({ cursor }), InvalidRequestError);
      }
    }),
  );

  test(
    "filters hold together",
    inStore(make, async ({ store }) => {
      const here = await small(store, { cwd: "/here", model_provider: "a" });
      const alsoHere = await small(store, { cwd: "/here", model_provider: "b", source: "exec" });
      const there = await small(store, { cwd: "/there", model_provider: "a", source: "vscode" });
      const nobodys = await small(store, { cwd: "/there", model_provider: null, source: "mcp" });
      const fork = await forkAt(store, here, "full");
      const cases: [ThreadQuery, ThreadId[]][] = [
        [{}, [fork, nobodys, there, alsoHere, here]],
        [{ cwd: "/here" }, [alsoHere, here]],
        [{ modelProviders: ["a"] }, [there, here]],
        [{ modelProviders: ["a", "b", "b"] }, [there, alsoHere, here]],
        [{ modelProviders: ["none"] }, []],
        [{ modelProviders: [null] }, [nobodys]],
        [{ modelProviders: ["b", null], sourceKinds: ["mcp", "exec"] }, [nobodys, alsoHere]],
        [{ cwd: "/there", modelProviders: ["a", null] }, [nobodys, there]],
        [{ modelProviders: [] }, []],
        [{ sourceKinds: ["exec"] }, [alsoHere]],
        [{ sourceKinds: ["exec", "mcp", "vscode"] }, [nobodys, there, alsoHere]],
        [{ sourceKinds: ["no such kind"] }, []],
        [{ cwd: "/here", modelProviders: ["a"], sourceKinds: ["cli"] }, [here]],
        [{ cwd: "/there", modelProviders: ["b"] }, []],
        [{ forkedFromId: here }, [fork]],
        [{ forkedFromId: there }, []],
        [{ archived: true }, []],
      ];
      for (const [query, expected] of cases) {
        assert.deepEqual(await idsOf(store, query), expected, JSON.stringify(query));
        assert.deepEqual(await walk(store, { ...query, limit: 1 }), expected, JSON.stringify(query));
        assert.deepEqual(
          new Set(await walk(store, { ...query, limit: 1, orderBy: "updatedAt" })),
          new Set(expected),
          JSON.stringify(query),
        );
      }
      await store.archive(alsoHere);
      assert.deepEqual(await idsOf(store, { cwd: "/here" }), [here]);
      assert.deepEqual(await idsOf(store, { cwd: "/here", archived: true }), [alsoHere]);
      assert.deepEqual(await idsOf(store, { archived: true, sourceKinds: ["exec"] }), [alsoHere]);
      await store.unarchive(alsoHere);
      assert.deepEqual(await idsOf(store, { cwd: "/here" }), [alsoHere, here]);
    }),
  );

  test(
    "sub-agents are listed when their kind or their parent is asked for",
    inStore(make, async ({ store }) => {
      const parent = await small(store);
      const spawn = { thread_spawn: { parent_thread_id: parent, depth: 1, agent_nickname: "Ada" } };
      const agent = await small(store, { source: { subagent: spawn } });
      const named = await small(store, { source: { subagent: "review" }, parent_thread_id: parent });
      const orphan = await small(store, { source: { subagent: { other: "guardian" } } });
      assert.deepEqual(await idsOf(store), [parent]);
      assert.deepEqual(await idsOf(store, { sourceKinds: ["subagent"] }), [orphan, named, agent]);
      assert.deepEqual(await idsOf(store, { sourceKinds: ["subagent", "cli"] }), [orphan, named, agent, parent]);
      assert.deepEqual(await idsOf(store, { parentThreadId: parent }), [named, agent]);
      assert.deepEqual(await idsOf(store, { parentThreadId: parent, sourceKinds: ["cli"] }), []);
      assert.deepEqual(await idsOf(store, { parentThreadId: agent }), []);
    }),
  );

  test(
    "a search finds words, beginnings of words and phrases, in the preview, the name and the first messages",
    inStore(make, async ({ store }) => {
      const fence = (await storedThread(store, ["Mend the fence", "and paint the gate"])).id;
      const cafe = (await storedThread(store, ["Où est le Café du port ?"])).id;
      const code = (await storedThread(store, ["fix src/store/thread-query.ts now"])).id;
      const tokyo = (await storedThread(store, ["東京の天気は？"])).id;
      await store.rename(code, "Cursor trouble");
      const cases: [string, ThreadId[]][] = [
        ["fence", [fence]],
        ["FENCE mend", [fence]],
        ["fen", [fence]],
        ["ence", []],
        ["gate", [fence]],
        ["fence gate", [fence]],
        ["fence café", []],
        ["cafe", [cafe]],
        ["CAFÉ", [cafe]],
        ["thread-query", [code]],
        ["src/store", [code]],
        ["query-thread", []],
        ["thre-query", []],
        ["cursor", [code]],
        ["cursor fix", [code]],
        ["天気", [tokyo]],
        ["気天", []],
        ["the", [fence]],
        ["  ", [tokyo, code, cafe, fence]],
        ["?!", []],
        ['"quoted" OR NEAR(', []],
        ["fence* NOT", []],
      ];
      for (const [search, expected] of cases) {
        assert.deepEqual(await idsOf(store, { search }), expected, search);
        assert.deepEqual(await walk(store, { search, limit: 1 }), expected, search);
      }
      await store.rename(code, null);
      assert.deepEqual(await idsOf(store, { search: "cursor" }), []);
      await store.archive(fence);
      assert.deepEqual(await idsOf(store, { search: "fence" }), []);
      assert.deepEqual(await idsOf(store, { search: "fence", archived: true }), [fence]);
      await store.delete(fence);
      assert.deepEqual(await idsOf(store, { search: "fence", archived: true }), []);
      assert.deepEqual(await idsOf(store, { search: "le", cwd: "/nowhere" }), []);
    }),
  );

  test(
    "a name is kept until it is changed or taken away",
    inStore(make, async ({ store }) => {
      const id = await small(store);
      await store.rename(id, "first name");
      assert.equal((await store.get(id)).name, "first name");
      const writer = await store.open(id);
      await store.rename(id, "second");
      addTurn(writer, "y");
      await writer.close();
      assert.equal((await store.get(id)).name, "second");
      assert.equal((await store.list()).threads[0]?.name, "second");
      await store.rename(id, null);
      assert.equal((await store.get(id)).name, null);
    }),
  );

  test(
    "what is said of a thread's repository is kept in place of what its header says",
    inStore(make, async ({ store, reopen }) => {
      const meta = { ...header(), git: { commit_hash: "a1", branch: "main", repository_url: "u" } };
      const writer = await store.create(meta);
      addTurn(writer, "x");
      await writer.flush();
      const { id } = meta;
      const given = { sha: "a1", branch: "main", originUrl: "u" };
      assert.deepEqual((await store.get(id)).gitInfo, given);
      const said = { ...given, branch: "other" };
      await store.setGitInfo(id, said);
      addTurn(writer, "y");
      await writer.close();
      assert.deepEqual((await store.get(id)).gitInfo, said);
      assert.deepEqual((await store.list()).threads[0]?.gitInfo, said);
      assert.deepEqual((await store.header(id)).git, meta.git);
      await store.setGitInfo(id, null);
      await assert.rejects(store.setGitInfo(newThreadId(), said), RolloutNotFoundError);
      await store.close();
      const next = reopen === undefined ? undefined : await reopen();
      if (next !== undefined) assert.equal((await next.get(id)).gitInfo, null);
    }),
  );

  test(
    "a thread's model is that of its last request, and before that what its header says",
    inStore(make, async ({ store, reopen }) => {
      const meta = { ...header(), model: "first", reasoning_effort: "low" } as const;
      const writer = await store.create(meta);
      await writer.flush();
      const modelOf = async (from: ThreadStore) => {
        const { model, reasoningEffort } = await from.get(meta.id);
        return [model, reasoningEffort];
      };
      assert.deepEqual(await modelOf(store), ["first", "low"]);
      const context = {
        cwd: "/w",
        approval_policy: "never",
        sandbox_policy: { type: "read-only" },
        summary: "auto",
      } as const;
      writer.append({ type: "turn_context", payload: { ...context, model: "second", effort: "high" } });
      writer.append({ type: "turn_context", payload: { ...context, model: "third" } });
      addTurn(writer, "x");
      await writer.close();
      assert.deepEqual(await modelOf(store), ["third", null]);
      await store.close();
      const next = reopen === undefined ? undefined : await reopen();
      if (next !== undefined) assert.deepEqual(await modelOf(next), ["third", null]);
    }),
  );

  test(
    "a thread is interrupted when its last turn was left open or was aborted, until it goes on",
    inStore(make, async ({ store, reopen }) => {
      const [first, second, beside] = [newTurnId(), newTurnId(), newTurnId()];
      const submission = (id: string, fields: object) =>
        ({ type: "submission", payload: { thread_id: "t", id, ...fields } }) as const;
      const waits = (id: string, type = "user_input") => submission(id, { op: { type, items: [] } });
      const taken = (id: string) => submission(id, { taken: true });
      const noId: RolloutItem = { type: "event_msg", payload: { type: "task_started" } };
      const cases: [string, RolloutItem[], boolean, TurnId | null | undefined][] = [
        ["nothing was ever said", [], false, undefined],
        ["one that completed", [begun(first), user("x"), answer("y"), ended(first)], false, undefined],
        ["open", [begun(first), user("x")], true, first],
        ["open, of no id", [noId, user("x")], true, null],
        ["aborted", [begun(first), user("x"), aborted(first)], true, undefined],
        ["the second is open", [begun(first), ended(first), begun(second), answer("so far")], true, second],
        ["aborted, and went on", [begun(first), aborted(first), begun(second), ended(second)], false, undefined],
        ["left open, and went on", [begun(first), begun(second), ended(second)], false, undefined],
        ["open, and a later line of no turn", [begun(first), compacted("sum"), context()], true, first],
        ["one beside it ended", [begun(beside), begun(first), ended(beside)], true, first],
        ["aborted and rolled back", [begun(first), user("x"), aborted(first), rolledBack(1)], false, undefined],
        ["a user's message outside a turn", [user("x")], false, undefined],
        ["one that waits behind a turn", [begun(first), waits("b"), user("x"), ended(first)], true, null],
        ["one that waits behind an aborted one", [begun(first), waits("b"), user("x"), aborted(first)], true, null],
        [
          "one that has joined a turn",
          [begun(first), waits("b"), taken("b"), user("x"), ended(first)],
          false,
          undefined,
        ],
        [
          "one that waits, said twice",
          [begun(first), waits("b"), waits("b"), taken("b"), ended(first)],
          false,
          undefined,
        ],
        ["one of two that wait is taken", [waits("a"), waits("b"), taken("a")], true, null],
        ["the last one that waits is taken", [waits("a"), begun(first), ended(first), taken("a")], false, undefined],
        ["one that waited has begun", [begun(first), waits("b"), ended(first), begun(second)], true, second],
        [
          "one that waited is done",
          [begun(first), waits("b"), ended(first), begun(second), taken("b"), ended(second)],
          false,
          undefined,
        ],
        ["items that wait to be known", [begun(first), waits("i", "inject_items"), ended(first)], false, undefined],
      ];
      const legacy: typeof cases = [
        ["legacy, unanswered", [user("x")], true, null],
        ["legacy, answered", [user("x"), answer("y")], false, undefined],
        ["legacy, aborted", [user("x"), aborted(first)], true, undefined],
        ["legacy, went on", [user("x"), aborted(first), user("y"), answer("z")], false, undefined],
      ];
      const expected: { id: ThreadId; what: string; interrupted: boolean; openTurn: unknown }[] = [];
      for (const [what, items, interrupted, turnId] of [...cases, ...legacy]) {
        const mode = legacy.some(([other]) => other === what) ? "legacy" : "paginated";
        const writer = await store.create(header({ history_mode: mode }));
        for (const item of items) {
          writer.append(item);
          // As each line comes, and not only in a batch.
          await writer.flush();
        }
        const openTurn = turnId === undefined ? null : { turnId };
        expected.unshift({ id: writer.threadId, what, interrupted, openTurn });
        const { interrupted: now, openTurn: openNow } = await store.get(writer.threadId);
        assert.deepEqual([now, openNow], [interrupted, openTurn], `${what}, live`);
        await writer.close();
      }
      const check = async (from: ThreadStore, when: string) => {
        const all = (await from.list({ limit: 100 })).threads.map(({ threadId: id, interrupted, openTurn }) => {
          const what = expected.find((one) => one.id === id)?.what ?? "unexpected";
          return { id, what, interrupted, openTurn };
        });
        assert.deepEqual(all, expected, when);
        for (const wanted of [true, false]) {
          const ids = expected.filter(({ interrupted }) => interrupted === wanted).map(({ id }) => id);
          assert.deepEqual(await walk(from, { interrupted: wanted, limit: 3 }), ids, when);
          assert.deepEqual(
            new Set(await walk(from, { interrupted: wanted, limit: 3, orderBy: "updatedAt" })),
            new Set(ids),
          );
          const here = { interrupted: wanted, cwd: "/srv/project", modelProviders: ["mock"], sourceKinds: ["cli"] };
          assert.deepEqual(await walk(from, { ...here, limit: 3 }), ids, when);
          assert.deepEqual(await idsOf(from, { ...here, parentThreadId: newThreadId() }), []);
          assert.deepEqual(await idsOf(from, { ...here, forkedFromId: newThreadId() }), []);
          assert.deepEqual(await idsOf(from, { interrupted: wanted, archived: true }), []);
          const found = await walk(from, { search: "x", interrupted: wanted, limit: 3 });
          assert.ok(found.length > 0 && found.every((id) => ids.includes(id)), when);
          assert.deepEqual(
            new Set(await walk(from, { search: "x", interrupted: wanted, orderBy: "updatedAt" })),
            new Set(found),
          );
        }
      };
      await check(store, "in the same store");
      const reopened = expected.find(({ what }) => what === "open");
      assert.ok(reopened);
      const writer = await store.open(reopened.id);
      assert.deepEqual((await store.get(reopened.id)).openTurn, { turnId: first });
      writer.append(aborted(first));
      addTurn(writer, "x");
      await writer.close();
      Object.assign(reopened, { interrupted: false, openTurn: null });
      await store.close();
      const next = reopen === undefined ? undefined : await reopen();
      if (next !== undefined) await check(next, "in another store over the same place");
    }),
  );

  test(
    "a fork is interrupted by what its own lines say",
    inStore(make, async ({ store }) => {
      const writer = await store.create(header());
      const turnId = newTurnId();
      for (const item of [begun(turnId), user("x")]) writer.append(item);
      await writer.close();
      const fork = await forkAt(store, writer.threadId, "full");
      const broken = await forkAt(store, writer.threadId, "full", (own) => own.append(aborted(turnId)));
      const on = await forkAt(store, broken, "full", (own) => addTurn(own, "on"));
      assert.deepEqual(await idsOf(store, { interrupted: true }), [broken, writer.threadId]);
      assert.deepEqual(await idsOf(store, { interrupted: false }), [on, fork]);
    }),
  );
}
