import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SparseMap } from "../../src/kernel/sparse-map.ts";

const key = fc.integer({ min: 0, max: 3 });
const step = fc.oneof(
  fc.tuple(fc.constant("set" as const), key, fc.integer()),
  fc.tuple(fc.constant("delete" as const), key),
  fc.tuple(fc.constant("clear" as const)),
);

test("it behaves as a Map does", () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const sparse = new SparseMap<number, number>();
      const map = new Map<number, number>();
      for (const [kind, key = 0, value = 0] of steps) {
        if (kind === "set") {
          sparse.set(key, value);
          map.set(key, value);
        } else if (kind === "delete") {
          assert.equal(sparse.delete(key), map.delete(key));
        } else {
          sparse.clear();
          map.clear();
        }
        assert.equal(sparse.size, map.size);
        assert.deepEqual([...sparse], [...map]);
        assert.deepEqual([...sparse.keys()], [...map.keys()]);
        assert.deepEqual([...sparse.values()], [...map.values()]);
        for (let each = 0; each < 4; each += 1) {
          assert.equal(sparse.get(each), map.get(each));
          assert.equal(sparse.has(each), map.has(each));
        }
      }
    }),
  );
});
