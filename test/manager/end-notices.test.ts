/** An agent's end is told to its parent exactly once, whatever dies in between (SEMANTICS 7.5 and 7.6). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hang, say } from "../../src/index.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { StandingNotes } from "../../src/store/standing-notes.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, overlaid, type Rig, rig, until } from "../rig.ts";

const noticesIn = async (store: ThreadStore, parent: never) =>
  (await linesOf(store, parent)).filter(
    (line) => line.type === "response_item" && JSON.stringify(line.payload).includes("<subagent_notification>"),
  );

async function grown(r: Rig) {
  const { threadId: parent } = await r.manager.startThread();
  const agent = await r.manager.agentControl().spawnAgent({}, "go", { parentThreadId: parent });
  return { parent: parent as never, agent };
}

suite("notices of agents' ends", () => {
  test("SEMANTICS 7.5: once, though nobody waits, and though the agent goes on and ends again", async () => {
    const store = memoryStore();
    await using r = await rig({ store, script: () => [say("found it")] });
    const { parent, agent } = await grown(r);
    await until(() => JSON.stringify(r.manager.loadedThread(agent)?.status).includes("found it"));
    await settled();
    await r.manager.agentControl().sendPrompt(agent, "again");
    await until(() => r.model.asked === 2);
    await settled();
    const [notice, ...more] = await noticesIn(store, parent);
    assert.equal(more.length, 0);
    assert.match(JSON.stringify(notice), /found it/);
    assert.deepEqual(await store.notes?.threads("notice"), []);
  });

  test("SEMANTICS 7.5: the process may die between any two steps: exactly one in the parent's history", async () => {
    /** What the process still did: the notes that were written, and the notice, up to the step at which it died. */
    for (const steps of [0, 1, 2, 3, 4]) {
      const store = memoryStore();
      let done = 0;
      const isDead = () => done >= steps;
      const hangs = new Promise<never>(() => {});
      const inner = store.notes as StandingNotes;
      const notes = overlaid(inner, {
        write: async (threadId, kind, value) => {
          if (kind === "notice") {
            // The first says that it is owed: before it the agent has no task.
            if (isDead() && done > 0) return hangs;
            done += 1;
          }
          await inner.write(threadId, kind, value);
        },
      });
      const r = await rig({ store: overlaid(store, { notes }), script: () => [say("found it")] });
      const { parent, agent } = await grown(r);
      await until(() => r.model.asked === 1);
      for (let n = 0; n < 20; n += 1) await settled();
      // Dead: its leases fall to the next, and nothing of it is heard any more.
      await using later = await rig({ store, script: () => [say("later")] });
      await later.manager.resumeThread(parent, undefined, { lease: "takeOver" });
      for (let n = 0; n < 20; n += 1) await settled();
      assert.equal((await noticesIn(store, parent)).length, 1, `after ${steps} steps`);
      assert.deepEqual(await inner.threads("notice"), [], `after ${steps} steps`);
      await using third = await rig({ store });
      await third.manager.resumeThread(parent, undefined, { lease: "takeOver" });
      await third.manager.resumeThread(agent, undefined, { lease: "takeOver" });
      for (let n = 0; n < 20; n += 1) await settled();
      assert.equal((await noticesIn(store, parent)).length, 1);
      void r[Symbol.asyncDispose]();
      await r.clock.advanceAsync(5_000);
    }
  });

  test("SEMANTICS 7.5: a parent that is out of memory is loaded for it; one that is not open hears with its next load", async () => {
    const store = memoryStore();
    const r = await rig({ store, script: () => [say("found it")] });
    const { parent, agent } = await grown(r);
    // It has ended, and its parent may have been told by then, or not.
    await until(() => JSON.stringify(r.manager.loadedThread(agent)?.status).includes("found it"));
    await r[Symbol.asyncDispose]();
    const told = (await noticesIn(store, parent)).length;
    await using later = await rig({ store, script: () => [say("more")] });
    await later.manager.resumeThread(agent);
    for (let n = 0; n < 10; n += 1) await settled();
    assert.equal((await noticesIn(store, parent)).length, told);
    await later.manager.resumeThread(parent);
    for (let n = 0; n < 500 && (await noticesIn(store, parent)).length === 0; n += 1) await settled();
    for (let n = 0; n < 20; n += 1) await settled();
    assert.equal((await noticesIn(store, parent)).length, 1);
  });

  test("SEMANTICS 7.6: the end of the process is none of an agent that was at work: its parent hears when it is done", async () => {
    const store = memoryStore();
    const r = await rig({ store, script: () => [hang()] });
    const { parent, agent } = await grown(r);
    await until(() => r.model.asked === 1);
    await r[Symbol.asyncDispose]();
    await using later = await rig({ store, script: () => [say("at last")] });
    await later.manager.resumeThread(parent);
    const { thread } = await later.manager.resumeThread(agent);
    for (let n = 0; n < 10; n += 1) await settled();
    assert.equal((await noticesIn(store, parent)).length, 0);
    await thread.run("go on");
    for (let n = 0; n < 10; n += 1) await settled();
    const [notice, ...more] = await noticesIn(store, parent);
    assert.equal(more.length, 0);
    assert.match(JSON.stringify(notice), /at last/);
  });
});
