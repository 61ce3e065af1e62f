/** 0.87's tools for agents (SPEC 14.3), step by step as a recorded session of it has them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, hang } from "../../../../src/model/script.ts";
import type { ThreadId } from "../../../../src/protocol/ids.ts";
import { settled } from "../../../kernel/settled.ts";
import { until } from "../../../rig.ts";
import { team } from "./team.ts";

const collab = { config: { builtInTools: ["collab"] } } as const;

test("the recorded session: outputs, events, items", async () => {
  await using t = await team({
    ...collab,
    lead: [
      [call("spawn_agent", { message: "CHILD TASK one" }, { callId: "spawn" })],
      ([id]) => [call("wait", { ids: [id], timeout_ms: 15_000 }, { callId: "wait" })],
      ([id]) => [call("send_input", { id, message: "CHILD TASK two" }, { callId: "send" })],
      ([id]) => [call("wait", { ids: [id], timeout_ms: 15_000 }, { callId: "wait2" })],
      ([id]) => [call("close_agent", { id }, { callId: "close" })],
      [call("send_input", { id: "nope", message: "x" }, { callId: "badid" })],
      [call("wait", { ids: [] }, { callId: "badwait" })],
    ],
    agent: (_, input) => `child says: ${input}`,
  });
  await t.lead.run("PARENT TASK");
  const [id] = t.agents() as [ThreadId];
  const [one, two] = ["one", "two"].map((n) => ({ completed: `child says: CHILD TASK ${n}` }));
  assert.deepEqual(t.outputs(), [
    `{"agent_id":"${id}"}`,
    JSON.stringify({ status: { [id]: one }, timed_out: false }),
    '{"submission_id":"1"}',
    JSON.stringify({ status: { [id]: two }, timed_out: false }),
    JSON.stringify({ status: two }),
    "invalid agent id nope: Error(ParseChar { character: 'n', index: 1 })",
    "ids must be non-empty",
  ]);
  const sender_thread_id = t.lead.id;
  const receiver_thread_id = id;
  const spawn = { call_id: "spawn", sender_thread_id, prompt: "CHILD TASK one" };
  const send = { call_id: "send", sender_thread_id, receiver_thread_id, prompt: "CHILD TASK two" };
  const close = { call_id: "close", sender_thread_id, receiver_thread_id };
  const waiting = (call_id: string, state: unknown) => [
    { type: "collab_waiting_begin", call_id, sender_thread_id, receiver_thread_ids: [id] },
    { type: "collab_waiting_end", call_id, sender_thread_id, statuses: { [id]: state } },
  ];
  assert.deepEqual(
    t.events.flatMap(({ msg }) => (msg.type.startsWith("collab_") ? [msg] : [])),
    [
      { type: "collab_agent_spawn_begin", ...spawn },
      { type: "collab_agent_spawn_end", ...spawn, new_thread_id: id, status: "pending_init" },
      ...waiting("wait", one),
      { type: "collab_agent_interaction_begin", ...send },
      { type: "collab_agent_interaction_end", ...send, status: one },
      ...waiting("wait2", two),
      { type: "collab_close_begin", ...close },
      { type: "collab_close_end", ...close, status: two },
    ],
  );
  assert.deepEqual(
    t.items().map(({ tool, status, agents_states }) => [tool, status, agents_states]),
    [
      ["spawn_agent", "completed", { [id]: "pending_init" }],
      ["wait", "completed", { [id]: one }],
      ["send_input", "completed", { [id]: one }],
      ["wait", "completed", { [id]: two }],
      ["close_agent", "completed", { [id]: two }],
    ],
  );
});

test("no limits, and every agent has the tools; an interrupt is an end; a wait is five minutes at most", async () => {
  await using t = await team({
    ...collab,
    lead: [
      Array.from({ length: 7 }, () => call("spawn_agent", { message: "hang" })),
      ([id]) => [call("wait", { ids: [id], timeout_ms: 9_000_000 })],
    ],
    agent: () => [hang()],
  });
  const run = t.lead.run("go");
  await until(() => t.agents().length === 7 && t.requestsOf(t.agents()[6] ?? "").length === 1);
  const [first, second] = t.agents() as [ThreadId, ThreadId];
  assert.equal(t.requestsOf(first)[0]?.tools.length, 4);
  await settled();
  await t.clock.advanceAsync(300_000);
  assert.equal((await run).status, "completed");
  assert.deepEqual(t.results()[7], { status: {}, timed_out: true });
  const waiting = t.manager.agentControl().waitFor([second]);
  await settled();
  await (await t.manager.getThread(second)).interrupt();
  assert.deepEqual((await waiting).status, { [second]: { errored: "Interrupted" } });
});
