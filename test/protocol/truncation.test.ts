import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventMsg } from "../../src/protocol/event.ts";
import { assistantMessage, type ResponseItem, textOf, userMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { openTurnStart, truncateBeforeNth, userMessagePositions } from "../../src/protocol/truncation.ts";
import { fixture } from "./codex-fixtures.ts";

const item = (payload: ResponseItem): RolloutItem => ({ type: "response_item", payload });
const event = (payload: EventMsg): RolloutItem => ({ type: "event_msg", payload });
const user = (text: string) => item(userMessage(text));
const agent = (text: string) => item(assistantMessage(text));
const rollback = (turns: number) => event({ type: "thread_rolled_back", num_turns: turns });
const context = user("<environment_context></environment_context>");

const texts = (items: readonly RolloutItem[]): string[] =>
  items.flatMap((each) => (each.type === "response_item" ? [textOf(each.payload)] : []));

test("the worked example: u1 a1 a2 u2 a3 r c a4", () => {
  const items = [
    user("u1"),
    agent("a1"),
    agent("a2"),
    user("u2"),
    agent("a3"),
    item({ type: "reasoning", summary: [] }),
    item({ type: "function_call", name: "f", arguments: "{}", call_id: "c" }),
    agent("a4"),
  ];
  assert.deepEqual(truncateBeforeNth(items, 1), items.slice(0, 3));
  assert.deepEqual(truncateBeforeNth(items, 2), []);
  assert.deepEqual(truncateBeforeNth(items, 0), []);
});

test("the worked example with the initial context in front", () => {
  const items = [context, user("u1"), agent("a1"), user("u2"), agent("a2")];
  assert.deepEqual(truncateBeforeNth(items, 1), items.slice(0, 3));
  assert.deepEqual(truncateBeforeNth(items, 0), [context]);
});

test("the largest integer keeps everything, as does infinity", () => {
  const items = [user("u1"), agent("a1")];
  for (const n of [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER + 1, Number.MAX_VALUE, Number.POSITIVE_INFINITY]) {
    const all = truncateBeforeNth(items, n);
    assert.deepEqual(all, items);
    assert.notEqual(all, items);
  }
  assert.deepEqual(truncateBeforeNth(items, Number.MAX_SAFE_INTEGER - 1), []);
});

test("a rollback takes back the last messages so far, never below none; its items stay before a later cut", () => {
  const items = [user("u1"), agent("a1"), user("u2"), agent("a2"), rollback(1), user("u3"), agent("a3")];
  assert.deepEqual(userMessagePositions(items), [0, 5]);
  assert.deepEqual(truncateBeforeNth(items, 1), items.slice(0, 5));
  assert.deepEqual(truncateBeforeNth(items, 2), []);
  const deep = [user("u1"), rollback(99), user("u2"), user("u3")];
  assert.deepEqual(userMessagePositions(deep), [2, 3]);
  assert.deepEqual(truncateBeforeNth(deep, 0), deep.slice(0, 2));
});

test("the event of the message that is cut off goes too, what follows the last answer stays", () => {
  const counted = event({ type: "token_count", info: null, rate_limits: null });
  const items = [user("u1"), event({ type: "user_message", message: "u1" }), agent("a1"), counted, user("u2")];
  assert.deepEqual(truncateBeforeNth([...items, event({ type: "user_message", message: "u2" })], 1), items.slice(0, 4));
});

test("user_message events are no boundaries", () => {
  assert.deepEqual(userMessagePositions([event({ type: "user_message", message: "u" })]), []);
});

test("turn_boundaries of 0.80: dropping the last k messages leaves what the real binary then sent to its model", () => {
  const items = fixture("turn-boundaries-0.80.jsonl");
  const lastSent = [
    "<turn_aborted>\n  <reason>interrupted</reason>\n</turn_aborted>",
    " <User_Shell_Command> odd case",
    "<skillful is not a tag but starts alike",
    "<environment_context>\n  <cwd>/tmp/ws</cwd>\n</environment_context>",
    "<environment_context>\n  <cwd>/tmp/ws</cwd>\n</environment_context>",
    "<environment_context>\n  <cwd>/tmp/ws</cwd>\n</environment_context>",
  ];
  const count = userMessagePositions(items).length;
  const left = lastSent.map((_, index) => texts(truncateBeforeNth(items, Math.max(0, count - index - 1))).at(-1));
  assert.deepEqual(left, lastSent);
});

test("a compaction neither counts nor resets the counting (0.80)", () => {
  const items = fixture("compaction-rollback-0.80.jsonl");
  const upToRollback = items.slice(0, -1);
  assert.deepEqual(
    userMessagePositions(upToRollback).map((index) => texts([upToRollback[index] ?? context])[0]),
    ["alpha", "beta", "gamma"],
  );
  assert.equal(userMessagePositions(items).length, 2);
  assert.equal(texts(truncateBeforeNth(items, 1)).at(-1), "ack alpha");
});

test("0.169: out of range keeps everything, or what precedes an unfinished turn", () => {
  const started = event({ type: "task_started", turn_id: "t" });
  const complete = event({ type: "task_complete", last_agent_message: "a" });
  const done = [started, user("u1"), agent("a1"), complete];
  assert.deepEqual(truncateBeforeNth(done, 1, "0.169"), done);
  assert.deepEqual(truncateBeforeNth(done, 0, "0.169"), [started]);
  const open = [...done, started, user("u2"), agent("half")];
  assert.deepEqual(truncateBeforeNth(open, 2, "0.169"), done);
  assert.deepEqual(truncateBeforeNth(open, 2, "0.80"), []);
});

test("an unfinished turn: explicit events decide, else the last user message", () => {
  const started = event({ type: "task_started" });
  const aborted = event({ type: "turn_aborted", reason: "interrupted" });
  assert.equal(openTurnStart([]), undefined);
  assert.equal(openTurnStart([started, user("u1"), aborted]), undefined);
  assert.equal(openTurnStart([started, user("u1"), aborted, started, user("u2")]), 3);
  assert.equal(openTurnStart([started, user("u1"), aborted, user("a stray one")]), undefined);
  assert.equal(openTurnStart([context, user("u1"), agent("a1")]), 1);
  assert.equal(openTurnStart([context, user("u1"), aborted]), undefined);
  assert.equal(openTurnStart([context]), undefined);
});
