/** Bounds of a budget as plain sums: what is near, over, lacking, and told once. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Clock, ManualClock } from "../../src/kernel/clock.ts";
import { Account, Bound } from "../../src/manager/budget-account.ts";
import { type Budget, type BudgetKind, nothingUsed } from "../../src/protocol/budget.ts";
import { newThreadId } from "../../src/protocol/ids.ts";

const whose = newThreadId();

function bound(
  limits: Budget | null,
  used: Partial<Record<BudgetKind, number>> = {},
  clock: Clock = new ManualClock(),
): Bound {
  const made = new Bound(whose, "tree", clock);
  made.recall({ ...nothingUsed, ...used });
  made.limit(limits);
  return made;
}

const kinds = (states: readonly { which: BudgetKind }[]) => states.map(({ which }) => which);

suite("a bound", () => {
  const table: [max: number, used: number, warnAt: number | undefined, near: boolean, over: boolean][] = [
    [100, 79, undefined, false, false],
    [100, 80, undefined, true, false],
    [100, 99, undefined, true, false],
    [100, 100, undefined, false, true],
    [100, 101, undefined, false, true],
    [100, 49, 0.5, false, false],
    [100, 50, 0.5, true, false],
    [100, 99, 1, false, false],
    [100, 100, 1, false, true],
    [0, 0, undefined, false, true],
    [0, 0, 0.5, false, true],
  ];
  for (const [max, used, warnAt, isNear, isOver] of table) {
    const word = isNear ? "is near its end" : isOver ? "is over" : "is neither near nor over";
    test(`of ${max} with ${used} used, told at ${warnAt ?? "the usual share"}, ${word}, told once for its limits`, () => {
      const one = bound({ tokens: max, warnAt }, { tokens: used });
      for (const _ of ["at first", "with new limits"]) {
        assert.deepEqual(kinds(one.nearing()), isNear ? ["tokens"] : []);
        assert.deepEqual(kinds(one.newlyExhausted()), isOver ? ["tokens"] : []);
        assert.deepEqual([one.nearing(), one.newlyExhausted()], [[], []]);
        one.limit({ tokens: max, warnAt });
      }
      assert.deepEqual(one.exhausted(), isOver ? [{ which: "tokens", used, max, whose, scope: "tree" }] : []);
    });
  }

  const rooms: [which: BudgetKind, used: number, reserved: number, need: number, hasRoom: boolean][] = [
    ["turns", 9, 0, 1, true],
    ["turns", 9, 0, 2, false],
    ["turns", 8, 1, 1, true],
    ["turns", 8, 2, 1, false],
    ["turns", 10, 0, 0, true],
    ["modelRequests", 9, 0, 1, true],
    ["modelRequests", 9, 1, 1, false],
    ["modelRequests", 10, 0, 1, false],
    ["modelRequests", 11, 0, 0, false],
    ["tokens", 9, 0, 50, true],
    ["tokens", 9, 1, 50, false],
    ["tokens", 10, 0, 50, false],
    ["tokens", 5, 2, 3, true],
    ["cost", 9, 0, 50, true],
    ["cost", 10, 0, 50, false],
    ["wallClockMs", 9, 0, 0, true],
    ["wallClockMs", 10, 0, 0, false],
  ];
  for (const [which, used, reserved, need, hasRoom] of rooms) {
    test(`10 ${which}, ${used} used and ${reserved} set aside: ${need} more ${hasRoom ? "fit" : "do not fit"}`, () => {
      const one = bound({ [which]: 10 }, { [which]: used });
      one.reserve({ ...nothingUsed, [which]: reserved });
      assert.deepEqual(kinds(one.lacking({ ...nothingUsed, [which]: need })), hasRoom ? [] : [which]);
    });
  }

  test("without limits is never near, over or lacking; what is left out is not bounded", () => {
    const [none, turns] = [bound(null, { tokens: 9 }), bound({ turns: 1 }, { tokens: 9 })];
    for (const one of [none, turns]) {
      const need = { ...nothingUsed, tokens: 1 };
      assert.deepEqual([one.nearing(), one.exhausted(), one.newlyExhausted(), one.lacking(need)], [[], [], [], []]);
    }
    assert.deepEqual([none.action, turns.action, bound({ onExceeded: "warn" }).action], ["refuse", "refuse", "warn"]);
  });

  test("what was set aside is free again once it is known what was used", () => {
    const one = bound({ tokens: 100 });
    const need = { ...nothingUsed, tokens: 40, modelRequests: 1 };
    one.reserve(need);
    one.reserve(need);
    one.settle(need, { ...nothingUsed, tokens: 10 });
    assert.deepEqual([one.reserved, one.used], [need, { ...nothingUsed, tokens: 10 }]);
  });

  /** Turns that run under a bound, by their names; those that it cuts leave it, as turns do. */
  function turns() {
    const cut: string[] = [];
    const spendOf = (name: string) => ({
      isAsking: true,
      cut(by: Bound) {
        cut.push(name);
        by.leave(this);
      },
    });
    return { cut, a: spendOf("a"), b: spendOf("b") };
  }

  test("the time of all that run under it adds up, that of each once, and stands still when nobody does", () => {
    const clock = new ManualClock();
    const one = bound({ wallClockMs: 100 }, {}, clock);
    const { a, b } = turns();
    const after = (ms: number) => {
      clock.advance(ms);
      return one.used.wallClockMs;
    };
    assert.equal(after(50), 0);
    one.enter(a);
    one.enter(a);
    assert.equal(after(10), 10);
    one.enter(b);
    assert.equal(after(10), 30);
    one.leave(a);
    one.leave(a);
    assert.equal(after(10), 40);
    one.leave(b);
    assert.deepEqual([after(50), clock.pending], [40, 0]);
  });

  test("one timer interrupts what runs under it when its time is over, wherever that has moved meanwhile, until none is", () => {
    const clock = new ManualClock();
    const one = bound({ wallClockMs: 100, onExceeded: "interrupt" }, {}, clock);
    const { a, b, cut } = turns();
    one.enter(a);
    clock.advance(40);
    one.enter(b);
    assert.equal(clock.pending, 1);
    clock.advance(29);
    assert.deepEqual(cut, []);
    one.limit({ wallClockMs: 200, onExceeded: "interrupt" });
    clock.advance(50);
    assert.deepEqual([cut, clock.pending], [[], 1]);
    one.leave(b);
    clock.advance(1);
    assert.deepEqual(cut, []);
    clock.advance(1);
    assert.deepEqual([cut, one.used.wallClockMs, clock.pending], [["a"], 200, 0]);
    one.enter(b);
    one.limit({ wallClockMs: 200, onExceeded: "refuse" });
    clock.advance(1_000);
    assert.deepEqual([cut, clock.pending], [["a"], 0]);
  });
});

test("an account goes on from what was stored; what a process had set aside counts as used", () => {
  const account = new Account(whose, new ManualClock());
  const tokens = (n: number) => ({ ...nothingUsed, tokens: n });
  account.recall({
    ...{ budget: null, treeBudget: null, used: tokens(1), reserved: tokens(2) },
    tree: { used: tokens(4), reserved: tokens(8) },
  });
  account.own.limit({ turns: 1 });
  assert.deepEqual(account.use, {
    ...{ budget: { turns: 1 }, treeBudget: null, used: tokens(3), reserved: nothingUsed },
    tree: { used: tokens(12), reserved: nothingUsed },
  });
});
