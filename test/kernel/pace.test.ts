import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Pace, paced } from "../../src/kernel/pace.ts";
import { countLoopTurns } from "./loop-turns.ts";
import { settled } from "./settled.ts";

suite("pace", () => {
  test("so many begin in each turn of the loop, in order; whoever comes alone waits for nothing", async () => {
    const pace = new Pace(3);
    const begun: number[] = [];
    for (let n = 0; n < 8; n += 1) {
      const pause = pace.enter();
      if (pause === undefined) begun.push(n);
      else void pause.then(() => begun.push(n));
    }
    const seen = [begun.length];
    for (let turn = 0; turn < 3; turn += 1) {
      await settled();
      seen.push(begun.length);
    }
    assert.deepEqual(
      [seen, begun],
      [
        [3, 6, 8, 8],
        [0, 1, 2, 3, 4, 5, 6, 7],
      ],
    );
    await settled();
    assert.deepEqual([pace.enter(), pace.waiting], [undefined, 0]);
  });

  test("nobody passes those that wait", async () => {
    const pace = new Pace(1);
    const order: string[] = [];
    pace.enter();
    void pace.enter()?.then(() => order.push("first"));
    const late = pace.enter();
    assert.notEqual(late, undefined);
    void late?.then(() => order.push("second"));
    await settled();
    await settled();
    await settled();
    assert.deepEqual(order, ["first", "second"]);
  });

  test("what a piece sets in motion counts as its own time", async () => {
    const loop = countLoopTurns();
    await paced(Array.from({ length: 6 }), () => {
      queueMicrotask(() => {
        const until = performance.now() + 6;
        while (performance.now() < until);
      });
    });
    const turns = loop.stop();
    assert.ok(turns >= 2, `the loop turned ${turns} times`);
  });

  test("a long walk lets the loop turn", async () => {
    const loop = countLoopTurns();
    await paced(Array.from({ length: 6 }), () => {
      const until = performance.now() + 6;
      while (performance.now() < until);
    });
    const turns = loop.stop();
    assert.ok(turns >= 2, `the loop turned ${turns} times`);
  });
});
