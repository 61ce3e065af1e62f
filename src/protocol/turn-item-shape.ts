import { toolOutputShape } from "./response-item-shape.ts";
import {
  anything,
  byType,
  count,
  either,
  listOf,
  mapOf,
  number,
  record,
  type Shape,
  text,
  textMatching,
} from "./shape.ts";

/** The spans of a user's text. */
export const textElementsShape = listOf(
  record({ byte_range: record({ start: count, end: count }) }, { placeholder: text }),
);

const userInput = byType(
  new Map([
    ["text", record({ text }, { text_elements: textElementsShape })],
    ["image", either(record({ image_url: text }), record({ file_id: text }))],
    ["local_image", record({ path: text }, { detail: anything })],
    ["audio", record({ audio_url: text })],
    ["local_audio", record({ path: text })],
    ["skill", record({ name: text, path: text })],
  ]),
);

const said = byType(new Map([["Text", record({ text })]]));
const duration = record({ secs: number, nanos: number });
const change = byType(
  new Map([
    ["add", record({ content: text })],
    ["delete", record({ content: text })],
    ["update", record({ unified_diff: text }, { move_path: text })],
  ]),
);
const nameOnly = textMatching("a status", (value) => value !== "");
const agentStatus: Shape = either(nameOnly, record({ errored: text }), {
  ...record({}, { completed: text }),
  expected: "a status",
});

/** What each kind of a turn's item must be for those who show it; unknown kinds need no more than their tag. */
export const turnItemShape = byType(
  new Map([
    ["UserMessage", record({ content: listOf(userInput) }, { id: text, client_id: text })],
    ["AgentMessage", record({ content: listOf(said) }, { id: text, phase: text })],
    ["Reasoning", record({ summary_text: listOf(text), raw_content: listOf(text) }, { id: text })],
    ["WebSearch", record({ id: text, query: text }, { action: anything })],
    [
      "CommandExecution",
      record(
        {
          id: text,
          command: listOf(text),
          cwd: text,
          parsed_cmd: listOf(record({ type: text, cmd: text }, { name: text, path: text, query: text })),
          source: text,
          status: text,
        },
        { process_id: text, aggregated_output: text, exit_code: number, duration },
      ),
    ],
    ["FileChange", record({ id: text, changes: mapOf(change), status: text })],
    [
      "McpToolCall",
      record({ id: text, server: text, tool: text, status: text }, { error: record({ message: text }), duration }),
    ],
    [
      "CollabAgentToolCall",
      record(
        {
          id: text,
          tool: text,
          status: text,
          sender_thread_id: text,
          receiver_thread_ids: listOf(text),
          agents_states: mapOf(agentStatus),
        },
        {
          receiver_agents: listOf(record({ thread_id: text }, { agent_nickname: text })),
          prompt: text,
          model: text,
          reasoning_effort: text,
        },
      ),
    ],
    [
      "DynamicToolCall",
      record(
        { id: text, tool: text, arguments: anything, status: text },
        { namespace: text, output: text, content_items: listOf(record({ type: text })), duration_ms: number },
      ),
    ],
    ["FunctionCallOutput", record({ id: text, name: text, output: toolOutputShape }, { namespace: text })],
    ["ContextCompaction", record({ id: text })],
    ["ImageView", record({ id: text, path: text })],
    ["Plan", record({ id: text, text })],
  ]),
);
