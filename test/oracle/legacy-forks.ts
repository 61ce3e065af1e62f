/** Proves that the real Codex has all that our forks of legacy threads inherit: once, twice, and after a rollback. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStore, say, scriptedClient, ThreadManager } from "../../src/index.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CodexServer } from "./codex-server.ts";
import { wordsOf } from "./words.ts";

type Known = { readonly name: string; readonly threadId: string; readonly words: readonly string[] };

/** A legacy thread, forks of it, and what our model was last told of each. */
async function ourThreads(home: string, cwd: string): Promise<Known[]> {
  const model = scriptedClient(() => [say("yes")], { recordRequests: 100 });
  const store = fileStore({ home });
  const manager = await ThreadManager.create({ store, model, config: { cwd, modelProvider: "mock" } });
  const known: Known[] = [];
  const run = async (name: string, thread: Awaited<ReturnType<typeof manager.startThread>>["thread"], text: string) => {
    await thread.run(text);
    const words = [...wordsOf({ input: model.requests.at(-1)?.input ?? [] }), "assistant: yes"];
    known.push({ name, threadId: thread.id, words });
  };
  const { thread: root } = await manager.startThread({}, { historyMode: "legacy" });
  for (const text of ["one", "two", "three"]) await root.run(text);
  const { thread: fork } = await manager.forkThread({ from: root.id });
  await run("a fork of a legacy thread", fork, "in the fork");
  const { thread: nested } = await manager.forkThread({ from: fork.id, at: { beforeUserMessage: 2 } });
  await run("a fork of that fork, before a message", nested, "deeper");
  const rolledBack = nested.events();
  await nested.submit({ type: "thread_rollback", num_turns: 1 });
  for await (const { msg } of rolledBack) if (msg.type === "thread_rolled_back") break;
  const rolled = known.pop();
  assert.ok(rolled);
  known.push({ ...rolled, name: `${rolled.name}, rolled back`, words: rolled.words.slice(0, -2) });
  const { thread: after } = await manager.forkThread({ from: nested.id });
  await run("a fork after a rollback", after, "after");
  await manager.shutdown();
  await store.close();
  return known;
}

/** @throws when Codex sends its model anything else than we would have */
export async function oracleLegacyForks(binary: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const cwd = join(home, "work");
  mkdirSync(cwd);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(home, "config.toml"), mockProviderToml(model.baseUrl));
    const known = await ourThreads(home, cwd);
    await using codex = await CodexServer.start(binary, home, cwd);
    for (const { name, threadId, words } of known) {
      const fork = (await codex.ask("thread/fork", { threadId })) as { thread: { id: string } };
      await codex.ask("thread/resume", { threadId });
      for (const id of [fork.thread.id, threadId]) {
        await codex.turn(id, "next");
        const request = model.requests.at(-1);
        assert.ok(request);
        assert.deepEqual(wordsOf(request), [...words, "user: next"], name);
      }
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
