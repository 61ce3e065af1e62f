/** A thread is given away: whoever takes it up finds all of it, wherever it was, and nothing of it is left behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import { newThreadId, type Thread } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { type Rig, rig, until } from "../rig.ts";

const giveAway = async (r: Rig, id: Thread["id"]): Promise<void> => {
  const runtime = runtimeOf(r.manager);
  assert.ok(runtime !== undefined);
  await runtime.giveAway(id);
};

const knownTo = (r: Rig) => r.manager.supervisor.getSnapshot().context;

/** Crashes on `compact`. */
const crashing = fromCallback<{ type: string; op?: { type: string }; msg?: object }>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
  }),
);

suite("a thread that is given away", () => {
  const places: Record<string, (r: Rig, thread: Thread) => Promise<unknown>> = {
    "in memory": async () => undefined,
    leaving: async (r) => void r.clock.advance(1_000),
    unloaded: async (r) => r.clock.advanceAsync(5_000),
    down: async (r, thread) => {
      await thread.submit({ type: "compact" });
      await until(() => thread.actor === undefined);
      await r.clock.advanceAsync(0);
    },
  };
  for (const [place, lead] of Object.entries(places)) {
    test(`goes on elsewhere with its timers, and its old manager has nothing of it: it was ${place}`, async () => {
      const store = memoryStore();
      const supervision = { backoffMs: 60_000, maxBackoffMs: 60_000, random: () => 0 };
      const options = {
        store,
        supervision,
        residency: { unloadAfterMs: 1_000 },
        ...(place === "down" && { threadLogic: crashing }),
      };
      await using from = await rig(options);
      const { thread } = await from.manager.startThread();
      await thread.schedule({ after: 3_600_000 }, { type: "interrupt" }, { id: "t" });
      await lead(from, thread);
      await giveAway(from, thread.id);
      await giveAway(from, thread.id);
      const left = { resident: 0, unloaded: 0, related: 0 };
      assert.deepEqual(knownTo(from), left);
      assert.deepEqual(await store.notes?.threads("timers"), [thread.id]);

      await using to = await rig({ store });
      const { thread: moved } = await to.manager.resumeThread(thread.id);
      assert.deepEqual([moved.timers.map(({ id }) => id), thread.timers], [["t"], []]);
      await from.clock.advanceAsync(120_000);
      assert.deepEqual(knownTo(from), left);
    });
  }

  test("one that nobody knows is nobody's to give", async () => {
    await using r = await rig();
    await giveAway(r, newThreadId());
    assert.equal(knownTo(r).resident, 0);
  });
});
