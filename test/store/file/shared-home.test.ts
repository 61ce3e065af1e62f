/** Homes that stock has written, which Skein and a writer like stock then use in turn: the check has nothing to say of them. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ThreadManager } from "../../../src/index.ts";
import { scriptedClient } from "../../../src/model/scripted-client.ts";
import { newThreadId, newTurnId } from "../../../src/protocol/ids.ts";
import { addTurn } from "../../../src/store/contract/store-script.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { homeNames, parsedLines, TempHome } from "./temp-home.ts";

const ROUNDS = 3;

/** A turn as stock appends it: each line by itself, its ordinal counting on where the file has ordinals. */
function stockAppends(path: string, text: string): void {
  const lines = parsedLines(path);
  const last = lines.at(-1)?.ordinal;
  const turn_id = newTurnId();
  const timestamp = new Date().toISOString();
  for (const [n, item] of [
    { type: "event_msg", payload: { type: "task_started", turn_id, started_at: 1 } },
    {
      type: "response_item",
      payload: { type: "message", role: "user", content: [{ type: "input_text", text }] },
    },
    { type: "event_msg", payload: { type: "user_message", message: text, images: [] } },
    { type: "event_msg", payload: { type: "task_complete", turn_id, last_agent_message: null } },
  ].entries()) {
    const place = last === undefined ? {} : { ordinal: last + 1 + n };
    appendFileSync(path, `${JSON.stringify({ timestamp, ...place, ...item })}\n`);
  }
}

/** A thread that stock begins, and names in its index. */
function stockBegins(home: string, text: string): string {
  const id = newThreadId();
  const now = new Date().toISOString();
  const folder = join(home, "sessions", ...now.slice(0, 10).split("-"));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `rollout-${now.slice(0, 19).replaceAll(":", "-")}-${id}.jsonl`);
  const payload = {
    ...{ id, session_id: id, timestamp: now, cwd: home, originator: "codex_cli_rs", cli_version: "0.171.0" },
    ...{ source: "cli", model_provider: "mock", history_mode: "paginated" },
  };
  writeFileSync(path, `${JSON.stringify({ timestamp: now, ordinal: 0, type: "session_meta", payload })}\n`);
  stockAppends(path, text);
  const named = { id, thread_name: `named ${text}`, updated_at: now };
  appendFileSync(join(home, "session_index.jsonl"), `${JSON.stringify(named)}\n`);
  return path;
}

/** What was wrong from the start is all that ever is: one recorded home has a line that is no JSON. */
async function assertHealthy(home: TempHome, name: string, when: string): Promise<void> {
  const { faults } = await verifyHome({ home: home.path });
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    name === "fork-edge-0.80" ? ["garbage"] : [],
    when,
  );
}

suite("a home that others wrote, and we, and others again", () => {
  for (const name of homeNames()) {
    test(name, async () => {
      await using home = TempHome.of(name);
      await assertHealthy(home, name, "as it was");
      const begun: string[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        begun.push(stockBegins(home.path, `of stock in ${round}`));
        for (const path of begun) stockAppends(path, `again in ${round}`);
        await assertHealthy(home, name, `after stock in round ${round}`);
        const store = home.open();
        const config = { cwd: home.path, modelProvider: "mock", builtInTools: [] };
        const manager = await ThreadManager.create({ home: home.path, store, model: scriptedClient(), config });
        const { threads } = await store.list({ limit: 100 });
        for (const { threadId } of threads.slice(0, 3)) {
          const { thread } = await manager.resumeThread(threadId, config);
          assert.equal((await thread.run(`ours in ${round}`)).status, "completed");
          const fork = await manager.forkThread({ from: threadId });
          await fork.thread.run("in the fork");
          if (round === 1) await store.archive(fork.threadId);
        }
        const { thread } = await manager.startThread();
        await thread.run("new");
        await store.rename(thread.id, "named by us");
        await manager.shutdown();
        const doomed = await store.create({ ...(await store.header(thread.id)), id: newThreadId() });
        addTurn(doomed, "gone soon");
        await doomed.close();
        await store.delete(doomed.threadId);
        await store.close();
        await assertHealthy(home, name, `after us in round ${round}`);
        for (const path of begun) assert.ok(readFileSync(path, "utf8").endsWith("}\n"));
      }
    });
  }
});
