import assert from "node:assert/strict";
import { test } from "node:test";
import { type ContentItem, type ResponseItem, userMessage } from "../../src/protocol/response-item.ts";
import { isUserBoundary } from "../../src/protocol/user-boundary.ts";

const input = (text: string): ContentItem => ({ type: "input_text", text });
const output = (text: string): ContentItem => ({ type: "output_text", text });

type Case = [name: string, content: string | ContentItem[], counts080: boolean, counts0169: boolean];

const cases: Case[] = [
  ["plain text", "hello", true, true],
  ["no content at all", [], true, true],
  ["an empty text", "", true, true],
  ["only an image", [{ type: "input_image", image_url: "data:," }], true, true],
  ["output_text under the user's role", [output("hi")], true, true],
  ["AGENTS.md", "# AGENTS.md instructions for /tmp\n\n<INSTRUCTIONS>\nx\n</INSTRUCTIONS>", false, false],
  ["AGENTS.md, indented", "  # AGENTS.md instructions for /tmp\n</INSTRUCTIONS>", true, false],
  ["AGENTS.md, lower case", "# agents.md instructions for /tmp\n</instructions>", true, false],
  ["AGENTS.md without its end", "# AGENTS.md instructions for /tmp", false, true],
  [
    "AGENTS.md as the first of two parts",
    [input("# AGENTS.md instructions for /t\n</INSTRUCTIONS>"), input("x")],
    true,
    false,
  ],
  ["AGENTS.md as output_text", [output("# AGENTS.md instructions for /t\n</INSTRUCTIONS>")], true, true],
  ["legacy instructions", "<user_instructions>x</user_instructions>", false, true],
  ["legacy instructions, indented", " <user_instructions>x</user_instructions>", true, true],
  ["a skill", "<skill>\n<name>x</name>\n</skill>", false, false],
  ["a tag that starts as skill does", "<skillful is not a tag", false, true],
  ["a skill, indented", "\n<skill>x</skill>", true, false],
  ["a skill, upper case", "<SKILL>x</SKILL>", true, false],
  ["environment context", "<environment_context>\n</environment_context>", false, false],
  ["environment context, indented, upper case", " \t<ENVIRONMENT_CONTEXT>x</ENVIRONMENT_CONTEXT>\n", false, false],
  ["environment context without its end", "<environment_context>", false, true],
  [
    "environment context in the second part",
    [input("x"), input("<environment_context></environment_context>")],
    false,
    false,
  ],
  ["environment context as output_text", [output("<environment_context></environment_context>")], false, true],
  ["environment context after NEL", "\u0085<environment_context></environment_context>", false, false],
  ["environment context after a byte order mark", "\ufeff<environment_context></environment_context>", true, true],
  ["environment context mentioned", "what is <environment_context>?", true, true],
  ["shell command", "<user_shell_command>ls</user_shell_command>", false, false],
  ["shell command, odd case, no end", " <User_Shell_Command> odd case", false, true],
  [
    "shell command in the second part",
    [input("x"), input("<user_shell_command>ls</user_shell_command>")],
    false,
    false,
  ],
  ["shell command as output_text", [output("<user_shell_command>ls</user_shell_command>")], true, true],
  ["turn aborted", "<turn_aborted>\n  <reason>interrupted</reason>\n</turn_aborted>", true, false],
  ["subagent notification", '<subagent_notification>\n{"a":1}\n</subagent_notification>', true, false],
  ["internal context", '<codex_internal_context source="goal">x</codex_internal_context>', true, false],
  ["internal context without a source", "<codex_internal_context>x</codex_internal_context>", true, true],
  ["a warning of the user's", "Warning: something", true, true],
  ["a legacy warning", "Warning: apply_patch was requested via exec_command. Use it.", true, false],
];

for (const [name, content, counts080, counts0169] of cases) {
  test(`${name}: ${counts080 ? "counts" : "is context"} in 0.80, ${counts0169 ? "counts" : "is context"} in 0.169`, () => {
    const item = userMessage(content);
    assert.equal(isUserBoundary(item), counts080);
    assert.equal(isUserBoundary(item, "0.80"), counts080);
    assert.equal(isUserBoundary(item, "0.169"), counts0169);
  });
}

test("no other role and no other kind counts", () => {
  const content = [input("hello")];
  const items: ResponseItem[] = [
    { type: "message", role: "assistant", content },
    { type: "message", role: "developer", content },
    { type: "message", role: "system", content },
    { type: "function_call_output", call_id: "c", output: "hello" },
    { type: "reasoning", summary: [] },
  ];
  for (const item of items) {
    assert.equal(isUserBoundary(item), false);
    assert.equal(isUserBoundary(item, "0.169"), false);
  }
});

test("a long run of white space is not searched again from each of its places", () => {
  const long = userMessage(`<environment_context>${" \n".repeat(500_000)}x`);
  const started = performance.now();
  isUserBoundary(long, "0.169");
  assert.ok(performance.now() - started < 2_000);
});
