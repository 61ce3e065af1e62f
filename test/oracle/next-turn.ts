/** What the next turn of a stored thread tells the model: with the real Codex, and with us. */
import assert from "node:assert/strict";
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import type { ModelServer } from "../clients/model-server.ts";
import { CodexServer } from "./codex-server.ts";
import { wordsOf } from "./words.ts";

/** What the model was told, or why there was no turn. */
export type NextTurn = { readonly words: readonly string[] } | { readonly refused: string };

const TURN_MS = 20_000;
const ASKED = "go on";

export type Going = { readonly home: string; readonly cwd: string; readonly threadIds: readonly string[] };

/** Codex's home has a config.toml that leads to `model`. */
export async function nextTurnsInCodex(
  binary: string,
  { home, cwd, threadIds }: Going,
  model: ModelServer,
): Promise<Map<string, NextTurn>> {
  const turns = new Map<string, NextTurn>();
  let codex = await CodexServer.start(binary, home, cwd);
  for (const threadId of threadIds) {
    const before = model.requests.length;
    try {
      await codex.ask("thread/resume", { threadId, cwd, modelProvider: "mock", excludeTurns: true });
      await codex.turn(threadId, ASKED);
      const request = model.requests.at(-1);
      assert.ok(request !== undefined && model.requests.length > before, "no request");
      turns.set(threadId, { words: wordsOf(request) });
    } catch (error) {
      turns.set(threadId, { refused: String(error) });
      if (!/no answer|no request/.test(String(error))) continue;
      await codex[Symbol.asyncDispose]();
      codex = await CodexServer.start(binary, home, cwd);
    }
  }
  await codex[Symbol.asyncDispose]();
  return turns;
}

export async function nextTurnsHere({ home, cwd, threadIds }: Going): Promise<Map<string, NextTurn>> {
  const turns = new Map<string, NextTurn>();
  const model = scriptedClient(undefined, { recordRequests: 1 });
  const store = fileStore({ home, fsync: "never" });
  const config = { cwd, modelProvider: "mock", builtInTools: [] };
  const manager = await ThreadManager.create({ home, store, model, config });
  for (const threadId of threadIds) {
    try {
      const signal = AbortSignal.timeout(TURN_MS);
      const { thread } = await manager.resumeThread(threadId as ThreadId, config, { signal });
      const outcome = await thread.run(ASKED, { signal });
      assert.equal(outcome.status, "completed", JSON.stringify(outcome));
      turns.set(threadId, { words: wordsOf({ input: model.requests.at(-1)?.input ?? [] }) });
    } catch (error) {
      turns.set(threadId, { refused: String(error) });
    }
  }
  await manager.shutdown();
  await store.close();
  return turns;
}
