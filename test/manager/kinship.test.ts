/** Who is under whom: names, seals, and what is forgotten when. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Kinship } from "../../src/manager/kinship.ts";
import { setUp } from "../../src/manager/options.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";

const wide = setUp({ limits: { childrenPerParent: 1_000_000, treeSize: 1_000_000, depth: 100 } }).limits;

suite("kinship", () => {
  test("SEMANTICS 7.1: in any order of comings and goings a name has one sibling, and is free again when that is known no more", () => {
    const name = fc.constantFrom("ann", "bob", "agent-2", undefined);
    const step = fc.oneof(
      { weight: 2, arbitrary: fc.record({ under: fc.nat(20), name }) },
      { weight: 1, arbitrary: fc.record({ release: fc.nat(20), as: fc.constantFrom("closed", "removed") }) },
      { weight: 1, arbitrary: fc.record({ bury: fc.nat(20) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const kinship = new Kinship(wide);
        const ids: ThreadId[] = [newThreadId()];
        const gone: ThreadId[] = [];
        kinship.watchers.add((id) => gone.push(id));
        const pick = (at: number) => ids[at % ids.length] ?? assert.fail();
        const namesUnder = (id: ThreadId) => kinship.startedBy(id).map((child) => kinship.lineageOf(child)?.path);
        for (const each of steps) {
          if ("bury" in each) kinship.bury(pick(each.bury));
          else if ("release" in each) kinship.release(pick(each.release), each.as as "closed");
          else {
            const parent = pick(each.under);
            const path = `${kinship.lineageOf(parent)?.path ?? "/root"}/${each.name}`;
            const isTaken = namesUnder(parent).includes(path);
            const id = newThreadId();
            const admit = () => kinship.admit(id, { parent, name: each.name });
            if (each.name !== undefined && isTaken) assert.throws(admit, /is taken/);
            else {
              admit();
              ids.push(id);
            }
          }
          for (const id of ids) {
            assert.equal(new Set(namesUnder(id)).size, kinship.startedBy(id).length);
            assert.equal(kinship.hasUnder(id), kinship.allUnder(id).length > 0);
            assert.equal(kinship.roomUnder(id).children, kinship.childrenOf(id).length);
          }
        }
        for (const id of ids) {
          kinship.release(id, "closed");
          kinship.bury(id);
        }
        assert.equal(kinship.size, 0);
        assert.ok(ids.slice(1).every((id) => gone.includes(id)));
      }),
      { numRuns: 300 },
    );
  });

  test("a thread that comes back under another parent brings those under it along, and each tree counts its own", () => {
    const kinship = new Kinship(wide);
    const [root, child, grandchild, other] = [newThreadId(), newThreadId(), newThreadId(), newThreadId()];
    kinship.admit(child, { parent: root });
    kinship.admit(grandchild, { parent: child });
    kinship.release(child, "removed");
    assert.equal(kinship.roomUnder(root).tree, 2);
    kinship.admit(child, { parent: other });
    assert.deepEqual(
      [root, other, grandchild].map((id) => kinship.roomUnder(id).tree),
      [1, 3, 3],
    );
    assert.deepEqual([kinship.allUnder(root), kinship.allUnder(other)], [[], [child, grandchild]]);
  });

  test("sealed twice, a subtree stays sealed until both have taken it back; and a seal is taken back once", () => {
    const kinship = new Kinship(wide);
    const [root, child] = [newThreadId(), newThreadId()];
    kinship.admit(child, { parent: root });
    const [first, second] = [kinship.seal(root), kinship.seal(root)];
    const admit = () => kinship.admit(newThreadId(), { parent: child });
    assert.throws(admit, { code: "thread_closed" });
    first();
    first();
    assert.throws(admit, { code: "thread_closed" });
    second();
    admit();
  });
});
