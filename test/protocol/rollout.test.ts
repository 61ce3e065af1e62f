import assert from "node:assert/strict";
import { test } from "node:test";
import { responseItemSchema } from "../../src/protocol/response-item.ts";
import { parseRolloutItem, parseRolloutLine, type RolloutLine } from "../../src/protocol/rollout.ts";
import { parseSessionSource } from "../../src/protocol/session-source.ts";
import { fixture, fixtureJson, fixtureNames } from "./codex-fixtures.ts";

const timestamp = "2026-01-01T00:00:00.000Z";
const line = (type: string, payload: unknown): unknown => ({ timestamp, type, payload });

test("there are lines of 0.80, 0.87 and 0.169 to check", () => {
  for (const version of ["0.80", "0.87", "0.169"]) {
    assert.ok(
      fixtureNames().some((name) => name.includes(version)),
      version,
    );
  }
});

for (const name of fixtureNames()) {
  test(`${name}: every line is read and written back as it was`, () => {
    const values = fixtureJson(name);
    assert.ok(values.length > 5);
    for (const value of values) {
      const before = JSON.stringify(value);
      const read = parseRolloutLine(value);
      assert.ok(read !== undefined, before);
      assert.equal(JSON.stringify(read), before);
      if (read.type === "response_item") {
        assert.equal(JSON.stringify(responseItemSchema.parse(read.payload)), JSON.stringify(read.payload));
      }
      if (read.type === "session_meta") assert.notEqual(parseSessionSource(read.payload.source), "unknown");
    }
  });
}

const first = (name: string, type: RolloutLine["type"]): RolloutLine | undefined =>
  fixture(name).find((each) => each.type === type);

test("a paginated fork names its base", () => {
  const meta = first("paginated-fork-0.169.jsonl", "session_meta");
  assert.ok(meta?.type === "session_meta");
  assert.equal(meta.payload.history_mode, "paginated");
  assert.equal(meta.ordinal, meta.payload.history_base?.end_ordinal_exclusive);
  assert.equal(meta.payload.forked_from_id, meta.payload.history_base?.thread_id);
});

test("lines of unknown types pass with any payload or none", () => {
  for (const value of [line("future_kind", 7), line("future_kind", null), { timestamp, type: "future_kind" }]) {
    assert.equal(parseRolloutLine(value), value);
  }
});

const noLine: [string, unknown][] = [
  ["null", null],
  ["a text", "x"],
  ["an array", [line("compacted", { message: "m" })]],
  ["no type", { timestamp, payload: {} }],
  ["a type that is no text", { timestamp, type: 7, payload: {} }],
  ["no timestamp", { type: "compacted", payload: { message: "m" } }],
];
const unreadable: [string, unknown][] = [
  ["session_meta without an id", line("session_meta", { cwd: "/" })],
  ["session_meta whose id is no uuid", line("session_meta", { id: "x" })],
  ["response_item without a payload", { timestamp, type: "response_item" }],
  ["response_item without a type", line("response_item", { role: "user" })],
  ["a message without content", line("response_item", { type: "message", role: "user" })],
  ["a message with a part that is no object", line("response_item", { type: "message", role: "user", content: ["x"] })],
  ["a call without arguments", line("response_item", { type: "function_call", name: "f", call_id: "c" })],
  ["an output that is a number", line("response_item", { type: "function_call_output", call_id: "c", output: 7 })],
  ["an event without a type", line("event_msg", {})],
  ["user_message without a message", line("event_msg", { type: "user_message" })],
  ["a rollback of minus one", line("event_msg", { type: "thread_rolled_back", num_turns: -1 })],
  ["a compaction without a message", line("compacted", {})],
  [
    "a compaction whose history has a message without content",
    line("compacted", { message: "m", replacement_history: [{ type: "message", role: "user" }] }),
  ],
  ["a compaction whose history is a text", line("compacted", { message: "m", replacement_history: "x" })],
  ["a turn context that is a text", line("turn_context", "x")],
];
for (const [name, value] of [...noLine, ...unreadable]) {
  test(`not read: ${name}`, () => assert.equal(parseRolloutLine(value), undefined));
}

test("a compaction's history with notes of another form is read", () => {
  const content = [{ type: "input_text", text: "x" }];
  const notes = { internal_chat_message_metadata_passthrough: { content_item_kinds: [[]] } };
  const message = { type: "message", role: "user", content, ...notes };
  const read = parseRolloutLine(line("compacted", { message: "m", replacement_history: [message] }));
  assert.ok(read?.type === "compacted");
  assert.equal(read.payload.replacement_history?.length, 1);
});

test("an item needs no timestamp", () => {
  const item = { type: "compacted", payload: { message: "m" } };
  assert.equal(parseRolloutItem(item), item);
});

test("an event under 0.87's newer name is read under the name that is written", () => {
  const read = parseRolloutLine(line("event_msg", { type: "turn_started", turn_id: "t" }));
  assert.deepEqual(read, line("event_msg", { type: "task_started", turn_id: "t" }));
});
