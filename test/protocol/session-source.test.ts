import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSessionSource } from "../../src/protocol/session-source.ts";
import { fixture } from "./codex-fixtures.ts";

const spawn = { parent_thread_id: "01a2022b-2f61-7933-974f-2d2b006e0bdc", depth: 1, agent_path: null };

for (const [value, read] of [
  [undefined, "vscode"],
  [null, "vscode"],
  ["cli", "cli"],
  ["vscode", "vscode"],
  ["exec", "exec"],
  ["mcp", "mcp"],
  ["appServer", "unknown"],
  [7, "unknown"],
  [{}, "unknown"],
  [["cli"], "unknown"],
  [{ subagent: "review" }, { subagent: "review" }],
  [{ subagent: "compact" }, { subagent: "compact" }],
  [{ subagent: { other: "x" } }, { subagent: { other: "x" } }],
  [{ subagent: { thread_spawn: spawn } }, { subagent: { thread_spawn: spawn } }],
  [{ subagent: "future" }, { subagent: { other: "future" } }],
  [{ subagent: { future: {} } }, { subagent: { other: "future" } }],
  [{ subagent: { thread_spawn: { depth: 1 } } }, { subagent: { other: "thread_spawn" } }],
] as [unknown, unknown][]) {
  test(`${JSON.stringify(value)} reads as ${JSON.stringify(read)}`, () => {
    assert.deepEqual(parseSessionSource(value), read);
  });
}

test("an agent thread's source of 0.169 is kept whole", () => {
  const meta = fixture("line-kinds-0.169.jsonl").find((line) => line.type === "session_meta");
  assert.ok(meta?.type === "session_meta");
  assert.deepEqual(parseSessionSource(meta.payload.source), meta.payload.source);
  assert.match(JSON.stringify(meta.payload.source), /thread_spawn/);
});
