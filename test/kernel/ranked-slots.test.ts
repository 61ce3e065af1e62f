/** Who is served first among those that wait for a place. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/kernel/clock.ts";
import { type Rank, RankedSlots } from "../../src/kernel/ranked-slots.ts";
import type { Release } from "../../src/kernel/slots.ts";
import { settled } from "./settled.ts";

const AGING = 30_000;
const forEver = new AbortController().signal;

/** One place, and everybody who asks for it while it is held. */
function queue(limit = 1) {
  const clock = new ManualClock();
  const slots = new RankedSlots(limit, { clock, agingMs: AGING });
  const served: string[] = [];
  const held: Release[] = [];
  const hold = (release: Release) => held.push(release);
  const ask = (id: string, rank: Rank, tree = id, signal = forEver) => {
    const got = slots.acquire(signal, () => ({ id, rank, tree }));
    const take = (release: Release) => {
      served.push(id);
      hold(release);
    };
    if (got instanceof Promise) got.then(take, () => undefined);
    else take(got);
  };
  const next = async () => {
    held.shift()?.();
    await settled();
  };
  return { clock, slots, served, ask, next };
}

suite("ranked slots", () => {
  test("the better rank first; within one, in order of asking", async () => {
    const { ask, next, served, slots } = queue();
    ask("running", 3);
    ask("late", 5);
    ask("usual 1", 3);
    ask("first", 1);
    ask("usual 2", 3);
    assert.deepEqual(slots.order(), ["first", "usual 1", "usual 2", "late"]);
    assert.equal(slots.ahead("usual 2"), 2);
    for (let n = 0; n < 5; n += 1) await next();
    assert.deepEqual(served, ["running", "first", "usual 1", "usual 2", "late"]);
    assert.deepEqual([slots.inUse, slots.waiting, slots.ahead("late")], [0, 0, undefined]);
  });

  test("a stream of rank 1 that always fills the places: rank 5 comes once those of its first 120 s have run, and not never", async () => {
    const { ask, next, served, clock } = queue();
    ask("running", 1);
    ask("last", 5);
    for (let at = 1; at <= 200 && !served.includes("last"); at += 1) {
      clock.advance(1_000);
      ask(`${at}`, 1);
      await next();
    }
    assert.deepEqual(served.at(-1), "last");
    assert.equal(served.length, 122);
  });

  test("fair among trees: where one has a thousand that wait, another's is served second at the latest", async () => {
    const { ask, next, served, clock } = queue();
    for (let n = 0; n < 1_000; n += 1) ask(`a${n}`, 3, "a");
    for (let n = 0; n < 3; n += 1) await next();
    clock.advance(3_600_000);
    ask("b", 3, "b");
    await next();
    await next();
    assert.ok(served.slice(-2).includes("b"), served.slice(-3).join());
  });

  test("all of one tree are served, in order of asking, and those that ask again once none of it waits", async () => {
    const { ask, next, served, slots } = queue();
    for (const id of ["a0", "a1", "a2"]) ask(id, 3, "a");
    for (let n = 0; n < 3; n += 1) await next();
    ask("a3", 3, "a");
    ask("a4", 3, "a");
    await next();
    assert.deepEqual([served, slots.inUse], [["a0", "a1", "a2", "a3", "a4"], 1]);
    await next();
    assert.deepEqual([slots.inUse, slots.waiting], [0, 0]);
  });

  test("whoever gives up keeps nobody behind it waiting, alone in its tree as it was", async () => {
    const { ask, next, served, slots } = queue();
    const gone = new AbortController();
    ask("running", 3);
    ask("gone", 3, "gone", gone.signal);
    ask("other", 3);
    gone.abort();
    await next();
    assert.deepEqual([served, slots.inUse, slots.waiting], [["running", "other"], 1, 0]);
  });

  test("a tree that was served begins to wait anew: its age counts once", async () => {
    const { ask, next, served, clock } = queue();
    for (const id of ["a0", "a1", "a2"]) ask(id, 3, "a");
    clock.advance(2 * AGING + 1);
    ask("first", 1);
    for (let n = 0; n < 3; n += 1) await next();
    assert.deepEqual(served, ["a0", "a1", "first", "a2"]);
  });

  test("whoever comes back goes first, and whoever gives up leaves no trace", async () => {
    const { ask, next, served, slots } = queue();
    const gone = new AbortController();
    ask("running", 3);
    ask("first", 1);
    ask("gone", 1, "gone", gone.signal);
    const back = slots.reacquire(forEver, "back");
    assert.deepEqual([slots.ahead("back"), slots.waiting], [0, 3]);
    gone.abort();
    await settled();
    assert.equal(slots.waiting, 2);
    await next();
    (await back)();
    await settled();
    assert.deepEqual(served, ["running", "first"]);
    await next();
    assert.deepEqual([slots.inUse, slots.waiting], [0, 0]);
  });

  test("any interleaving: no more than the limit, none lost, none passed by one that came the aging bound after its turn began", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("ask" as const), rank: fc.constantFrom<Rank[]>(1, 2, 3, 4, 5), tree: fc.nat(3) }),
      fc.record({ do: fc.constant("release" as const) }),
      fc.record({ do: fc.constant("pass" as const), ms: fc.nat(60_000) }),
      fc.record({ do: fc.constant("give up" as const), at: fc.nat(5) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), async (limit, steps) => {
        const { ask, next, served, slots, clock } = queue(limit);
        const asked = new Map<string, { at: number; rank: Rank; tree: number; abort: AbortController }>();
        const waiting: string[] = [];
        /** Since when each tree's line waits for its turn. */
        const turns = new Map<string, number>();
        let seen = 0;
        const check = () => {
          assert.ok(slots.inUse <= limit);
          for (const id of served.slice(seen)) {
            const { rank, tree, at } = asked.get(id) ?? assert.fail();
            const mine = turns.get(`${rank} ${tree}`) ?? at;
            for (const [line, since] of turns) {
              const passed = Number(line.split(" ")[0]);
              const isPassed = waiting.some(
                (other) => other !== id && `${asked.get(other)?.rank} ${asked.get(other)?.tree}` === line,
              );
              if (isPassed) assert.ok(mine + rank * AGING <= since + passed * AGING, `${id} passed ${line}`);
            }
            if (waiting.includes(id)) waiting.splice(waiting.indexOf(id), 1);
            const isLast = !waiting.some((other) => asked.get(other)?.rank === rank && asked.get(other)?.tree === tree);
            if (isLast) turns.delete(`${rank} ${tree}`);
            else turns.set(`${rank} ${tree}`, clock.now());
          }
          seen = served.length;
          assert.equal(slots.waiting, waiting.length);
          assert.deepEqual(slots.order().toSorted(), waiting.toSorted());
        };
        for (const [n, one] of steps.entries()) {
          if (one.do === "pass") clock.advance(one.ms);
          if (one.do === "release") await next();
          if (one.do === "ask") {
            const id = `${n}`;
            const abort = new AbortController();
            asked.set(id, { at: clock.now(), rank: one.rank, tree: one.tree, abort });
            const isFull = slots.inUse >= limit;
            ask(id, one.rank, `${one.tree}`, abort.signal);
            if (isFull) {
              waiting.push(id);
              if (!turns.has(`${one.rank} ${one.tree}`)) turns.set(`${one.rank} ${one.tree}`, clock.now());
            }
          }
          if (one.do === "give up") {
            const id = waiting[one.at];
            if (id !== undefined) {
              const { rank, tree, abort } = asked.get(id) ?? assert.fail();
              abort.abort();
              waiting.splice(one.at, 1);
              await settled();
              const isLast = !waiting.some(
                (other) => asked.get(other)?.rank === rank && asked.get(other)?.tree === tree,
              );
              if (isLast) turns.delete(`${rank} ${tree}`);
            }
          }
          check();
        }
        while (slots.inUse > 0) await next();
        assert.equal(slots.waiting, 0);
      }),
      { numRuns: 150 },
    );
  });
});
