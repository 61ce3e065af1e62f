import { anything, byType, either, listOf, record, type Shape, text } from "./shape.ts";

const part = byType(
  new Map([
    ["input_text", record({ text })],
    ["output_text", record({ text })],
    ["input_image", either(record({ image_url: text }), record({ file_id: text }))],
  ]),
);
const parts = listOf(part);
const thoughts = listOf(record({ type: text, text }));
const tagged = byType(new Map());
export const toolOutputShape: Shape = either(text, parts);
const id = { id: text };
const facts = record({}, { content_item_kinds: listOf(text), turn_id: text });

/**
 * What each kind of response item must be for the model's history. Optional fields as Codex has them: an item that lacks
 * what Codex needs is passed over by Codex too.
 */
export const responseItemShape = byType(
  new Map([
    [
      "message",
      record({ role: text, content: parts }, { ...id, phase: text, internal_chat_message_metadata_passthrough: facts }),
    ],
    ["reasoning", record({ summary: thoughts }, { ...id, content: thoughts, encrypted_content: text })],
    ["function_call", record({ name: text, arguments: text, call_id: text }, { ...id, namespace: text })],
    [
      "function_call_output",
      either(
        record({ call_id: text, output: toolOutputShape }, id),
        record({ name: text, output: toolOutputShape }, { ...id, namespace: text, retain: anything }),
      ),
    ],
    ["tool_search_call", record({ execution: text }, { ...id, call_id: text, status: text, arguments: anything })],
    [
      "tool_search_output",
      record({ status: text, execution: text, tools: listOf(anything) }, { ...id, call_id: text }),
    ],
    ["custom_tool_call", record({ call_id: text, name: text, input: text }, { ...id, status: text })],
    ["custom_tool_call_output", record({ call_id: text, output: toolOutputShape }, id)],
    ["local_shell_call", record({ status: text, action: tagged }, { ...id, call_id: text })],
    ["web_search_call", record({}, { ...id, status: text, action: tagged })],
    ["ghost_snapshot", record({}, { ghost_commit: anything })],
    ["compaction", record({ encrypted_content: text })],
  ]),
);
