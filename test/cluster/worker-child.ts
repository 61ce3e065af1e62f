/**
 * A worker in a process of its own, over PostgreSQL: `worker-child.ts STORE [DYING]`. It prints its address, and drains on SIGTERM. With DYING it kills
 * itself once a thread's note, or a line of its history, that tells of that text is stored; with DIES_AFTER in its environment, once so many
 * statements of its first turn have been answered.
 */
import assert from "node:assert/strict";
import { createWorker } from "../../src/cluster/index.ts";
import { call, hang, type ModelRequest, type Step, say, scriptedClient, ThreadManager } from "../../src/index.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { overlaid } from "../rig.ts";
import { guarded } from "./behaviours.ts";
import { watchedPool } from "./watched-pool.ts";

const AGENTS = "multi_agent_v1";

/** Starts an agent that asks for approval, waits for it, and says what it has said. */
function lead(texts: string): Step[] {
  const agentId = /agent_id[^0-9a-f]+([0-9a-f-]{36})/.exec(texts)?.[1];
  if (agentId === undefined)
    return [call("spawn_agent", { message: "guard this" }, { callId: "spawn", namespace: AGENTS })];
  if (texts.includes("wait-1")) return [say(texts.includes("done") ? "the agent is done" : "the agent is not done")];
  return [call("wait_agent", { targets: [agentId], timeout_ms: 60_000 }, { callId: "wait-1", namespace: AGENTS })];
}

/** What a turn comes to is decided by its own texts alone, so that every worker's model says the same. */
function answer({ input }: ModelRequest): Step[] {
  const texts = JSON.stringify(input);
  if (texts.includes("wait here as well")) return texts.includes("and more") ? [say("with more")] : [hang()];
  if (texts.includes("lead on")) return lead(texts);
  if (texts.includes("guard this")) {
    const isDone = texts.split("guard this").length === texts.split('"function_call_output"').length;
    return isDone ? [say("done")] : [call("guarded", { what: "this" }, { callId: "call-1" })];
  }
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [say("so far"), hang()] : [say("at once")];
}

const [connectionString = "", dying] = process.argv.slice(2);
let left = Number(process.env.DIES_AFTER ?? Number.POSITIVE_INFINITY);
let hasBegun = false;
const pool = watchedPool(connectionString, (text) => {
  hasBegun ||= text.includes("SELECT n.id, n.kind");
  if (hasBegun) left -= 1;
  if (left <= 0) process.kill(process.pid, "SIGKILL");
});
const database = postgresStore({ pool });
const { notes } = database;
assert.ok(notes);
const write: typeof notes.write = async (...note) => {
  await notes.write(...note);
  if (JSON.stringify(note).includes(dying ?? "")) process.kill(process.pid, "SIGKILL");
};
const open: typeof database.open = async (...given) => {
  const writer = await database.open(...given);
  const append: typeof writer.append = (item) => {
    writer.append(item);
    if (JSON.stringify(item).includes(dying ?? ""))
      void writer.flush().then(() => process.kill(process.pid, "SIGKILL"));
  };
  return overlaid(writer, { append });
};
const store = dying === undefined ? database : overlaid(database, { open, notes: overlaid(notes, { write }) });
const manager = await ThreadManager.create({
  ...{ store, tools: [guarded], model: scriptedClient(answer) },
  config: { cwd: "/tmp" },
  supervision: { maxContinuations: 20 },
  timers: "own",
});
const worker = createWorker({ manager, leasePatienceMs: 2_000 });
const { url } = await worker.listen();
process.once("SIGTERM", async () => {
  await worker.close({ deadlineMs: 500 });
  await manager.shutdown({ deadlineMs: 1_000 });
  await store.close();
  await pool.end();
  process.exit(0);
});
process.stdout.write(`${url}\n`);
