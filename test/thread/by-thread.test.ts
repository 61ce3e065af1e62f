import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { newThreadId } from "../../src/protocol/ids.ts";
import { ByThread, type Subtree } from "../../src/thread/by-thread.ts";

const ids = Array.from({ length: 12 }, () => newThreadId());

const treeOf = (members: readonly number[]) => {
  const threads = members.map((n) => ids[n] ?? assert.fail());
  const looked = { has: 0, threads: 0 };
  const tree: Subtree = {
    size: threads.length,
    has: (id) => {
      looked.has += 1;
      return threads.includes(id);
    },
    threads: () => {
      looked.threads += threads.length;
      return threads;
    },
  };
  return { tree, looked };
};

test("of a tree in the order in which they came to be held, whichever of the two it goes through", () => {
  const deed = fc.record({ thread: fc.nat(11), isHeld: fc.boolean() });
  fc.assert(
    fc.property(fc.array(deed), fc.uniqueArray(fc.nat(11)), (deeds, members) => {
      const held = new ByThread<number>();
      const model = new Map<number, number>();
      for (const [n, { thread, isHeld }] of deeds.entries()) {
        const id = ids[thread] ?? assert.fail();
        if (isHeld) {
          held.set(id, n);
          model.set(thread, n);
        } else assert.equal(held.delete(id), model.delete(thread));
      }
      const { tree, looked } = treeOf(members);
      const expected = [...model].filter(([thread]) => members.includes(thread));
      assert.deepEqual(
        held.within(tree),
        expected.map(([thread, value]) => ({ threadId: ids[thread], value })),
      );
      assert.ok(looked.has + looked.threads <= Math.min(model.size, members.length));
    }),
  );
});
