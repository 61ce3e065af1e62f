/** Which threads `listThreads({ interrupted: true })` finds, by how their last turn ended. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  fileStore,
  hang,
  memoryStore,
  say,
  scriptedClient,
  ThreadManager,
  type ThreadStore,
  wait,
} from "../../src/index.ts";
import { observe } from "../kernel/settled.ts";
import { next, rig } from "../rig.ts";

const found = async (manager: ThreadManager, query: { interrupted?: boolean } = { interrupted: true }) =>
  (await manager.listThreads(query)).threads.map(({ threadId }) => threadId);

const slow = scriptedClient(() => [hang()]);

async function endedBy(store: ThreadStore, how: "interrupt" | "shutdown" | "force"): Promise<string> {
  const manager = await ThreadManager.create({ store, model: slow, config: { cwd: "/tmp", builtInTools: [] } });
  const { thread, threadId } = await manager.startThread();
  const started = next(thread, "task_started");
  const running = thread.run("x").catch(() => undefined);
  await started;
  if (how === "interrupt") await thread.interrupt();
  await manager.shutdown({ deadlineMs: how === "force" ? 0 : 5_000 });
  await running;
  return threadId;
}

test("a turn that was interrupted, or ended by a shutdown, is found until the thread goes on", async () => {
  const store = memoryStore();
  const ids = [];
  for (const how of ["interrupt", "shutdown", "force"] as const) ids.unshift(await endedBy(store, how));
  const manager = await ThreadManager.create({
    store,
    model: scriptedClient(),
    config: { cwd: "/tmp", builtInTools: [] },
  });
  const { thread: done, threadId } = await manager.startThread();
  await done.run("x");
  assert.deepEqual(await found(manager), ids);
  assert.deepEqual(await found(manager, { interrupted: false }), [threadId]);
  const { thread } = await manager.resumeThread(String(ids[0]));
  assert.deepEqual(await found(manager), ids, "opening it is not going on");
  await thread.run("on");
  assert.deepEqual(await found(manager), ids.slice(1));
  await manager.shutdown();
});

test("a turn that runs here is not interrupted", async () => {
  await using r = await rig({ script: [[wait(1_000), say("slow")]] });
  const { thread, threadId } = await r.manager.startThread();
  const started = next(thread, "task_started");
  const running = thread.run("x");
  await started;
  assert.deepEqual(await found(r.manager), []);
  const [row] = (await r.manager.listThreads()).threads;
  assert.deepEqual(
    [row?.threadId, row?.interrupted, row?.openTurn?.turnId],
    [threadId, false, thread.activeTurn?.turnId],
  );
  const turn = observe(running);
  // The model may not have been asked yet.
  for (let n = 0; n < 40 && turn.outcome === "pending"; n += 1) await r.clock.advanceAsync(2_000);
  await running;
  assert.deepEqual(await found(r.manager, { interrupted: false }), [threadId]);
});

test("a turn whose process was killed is found, with its id", async () => {
  const home = await mkdtemp(join(tmpdir(), "skein-interrupted-"));
  try {
    const source = new URL("../../src/index.ts", import.meta.url);
    const program = `
      const { fileStore, hang, scriptedClient, ThreadManager } = await import(${JSON.stringify(source)});
      const model = scriptedClient(() => [hang()]);
      const manager = await ThreadManager.create({
        store: fileStore({ home: ${JSON.stringify(home)} }), model, config: { cwd: "/tmp", builtInTools: [] } });
      const { thread } = await manager.startThread();
      thread.events$.subscribe(({ msg }) => {
        if (msg.type === "task_started") console.log(JSON.stringify([thread.id, msg.turn_id]));
      });
      setInterval(() => undefined, 1_000);
      await thread.submit({ type: "user_input", items: [{ type: "text", text: "x" }] });`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, 200));
    child.kill("SIGKILL");
    await once(child, "exit");
    const [threadId, turnId] = JSON.parse(String(line));
    const store = fileStore({ home });
    const manager = await ThreadManager.create({ store, model: scriptedClient() });
    const [row, ...more] = (await manager.listThreads({ interrupted: true })).threads;
    assert.deepEqual([row?.threadId, row?.openTurn, more], [threadId, { turnId }, []]);
    const { thread } = await manager.resumeThread(threadId);
    await thread.run("on");
    assert.deepEqual(await found(manager), []);
    await manager.shutdown();
    await store.close();
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
