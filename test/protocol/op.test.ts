import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { type Op, opSchemas, parseOp } from "../../src/protocol/op.ts";
import { unknownKind } from "../../src/protocol/unknown-kind.ts";

/** SPEC 2's table, inject_items, and Skein's own thread_message. */
const KINDS =
  `interrupt user_input user_turn override_turn_context exec_approval patch_approval user_input_answer resolve_elicitation
  add_to_history get_history_entry_request list_mcp_tools list_custom_prompts list_models list_skills compact inject_items undo
  thread_message thread_rollback review run_user_shell_command shutdown refresh_mcp_servers`.split(/\s+/);

test("every op of the specification is known", () => {
  assert.deepEqual([...opSchemas.keys()].sort(), KINDS.sort());
});

const turn = {
  type: "user_turn",
  items: [{ type: "text", text: "hi" }],
  cwd: "/w",
  approval_policy: "never",
  sandbox_policy: { type: "read-only" },
  model: "m",
  summary: "auto",
};

const smallest: Op[] = [
  { type: "interrupt" },
  { type: "user_input", items: [] },
  { type: "override_turn_context" },
  { type: "override_turn_context", effort: null },
  { type: "exec_approval", id: "0", decision: "approved" },
  { type: "patch_approval", id: "0", decision: "abort" },
  { type: "user_input_answer", id: "0", response: { answers: {} } },
  { type: "override_turn_context", collaboration_mode: { mode: "plan", settings: { model: "m" } } },
  { type: "list_skills" },
  { type: "thread_rollback", num_turns: 0 },
  { type: "refresh_mcp_servers", config: { mcp_servers: {}, mcp_oauth_credentials_store_mode: "auto" } },
];
for (const op of smallest) {
  test(`taken: ${JSON.stringify(op)}`, () => assert.deepEqual(parseOp(op), op));
}

test("a missing effort and a null one stay apart", () => {
  assert.equal(Object.hasOwn(parseOp({ type: "override_turn_context" }), "effort"), false);
});

test("a sandbox policy gets Codex's defaults", () => {
  const op = parseOp({ ...turn, sandbox_policy: { type: "workspace-write", writable_roots: ["/a"] } });
  assert.ok(op.type === "user_turn");
  assert.deepEqual(op.sandbox_policy, {
    type: "workspace-write",
    writable_roots: ["/a"],
    network_access: false,
    exclude_tmpdir_env_var: false,
    exclude_slash_tmp: false,
  });
});

test("an unknown op and unknown inputs pass as they came", () => {
  const op = { type: "future_op", deep: { a: [1] } };
  assert.equal(parseOp(op), op);
  assert.deepEqual(parseOp(unknownKind("future_op", { deep: 1 })), { type: "future_op", deep: 1 });
  const input = { type: "user_input", items: [{ type: "future_input", x: 1 }] };
  assert.deepEqual(parseOp(input), input);
});

const wrong: [value: unknown, ...parts: string[]][] = [
  [undefined, "op: type: must be a string"],
  [null, "op: type: must be a string"],
  [[], "op: type: must be a string"],
  [{ type: 7 }, "op: type: must be a string"],
  [{ type: "user_input" }, "op user_input", "items", "expected array"],
  [{ type: "user_input", items: [{ type: "text", text: 7 }] }, "items[0].text", "expected string"],
  [{ type: "user_input", items: [{ type: "skill", name: "n" }] }, "items[0].path", "expected string"],
  [{ type: "user_input", items: [{}] }, "items[0].type"],
  [{ type: "user_input", items: ["x"] }, "items[0]", "expected object"],
  [{ type: "thread_rollback", num_turns: 1.5 }, "num_turns"],
  [{ type: "thread_rollback", num_turns: -1 }, "num_turns"],
  [{ type: "exec_approval", id: "0", decision: "yes" }, "decision"],
  [{ type: "exec_approval", decision: "approved" }, "op exec_approval: id"],
  [{ ...turn, sandbox_policy: { type: "nowhere" } }, "sandbox_policy.type"],
  [{ ...turn, approval_policy: "always" }, "approval_policy", "untrusted"],
  [{ ...turn, model: 1, cwd: 2 }, "cwd: ", "model: "],
];
for (const [value, ...parts] of wrong) {
  test(`refused: ${JSON.stringify(value)?.slice(0, 110)}`, () => {
    assert.throws(
      () => parseOp(value),
      (error) => {
        assert.ok(error instanceof InvalidRequestError);
        for (const part of parts) assert.ok(error.message.includes(part), `${error.message} should name ${part}`);
        return true;
      },
    );
  });
}

for (const type of ["user_input", "of_tomorrow"]) {
  test(`an op ${type} with a getter that throws is refused, with the cause`, () => {
    const cause = new Error("mine");
    const throwing = () => {
      throw cause;
    };
    const ops = [
      Object.defineProperty({ type }, "items", { enumerable: true, get: throwing }),
      Object.defineProperty({}, "type", { enumerable: true, get: throwing }),
      new Proxy({ type }, { get: throwing }),
    ];
    for (const op of ops) {
      assert.throws(
        () => parseOp(op),
        (error) => error instanceof InvalidRequestError && error.cause === cause,
      );
    }
  });
}
