/**
 * A crowd of threads in trees four deep, with crashes, hangs, interrupts and removals, is killed and goes on elsewhere; afterwards memory,
 * catalog and rollouts agree, and the end of the manager leaves nothing running. `SKEIN_CROWD` says how many threads (`npm run soak`: 10,000).
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fromCallback } from "xstate";
import { type AgentNode, type StoredThread, type ThreadId, ThreadManager } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { LEASH } from "../leash.ts";

const THREADS = Number(process.env.SKEIN_CROWD ?? 240);
/** What the crashing ones are resumed as: it only begins. */
const idle = fromCallback<{ type: string; op?: { type: string }; msg?: object }>(({ receive, emit }) => {
  const say = emit as (event: object) => void;
  receive(({ type, op, msg }) => {
    if (type === "session.configure") say({ type: "session_configured", id: "", msg });
    if (op?.type === "shutdown") say({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } });
  });
});
/** In so many lives of the process, each killed. */
const LIVES = 2;

async function live(home: string, seed: number): Promise<void> {
  const script = join(import.meta.dirname, "crowd.child.ts");
  const args = ["--no-warnings", ...LEASH, script, home, `${seed}`, `${Math.ceil(THREADS / LIVES)}`];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    const told = await Promise.race([once(child.stdout, "data").then(() => true), ended.then(() => false)]);
    assert.ok(told, "the process ended by itself");
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

async function stored(manager: ThreadManager): Promise<StoredThread[]> {
  const all: StoredThread[] = [];
  for (const sourceKinds of [["exec"], ["subagent"]]) {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await manager.listThreads({ sourceKinds, limit: 100, ...(cursor !== undefined && { cursor }) });
      all.push(...page.threads);
      cursor = page.nextCursor;
    }
  }
  return all;
}

const idsIn = ({ threadId, children }: AgentNode): ThreadId[] => [threadId, ...children.flatMap(idsIn)];

test("SEMANTICS 4, 7.1, 7.2 and 7.9: a crowd that is killed: memory, catalog and rollouts agree, and nothing is left running", async () => {
  const home = await mkdtemp(join(tmpdir(), "skein-crowd-"));
  try {
    for (let seed = 1; seed <= LIVES; seed += 1) await live(home, seed);
    const manager = await ThreadManager.create({
      home,
      model: scriptedClient(),
      logics: { crashes: idle },
      limits: { residentThreads: 100_000, treeSize: 100_000, childrenPerParent: 1_000 },
      config: { cwd: home, builtInTools: [] },
    });
    try {
      const all = await stored(manager);
      assert.ok(all.length >= THREADS, `${all.length} of ${THREADS}`);
      assert.equal(new Set(all.map(({ threadId }) => threadId)).size, all.length, "each is listed once");
      const parents = new Map(all.map(({ threadId, parentThreadId }) => [threadId, parentThreadId]));
      for (const { threadId } of all) {
        const header = await manager.store.header(threadId);
        assert.equal(header.id, threadId);
      }
      const roots = all.filter(({ parentThreadId }) => parentThreadId === null);
      const inTrees: ThreadId[] = [];
      for (const { threadId } of roots) {
        await manager.resumeThread(threadId, undefined, { lease: "takeOver" });
        inTrees.push(...idsIn(await manager.tree(threadId)));
      }
      assert.deepEqual(inTrees.toSorted(), [...parents.keys()].toSorted(), "each is in one tree");
      for (const { threadId } of all) await manager.resumeThread(threadId, undefined, { lease: "takeOver" });
      assert.equal(manager.capacity().residentThreads.used, all.length);
      const closed: ThreadId[] = [];
      manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
      const { completed, failed, timedOut } = await manager.shutdown({ deadlineMs: 120_000 });
      assert.deepEqual([failed, timedOut], [[], []]);
      assert.deepEqual([...completed].toSorted(), [...parents.keys()].toSorted());
      const at = new Map(closed.map((threadId, n) => [threadId, n]));
      for (const [threadId, parent] of parents) {
        if (parent !== null) assert.ok((at.get(threadId) ?? -1) < (at.get(parent) ?? 0), "children first");
      }
      assert.deepEqual(runtimeOf(manager)?.left(), { incarnations: 0, handles: 0, removed: 0 });
    } finally {
      await manager.shutdown();
    }
    // Whoever comes next finds them all closed, and no lease held.
    await using next = await ThreadManager.create({ home, model: scriptedClient(), config: { cwd: home } });
    assert.equal((await stored(next)).length, (await stored(next)).filter(({ openTurn }) => openTurn === null).length);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
