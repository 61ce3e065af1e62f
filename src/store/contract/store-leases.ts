import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadlineExceededError, InvalidRequestError, ThreadBusyError } from "../../protocol/errors.ts";
import {
  addTurn,
  gistOf,
  header,
  inStore,
  linesOf,
  type MakeStore,
  storedThread,
  turnGist,
  user,
} from "./store-script.ts";

export function leaseSuite(make: MakeStore): void {
  test(
    "a second writer is refused and told who the first one is; closing gives the thread back (W2)",
    inStore(make, async ({ store }) => {
      const first = await store.create(header());
      for (const lease of [undefined, "refuse"] as const) {
        await assert.rejects(store.open(first.threadId, lease === undefined ? {} : { lease }), (error) => {
          assert.ok(error instanceof ThreadBusyError);
          assert.equal(error.threadId, first.threadId);
          assert.equal(error.owner?.pid, process.pid);
          assert.ok(error.owner.host.length > 0);
          assert.ok(Date.parse(error.owner.since) > 0);
          return true;
        });
      }
      await first.close();
      const second = await store.open(first.threadId);
      assert.equal(second.epoch, 2);
      await first.close();
      await assert.rejects(store.open(first.threadId), ThreadBusyError);
      await second.close();
    }),
  );

  test(
    "what is being stored as the writer closes keeps nothing: the thread is free then (W2)",
    inStore(make, async ({ store }) => {
      for (const said of [[], ["one"]]) {
        for (const how of ["sync", "flush"] as const) {
          const writer = await store.create(header());
          for (const text of said) writer.append(user(text));
          const storing = [writer[how](), writer.sync()];
          const closing = writer.close();
          await Promise.all([...storing, closing, writer.sync(), writer.confirm()]);
          const next = await store.open(writer.threadId);
          assert.equal(next.epoch, 2);
          await next.close();
        }
      }
    }),
  );

  test(
    "who holds a thread is told where the store says it: its writer while it has one, nobody else",
    inStore(make, async ({ store }) => {
      if (store.holderOf === undefined) return;
      const { id } = await storedThread(store, ["one"]);
      assert.equal(await store.holderOf(id), null);
      const writer = await store.open(id);
      assert.equal((await store.holderOf(id))?.pid, process.pid);
      await writer.close();
      assert.equal(await store.holderOf(id), null);
      assert.equal(await store.holderOf(header().id), null, "of a thread that there is not");
    }),
  );

  test(
    "of many that open one thread at once, one writes",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => store.open(id)));
      const won = outcomes.filter((outcome) => outcome.status === "fulfilled");
      assert.equal(won.length, 1);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") assert.ok(outcome.reason instanceof ThreadBusyError);
      await won[0]?.value.close();
    }),
  );

  test(
    "readers and forks need no lease",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id);
      assert.equal((await linesOf(store, id)).length, 5);
      const base = await store.forkBase(id, "full");
      assert.ok(base);
      const fork = await store.fork(header(), base);
      addTurn(fork, "two");
      await fork.close();
      await store.rename(id, "busy");
      addTurn(writer, "still mine");
      await writer.close();
      assert.deepEqual(await gistOf(store, id), ["[session_meta]", ...turnGist("one", "still mine")]);
    }),
  );

  test(
    "who takes over fences the writer before: it hears of it, and what it appends is dropped",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const heard: Error[] = [];
      const old = await store.open(id, { onFailure: (error) => heard.push(error) });
      addTurn(old, "two");
      await old.flush();
      const next = await store.open(id, { lease: "takeOver" });
      assert.equal(next.epoch, old.epoch + 1);
      old.append(user("from the grave"));
      await assert.rejects(old.flush(), ThreadBusyError);
      await assert.rejects(old.flush(), ThreadBusyError);
      assert.ok(old.failure instanceof ThreadBusyError);
      assert.equal(heard.length, 1);
      assert.ok(heard[0] instanceof ThreadBusyError);
      await old.close();
      await assert.rejects(store.open(id), ThreadBusyError);
      addTurn(next, "three");
      await next.close();
      const lines = await linesOf(store, id);
      assert.deepEqual(await gistOf(store, id), ["[session_meta]", ...turnGist("one", "two", "three")]);
      assert.deepEqual(
        lines.map(({ ordinal }) => ordinal),
        lines.map((_, n) => n),
      );
    }),
  );

  test(
    "a writer is told that it was taken over when it asks, though it stores nothing; one that holds its thread is not",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const old = await store.open(id);
      await old.confirm();
      const next = await store.open(id, { lease: "takeOver" });
      await assert.rejects(old.confirm(), ThreadBusyError);
      assert.ok(old.failure instanceof ThreadBusyError);
      await old.close();
      await next.confirm();
      await next.close();
    }),
  );

  test(
    "taking over a thread that nobody holds is opening it",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id, { lease: "takeOver" });
      assert.equal(writer.epoch, 2);
      await writer.close();
    }),
  );

  test(
    "who waits gets the thread when its writer closes, one after the other",
    inStore(make, async ({ store }) => {
      const first = await store.create(header());
      const { threadId } = first;
      const { signal } = new AbortController();
      const order: number[] = [];
      const wait = async (n: number) => {
        const writer = await store.open(threadId, { lease: "wait", signal });
        order.push(writer.epoch);
        addTurn(writer, `turn ${n}`);
        await writer.close();
      };
      const waiting = [wait(1), wait(2), wait(3)];
      addTurn(first, "turn 0");
      await first.close();
      await Promise.all(waiting);
      assert.deepEqual(order, [2, 3, 4]);
      const lines = await linesOf(store, threadId);
      assert.equal(lines.length, 17);
      assert.deepEqual(
        lines.map(({ ordinal }) => ordinal),
        lines.map((_, n) => n),
      );
    }),
  );

  test(
    "waiting for a free thread opens it at once",
    inStore(make, async ({ store }) => {
      const { id } = await storedThread(store, ["one"]);
      const writer = await store.open(id, { lease: "wait", deadlineMs: 60_000 });
      assert.equal(writer.epoch, 2);
      await writer.close();
    }),
  );

  test(
    "waiting ends with its deadline or its signal, and needs one of them",
    inStore(make, async ({ store }) => {
      const first = await store.create(header());
      const { threadId } = first;
      await assert.rejects(store.open(threadId, { lease: "wait" }), InvalidRequestError);
      await assert.rejects(store.open(threadId, { lease: "wait", deadlineMs: 5 }), DeadlineExceededError);
      const controller = new AbortController();
      const reason = { why: "went home" };
      const waiting = assert.rejects(
        store.open(threadId, { lease: "wait", signal: controller.signal }),
        (error) => error === reason,
      );
      controller.abort(reason);
      await waiting;
      await first.close();
      const writer = await store.open(threadId);
      assert.equal(writer.epoch, 2);
      await writer.close();
    }),
  );
}
