/** Who is served first among those that wait for a place. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/kernel/clock.ts";
import { type Rank, RankedSlots, type Standing } from "../../src/kernel/ranked-slots.ts";
import type { Release } from "../../src/kernel/slots.ts";
import { settled } from "./settled.ts";

const AGING = 30_000;
const forEver = new AbortController().signal;

/** One place, and everybody who asks for it while it is held. */
function queue(limit = 1) {
  const clock = new ManualClock();
  const standings = new Map<string, Standing>();
  const standingOf = (id: string): Standing => standings.get(id) ?? { rank: 3, tree: id };
  const slots = new RankedSlots(limit, { clock, agingMs: AGING, standingOf });
  const served: string[] = [];
  const held: Release[] = [];
  const hold = (release: Release) => held.push(release);
  const ask = (id: string, rank: Rank, tree = id, signal = forEver) => {
    standings.set(id, { rank, tree });
    const got = slots.acquire(signal, id);
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
  return { clock, slots, standings, served, ask, next };
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

  test("whoever waits for another lends it its rank, along those that wait for each other, as long as it waits", async () => {
    const { slots, standings, served, ask, next } = queue();
    ask("holds", 1);
    ask("usual", 3);
    ask("background", 5);
    ask("behind", 4);
    standings.set("urgent", { rank: 1, tree: "urgent" });
    assert.deepEqual(slots.order(), ["usual", "behind", "background"]);
    const takeBack = slots.lend("urgent", "background");
    assert.deepEqual(slots.order(), ["background", "usual", "behind"]);
    const further = slots.lend("background", "behind");
    assert.deepEqual(slots.order(), ["background", "behind", "usual"]);
    const around = slots.lend("behind", "urgent");
    assert.equal(slots.rankOf("behind"), 1);
    const twice = slots.lend("urgent", "background");
    takeBack();
    assert.deepEqual(slots.order(), ["background", "behind", "usual"]);
    for (const end of [twice, around, further]) end();
    assert.deepEqual(slots.order(), ["usual", "behind", "background"]);
    for (let left = 3; left > 0; left -= 1) await next();
    assert.deepEqual(served, ["holds", "usual", "behind", "background"]);
    assert.equal(slots.waiting, 0);
  });

  test("a rank that is lent, taken back or changed moves all that are waited for by way of others", () => {
    const { slots, standings, ask } = queue();
    ask("holds", 1);
    for (const id of ["usual", "middle", "behind"]) ask(id, id === "usual" ? 3 : 5);
    standings.set("urgent", { rank: 1, tree: "urgent" });
    slots.lend("middle", "behind");
    const takeBack = slots.lend("urgent", "middle");
    assert.deepEqual(slots.order(), ["middle", "behind", "usual"]);
    takeBack();
    assert.deepEqual(slots.order(), ["usual", "middle", "behind"]);
    standings.set("middle", { rank: 2, tree: "middle" });
    slots.rerank("middle");
    assert.deepEqual(slots.order(), ["middle", "behind", "usual"]);
  });

  test("a rank that changes while it waits: it keeps its arrival, before those of the new rank that asked later", async () => {
    const { clock, slots, standings, ask } = queue();
    const abort = new AbortController();
    ask("holds", 1);
    ask("early", 3, "tree a");
    clock.advance(10);
    ask("moves", 5, "tree b", abort.signal);
    clock.advance(10);
    ask("late", 3, "tree c");
    ask("sibling", 3, "tree b");
    standings.set("moves", { rank: 3, tree: "tree b" });
    slots.rerank("moves");
    assert.deepEqual(slots.order(), ["early", "moves", "late", "sibling"]);
    abort.abort(new Error("given up"));
    // It is its tree's turn still.
    assert.deepEqual(slots.order(), ["early", "sibling", "late"]);
    slots.rerank("moves");
    slots.rerank("never seen");
    assert.equal(slots.waiting, 3);
  });

  test("lent, taken back and moved at any time: none is lost or served twice, and nothing is left", async () => {
    const step = fc.record({
      do: fc.constantFrom("ask", "lend", "takeBack", "rerank", "next", "abort"),
      from: fc.nat(4),
      to: fc.nat(4),
      rank: fc.constantFrom<Rank[]>(1, 2, 3, 4, 5),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, slots, standings, served, ask, next } = queue();
        const aborts = new Map<string, AbortController>();
        const lent: (() => void)[] = [];
        const asked: string[] = [];
        const aborted = new Set<string>();
        for (const [at, { do: what, from, to, rank }] of steps.entries()) {
          clock.advance(1_000);
          if (what === "ask") {
            const id = `${from}`;
            if (slots.order().includes(id)) continue;
            const abort = new AbortController();
            aborts.set(id, abort);
            asked.push(id);
            ask(id, rank, `tree ${from % 2}`, abort.signal);
            await settled();
          } else if (what === "lend") lent.push(slots.lend(`${from}`, `${to}`));
          else if (what === "takeBack") lent.splice(at % (lent.length || 1), 1)[0]?.();
          else if (what === "rerank") {
            standings.set(`${to}`, { rank, tree: `tree ${to % 2}` });
            slots.rerank(`${to}`);
          } else if (what === "next") await next();
          else {
            const id = `${from}`;
            if (!slots.order().includes(id)) continue;
            aborts.get(id)?.abort(new Error("given up"));
            aborted.add(`${id} ${asked.lastIndexOf(id)}`);
          }
          const waiting = asked.length - served.length - aborted.size;
          assert.equal(slots.order().length, waiting);
          assert.equal(slots.waiting, waiting);
          const ranks = slots.order().map((id) => slots.rankOf(id));
          assert.ok(ranks.every((one) => one >= 1 && one <= 5));
        }
        for (const takeBack of lent) takeBack();
        for (const id of slots.order()) assert.equal(slots.rankOf(id), standings.get(id)?.rank);
        while (slots.inUse > 0) await next();
        assert.equal(served.length + aborted.size, asked.length);
        assert.equal(slots.waiting, 0);
      }),
      { numRuns: Number(process.env.SKEIN_WALKS ?? 100) },
    );
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
