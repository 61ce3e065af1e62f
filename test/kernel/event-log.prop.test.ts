import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { type Cursor, EventLog, isLagged, type Lagged } from "../../src/kernel/event-log.ts";
import { settled } from "./settled.ts";

/*
 * Arbitrary interleavings of append, trim, close, new cursors, next (also overlapping), tryNext, return and abort,
 * against a model that keeps every event for ever and works out what each call must give.
 */
type Numbered = { readonly seq: number };
type Item = Numbered | Lagged;
/** What one call of next came to: an item, the end, or why it was rejected. */
type Answer = { cursor: number; item: Item } | { cursor: number; end: true } | { cursor: number; reason: unknown };

class Refused extends Error {}

/** The reference: positions and rules only, no storage and no promise. */
class Model {
  first = 0;
  next = 0;
  closedWith: { error: unknown } | undefined;
  readonly cursors: { position: number; requests: number; state: "open" | "ended" | "aborted" }[] = [];
  /** Cursors in the order in which they began to wait. */
  waiting: number[] = [];
  readonly answers: Answer[] = [];
  readonly capacity: number;
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  append(): void {
    this.next += 1;
    this.first = Math.max(this.first, this.next - this.capacity);
    this.#answerAll();
  }

  trim(keep: number): void {
    this.first = Math.max(this.first, this.next - keep);
  }

  close(error: unknown): void {
    this.closedWith ??= { error };
    this.#answerAll();
  }

  /** What the cursor yields now; undefined: it must wait. */
  take(cursor: number): Answer | undefined {
    const own = this.cursors[cursor];
    assert.ok(own);
    if (own.state === "ended") return { cursor, end: true };
    if (own.state === "aborted") return { cursor, reason: "aborted" };
    const from = own.position;
    if (from < this.first) {
      own.position = this.first;
      return { cursor, item: { lagged: { from, to: this.first - 1 } } };
    }
    if (from < this.next) {
      own.position += 1;
      return { cursor, item: { seq: from } };
    }
    if (this.closedWith === undefined) return undefined;
    own.state = "ended";
    const { error } = this.closedWith;
    return error === undefined ? { cursor, end: true } : { cursor, reason: error };
  }

  request(cursor: number): void {
    const own = this.cursors[cursor];
    assert.ok(own);
    const answer = own.requests > 0 ? undefined : this.take(cursor);
    if (answer !== undefined) this.answers.push(answer);
    else {
      if (own.requests === 0) this.waiting.push(cursor);
      own.requests += 1;
    }
  }

  stop(cursor: number, state: "ended" | "aborted"): void {
    const own = this.cursors[cursor];
    assert.ok(own);
    if (own.state === "ended") return;
    own.state = state;
    this.#answer(cursor);
    this.waiting = this.waiting.filter((other) => other !== cursor);
  }

  #answerAll(): void {
    for (const cursor of this.waiting) this.#answer(cursor);
    this.waiting = this.waiting.filter((cursor) => (this.cursors[cursor]?.requests ?? 0) > 0);
  }

  #answer(cursor: number): void {
    const own = this.cursors[cursor];
    assert.ok(own);
    while (own.requests > 0) {
      const answer = this.take(cursor);
      if (answer === undefined) return;
      own.requests -= 1;
      this.answers.push(answer);
    }
  }
}

const pick = fc.nat({ max: 7 });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ do: "append" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "refuse" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("trim" as const), keep: fc.nat({ max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cursor" as const), after: fc.option(fc.nat({ max: 20 })) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant("next" as const), pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("tryNext" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("return" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), pick }) },
  { weight: 4, arbitrary: fc.constantFrom({ do: "microtask" as const }, { do: "settle" as const }) },
);
const script = fc.record({
  capacity: fc.integer({ min: 1, max: 9 }),
  steps: fc.array(step, { maxLength: 120, size: "max" }),
  ending: fc.constantFrom("open", "closed", "failed"),
});

async function replay({ capacity, steps, ending }: typeof script extends fc.Arbitrary<infer S> ? S : never) {
  const log = new EventLog<Numbered>({
    capacity,
    guard: (event, seq) => {
      if (event.seq !== seq) throw new Refused();
    },
  });
  const model = new Model(capacity);
  const cursors: { cursor: Cursor<Numbered>; abort: AbortController }[] = [];
  const answers: Answer[] = [];
  const check = () => {
    assert.deepEqual([log.first, log.next, log.waiting], [model.first, model.next, model.waiting.length]);
    for (let seq = model.first; seq < model.next; seq += 1) assert.equal(log.get(seq)?.seq, seq);
    assert.equal(log.get(model.first - 1), undefined);
    assert.equal(log.get(model.next), undefined);
  };
  const request = (number: number) => {
    model.request(number);
    cursors[number]?.cursor.next().then(
      ({ done, value }) => answers.push(done ? { cursor: number, end: true } : { cursor: number, item: value }),
      (reason: unknown) => answers.push({ cursor: number, reason }),
    );
  };
  const tryNext = (number: number) => {
    const own = model.cursors[number];
    const cursor = cursors[number];
    assert.ok(own && cursor);
    const ended = own.state === "ended";
    const expected = own.requests > 0 && own.state === "open" ? undefined : model.take(number);
    let actual: Answer | undefined;
    try {
      const item = cursor.cursor.tryNext();
      if (item !== undefined) actual = { cursor: number, item };
      else if (ended || cursor.cursor.done) actual = { cursor: number, end: true };
    } catch (reason) {
      actual = { cursor: number, reason };
    }
    assert.deepEqual(actual, expected);
  };
  for (const each of steps) {
    const number = "pick" in each ? each.pick % Math.max(1, cursors.length) : -1;
    if (each.do === "append") {
      log.append((seq) => ({ seq }));
      model.append();
    } else if (each.do === "refuse") assert.throws(() => log.append(() => ({ seq: -1 })), Refused);
    else if (each.do === "trim") {
      log.trim(each.keep);
      model.trim(each.keep);
    } else if (each.do === "cursor") {
      const after = each.after === null ? undefined : (each.after % (log.next + 1)) - 1;
      const abort = new AbortController();
      const start = after === undefined ? log.next : after + 1;
      cursors.push({ cursor: log.cursor({ after, signal: abort.signal }), abort });
      model.cursors.push({ position: start, requests: 0, state: "open" });
    } else if (each.do === "microtask") await null;
    else if (each.do === "settle") await settled();
    else if (cursors.length > 0) {
      if (each.do === "next") request(number);
      else if (each.do === "tryNext") tryNext(number);
      else if (each.do === "return") {
        model.stop(number, "ended");
        void cursors[number]?.cursor.return();
      } else {
        model.stop(number, "aborted");
        cursors[number]?.abort.abort("aborted");
      }
    }
    check();
  }
  if (ending !== "open") {
    const error = ending === "failed" ? "failed" : undefined;
    log.close(error);
    model.close(error);
    check();
    for (const number of cursors.keys()) for (let n = 0; n <= capacity + 3; n += 1) request(number);
  }
  await settled();
  return { log, model, cursors, answers };
}

test("every call of every cursor gives what the model says, in the order that it says", async () => {
  await fc.assert(
    fc.asyncProperty(script, async (plan) => {
      const { model, answers, cursors } = await replay(plan);
      assert.deepEqual(answers, model.answers);
      if (plan.ending !== "open") assert.equal(model.waiting.length, 0);
      for (const { cursor } of cursors) cursor[Symbol.dispose]();
      assert.ok(cursors.every(({ abort }) => getEventListeners(abort.signal, "abort").length === 0));
    }),
    { numRuns: 200 },
  );
});

test("what consumers see has no gap, no duplicate and no empty lag, however they and the producer interleave", async () => {
  const plan = fc.record({
    capacity: fc.integer({ min: 1, max: 9 }),
    before: fc.nat({ max: 15 }),
    starts: fc.array(fc.option(fc.nat()), { minLength: 1, maxLength: 4 }),
    work: fc.array(fc.record({ burst: fc.nat({ max: 12 }), keep: fc.option(fc.nat({ max: 9 })) }), {
      maxLength: 12,
      size: "max",
    }),
  });
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), plan, async (scheduler, { capacity, before, starts, work }) => {
      const log = new EventLog<Numbered>({ capacity });
      const append = () => log.append((seq) => ({ seq }));
      for (let n = 0; n < before; n += 1) append();
      const consumers = starts.map(async (pick) => {
        const start = pick === null ? log.next : pick % (log.next + 1);
        const seen: Item[] = [];
        for await (const item of log.cursor(pick === null ? {} : { after: start - 1 })) {
          seen.push(item);
          await scheduler.schedule(Promise.resolve()); // a consumer of arbitrary speed
        }
        return { start, seen };
      });
      const producer = (async () => {
        for (const { burst, keep } of work) {
          for (let n = 0; n < burst; n += 1) append();
          if (keep !== null) log.trim(keep);
          await scheduler.schedule(Promise.resolve());
        }
        log.close();
      })();
      await scheduler.waitFor(Promise.all([producer, ...consumers]));
      for (const { start, seen } of await Promise.all(consumers)) {
        let position = start;
        for (const item of seen) {
          const { from, to } = isLagged(item) ? item.lagged : { from: item.seq, to: item.seq };
          assert.equal(from, position);
          assert.ok(to >= from);
          position = to + 1;
        }
        assert.equal(position, log.next);
      }
    }),
    { numRuns: 200 },
  );
});

test("storage follows what is retained", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.nat({ max: 60 }), { maxLength: 30, size: "max" }),
      (capacity, keeps) => {
        const log = new EventLog<Numbered>({ capacity });
        for (const keep of keeps) {
          for (let n = 0; n < 7; n += 1) log.append((seq) => ({ seq }));
          assert.ok(log.size <= capacity);
          log.trim(keep);
          assert.ok(log.size <= keep);
          const retained = Array.from({ length: log.size }, (_, index) => log.get(log.first + index)?.seq);
          assert.deepEqual(
            retained,
            retained.map((_, index) => log.first + index),
          );
        }
      },
    ),
  );
});
