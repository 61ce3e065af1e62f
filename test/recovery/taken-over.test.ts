/** A thread that another process takes over ends here, at once and truthfully; the next resume loads it anew. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { fileStore, scriptedClient, ThreadBusyError, ThreadClosedError, ThreadManager } from "../../src/index.ts";
import { hang } from "../../src/model/script.ts";
import { linesOf, watch } from "../rig.ts";
import { tempFolder } from "./killed.ts";

const OTHER = new URL("./other-process.ts", import.meta.url).pathname;
const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

async function home(t: TestContext) {
  const folder = tempFolder();
  const store = fileStore({ home: folder.path, fsync: "never" });
  const children: ChildProcessByStdio<Writable, Readable, null>[] = [];
  t.after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await store.close();
    folder[Symbol.dispose]();
  });
  /** Resolves when B has taken the thread and run a turn; B holds it until its input ends. */
  const takenByB = async (threadId: string) => {
    const child = spawn(process.execPath, [OTHER, folder.path, threadId], { stdio: ["pipe", "pipe", "inherit"] });
    children.push(child);
    const [line] = await once(child.stdout, "data");
    assert.equal(String(line).trim(), "2 completed");
    return {
      async leave() {
        child.stdin.end();
        await once(child, "exit");
      },
    };
  };
  return { folder, store, takenByB };
}

test("SEMANTICS 5.5: A runs a turn, B takes the thread over and runs one, A resumes it with takeOver: a new life, and what it says is stored", async (t) => {
  const { folder, store, takenByB } = await home(t);
  await using manager = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd: folder.path } });
  const { thread, threadId } = await manager.startThread();
  const seen = watch(thread);
  assert.equal((await thread.run("from A")).status, "completed");
  await takenByB(threadId);
  const { thread: again } = await manager.resumeThread(threadId, {}, { lease: "takeOver" });
  assert.equal(again.epoch, 3);
  assert.ok(seen.some(({ msg }) => msg.type === "error" && msg.codex_error_info === "lease_lost"));
  const { status, lastAgentMessage } = await again.run("A again");
  assert.deepEqual([status, lastAgentMessage], ["completed", "ack: A again"]);
  assert.equal((await again.run("and again")).status, "completed");
  const text = JSON.stringify(await linesOf(store, threadId));
  for (const said of ["ack: from A", "ack: from B", "ack: A again", "ack: and again"])
    assert.ok(text.includes(said), said);
  await assert.rejects(thread.submit(input("to the old life")), (error) => {
    assert.ok(error instanceof ThreadClosedError);
    assert.deepEqual((error.op as { type: string }).type, "user_input");
    return error.cause instanceof ThreadBusyError;
  });
});

test("what A says to the thread that B has taken is refused, and never told as complete", async (t) => {
  const { folder, store, takenByB } = await home(t);
  await using manager = await ThreadManager.create({ store, model: scriptedClient(), config: { cwd: folder.path } });
  const { thread, threadId } = await manager.startThread();
  const seen = watch(thread);
  await thread.run("from A");
  const { leave } = await takenByB(threadId);
  const before = seen.length;
  const outcome = await thread.run("lost").then(
    ({ status, error }) => [status, error?.info],
    (error: unknown) => [error instanceof ThreadBusyError || error instanceof ThreadClosedError ? "refused" : error],
  );
  assert.ok(outcome[0] === "refused" || (outcome[0] === "failed" && outcome[1] === "lease_lost"), String(outcome));
  assert.equal(seen.slice(before).filter(({ msg }) => msg.type === "task_complete").length, 0);
  await assert.rejects(manager.resumeThread(threadId), ThreadBusyError);
  assert.deepEqual(await manager.listThreadIds(), []);
  await leave();
  const { thread: again } = await manager.resumeThread(threadId);
  assert.equal(again.epoch, 3);
  assert.equal((await again.run("A again")).status, "completed");
  assert.equal(JSON.stringify(await linesOf(store, threadId)).includes('"lost"'), false);
});

test("SEMANTICS 5.5: B takes the thread over while A's turn runs: the turn fails here as lost, events$ completes, and run tells why", async (t) => {
  const { folder, store, takenByB } = await home(t);
  const model = scriptedClient([[hang()]]);
  await using manager = await ThreadManager.create({ store, model, config: { cwd: folder.path } });
  const { thread, threadId } = await manager.startThread();
  const seen = watch(thread);
  const closed = new Promise<void>((resolve) => thread.events$.subscribe({ complete: resolve }));
  const run = thread.run("go");
  await once(Object.assign(new EventTarget(), {}), "never", { signal: AbortSignal.timeout(50) }).catch(() => undefined);
  await takenByB(threadId);
  // A learns of it by its next write, at the latest.
  await thread.submit(input("joins")).catch(() => undefined);
  const { status, error } = await run;
  assert.deepEqual([status, error?.info], ["failed", "lease_lost"]);
  await closed;
  assert.deepEqual(
    seen.filter(({ msg }) => msg.type === "task_complete" || msg.type === "turn_aborted").map(({ msg }) => msg.type),
    ["turn_aborted"],
  );
});
