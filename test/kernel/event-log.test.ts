import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Cursor, EventLog, isLagged } from "../../src/kernel/event-log.ts";
import { InternalDefect, InvalidRequestError } from "../../src/protocol/errors.ts";
import { observe, settled } from "./settled.ts";

type Numbered = { readonly seq: number };
const make = (seq: number): Numbered => ({ seq });
const logOf = (count: number, capacity = 100): EventLog<Numbered> => {
  const log = new EventLog<Numbered>({ capacity });
  for (let n = 0; n < count; n += 1) log.append(make);
  return log;
};
const drain = <E>(cursor: Cursor<E>): unknown[] => {
  const items: unknown[] = [];
  for (let item = cursor.tryNext(); item !== undefined; item = cursor.tryNext()) items.push(item);
  return items;
};
const END = { done: true, value: undefined };

test("events are numbered from 0 and given back by append and get", () => {
  const log = logOf(2);
  assert.deepEqual(log.append(make), { seq: 2 });
  assert.deepEqual(
    [-1, 0, 2, 3, 0.5].map((seq) => log.get(seq)),
    [undefined, { seq: 0 }, { seq: 2 }, undefined, undefined],
  );
  assert.deepEqual([log.first, log.next, log.size], [0, 3, 3]);
});

test("a cursor starts now, behind an event, or at the very first", () => {
  const log = logOf(3);
  const [now, behind, start] = [log.cursor(), log.cursor({ after: 1 }), log.cursor({ after: -1 })];
  log.append(make);
  assert.deepEqual(drain(now), [{ seq: 3 }]);
  assert.deepEqual(drain(behind), [{ seq: 2 }, { seq: 3 }]);
  assert.deepEqual(drain(start), [{ seq: 0 }, { seq: 1 }, { seq: 2 }, { seq: 3 }]);
});

test("a start behind an event that does not exist is refused", () => {
  const log = logOf(3);
  assert.ok(log.cursor({ after: 2 }));
  for (const after of [3, -2, 0.5, Number.NaN]) assert.throws(() => log.cursor({ after }), InvalidRequestError);
  assert.throws(() => log.cursor({ after: 3 }), { message: "no event 3 to start behind; the last one is 2" });
});

test("for await replays, goes on live, and ends with the log", async () => {
  const log = logOf(2);
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const event of log.cursor({ after: -1 })) seen.push(event);
    seen.push("end");
  })();
  await settled();
  log.append(make);
  await settled();
  log.append(make);
  log.append(make);
  log.close();
  await reading;
  assert.deepEqual(seen, [{ seq: 0 }, { seq: 1 }, { seq: 2 }, { seq: 3 }, { seq: 4 }, "end"]);
});

test("what was dropped is named once, then the cursor goes on at the oldest that is left", async () => {
  const log = logOf(3, 4);
  const cursor = log.cursor({ after: 0 });
  for (let n = 0; n < 5; n += 1) log.append(make); // 4 to 7 are left
  assert.deepEqual(await cursor.next(), { done: false, value: { lagged: { from: 1, to: 3 } } });
  assert.deepEqual(await cursor.next(), { done: false, value: { seq: 4 } });
  log.trim(1);
  assert.deepEqual(drain(cursor), [{ lagged: { from: 5, to: 6 } }, { seq: 7 }]);
  assert.deepEqual(drain(log.cursor({ after: -1 })), [{ lagged: { from: 0, to: 6 } }, { seq: 7 }]);
  log.trim(0);
  assert.deepEqual(drain(log.cursor({ after: -1 })), [{ lagged: { from: 0, to: 7 } }]);
  log.append(make);
  assert.deepEqual([log.first, log.next, log.get(8)], [8, 9, { seq: 8 }]);
});

test("isLagged tells the gap from an event", () => {
  assert.deepEqual(
    [{ lagged: { from: 0, to: 1 } }, { seq: 1 }, { lagged: true }, "lagged"].map((item) => isLagged(item)),
    [true, false, false, false],
  );
});

test("no consumer runs inside append, trim or close; the longest waiting goes first", async () => {
  const log = logOf(0);
  const trace: string[] = [];
  const consume = async (name: string, cursor: Cursor<Numbered>) => {
    for await (const item of cursor) trace.push(`${name}${isLagged(item) ? "?" : item.seq}`);
    trace.push(`${name} end`);
  };
  const cursors = [log.cursor(), log.cursor(), log.cursor()] as const;
  void consume("b", cursors[1]);
  void consume("a", cursors[0]);
  void consume("c", cursors[2]);
  await settled();
  log.append(make);
  log.trim(0);
  assert.deepEqual(trace, []);
  await settled();
  assert.deepEqual(trace, ["b0", "a0", "c0"]);
  log.close();
  assert.equal(trace.length, 3);
  await settled();
  assert.deepEqual(trace.slice(3), ["b end", "a end", "c end"]);
});

test("calls of next that overlap are answered in order", async () => {
  const log = logOf(1);
  const cursor = log.cursor({ after: -1 });
  const calls = [cursor.next(), cursor.next(), cursor.next(), cursor.next(), cursor.next()];
  assert.equal(cursor.tryNext(), undefined);
  log.append(make);
  log.append(make);
  assert.equal(log.waiting, 1);
  log.close();
  assert.deepEqual(await Promise.all(calls), [
    ...[0, 1, 2].map((seq) => ({ done: false, value: { seq } })),
    ...[END, END],
  ]);
});

test("after close cursors drain and end, and new ones end at once", async () => {
  const log = logOf(2);
  const cursor = log.cursor({ after: -1 });
  log.close();
  log.close(new Error("ignored: it is closed already"));
  assert.deepEqual([log.closed, log.error, cursor.done], [true, undefined, false]);
  assert.deepEqual(drain(cursor), [{ seq: 0 }, { seq: 1 }]);
  assert.equal(cursor.done, true);
  assert.deepEqual([await cursor.next(), await log.cursor().next()], [END, END]);
  assert.throws(() => log.append(make), InternalDefect);
  assert.equal(log.next, 2);
});

test("a closing error comes once to each cursor, after what is retained", async () => {
  const log = logOf(1);
  const error = new Error("the loop died");
  const waiting = log.cursor();
  const calls = [observe(waiting.next()), observe(waiting.next())];
  const [behind, sync] = [log.cursor({ after: -1 }), log.cursor()];
  log.close(error);
  await settled();
  assert.deepEqual(
    calls.map(({ outcome }) => outcome),
    [{ reason: error }, { value: END }],
  );
  assert.deepEqual(await behind.next(), { done: false, value: { seq: 0 } });
  assert.equal(behind.done, false);
  await assert.rejects(behind.next(), error);
  assert.deepEqual(await behind.next(), END);
  assert.throws(() => sync.tryNext(), error);
  assert.equal(sync.tryNext(), undefined);
  assert.equal(sync.done, true);
});

test("return ends a cursor and whatever waits on it, and the log forgets it", async () => {
  const log = logOf(1);
  const { signal } = new AbortController();
  const cursor = log.cursor({ signal });
  const calls = [cursor.next(), cursor.next()];
  assert.deepEqual([log.waiting, getEventListeners(signal, "abort").length], [1, 1]);
  assert.deepEqual(await cursor.return(), END);
  assert.deepEqual(await Promise.all(calls), [END, END]);
  assert.deepEqual([log.waiting, getEventListeners(signal, "abort").length, cursor.done], [0, 0, true]);
  log.append(make);
  assert.deepEqual([cursor.tryNext(), await cursor.next()], [undefined, END]);
  const other = log.cursor({ after: -1 });
  other[Symbol.dispose]();
  assert.deepEqual(await other.next(), END);
});

test("leaving a for await loop lets everything go", async () => {
  const log = logOf(0);
  const { signal } = new AbortController();
  const reading = (async () => {
    for await (const _ of log.cursor({ signal })) break;
  })();
  await settled();
  log.append(make);
  await reading;
  assert.deepEqual([log.waiting, getEventListeners(signal, "abort").length], [0, 0]);
});

test("an abort rejects waiting and later calls with the reason itself", async () => {
  const log = logOf(1);
  const controller = new AbortController();
  const reason = { why: "closing" };
  const cursor = log.cursor({ signal: controller.signal });
  const calls = [observe(cursor.next()), observe(cursor.next())];
  controller.abort(reason);
  log.append(make);
  calls.push(observe(cursor.next()), observe(log.cursor({ after: -1, signal: controller.signal }).next()));
  await settled();
  for (const { outcome } of calls) {
    assert.ok(typeof outcome === "object" && "reason" in outcome);
    assert.equal(outcome.reason, reason);
  }
  assert.throws(
    () => cursor.tryNext(),
    (thrown) => thrown === reason,
  );
  assert.deepEqual([log.waiting, cursor.done, getEventListeners(controller.signal, "abort").length], [0, true, 0]);
  assert.deepEqual(await cursor.return(), END);
  assert.deepEqual(await cursor.next(), END);
});

test("the guard refuses an event before anything has changed", async () => {
  const log = new EventLog<{ type: string }>({
    capacity: 4,
    guard: (event, seq) => {
      if (seq === 0 && event.type !== "session_configured") throw new InternalDefect(`not first: ${event.type}`);
    },
  });
  const cursor = log.cursor();
  const first = observe(cursor.next());
  assert.throws(() => log.append(() => ({ type: "warning" })), /not first: warning/);
  await settled();
  assert.deepEqual([first.outcome, log.next], ["pending", 0]);
  log.append(() => ({ type: "session_configured" }));
  log.append(() => ({ type: "warning" }));
  await settled();
  assert.deepEqual(first.outcome, { value: { done: false, value: { type: "session_configured" } } });
});

test("a builder that throws, appends or closes changes the order of nothing", () => {
  const log = logOf(1);
  const fail = () => {
    throw new Error("no event");
  };
  assert.throws(() => log.append(fail), /no event/);
  const nested = (seq: number) => {
    log.append(make);
    return make(seq);
  };
  assert.throws(() => log.append(nested), InternalDefect);
  const closing = (seq: number) => {
    log.close();
    return make(seq);
  };
  assert.throws(() => log.append(closing), InternalDefect);
  assert.deepEqual(drain(log.cursor({ after: -1 })), [{ seq: 0 }, { seq: 1 }]);
});

test("bounds are checked", () => {
  for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => new EventLog({ capacity }), InvalidRequestError);
  }
  for (const keep of [-1, 0.5, Number.NaN]) assert.throws(() => logOf(1).trim(keep), InvalidRequestError);
});

test("dropped events can be collected, and cursors that do not wait are not held", async () => {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  const log = new EventLog<object>({ capacity: 2 });
  const references: WeakRef<object>[] = [];
  const remember = (made: object) => {
    references.push(new WeakRef(made));
    return made;
  };
  (() => {
    const waited = log.cursor();
    void waited.next();
    remember(waited);
    remember(log.cursor());
    for (let n = 0; n < 3; n += 1) log.append(() => remember({ n })); // the first falls out of the ring
    log.trim(1); // drops the second
  })();
  await settled();
  gc();
  assert.deepEqual(
    references.map((reference) => reference.deref() !== undefined),
    [false, false, false, false, true],
  );
});
