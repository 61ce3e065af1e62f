/** The lines of `exec --experimental-json`, from the core's events alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SdkLines } from "../../src/cli/exec/sdk-lines.ts";
import { SdkView } from "../../src/cli/exec/sdk-view.ts";
import { type EventMsg, newThreadId, type SubmissionId, type ThreadId } from "../../src/index.ts";
import type { TurnItem } from "../../src/protocol/turn-item.ts";

const threadId = newThreadId();
const place = { thread_id: threadId, turn_id: "t1" };
const started = (item: TurnItem): EventMsg => ({ type: "item_started", ...place, item });
const completed = (item: TurnItem): EventMsg => ({ type: "item_completed", ...place, item });
const linesOf = (...msgs: EventMsg[]) => {
  const lines = new SdkLines();
  return msgs.flatMap((msg) => lines.linesOf(msg));
};
const configured = (id: ThreadId = threadId): EventMsg => ({
  type: "session_configured",
  session_id: id,
  model: "m",
  model_provider_id: "p",
  approval_policy: "never",
  sandbox_policy: { type: "read-only" },
  cwd: "/",
  history_log_id: 0,
  history_entry_count: 0,
  rollout_path: null,
});
const tokens = { input_tokens: 9, cached_input_tokens: 3, output_tokens: 4, reasoning_output_tokens: 1 };
const usage = { ...tokens, total_tokens: 13 };
const tokenCount: EventMsg = { type: "token_count", info: { total_token_usage: usage, last_token_usage: usage } };
const command: TurnItem = {
  type: "CommandExecution",
  id: "c1",
  command: ["/bin/bash", "-lc", "echo 'hi'"],
  cwd: "/",
  parsed_cmd: [],
  source: "agent",
  status: "in_progress",
};
const shown = { type: "command_execution", command: `/bin/bash -lc 'echo '"'"'hi'"'"''` };

test("a turn of reasoning and a message: both come whole, and the usage is the thread's total", () => {
  const message: TurnItem = { type: "AgentMessage", id: "m1", content: [{ type: "Text", text: "hello" }] };
  const reasoning: TurnItem = { type: "Reasoning", id: "r1", summary_text: ["one", "two"], raw_content: [] };
  assert.deepEqual(
    linesOf(
      configured(),
      { type: "task_started" },
      started({ ...reasoning, summary_text: [] }),
      completed(reasoning),
      completed({ ...reasoning, id: "r2", summary_text: [] }),
      started({ type: "AgentMessage", id: "m1", content: [] }),
      { type: "agent_message_delta", delta: "hello" },
      completed(message),
      { type: "agent_message", message: "hello" },
      tokenCount,
      { type: "token_count", info: null },
      { type: "task_complete", last_agent_message: "hello" },
    ),
    [
      { type: "thread.started", thread_id: threadId },
      { type: "turn.started" },
      { type: "item.completed", item: { id: "item_0", type: "reasoning", text: "one\ntwo" } },
      { type: "item.completed", item: { id: "item_1", type: "agent_message", text: "hello" } },
      { type: "turn.completed", usage: { ...tokens, cache_write_input_tokens: 0 } },
    ],
  );
});

test("a command starts and completes under one id", () => {
  assert.deepEqual(
    linesOf(
      started(command),
      completed({ ...command, status: "failed", aggregated_output: "hi\n", exit_code: 3 }),
      completed({ ...command, id: "c2", status: "declined", exit_code: -1 }),
    ),
    [
      {
        type: "item.started",
        item: { id: "item_0", ...shown, aggregated_output: "", exit_code: null, status: "in_progress" },
      },
      {
        type: "item.completed",
        item: { id: "item_0", ...shown, aggregated_output: "hi\n", exit_code: 3, status: "failed" },
      },
      {
        type: "item.completed",
        item: { id: "item_1", ...shown, aggregated_output: "", exit_code: -1, status: "declined" },
      },
    ],
  );
});

test("file changes start, and complete with how they ended", () => {
  const patch: TurnItem = {
    type: "FileChange",
    id: "p1",
    changes: { "/w/a": { type: "add", content: "x" }, "/w/b": { type: "update", unified_diff: "", move_path: null } },
    status: "in_progress",
  };
  const changes = [
    { path: "/w/a", kind: "add" },
    { path: "/w/b", kind: "update" },
  ];
  assert.deepEqual(
    linesOf(started(patch), completed({ ...patch, status: "completed" }), completed({ ...patch, status: "declined" })),
    [
      { type: "item.started", item: { id: "item_0", type: "file_change", changes, status: "in_progress" } },
      { type: "item.completed", item: { id: "item_0", type: "file_change", changes, status: "completed" } },
      { type: "item.completed", item: { id: "item_1", type: "file_change", changes, status: "failed" } },
    ],
  );
});

test("MCP calls, web searches and agents' calls carry what they came to", () => {
  const call: TurnItem = {
    type: "McpToolCall",
    id: "x",
    server: "s",
    tool: "t",
    arguments: { a: 1 },
    status: "failed",
  };
  const said = [{ type: "text", text: "ok" }];
  const mcp = { type: "mcp_tool_call", server: "s", tool: "t", arguments: { a: 1 } };
  const item = (line: unknown) => (line as { item: Record<string, unknown> }).item;
  const lines = linesOf(
    started({ ...call, status: "in_progress" }),
    completed({ ...call, status: "completed", result: { content: said, structuredContent: { b: 2 } } }),
    completed({ ...call, error: { message: "no" } }),
    completed({ type: "WebSearch", id: "w", query: "rivers" }),
    completed({
      type: "CollabAgentToolCall",
      id: "k",
      tool: "spawn_agent",
      status: "completed",
      sender_thread_id: threadId,
      receiver_thread_ids: [],
      agents_states: {},
    }),
    completed({ type: "DynamicToolCall", id: "d", tool: "mine", arguments: "{}", status: "completed" }),
  );
  assert.deepEqual(lines.map(item), [
    { id: "item_0", ...mcp, result: null, error: null, status: "in_progress" },
    {
      id: "item_0",
      ...mcp,
      result: { content: said, structured_content: { b: 2 } },
      error: null,
      status: "completed",
    },
    { id: "item_1", ...mcp, result: null, error: { message: "no" }, status: "failed" },
    { id: "item_2", type: "web_search", query: "rivers", action: { type: "other" } },
    {
      id: "item_3",
      type: "collab_tool_call",
      tool: "spawn_agent",
      sender_thread_id: threadId,
      receiver_thread_ids: [],
      prompt: null,
      agents_states: {},
      status: "completed",
    },
  ]);
});

test("a plan starts, is updated and completes with its turn; the next turn's is another", () => {
  const plan = (...steps: ("pending" | "completed")[]): EventMsg => ({
    type: "plan_update",
    plan: steps.map((status, index) => ({ step: `s${index}`, status })),
  });
  const lines = linesOf(
    plan("pending"),
    plan("completed"),
    { type: "turn_aborted", reason: "interrupted" },
    plan("pending"),
    {
      type: "task_complete",
    },
  );
  assert.deepEqual(
    lines.map((line) => ("item" in line ? [line.type, line.item] : [line.type])),
    [
      ["item.started", { id: "item_0", type: "todo_list", items: [{ text: "s0", completed: false }] }],
      ["item.updated", { id: "item_0", type: "todo_list", items: [{ text: "s0", completed: true }] }],
      ["item.completed", { id: "item_0", type: "todo_list", items: [{ text: "s0", completed: true }] }],
      ["item.started", { id: "item_1", type: "todo_list", items: [{ text: "s0", completed: false }] }],
      ["item.completed", { id: "item_1", type: "todo_list", items: [{ text: "s0", completed: false }] }],
      ["turn.completed"],
    ],
  );
});

test("what still runs at the end of its turn completes as failed", () => {
  const lines = linesOf(started(command), { type: "turn_aborted", reason: "interrupted" });
  assert.deepEqual(lines.at(-1), {
    type: "item.completed",
    item: { id: "item_0", ...shown, aggregated_output: "", exit_code: null, status: "failed" },
  });
});

test("an error fails its turn; a retry and a warning do not", () => {
  const lines = new SdkLines();
  const say = (msg: EventMsg) => lines.linesOf(msg);
  assert.deepEqual(say({ type: "warning", message: "hm" }), [
    { type: "item.completed", item: { id: "item_0", type: "error", message: "hm" } },
  ]);
  assert.deepEqual(say({ type: "stream_error", message: "Reconnecting... 1/5", additional_details: "cut" }), [
    { type: "error", message: "Reconnecting... 1/5 (cut)" },
  ]);
  assert.equal(say({ type: "task_complete" })[0]?.type, "turn.completed");
  assert.equal(lines.outcome, "completed");
  say({ type: "task_started" });
  assert.equal(lines.outcome, undefined);
  assert.deepEqual(say({ type: "error", message: "bad" }), [{ type: "error", message: "bad" }]);
  assert.deepEqual(say({ type: "task_complete" }), [{ type: "turn.failed", error: { message: "bad" } }]);
  assert.equal(lines.outcome, "failed");
  say({ type: "task_started" });
  assert.deepEqual(say({ type: "task_complete", error: { message: "worse" } }), [
    { type: "turn.failed", error: { message: "worse" } },
  ]);
});

test("kinds from the future are passed over", () => {
  const future = { type: "from_the_future" } as unknown as EventMsg;
  const hologram = { type: "Hologram", id: "h" } as unknown as TurnItem;
  assert.deepEqual(linesOf(future, started(hologram), completed(hologram)), []);
});

test("thread.started is the first line; notes follow it, and other threads stay out", () => {
  const written: string[] = [];
  const out = { writable: true, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
  const view = new SdkView({ stdout: out, stderr: out });
  const other = newThreadId();
  const event = (id: ThreadId, msg: EventMsg) =>
    view.event({ threadId: id, seq: 0, epoch: 1, time: 0, id: "" as SubmissionId, msg });
  view.note("a note");
  event(threadId, configured());
  event(other, configured(other));
  event(other, { type: "task_started" });
  event(threadId, configured());
  event(threadId, { type: "task_started" });
  view.flush();
  assert.deepEqual(
    written
      .join("")
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type),
    ["thread.started", "item.completed", "turn.started"],
  );
});
