/** Agents end with their parent, however that ends and whatever they do; they stay where it only leaves memory or restarts. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Thread, ThreadId } from "../../src/index.ts";
import { hang, say } from "../../src/model/script.ts";
import { settled } from "../kernel/settled.ts";
import { type Rig, rig } from "../rig.ts";

type Family = { readonly r: Rig; readonly parent: Thread; readonly child: ThreadId; readonly grandchild: ThreadId };

const crash = (thread: Thread) => thread.actor?.send({ type: "op.submit", id: "broken" });

/** A parent, its agent and the agent's own, all of them idle but for the child that `isAtWork`. */
async function family(isAtWork: boolean, restart: "temporary" | "transient"): Promise<Family> {
  const r = await rig({
    script: ({ input }) => (JSON.stringify(input.at(-1)).includes("work") ? [hang()] : [say("done")]),
    supervision: { restart, backoffMs: 50 },
  });
  const agents = r.manager.agentControl();
  const { thread: parent, threadId } = await r.manager.startThread();
  const child = await agents.spawnAgent(undefined, isAtWork ? "work" : "a", { parentThreadId: threadId });
  const grandchild = await agents.spawnAgent(undefined, "b", { parentThreadId: child });
  await settled();
  return { r, parent, child, grandchild };
}

const ENDS: Readonly<Record<string, (at: Family) => unknown>> = {
  "an orderly shutdown": ({ parent }) => parent.shutdown(),
  "a shutdown by force": ({ parent }) => parent.shutdown({ deadlineMs: 0 }),
  deletion: ({ r, parent }) => r.manager.deleteThread(parent.id),
  removal: ({ r, parent }) => r.manager.removeThread(parent.id),
  "removal and archiving": async ({ r, parent }) => {
    await (await r.manager.removeThread(parent.id))?.shutdown();
    await r.manager.store.archive(parent.id);
  },
  "the end of its own agent's control": ({ r, parent }) => r.manager.agentControl().shutdownAgent(parent.id),
  "a crash that is not restarted": ({ parent }) => crash(parent),
};

const STAYS: Readonly<Record<string, (at: Family) => unknown>> = {
  "a crash that is restarted": async ({ r, parent }) => {
    crash(parent);
    await r.clock.advanceAsync(1_000);
  },
  "unloading of all": ({ r }) => r.clock.advanceAsync(31 * 60_000),
};

suite("SEMANTICS 7.7: agents end with their parent", () => {
  for (const [name, end] of Object.entries(ENDS)) {
    for (const isAtWork of [false, true]) {
      test(`${name}, the agent being ${isAtWork ? "at work" : "idle"}`, async () => {
        const at = await family(isAtWork, "temporary");
        const { manager } = at.r;
        const closed = new Set<ThreadId>();
        manager.threadClosed$.subscribe(({ threadId }) => closed.add(threadId));
        await end(at);
        for (let n = 0; n < 200 && !(closed.has(at.child) && closed.has(at.grandchild)); n += 1) {
          await at.r.clock.advanceAsync(100);
          await settled();
        }
        assert.deepEqual([closed.has(at.child), closed.has(at.grandchild)], [true, true]);
        await assert.rejects(manager.getThread(at.child), { code: "thread_not_found" });
        await assert.rejects(manager.getThread(at.grandchild), { code: "thread_not_found" });
        await at.r.manager.shutdown();
      });
    }
  }

  for (const [name, end] of Object.entries(STAYS)) {
    test(`but not with ${name}`, async () => {
      const at = await family(false, "transient");
      await end(at);
      await settled();
      for (const id of [at.parent.id, at.child, at.grandchild]) assert.equal((await at.r.manager.getThread(id)).id, id);
      assert.equal(at.r.manager.parentOf(at.grandchild), at.child);
      await at.r.manager.shutdown();
    });
  }
});
