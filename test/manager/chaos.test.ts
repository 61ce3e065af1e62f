/**
 * A process of trees of agents is killed, again and again, over one home. After each death memory, catalog and rollouts agree, each agent's
 * end is told once, and nothing is left. `SKEIN_CHAOS` says how many deaths.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentNode, type StoredThread, type ThreadId, ThreadManager } from "../../src/index.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";

const DEATHS = Number(process.env.SKEIN_CHAOS ?? 1);

/** Runs until it has finished a tree, and a little longer; then it is killed. */
async function live(home: string, seed: number): Promise<void> {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--no-warnings", join(import.meta.dirname, "chaos.child.ts"), home, String(seed)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    await Promise.race([
      new Promise<void>((resolve) => child.stdout?.once("data", () => resolve())),
      ended.then(() => assert.fail("the process ended by itself")),
      sleep(60_000, undefined, { ref: false }).then(() => assert.fail("no tree in a minute")),
    ]);
    await sleep((seed * 37) % 300);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

async function stored(manager: ThreadManager): Promise<StoredThread[]> {
  const all: StoredThread[] = [];
  for (const sourceKinds of [["exec"], ["subagent"]]) {
    let cursor: string | null = null;
    do {
      const page = await manager.listThreads({ sourceKinds, limit: 100, ...(cursor !== null && { cursor }) });
      all.push(...page.threads);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
  return all;
}

const sizeOf = ({ children }: AgentNode): number => 1 + children.reduce((sum, child) => sum + sizeOf(child), 0);

/** How often each agent's end stands in the thread's history. */
async function toldIn(manager: ThreadManager, threadId: ThreadId): Promise<Map<string, number>> {
  const told = new Map<string, number>();
  for await (const page of manager.store.load(threadId)) {
    for (const line of page) {
      if (line.type !== "response_item") continue;
      const agent = /subagent_notification>\\n\{\\"agent_path\\":\\"([0-9a-f-]{36})/.exec(
        JSON.stringify(line.payload),
      )?.[1];
      if (agent !== undefined) told.set(agent, (told.get(agent) ?? 0) + 1);
    }
  }
  return told;
}

test("SEMANTICS 7.2, 7.3, 7.5 and 7.6: killed again and again, memory, catalog and rollouts agree", async () => {
  const home = await mkdtemp(join(tmpdir(), "skein-chaos-"));
  try {
    for (let death = 1; death <= DEATHS; death += 1) {
      await live(home, death);
      const manager = await ThreadManager.create({
        home,
        model: scriptedClient(),
        config: { cwd: home, builtInTools: [] },
      });
      try {
        const all = await stored(manager);
        const roots = all.filter(({ parentThreadId }) => parentThreadId === null);
        let inTrees = 0;
        for (const { threadId } of roots) {
          await manager.resumeThread(threadId, undefined, { lease: "takeOver" });
          inTrees += sizeOf(await manager.tree(threadId));
        }
        assert.equal(inTrees, all.length, "each stored thread is in one tree");
        // Agents hear of theirs, and end what was cut off.
        for (const { threadId } of all) await manager.resumeThread(threadId, undefined, { lease: "takeOver" });
        for (const { threadId, parentThreadId } of all) {
          const { thread } = await manager.resumeThread(threadId);
          if (parentThreadId !== null && (await manager.store.notes?.read(threadId, "notice")) !== undefined)
            await thread.run("go on");
        }
        for (
          let tries = 0;
          tries < 200 && ((await manager.store.notes?.threads("notice"))?.length ?? 0) > 0;
          tries += 1
        )
          await sleep(25);
        assert.deepEqual(await manager.store.notes?.threads("notice"), [], "nothing is owed any more");
        for (const { threadId } of all) {
          for (const [agent, times] of await toldIn(manager, threadId))
            assert.equal(times, 1, `${agent} in ${threadId}`);
        }
        for (const { threadId } of roots) {
          const report = await manager.shutdownTree(threadId, { deadlineMs: 20_000 });
          assert.deepEqual([report.failed, report.timedOut], [[], []]);
        }
        assert.equal(manager.capacity().residentThreads.used, 0);
        for (const { threadId } of all) await manager.deleteThread(threadId);
        assert.deepEqual(await stored(manager), []);
      } finally {
        await manager.shutdown();
      }
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
