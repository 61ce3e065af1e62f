import assert from "node:assert/strict";
import { test } from "node:test";
import { type AgentStatus, isFinalStatus } from "../../src/protocol/agent-status.ts";
import type { EventMsg } from "../../src/protocol/event.ts";
import { agentStatusAfter } from "../../src/turn/agent-status-after.ts";

const after = (...events: EventMsg[]): AgentStatus =>
  events.reduce<AgentStatus>((status, msg) => agentStatusAfter(status, msg), "pending_init");

const started: EventMsg = { type: "task_started" };
const complete: EventMsg = { type: "task_complete", last_agent_message: "done" };

test("a turn runs and completes with its last message", () => {
  assert.equal(after(), "pending_init");
  assert.equal(after(started), "running");
  assert.equal(after(started, { type: "warning", message: "w" }), "running");
  assert.deepEqual(after(started, complete), { completed: "done" });
  assert.deepEqual(after(started, { type: "task_complete" }), { completed: null });
  assert.equal(after(started, complete, started), "running");
  assert.equal(after(started, complete, { type: "shutdown_complete" }), "shutdown");
});

test("a failed turn ends as completed without a message", () => {
  assert.deepEqual(after(started, { type: "error", message: "boom" }), { errored: "boom" });
  assert.deepEqual(after(started, { type: "error", message: "boom" }, { type: "task_complete" }), { completed: null });
});

test("an aborted turn is an error of its reason; 0.169 tells an interrupt apart", () => {
  const aborted = (reason: string): EventMsg => ({ type: "turn_aborted", reason });
  assert.deepEqual(after(started, aborted("interrupted")), { errored: "Interrupted" });
  assert.deepEqual(after(started, aborted("replaced")), { errored: "Replaced" });
  assert.deepEqual(after(started, aborted("review_ended")), { errored: "ReviewEnded" });
  assert.equal(agentStatusAfter("running", aborted("interrupted"), "0.169"), "interrupted");
  assert.deepEqual(agentStatusAfter("running", aborted("replaced"), "0.169"), { errored: "Replaced" });
});

test("final is everything but waiting and running", () => {
  const final: AgentStatus[] = [{ completed: null }, { errored: "e" }, "shutdown", "not_found"];
  const open: AgentStatus[] = ["pending_init", "running", "interrupted"];
  assert.deepEqual(final.map(isFinalStatus), [true, true, true, true]);
  assert.deepEqual(open.map(isFinalStatus), [false, false, false]);
});
