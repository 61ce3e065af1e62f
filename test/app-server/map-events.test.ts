import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventMapper } from "../../src/app-server/v2/map-events.ts";
import type { ThreadEvent } from "../../src/protocol/event.ts";

const event = (msg: object, id = "s"): ThreadEvent =>
  ({ threadId: "t", seq: 0, epoch: 1, time: 0, id, msg }) as unknown as ThreadEvent;
const mapped = (msgs: object[]) => {
  const mapper = new EventMapper("t");
  return msgs.flatMap((msg) => mapper.map(event(msg), 1_000));
};
const brief = (msgs: object[]) =>
  mapped(msgs).map(({ method, params }) => {
    const status = (params.status as { type?: string })?.type ?? (params.turn as { status?: string })?.status ?? "";
    return `${method} ${status}`.trim();
  });

const started = (turn_id: string) => ({ type: "task_started", turn_id, started_at: 1 });
const complete = { type: "task_complete", last_agent_message: null };

test("a failed turn: its error, systemError, and the end with the error; the next turn is active again", () => {
  assert.deepEqual(
    brief([started("a"), { type: "error", message: "m", codex_error_info: "other" }, complete, started("b"), complete]),
    [
      ...[
        "thread/status/changed active",
        "turn/started inProgress",
        "thread/status/changed systemError",
        "error",
        "turn/completed failed",
      ],
      ...[
        "thread/status/changed active",
        "turn/started inProgress",
        "thread/status/changed idle",
        "turn/completed completed",
      ],
    ],
  );
});

test("input without content that comes while a turn runs does not end that turn", () => {
  const mapper = new EventMapper("t");
  mapper.map(event(started("a"), "1"), 1_000);
  assert.deepEqual(mapper.map(event(complete, "2"), 1_000), []);
  assert.deepEqual(
    mapper.map(event({ ...complete, turn_id: "a" }, "1"), 1_000).map(({ method }) => method),
    ["thread/status/changed", "turn/completed"],
  );
});

test("a turn whose incarnation ended is told as interrupted when the next one begins", () => {
  const told = mapped([started("a"), { type: "session_configured" }]);
  assert.deepEqual(told.at(-1)?.method, "turn/completed");
  assert.equal((told.at(-1)?.params.turn as { status: string } | undefined)?.status, "interrupted");
});

test("an answer without a word does not stand for the turn's", () => {
  const said = (id: string, text: string) => ({
    ...{ type: "item_completed", thread_id: "t", turn_id: "t1" },
    item: { type: "AgentMessage", id, content: [{ type: "Text", text }] },
  });
  const ended = mapped([started("t1"), said("a", "one"), said("b", " \n"), complete]).at(-1);
  assert.deepEqual(
    Object(ended?.params).turn.items.map(({ id }: { id: string }) => id),
    ["a"],
  );
});

test("errors in v2's words", () => {
  const [told] = mapped([
    {
      type: "stream_error",
      message: "Reconnecting... 1/5",
      codex_error_info: { response_stream_disconnected: { http_status_code: 500 } },
      additional_details: "why",
    },
  ]);
  assert.deepEqual(told?.params, {
    threadId: "t",
    willRetry: true,
    turnId: "s",
    error: {
      message: "Reconnecting... 1/5",
      codexErrorInfo: { responseStreamDisconnected: { httpStatusCode: 500 } },
      additionalDetails: "why",
      misalignment: null,
    },
  });
});

test("usage: one report a response, not the snapshot of its headers", () => {
  const usage = (total: number) => ({
    input_tokens: total,
    cached_input_tokens: 0,
    output_tokens: 0,
    reasoning_output_tokens: 0,
    total_tokens: total,
  });
  const count = (total: number) => ({
    type: "token_count",
    info: { total_token_usage: usage(total), last_token_usage: usage(1), model_context_window: null },
    rate_limits: null,
  });
  const item = {
    type: "item_started",
    thread_id: "t",
    turn_id: "a",
    item: { type: "AgentMessage", id: "m", content: [] },
  };
  const told = mapped([started("a"), count(5), item, count(6), count(6)]).filter(
    ({ method }) => method === "thread/tokenUsage/updated",
  );
  assert.deepEqual(
    told.map(({ params }) => (params.tokenUsage as { total: { totalTokens: number } }).total.totalTokens),
    [6],
  );
});

test("whatever a thread says, each turn that is started is completed once, and before the next", () => {
  const msg = fc.oneof(
    fc.constantFrom("a", "b", "c").map(started),
    fc.constantFrom(
      complete,
      { type: "turn_aborted", reason: "interrupted" },
      { type: "session_configured" },
      { type: "shutdown_complete" },
    ),
    fc.constant({ type: "error", message: "m" }),
    fc.constant({ type: "something_new", x: 1 }),
  );
  fc.assert(
    fc.property(fc.array(msg, { maxLength: 30 }), (msgs) => {
      const mapper = new EventMapper("t");
      const told = [...msgs.flatMap((each) => mapper.map(event(each), 1)), ...mapper.lost(1)];
      const turns = told.filter(({ method }) => method === "turn/started" || method === "turn/completed");
      for (const [index, { method, params }] of turns.entries()) {
        assert.equal(method, index % 2 === 0 ? "turn/started" : "turn/completed");
        if (index % 2 === 1)
          assert.equal(
            (params.turn as { id: string }).id,
            (turns[index - 1]?.params.turn as { id: string } | undefined)?.id,
          );
      }
      assert.equal(turns.length % 2, 0);
    }),
  );
});
