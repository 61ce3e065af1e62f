/** A thread that crashes under a turn that is ending: what was said to the turn is recorded, whatever the turn waits for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Op } from "../../src/index.ts";
import { newTurnId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, rig, watch } from "../rig.ts";

const say = (text: string): Op => ({ type: "user_input", items: [{ type: "text", text }] });

test("input that waited for a turn that is being replaced is told of, at each step of the turn's end", async () => {
  for (let steps = 0; steps < 12; steps += 1) {
    const { opened, open } = latch();
    const inner = memoryStore();
    const held = <W extends Awaited<ReturnType<ThreadStore["create"]>>>(writer: W): W =>
      overlaid(writer, { flush: () => opened.then(() => writer.flush()) } as Partial<W>);
    const store = overlaid<ThreadStore>(inner, { create: async (...args) => held(await inner.create(...args)) });
    await using r = await rig({ store, supervision: { restart: "temporary" } });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const [first, second] = [newTurnId(), newTurnId()];
    const given = [
      thread.submitWithId({ id: first, op: say("one") }),
      thread.submitWithId({ id: second, op: say("two") }),
      thread.submit({ type: "compact" }),
    ].map((each) => each.catch(() => undefined));
    for (let n = 0; n < steps; n += 1) await Promise.resolve();
    const { actor } = thread;
    actor?.send({ type: "op.submit", id: "broken" });
    open();
    await settled();
    await r.clock.advanceAsync(5_000);
    await Promise.all(given);
    const told = new Set<string>(seen.map(({ id }) => id));
    assert.ok(told.has(first) && told.has(second), `after ${steps} steps: ${[...told].join()}`);
  }
});
