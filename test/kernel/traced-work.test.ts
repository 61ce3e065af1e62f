import assert from "node:assert/strict";
import { channel, tracingChannel } from "node:diagnostics_channel";
import { test } from "node:test";
import { Notice, runWithin, type TracedWork, Tracing } from "../../src/kernel/traced-work.ts";

const NAMES = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

/** What is told of a kind of work, in order, until it is stopped. */
function watched(name: string) {
  const told: { readonly at: string; readonly facts: object }[] = [];
  const subscribers = Object.fromEntries(NAMES.map((at) => [at, (facts: object) => void told.push({ at, facts })]));
  const traced = tracingChannel<object>(name);
  traced.subscribe(subscribers as never);
  const [names, of] = [() => told.map(({ at }) => at), () => new Set(told.map(({ facts }) => facts))];
  return { names, of, [Symbol.dispose]: () => void traced.unsubscribe(subscribers as never) };
}

const scope = Object.freeze({});

test("while nobody watches, work is done and no facts are made", async () => {
  const tracing = new Tracing<TracedWork>("test:unwatched");
  assert.equal(await tracing.run(assert.fail, async (facts) => facts), undefined);
  assert.equal(tracing.begin(assert.fail), undefined);
  tracing.finish(undefined);
  assert.equal(tracing.isWatched, false);
});

test("work that is watched is told by Node's five channels, with one object", async () => {
  const tracing = new Tracing<TracedWork>("test:watched");
  using watch = watched("test:watched");
  assert.equal(
    await tracing.run(
      () => ({ scope }),
      async (facts) => facts?.scope,
    ),
    scope,
  );
  assert.deepEqual(watch.names(), ["start", "end", "asyncStart", "asyncEnd"]);
  assert.equal(watch.of().size, 1);
});

test("work that fails is told of with what it failed by, and with that alone where it says so itself", async () => {
  const tracing = new Tracing<TracedWork>("test:failing");
  using watch = watched("test:failing");
  const failure = new Error("x");
  await assert.rejects(
    tracing.run(
      () => ({ scope }),
      () => Promise.reject(failure),
    ),
    failure,
  );
  assert.deepEqual(watch.names(), ["start", "end", "error", "asyncStart", "asyncEnd"]);
  assert.deepEqual([...watch.of()], [{ scope, error: failure }]);
});

test("work that begins and ends in two places is told of alike", () => {
  const tracing = new Tracing<TracedWork>("test:parts");
  using watch = watched("test:parts");
  const facts = tracing.begin(() => ({ scope }));
  assert.deepEqual(watch.names(), ["start", "end"]);
  tracing.finish(facts);
  assert.deepEqual(watch.names(), ["start", "end", "asyncStart", "asyncEnd"]);
});

test("a part of the work is done where its subscriber wants it", () => {
  const seen: string[] = [];
  const within = <T>(work: () => T): T => {
    seen.push("within");
    return work();
  };
  assert.deepEqual(
    [runWithin({ scope, within }, () => 1), runWithin({ scope }, () => 2), runWithin(undefined, () => 3)],
    [1, 2, 3],
  );
  assert.deepEqual(seen, ["within"]);
});

test("a notice is told to whoever listens", () => {
  const notice = new Notice<{ readonly n: number }>("test:notice");
  const seen: unknown[] = [];
  const listen = (message: unknown) => void seen.push(message);
  assert.equal(notice.isWatched, false);
  channel("test:notice").subscribe(listen);
  assert.equal(notice.isWatched, true);
  notice.tell({ n: 1 });
  channel("test:notice").unsubscribe(listen);
  assert.deepEqual(seen, [{ n: 1 }]);
});
