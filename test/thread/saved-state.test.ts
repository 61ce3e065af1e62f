/** When the state of an own logic is stored, and what JSON could not hold. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { checkPlain, StateKeeper } from "../../src/thread/saved-state.ts";
import { settled } from "../kernel/settled.ts";

function keeper(how: { version?: number; maxBytes?: number } = {}) {
  const kept: unknown[] = [];
  const complaints: string[] = [];
  let state: unknown = { n: 0 };
  const thread = {
    record: ({ type, payload }: { type: string; payload?: unknown }) => void kept.push([type, payload]),
    complain: (what: string) => void complaints.push(what),
  };
  const keeping = new StateKeeper(thread as never, { persist: "snapshot", ...how } as never, () => state);
  return { keeping, kept, complaints, become: (next: unknown) => (state = next) };
}

const line = (state: unknown, version = 1) => ["logic_state", { version, state }];

suite("a state is stored", () => {
  test("once for all changes of one step, and not again while it is as it was", async () => {
    const { keeping, kept, become } = keeper({ version: 3 });
    keeping.note();
    become({ n: 1 });
    keeping.note();
    assert.deepEqual(kept, []);
    await settled();
    keeping.note();
    keeping.keep();
    await settled();
    assert.deepEqual(kept, [line({ n: 1 }, 3)]);
    become({ n: 2 });
    keeping.note();
    await settled();
    assert.deepEqual(kept, [line({ n: 1 }, 3), line({ n: 2 }, 3)]);
  });

  test("as it was then, whatever becomes of the object", () => {
    const { keeping, kept, become } = keeper();
    const state = { list: [1] };
    become(state);
    keeping.keep();
    state.list.push(2);
    assert.deepEqual(kept, [line({ list: [1] })]);
  });

  test("at the end if it is due, and never after", async () => {
    const due = keeper();
    due.keeping.note();
    due.keeping.close();
    due.become({ n: 1 });
    due.keeping.note();
    due.keeping.keep();
    await settled();
    assert.deepEqual(due.kept, [line({ n: 0 })]);
    const rested = keeper();
    rested.keeping.close();
    await settled();
    assert.deepEqual(rested.kept, []);
  });

  test("unless there is none, it is too long or no JSON: the thread says so, and the next one is stored", () => {
    const { keeping, kept, complaints, become } = keeper({ maxBytes: 12 });
    become(undefined);
    keeping.keep();
    become({ long: "0123456789" });
    keeping.keep();
    become({ at: new Date(0) });
    keeping.keep();
    become({ s: "12345" });
    assert.equal(JSON.stringify({ s: "123456" }).length, 14);
    become({ s: "1234" });
    keeping.keep();
    assert.deepEqual(kept, [line({ s: "1234" })]);
    assert.deepEqual(complaints, [
      "its state is not stored: it has 21 bytes, of at most 12",
      "its state is not stored: state.at is no plain JSON",
    ]);
  });
});

suite("plain JSON", () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const odd: [value: unknown, message: RegExp | undefined][] = [
    [null, undefined],
    [undefined, undefined],
    ["text", undefined],
    [true, undefined],
    [1.5, undefined],
    [[1, { a: [null] }], undefined],
    [Object.create(null), undefined],
    [{ a: { b: Number.NaN } }, /^it\.a\.b is no plain JSON$/],
    [Number.POSITIVE_INFINITY, /^it is no plain JSON$/],
    [[0, [1n]], /^it\[1\]\[0\] is no plain JSON$/],
    [{ f: () => 1 }, /^it\.f is no plain JSON$/],
    [{ s: Symbol("x") }, /^it\.s is no plain JSON$/],
    [{ m: new Map() }, /^it\.m is no plain JSON$/],
    [new (class Own {})(), /^it is no plain JSON$/],
    [cyclic, /nests deeper than \d+ levels, or holds itself/],
  ];
  for (const [at, [value, message]] of odd.entries()) {
    test(`${at}: ${message === undefined ? "fits" : message}`, () => {
      if (message === undefined) checkPlain(value, "it");
      else assert.throws(() => checkPlain(value, "it"), { code: "invalid_request", message });
    });
  }
});
