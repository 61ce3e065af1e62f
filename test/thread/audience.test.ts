/** Those who listen to a thread over its lives: each change is told once, and nobody is left waiting. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ThreadEvent } from "../../src/protocol/event.ts";
import { Audience } from "../../src/thread/audience.ts";
import type { Incarnation } from "../../src/thread/incarnation.ts";

const saying = (epoch: number, first: number, ...said: string[]): Incarnation => {
  const get = (seq: number) => ({ msg: { type: said[seq - first] } }) as ThreadEvent;
  return { epoch, door: { log: { first, next: first + said.length, get } } } as unknown as Incarnation;
};

function audience() {
  const seen: string[] = [];
  let changes = 0;
  const listeners = new Audience(() => (changes += 1));
  const observer = (name: string) => ({
    event: ({ msg }: ThreadEvent) => void seen.push(`${name} ${msg.type}`),
    closed: (cause?: unknown) => void seen.push(`${name} closed ${cause}`),
  });
  return { listeners, observer, seen, changes: () => changes };
}

suite("an audience", () => {
  test("is there while somebody listens or waits, and each coming and going is told once", async () => {
    const { listeners, observer, changes } = audience();
    assert.deepEqual([listeners.isThere, changes()], [false, 0]);
    const stop = listeners.add(observer("a"));
    assert.deepEqual([listeners.isThere, changes()], [true, 1]);
    stop();
    assert.deepEqual([listeners.isThere, changes()], [false, 2]);
    stop();
    assert.equal(changes(), 2);
    const cancel = new AbortController();
    const next = listeners.next(cancel.signal);
    assert.deepEqual([listeners.isThere, changes()], [true, 3]);
    cancel.abort(new Error("enough"));
    await assert.rejects(next, /enough/);
    assert.deepEqual([listeners.isThere, changes()], [false, 4]);
  });

  test("hears what a life has said so far, from what is left of it, after those who waited for the life", async () => {
    const { listeners, observer, seen, changes } = audience();
    const early = listeners.next(new AbortController().signal);
    listeners.show(saying(1, 0, "x"));
    assert.equal((await early)?.epoch, 1);
    assert.equal(changes(), 1, "an answer is no change");
    listeners.add(observer("a"));
    listeners.add(observer("b"));
    listeners.show(saying(2, 5, "one", "two"));
    assert.deepEqual(seen, ["a one", "b one", "a two", "b two"]);
  });

  test("may change while it is told", () => {
    const { listeners, observer, seen } = audience();
    const stop = listeners.add({ ...observer("a"), event: () => stop() });
    listeners.add(observer("b"));
    listeners.notify({ msg: { type: "warning", message: "w" } } as ThreadEvent);
    assert.deepEqual(seen, ["b warning"]);
  });

  test("is told the end once, with its cause; who waits for a next life gets none", async () => {
    const { listeners, observer, seen } = audience();
    listeners.add(observer("a"));
    const next = listeners.next(new AbortController().signal);
    listeners.close("fire");
    listeners.close("again");
    assert.deepEqual([await next, seen, listeners.isThere], [undefined, ["a closed fire"], false]);
    listeners.notify({ msg: { type: "warning", message: "w" } } as ThreadEvent);
    assert.equal(seen.length, 1);
  });
});
