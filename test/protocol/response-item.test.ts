import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assistantMessage,
  developerMessage,
  functionCallOutput,
  responseItemSchema,
  textOf,
  userMessage,
} from "../../src/protocol/response-item.ts";
import { unknownKind } from "../../src/protocol/unknown-kind.ts";

test("the makers write the Responses API's shapes", () => {
  assert.deepEqual(userMessage("hi"), { type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] });
  const image = { type: "input_image" as const, image_url: "data:," };
  assert.deepEqual(userMessage([image]), { type: "message", role: "user", content: [image] });
  assert.deepEqual(assistantMessage("a").content, [{ type: "output_text", text: "a" }]);
  assert.deepEqual([developerMessage("d").role, textOf(developerMessage("d"))], ["developer", "d"]);
  assert.deepEqual(functionCallOutput("c", "out"), { type: "function_call_output", call_id: "c", output: "out" });
});

test("the text of an item", () => {
  const parts = userMessage([
    { type: "input_text", text: "a" },
    { type: "input_image", image_url: "data:," },
    { type: "output_text", text: "b" },
    unknownKind("future_part", { text: "not read" }),
  ]);
  assert.equal(textOf(parts), "ab");
  assert.equal(textOf(functionCallOutput("c", "out")), "out");
  assert.equal(textOf(functionCallOutput("c", [{ type: "input_text", text: "out" }])), "out");
  assert.equal(textOf({ type: "reasoning", summary: [{ type: "summary_text", text: "s" }] }), "s");
  assert.equal(textOf({ type: "function_call", name: "f", arguments: "{}", call_id: "c" }), "");
  assert.equal(textOf(unknownKind("future_item", { text: "x" })), "");
});

test("an output belongs to a call or names its tool", () => {
  const output = { type: "function_call_output", output: "1. a" };
  for (const owner of [{ call_id: "c" }, { name: "proposed_plan" }, { call_id: "c", name: "proposed_plan" }])
    assert.deepEqual(responseItemSchema.parse({ ...output, ...owner }), { ...output, ...owner });
  assert.equal(responseItemSchema.safeParse(output).success, false);
});

test("an item of a known kind with wrong fields is refused, with the place", () => {
  const bad = responseItemSchema.safeParse({ type: "message", role: "user", content: [{ type: "input_text" }] });
  assert.deepEqual(bad.error?.issues[0]?.path, ["content", 0, "text"]);
  assert.equal(responseItemSchema.safeParse({ type: "function_call", call_id: "c" }).success, false);
  assert.equal(responseItemSchema.safeParse({ role: "user" }).success, false);
});
