import assert from "node:assert/strict";
import { test } from "node:test";
import { turnsOf, viewOf } from "../../src/app-server/v2/history-turns.ts";
import type { EventMsg } from "../../src/protocol/event.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";

const line = (payload: object, ordinal?: number): RolloutLine =>
  ({
    timestamp: "2026-01-05T10:00:00.000Z",
    type: "event_msg",
    payload,
    ...(ordinal === undefined ? {} : { ordinal }),
  }) as RolloutLine;
const meta = { timestamp: "2026-01-05T10:00:00.000Z", type: "session_meta", payload: {} } as RolloutLine;
const response = {
  timestamp: "2026-01-05T10:00:00.000Z",
  type: "response_item",
  payload: { type: "message", role: "user", content: [] },
} as RolloutLine;

const user = (text: string) => ({
  type: "item_completed",
  thread_id: "t",
  turn_id: "u",
  item: { type: "UserMessage", id: `u-${text}`, content: [{ type: "text", text }] },
});
const agent = (text: string) => ({
  type: "item_completed",
  thread_id: "t",
  turn_id: "u",
  item: { type: "AgentMessage", id: `a-${text}`, content: [{ type: "Text", text }] },
});
const started = (id: string) => ({ type: "task_started", turn_id: id, started_at: 1 });
const complete = (more: Partial<Extract<EventMsg, { type: "task_complete" }>> = {}) => ({
  type: "task_complete",
  last_agent_message: null,
  completed_at: 2,
  duration_ms: 5,
  ...more,
});
const turn = (id: string, text: string) => [started(id), user(text), agent(`re ${text}`), complete()];
const rollBack = (num_turns: number) => ({ type: "thread_rolled_back", num_turns });

const shown = (payloads: object[], running?: string) =>
  turnsOf(
    payloads.map((payload) => line(payload)),
    running,
  ).map(({ id, turn: { status, items } }) => [id, status, items.map((item) => item.id)]);

test("a paginated history: turns by their own ids, items, times and ends", () => {
  const [first] = turnsOf([meta, ...turn("t1", "a").map((payload) => line(payload))]);
  assert.deepEqual(
    { ...first?.turn, items: first?.turn.items.map(({ type, id }) => [type, id]) },
    {
      id: "t1",
      rootTurnId: "t1",
      itemsView: "full",
      status: "completed",
      error: null,
      startedAt: 1,
      completedAt: 2,
      durationMs: 5,
      items: [
        ["userMessage", "u-a"],
        ["agentMessage", "a-re a"],
      ],
    },
  );
  assert.equal(first?.ordinal, 1);
});

test("turns that failed, were interrupted, never ended, and run", () => {
  const error = { message: "it broke", codex_error_info: "other" } as const;
  assert.deepEqual(
    shown(
      [
        started("t1"),
        user("a"),
        complete({ error }),
        started("t2"),
        user("b"),
        { type: "turn_aborted", reason: "interrupted" },
        started("t3"),
        started("t4"),
      ],
      "t4",
    ),
    [
      ["t1", "failed", ["u-a"]],
      ["t2", "interrupted", ["u-b"]],
      ["t3", "interrupted", []],
      ["t4", "inProgress", []],
    ],
  );
});

test("a rollback takes user messages away: whole turns, and what was steered into one", () => {
  const steered = [started("t2"), user("b"), agent("x"), user("c"), agent("y"), complete()];
  assert.deepEqual(shown([...turn("t1", "a"), ...steered, rollBack(1)]), [
    ["t1", "completed", ["u-a", "a-re a"]],
    ["t2", "completed", ["u-b", "a-x"]],
  ]);
  assert.deepEqual(shown([...turn("t1", "a"), ...steered, rollBack(2)]), [["t1", "completed", ["u-a", "a-re a"]]]);
  assert.deepEqual(shown([...turn("t1", "a"), ...steered, rollBack(99), ...turn("t3", "d")]), [
    ["t3", "completed", ["u-d", "a-re d"]],
  ]);
});

test("a legacy history: ids by line and count, as 0.169 gives them; later turns have their own", () => {
  const payloads = [
    { type: "user_message", message: "old question", images: [] },
    { type: "token_count", info: null },
    { type: "agent_reasoning", text: "one" },
    { type: "agent_reasoning", text: "two" },
    { type: "agent_message", message: "re: old question" },
    { type: "user_message", message: "second old" },
    { type: "turn_aborted", reason: "interrupted" },
    started("t1"),
    { type: "user_message", message: "new" },
    { type: "agent_message", message: "answer" },
    complete(),
  ];
  const turns = turnsOf([meta, response, response, ...payloads.map((payload) => line(payload))]);
  assert.deepEqual(
    turns.map(({ id, turn: each }) => [id, each.status, each.items.map(({ id: item }) => item)]),
    [
      ["rollout-3", "completed", ["item-1", "item-2", "item-3"]],
      ["rollout-8", "interrupted", ["item-4"]],
      ["t1", "completed", ["item-5", "item-6"]],
    ],
  );
  assert.deepEqual(turns[0]?.turn.items[1]?.summary, ["one", "two"]);
});

test("views: nothing, the question and the last answer, everything", () => {
  const [only] = turnsOf(
    [started("t1"), user("a"), agent("x"), user("b"), agent("y"), complete()].map((payload) => line(payload)),
  );
  assert.ok(only !== undefined);
  assert.deepEqual(viewOf(only, "notLoaded").items, []);
  assert.deepEqual(
    viewOf(only, "summary").items.map(({ id }) => id),
    ["u-a", "a-y"],
  );
  assert.equal(viewOf(only, "full").items.length, 4);
});

test("a summary shows a final answer before a message without a phase, and no commentary", () => {
  const said = (...phases: (string | null)[]) =>
    phases.map((phase, index) => ({ ...agent(`${index}`), item: { ...agent(`${index}`).item, phase } }));
  const summaryOf = (...phases: (string | null)[]) => {
    const [only] = turnsOf([started("t1"), user("a"), ...said(...phases), complete()].map((payload) => line(payload)));
    return only === undefined ? [] : viewOf(only, "summary").items.map(({ id }) => id);
  };
  assert.deepEqual(summaryOf("final_answer", null, "commentary"), ["u-a", "a-0"]);
  assert.deepEqual(summaryOf(null, null, "partial_answer"), ["u-a", "a-1"]);
  assert.deepEqual(summaryOf("commentary", "partial_answer"), ["u-a"]);
});
