/** Proves that the real Codex goes on with a thread that a manager ran: tools, an interrupt, a rollback, a compaction. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  call,
  fileStore,
  hang,
  type ModelRequest,
  type Play,
  scriptedClient,
  ThreadManager,
  tool,
} from "../../src/index.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CodexServer } from "./codex-server.ts";
import { wordsOf } from "./words.ts";

const add = tool<{ a: number; b: number }>({ name: "add", description: "Adds.", execute: ({ a, b }) => a + b });

const PLAYS: Readonly<Record<string, Play>> = {
  "user: hello": "Hello.",
  "user: add them": [call("add", { a: 1, b: 2 })],
  "user: hang": [hang()],
  "user: the last": "Last.",
};

/** Runs a thread in `home` and gives its id, and what the model was last told of it. */
async function ownThread(home: string, cwd: string): Promise<{ threadId: string; words: string[] }> {
  // By what is asked, since an interrupt may come before its turn has asked for anything.
  const plays = ({ input }: ModelRequest): Play => {
    if (input.at(-1)?.type === "function_call_output") return "Three.";
    return PLAYS[wordsOf({ input }).at(-1) ?? ""] ?? "Forgotten.";
  };
  const model = scriptedClient(plays, { recordRequests: 10 });
  const store = fileStore({ home });
  const manager = await ThreadManager.create({ store, model, tools: [add], config: { cwd, modelProvider: "mock" } });
  const { thread, threadId } = await manager.startThread();
  await thread.run("hello");
  await thread.run("add them");
  const busy = thread.run("hang");
  for await (const { msg } of thread.events({ after: -1 }))
    if (msg.type === "user_message" && msg.message === "hang") break;
  await thread.interrupt();
  await busy;
  await thread.run("to be forgotten");
  const rolledBack = thread.events();
  await thread.submit({ type: "thread_rollback", num_turns: 1 });
  for await (const { msg } of rolledBack) if (msg.type === "thread_rolled_back") break;
  await thread.run("the last");
  await manager.shutdown();
  await store.close();
  const input = model.requests.at(-1)?.input ?? [];
  return { threadId, words: [...wordsOf({ input }), "assistant: Last."] };
}

/** @throws when Codex sends its model anything else than we would have */
export async function oracleManagerThread(binary: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const cwd = join(home, "work");
  mkdirSync(cwd);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(home, "config.toml"), mockProviderToml(model.baseUrl));
    const { threadId, words } = await ownThread(home, cwd);
    await using codex = await CodexServer.start(binary, home, cwd);
    const fork = (await codex.ask("thread/fork", { threadId, excludeTurns: true })) as { thread: { id: string } };
    for (const id of [fork.thread.id, threadId]) {
      if (id === threadId) await codex.ask("thread/resume", { threadId, excludeTurns: true });
      await codex.turn(id, "next");
      const request = model.requests.at(-1);
      assert.ok(request);
      assert.deepEqual(wordsOf(request), [...words, "user: next"]);
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
