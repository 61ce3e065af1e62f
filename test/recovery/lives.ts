/** Plays the lives of dying.ts's steps: one that gets to the step and stays there, and the one that comes after it. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Thread, ThreadManager, type ThreadManagerOptions, tool } from "../../src/index.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import type { EventMsg, ThreadEvent } from "../../src/protocol/event.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { type ResponseItem, textOf } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import type { ThreadConfig } from "../../src/protocol/thread-config.ts";
import type { ThreadStore, ThreadWriter } from "../../src/store/thread-store.ts";
import { SUMMARY_PREFIX } from "../../src/turn/compaction.ts";
import { linesOf, overlaid } from "../rig.ts";
import type { DyingStep } from "./steps.ts";

const PATIENCE_MS = 20_000;
const SERVER = new URL("./mcp-server.ts", import.meta.url).pathname;
const never = (): Promise<never> => new Promise(() => {});

const effectsIn = (folder: string): string[] =>
  existsSync(join(folder, "effects")) ? readFileSync(join(folder, "effects"), "utf8").trim().split("\n") : [];

/** Tools that leave a line for each call. Those of the life that dies never answer, but for `quick`. */
function toolsOf(folder: string, mode: "hangs" | "answers"): ThreadManagerOptions["tools"] {
  return ["push", "put", "quick", "guarded"].map((name) =>
    tool({
      name,
      description: "",
      idempotent: name === "put",
      ...(name === "guarded" && { approval: "always" as const }),
      execute: () => {
        appendFileSync(join(folder, "effects"), `${name}\n`);
        return mode === "answers" || name === "quick" ? `did ${name}` : never();
      },
    }),
  );
}

function settingsOf(step: DyingStep, folder: string, mode: "hangs" | "answers"): ThreadManagerOptions {
  const far = { command: process.execPath, args: [SERVER, folder, mode], startup_timeout_sec: 60 };
  const isFar = JSON.stringify(step.plays).includes("mcp__far");
  const config: ThreadConfig = {
    cwd: folder,
    recovery: "continue",
    builtInTools: step.builtInTools ?? [],
    ...step.config,
    ...(isFar && { mcpServers: { far } }),
  };
  return { tools: toolsOf(folder, mode) ?? [], config };
}

/** A store whose writers stop where the step says: what would come then is never stored, or never confirmed. */
function stopping(store: ThreadStore, { stopsAt, stopsBehind }: DyingStep): ThreadStore {
  const stopped = (writer: ThreadWriter): ThreadWriter => {
    let isStopped = false;
    let isBehind = false;
    return overlaid(writer, {
      append: (item: RolloutItem) => {
        const msg: EventMsg | undefined = item.type === "event_msg" ? item.payload : undefined;
        const stops = msg !== undefined && isOfTheTurn(msg);
        if (stops && stopsAt?.(msg) === true) isStopped = true;
        else writer.append(item);
        isBehind ||= stops && stopsBehind?.(msg) === true;
      },
      sync: async () => {
        await writer.flush();
        return isStopped || isBehind ? never() : undefined;
      },
    });
  };
  // Turns that are to complete before the one that is cut are not stopped.
  let ends = 0;
  const isOfTheTurn = (msg: EventMsg): boolean => !msg.type.startsWith("task_complete") || ends++ >= completed;
  let completed = 0;
  return overlaid(store, {
    create: async (...given) => {
      completed = Number(given[0].originator.split("+")[1] ?? 0);
      return stopped(await store.create(...given));
    },
  });
}

const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });

/** A life that stays where it is to be killed. Resolves there. */
export async function liveUntil(
  step: DyingStep,
  store: ThreadStore,
  folder: string,
): Promise<{ threadId: ThreadId; manager: ThreadManager }> {
  const model = scriptedClient((request, n) => {
    if (request.input.some((item) => textOf(item) === "hold the place")) return [hang()];
    return step.plays[n] ?? [hang()];
  });
  const before = step.before ?? 0;
  const manager = await ThreadManager.create({
    ...settingsOf(step, folder, "hangs"),
    store: stopping(store, step),
    model,
    originator: `dying+${before}`,
    ...(step.waitsForPlace && { limits: { runningTurns: 1 } }),
  });
  if (step.waitsForPlace) {
    const { thread } = await manager.startThread({ ephemeral: true });
    await thread.submit(input("hold the place"));
    while (manager.capacity().runningTurns.used === 0) await delay(5);
  }
  const { thread, threadId } = await manager.startThread();
  for (let n = 0; n < before; n += 1) assert.equal((await thread.run(`before ${n}`)).status, "completed");
  approveAll(thread, step.name.includes("was approved") ? "approved" : undefined);
  for (const op of step.ops ?? ["input"]) {
    if (op === "late")
      while (!JSON.stringify(await linesOf(store, threadId)).includes('"answered":true')) await delay(5);
    if (op === "joined")
      while (thread.activeTurn === undefined || (step.effects !== undefined && effectsIn(folder).length === 0))
        await delay(5);
    await thread.submit(op === "compact" ? { type: "compact" } : input(op === "input" ? "go" : op));
  }
  const until = Date.now() + PATIENCE_MS;
  while (!step.reached(await linesOf(store, threadId), effectsIn(folder))) {
    assert.ok(Date.now() < until, `the life never got to: ${step.name}`);
    await delay(10);
  }
  return { threadId, manager };
}

function approveAll(thread: Thread, decision: "approved" | undefined): { readonly asked: number } {
  const seen = { asked: 0 };
  thread.events({ after: -1 });
  const take = ({ msg }: ThreadEvent) => {
    if (msg.type !== "exec_approval_request") return;
    seen.asked += 1;
    if (decision !== undefined) void thread.submit({ type: "exec_approval", id: msg.call_id, decision });
  };
  thread.events$.subscribe(take);
  return seen;
}

const PROMPT = "The conversation is about to be shortened";

/** A request in words, without what the settings tell. */
export const gistOf = ({ input: items }: Pick<ModelRequest, "input">): string[] =>
  items.flatMap((item: ResponseItem) => {
    if (item.type === "function_call") return [`call ${item.namespace ?? ""}${item.name}`];
    const text = textOf(item);
    if (item.type === "function_call_output") return [`output: ${text.split("\n")[0]}`];
    if (item.type !== "message" || text.startsWith("<environment_context>")) return [];
    if (text.startsWith(PROMPT)) return ["user: PROMPT"];
    if (text.startsWith(SUMMARY_PREFIX)) return [`user: SUMMARY ${text.slice(SUMMARY_PREFIX.length + 1)}`];
    return [`${item.role}: ${text}`];
  });

const isEnd = (type: string): boolean => type === "task_complete" || type === "turn_aborted";

/** The life after: loads the thread, lets it go on to its end, and holds all of it against what the step says. */
export async function liveOn(
  step: DyingStep,
  { store, folder, threadId, lease }: { store: ThreadStore; folder: string; threadId: ThreadId; lease?: "takeOver" },
): Promise<void> {
  const model = scriptedClient(step.answers ?? [[say("done")]], { recordRequests: 10 });
  await using manager = await ThreadManager.create({ ...settingsOf(step, folder, "answers"), store, model });
  const events: ThreadEvent[] = [];
  const ended = Promise.withResolvers<void>();
  let approvals = 0;
  manager.events$.subscribe((event) => {
    events.push(event);
    const ends = (step.end === null ? 0 : 1) + (step.turnsBehind ?? 0);
    if (events.filter(({ msg }) => isEnd(msg.type)).length === ends) ended.resolve();
    if (event.msg.type !== "exec_approval_request") return;
    approvals += 1;
    const { call_id: id } = event.msg;
    void manager
      .getThread(threadId)
      .then((thread) => thread.submit({ type: "exec_approval", id, decision: "approved" }));
  });
  const end = step.end === undefined ? "task_complete" : step.end;
  const hasWork = end !== null || step.turnsBehind !== undefined;
  assert.equal((await store.get(threadId)).openTurn !== null, hasWork, "the store says whether there is work");
  const late = setTimeout(() => ended.reject(new Error("the turn did not go on to its end")), PATIENCE_MS);
  const { thread } = await manager.resumeThread(threadId, {}, { ...(lease && { lease }), initialMessages: "none" });
  if (hasWork) await ended.promise;
  clearTimeout(late);
  await delay(0);
  assert.deepEqual(model.requests.map(gistOf), step.asked, "what the model is asked");
  assert.deepEqual(effectsIn(folder).toSorted(), [...(step.effects ?? [])].toSorted(), "what tools have done");
  assert.equal(approvals, step.approvals ?? 0, "approvals asked again");
  const lines = await linesOf(store, threadId);
  const stored = lines.flatMap((line) => (line.type === "event_msg" ? [line.payload] : []));
  const turns = stored.flatMap((msg) => (msg.type === "task_started" ? [msg.turn_id] : []));
  for (const turnId of turns) {
    const ends = stored.filter((msg) => isEnd(msg.type) && "turn_id" in msg && msg.turn_id === turnId);
    assert.equal(ends.length, 1, "each turn has one end over all lives");
  }
  assert.equal(new Set(turns).size, turns.length, "no turn begins twice");
  assert.equal(thread.activeTurn, undefined);
  const told = events
    .map(({ msg }) => msg.type)
    .filter((type) => type === "turn_resumed" || type === "task_started" || isEnd(type));
  const behind = Array.from({ length: step.turnsBehind ?? 0 }, () => ["task_started", "task_complete"]).flat();
  if (end === null) assert.deepEqual(told, behind);
  else {
    assert.deepEqual(told, ["turn_resumed", end, ...behind]);
    const last = events.find(({ msg }) => isEnd(msg.type));
    const expected = step.lastMessage === undefined ? "done" : step.lastMessage;
    if (step.turnsBehind === undefined && last?.msg.type === "task_complete")
      assert.equal(last.msg.last_agent_message ?? null, expected);
    // The counter's own name of the submission.
    assert.equal(last?.id, String(step.before ?? 0));
    const [first] = events;
    assert.equal(
      first?.msg.type === "session_configured" && first.msg.resumed_turn_id,
      turns.at(-1 - behind.length / 2),
    );
  }
  // Nothing is left to be gone on with.
  const again = await thread.run("and then");
  assert.equal(again.status, "completed");
}
