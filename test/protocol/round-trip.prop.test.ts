import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseEventMsg } from "../../src/protocol/event-schemas.ts";
import { parseInitialHistory } from "../../src/protocol/initial-history.ts";
import { parseOp } from "../../src/protocol/op.ts";
import { responseItemSchema } from "../../src/protocol/response-item.ts";
import { parseRolloutLine, readStoredLine } from "../../src/protocol/rollout.ts";
import { userInputSchema } from "../../src/protocol/user-input.ts";

/** Fields of a newer version, beside those that we know. */
const extra = fc.dictionary(fc.stringMatching(/^x_[a-z]{1,8}$/), fc.jsonValue());
const unknownTag = fc.stringMatching(/^future_[a-z_]{0,12}$/);
const unknown = fc.tuple(extra, unknownTag).map(([fields, type]) => ({ ...fields, type }));
const text = fc.string({ unit: "grapheme" });
const count = fc.nat();

const withExtra = <T extends object>(known: fc.Arbitrary<T>): fc.Arbitrary<T & Record<string, unknown>> =>
  fc.tuple(extra, known).map(([fields, value]) => ({ ...fields, ...value }));
const tagged = <T extends object>(type: string, fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  withExtra(fc.record({ type: fc.constant(type), ...fields }));

const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const input = fc.oneof(
  tagged("text", { text }),
  tagged("image", { image_url: text }),
  tagged("local_image", { path: text }),
  tagged("skill", { name: text, path: text }),
  unknown,
);
const policy = fc.oneof(
  tagged("danger-full-access", {}),
  tagged("external-sandbox", { network_access: fc.constantFrom("restricted", "enabled") }),
  tagged("workspace-write", {
    writable_roots: fc.array(text),
    network_access: fc.boolean(),
    exclude_tmpdir_env_var: fc.boolean(),
    exclude_slash_tmp: fc.boolean(),
  }),
);
const decision = fc.oneof(
  fc.constantFrom("approved", "approved_for_session", "denied", "abort"),
  fc.array(text).map((rule) => ({ approved_execpolicy_amendment: { proposed_execpolicy_amendment: rule } })),
);
const op = fc.oneof(
  tagged("interrupt", {}),
  tagged("user_input", { items: fc.array(input), final_output_json_schema: fc.jsonValue() }),
  tagged("user_turn", {
    items: fc.array(input),
    cwd: text,
    approval_policy: fc.oneof(
      fc.constantFrom("untrusted", "on-failure", "on-request", "never"),
      fc.record({
        granular: fc.record({
          ...{ sandbox_approval: fc.boolean(), rules: fc.boolean(), mcp_elicitations: fc.boolean() },
          ...{ skill_approval: fc.boolean(), request_permissions: fc.boolean() },
        }),
      }),
    ),
    sandbox_policy: policy,
    model: text,
    effort: fc.constantFrom(null, "low", "ultra"),
    summary: fc.constantFrom("auto", "none"),
  }),
  tagged("override_turn_context", { effort: fc.constant(null) }),
  tagged("exec_approval", { id: text, decision }),
  tagged("resolve_elicitation", {
    server_name: text,
    request_id: fc.oneof(text, count),
    decision: fc.constantFrom("accept", "decline", "cancel"),
  }),
  tagged("thread_rollback", { num_turns: count }),
  tagged("review", { review_request: withExtra(fc.record({ target: fc.jsonValue() })) }),
  unknown,
);

const part = fc.oneof(tagged("input_text", { text }), tagged("output_text", { text }), unknown);
const output = fc.oneof(text, fc.array(part));
const response = fc.oneof(
  tagged("message", { role: fc.constantFrom("user", "assistant", "developer", "future"), content: fc.array(part) }),
  tagged("reasoning", { summary: fc.array(tagged("summary_text", { text })), content: fc.constant(null) }),
  tagged("function_call", { name: text, arguments: text, call_id: text }),
  tagged("function_call_output", { call_id: text, output }),
  tagged("custom_tool_call", { name: text, input: text, call_id: text }),
  tagged("local_shell_call", { status: text, action: tagged("exec", { command: fc.array(text) }) }),
  tagged("ghost_snapshot", { ghost_commit: fc.jsonValue() }),
  tagged("compaction", { encrypted_content: text }),
  unknown,
);

const turnItem = fc.oneof(
  tagged("UserMessage", { id: text, content: fc.array(input) }),
  tagged("AgentMessage", { id: text, content: fc.array(tagged("Text", { text })) }),
  tagged("Reasoning", { id: text, summary_text: fc.array(text), raw_content: fc.array(text) }),
  unknown,
);
const event = fc.oneof(
  tagged("user_message", { message: text, images: fc.array(text) }),
  tagged("agent_message", { message: text }),
  tagged("token_count", { info: fc.constant(null), rate_limits: fc.jsonValue() }),
  tagged("thread_rolled_back", { num_turns: count }),
  tagged("turn_aborted", { reason: text, turn_id: fc.constantFrom(null, "t") }),
  tagged("task_complete", { last_agent_message: fc.option(text) }),
  tagged("item_completed", { thread_id: text, turn_id: text, item: turnItem }),
  tagged("warning", {}),
  unknown,
);

const id = fc.uuid({ version: 7 });
const line = fc.oneof(
  tagged("session_meta", { timestamp: text, payload: withExtra(fc.record({ id })) }),
  tagged("response_item", { timestamp: text, ordinal: count, payload: response }),
  tagged("event_msg", { timestamp: text, payload: event }),
  tagged("turn_context", { timestamp: text, payload: extra }),
  tagged("compacted", { timestamp: text, payload: withExtra(fc.record({ message: text })) }),
  withExtra(fc.record({ type: unknownTag, timestamp: text, payload: fc.jsonValue() })),
);

for (const [name, values, parse] of [
  ["an op", op, parseOp],
  ["a user input", input, (value: unknown) => userInputSchema.parse(value)],
  ["a response item", response, (value: unknown) => responseItemSchema.parse(value)],
  ["an event", event, parseEventMsg],
  ["a rollout line", line, parseRolloutLine],
] as [string, fc.Arbitrary<unknown>, (value: unknown) => unknown][]) {
  test(`${name} survives reading and writing, with the fields and kinds of newer versions`, () => {
    fc.assert(
      fc.property(values, (value) => {
        assert.deepEqual(sent(parse(sent(value))), sent(value));
      }),
      { numRuns: 300 },
    );
  });
}

test("an initial history survives, in our spelling and in Codex's", () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), id, fc.option(text), (items, conversationId, path) => {
      const resumed = { conversation_id: conversationId, history: items, rollout_path: path };
      const forked = sent(parseInitialHistory(sent({ Forked: items })));
      assert.deepEqual(forked, sent({ type: "forked", items }));
      assert.deepEqual(sent(parseInitialHistory(forked)), forked);
      assert.deepEqual(sent(parseInitialHistory(sent({ Resumed: resumed }))), sent({ type: "resumed", ...resumed }));
    }),
  );
});

test("no JSON at all makes a reader of lines throw, and what it gives fits its types", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.jsonValue(),
        fc.record({
          timestamp: text,
          type: fc.constantFrom("response_item", "event_msg", "compacted", "session_meta"),
          payload: fc.oneof(
            fc.jsonValue(),
            fc.record({
              type: fc.constantFrom("message", "item_completed", "token_count", "reasoning"),
              item: fc.jsonValue(),
              info: fc.jsonValue(),
              content: fc.jsonValue(),
            }),
          ),
        }),
      ),
      (value) => {
        const read = parseRolloutLine(value);
        const problems: string[] = [];
        assert.ok(read === undefined || readStoredLine(read, problems) === read, "what was read fits");
        assert.deepEqual(problems, []);
      },
    ),
    { numRuns: 500 },
  );
});
