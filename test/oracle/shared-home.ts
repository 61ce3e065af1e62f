/** Proves that a home which Codex and we have used in turn for a while is whole to both: `verify` is silent, lists agree. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { verifyHome } from "../../src/store/file/care/verify.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CodexServer } from "./codex-server.ts";

const ROUNDS = 3;

type Listed = { id: string; preview: string; name?: string | null };

const at = <T>(all: readonly T[], index: number): T => {
  const found = all[index % all.length];
  assert.ok(found !== undefined);
  return found;
};

async function codexHasATurn(codex: CodexServer, cwd: string, ids: string[], round: number): Promise<void> {
  const made = (await codex.ask("thread/start", { cwd })) as { thread: { id: string } };
  for (const text of ["one", "two", "three"]) await codex.turn(made.thread.id, `${text} of Codex in ${round}`);
  ids.push(made.thread.id);
  for (const id of new Set([at(ids, round), at(ids, round * 5 + 1)])) {
    await codex.ask("thread/resume", { threadId: id, excludeTurns: true });
    await codex.turn(id, `Codex again in ${round}`);
    const fork = (await codex.ask("thread/fork", { threadId: id, excludeTurns: true })) as { thread: { id: string } };
    await codex.turn(fork.thread.id, `Codex's fork in ${round}`);
    ids.push(fork.thread.id);
  }
  const turns = await codex.ask("thread/turns/list", { threadId: made.thread.id, limit: 10, sortDirection: "asc" });
  const beforeTurnId = (turns as { data: { id: string }[] }).data[1]?.id;
  await codex.ask("thread/revert", { threadId: made.thread.id, beforeTurnId });
  await codex.turn(made.thread.id, "another way");
  await codex.ask("thread/name/set", { threadId: made.thread.id, name: `named by Codex in ${round}` });
  if (round % 2 === 1) await codex.ask("thread/archive", { threadId: ids.pop() });
}

async function weHaveATurn(home: string, cwd: string, ids: string[], round: number): Promise<void> {
  const store = fileStore({ home });
  const config = { cwd, modelProvider: "mock", builtInTools: [] };
  const manager = await ThreadManager.create({ home, store, model: scriptedClient(), config });
  const { thread } = await manager.startThread();
  for (const text of ["one", "two", "three"]) await thread.run(`${text} of ours in ${round}`);
  ids.push(thread.id);
  await store.rename(thread.id, `named by us in ${round}`);
  for (const id of new Set([at(ids, round * 3), at(ids, round * 7 + 2)])) {
    const resumed = await manager.resumeThread(id as ThreadId, config);
    await resumed.thread.run(`ours again in ${round}`);
    const events = resumed.thread.events();
    await resumed.thread.submit({ type: "thread_rollback", num_turns: 1 });
    for await (const { msg } of events) if (msg.type === "thread_rolled_back") break;
    const fork = await manager.forkThread({ from: id as ThreadId, at: { beforeUserMessage: 1 } });
    await fork.thread.run(`our fork in ${round}`);
    ids.push(fork.threadId);
  }
  await manager.shutdown();
  await store.close();
}

async function assertWhole(home: string, when: string): Promise<void> {
  const { faults } = await verifyHome({ home });
  assert.deepEqual(faults, [], when);
}

/** @throws when verify finds a fault in the home, or the lists differ */
export async function oracleSharedHome(binary: string): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const cwd = join(home, "work");
  mkdirSync(cwd);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(home, "config.toml"), mockProviderToml(model.baseUrl), { mode: 0o600 });
    const ids: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      {
        await using codex = await CodexServer.start(binary, home, cwd);
        await codexHasATurn(codex, cwd, ids, round);
      }
      await assertWhole(home, `after Codex in round ${round}`);
      await weHaveATurn(home, cwd, ids, round);
      await assertWhole(home, `after us in round ${round}`);
    }
    await using codex = await CodexServer.start(binary, home, cwd);
    const theirs = ((await codex.ask("thread/list", { limit: 100 })) as { data: Listed[] }).data;
    const store = fileStore({ home });
    const ours = (await store.list({ limit: 100 })).threads;
    await store.close();
    // Codex lists what its own database knows, a reverted thread once for each of its files: ours has all of it, and more.
    for (const { id, name, preview } of theirs) {
      const found = ours.find(({ threadId }) => threadId === id);
      assert.ok(found, `${id} is in Codex's list alone`);
      assert.equal(found.name, name ?? null, preview);
      assert.ok(
        theirs.some((each) => each.id === id && each.preview === found.preview),
        `${id}: ${found.preview}`,
      );
    }
    await assertWhole(home, "after the lists");
    return ours.length;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
