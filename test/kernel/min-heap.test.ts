import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MinHeap } from "../../src/kernel/min-heap.ts";

test("whatever comes and leaves, the least of what is there leaves first", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: -20, max: 20 }))), (steps) => {
      const heap = new MinHeap<number>();
      const model: number[] = [];
      for (const key of steps) {
        if (key === null) assert.equal(heap.pop(), model.shift());
        else {
          heap.push(key, key);
          model.push(key);
          model.sort((a, b) => a - b);
        }
        assert.deepEqual([heap.size, heap.first?.key], [model.length, model[0]]);
      }
      while (model.length > 0) assert.equal(heap.pop(), model.shift());
      assert.equal(heap.pop(), undefined);
    }),
  );
});
