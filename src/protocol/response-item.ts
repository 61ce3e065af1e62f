import * as z from "zod";
import { isJsonObject, type UnknownTagged } from "./unknown-kind.ts";
import { schemaByKind } from "./validation.ts";

/** One part of a message, as the Responses API writes it. An image of a `file_id` lies at the model's server. */
export type ContentItem =
  | { type: "input_text"; text: string }
  | { type: "input_image"; image_url: string; detail?: unknown }
  | { type: "input_image"; file_id: string; image_url?: never; detail?: unknown }
  | { type: "output_text"; text: string }
  | UnknownTagged;

/** Who says a message. */
export type MessageRole = "user" | "assistant" | "developer" | "system" | (string & {});

/** A message of the user, the assistant, the developer or the system. */
export type MessageItem = {
  type: "message";
  id?: string | undefined;
  role: MessageRole;
  content: ContentItem[];
  /** Newer models say whether an assistant message is a `commentary` or the `final_answer`. */
  phase?: string | undefined;
  /** What the parts are (`user.text`, `generic.turn_aborted`), as stored since 0.169; it never goes to a model. */
  internal_chat_message_metadata_passthrough?: MessageFacts | undefined;
};

/** What a program says of a message's parts, in the rollout alone. */
export type MessageFacts = {
  content_item_kinds?: string[] | undefined;
  content_item_metadata?: unknown[] | undefined;
  turn_id?: string | undefined;
};

/** What the model thought: its summary, and the provider's encrypted form of the whole. */
export type ReasoningItem = {
  type: "reasoning";
  id?: string | undefined;
  summary: { type: string; text: string }[];
  content?: { type: string; text: string }[] | null | undefined;
  encrypted_content?: string | null | undefined;
};

/** A call of a function tool. `arguments` is the JSON text that the model wrote. */
export type FunctionCallItem = {
  type: "function_call";
  id?: string | undefined;
  name: string;
  namespace?: string | undefined;
  /** JSON text, as the model wrote it: it may not parse. */
  arguments: string;
  call_id: string;
};

/** What a function call came to: a text, or content parts. */
export type FunctionCallOutputItem = {
  type: "function_call_output";
  id?: string | undefined;
  call_id: string;
  output: string | ContentItem[];
};

/** An output of a tool that no call asked for, as Codex hands the model an approved plan. */
export type NamedOutputItem = {
  type: "function_call_output";
  id?: string | undefined;
  call_id?: undefined;
  name: string;
  namespace?: string | undefined;
  output: string | ContentItem[];
  /** Ours: a compaction leaves it where it is. It never goes to a model. */
  retain?: boolean | undefined;
};

/** A search for further tools; `execution` says who does it: the `client`, or the `server` by itself. */
export type ToolSearchCallItem = {
  type: "tool_search_call";
  id?: string | undefined;
  call_id?: string | null | undefined;
  status?: string | undefined;
  execution: string;
  arguments?: unknown;
};

/** The tools that a search has found. */
export type ToolSearchOutputItem = {
  type: "tool_search_output";
  id?: string | undefined;
  call_id?: string | null | undefined;
  status: string;
  execution: string;
  tools: unknown[];
};

/** A call of a free-form tool, whose input is a text. */
export type CustomToolCallItem = {
  type: "custom_tool_call";
  id?: string | undefined;
  status?: string | undefined;
  call_id: string;
  name: string;
  input: string;
};

/** What a free-form tool's call came to. */
export type CustomToolCallOutputItem = {
  type: "custom_tool_call_output";
  id?: string | undefined;
  call_id: string;
  output: string | ContentItem[];
};

/** A call of the provider's own shell tool. */
export type LocalShellCallItem = {
  type: "local_shell_call";
  id?: string | undefined;
  call_id?: string | null | undefined;
  status: string;
  action: { type: string; [field: string]: unknown };
};

/** A web search, which the provider did itself. */
export type WebSearchCallItem = {
  type: "web_search_call";
  id?: string | undefined;
  status?: string | undefined;
  action?: { type: string; [field: string]: unknown } | undefined;
};

/** A commit that Codex keeps for undo; it stays in the file and never goes to the model. */
export type GhostSnapshotItem = { type: "ghost_snapshot"; ghost_commit?: unknown };
/** A summary that the provider made, encrypted. */
export type CompactionItem = { type: "compaction"; encrypted_content: string };

/**
 * One item of the model's history, in the Responses API's shape. Codex drops the items' own `id` when writing up to
 * 0.87 and keeps it in 0.169 (SPEC 7.3). Unknown kinds and fields survive.
 */
export type ResponseItem =
  | MessageItem
  | ReasoningItem
  | FunctionCallItem
  | FunctionCallOutputItem
  | NamedOutputItem
  | ToolSearchCallItem
  | ToolSearchOutputItem
  | CustomToolCallItem
  | CustomToolCallOutputItem
  | LocalShellCallItem
  | WebSearchCallItem
  | GhostSnapshotItem
  | CompactionItem
  | UnknownTagged;

type Known = Exclude<ResponseItem, UnknownTagged>;

const text = z.string();
const tagged = z.looseObject({ type: z.string() });
const id = z.string().optional();
const texts = z.array(z.looseObject({ type: z.string(), text: z.string() }));

const knownContent = new Map<string, z.ZodType>([
  ["input_text", z.looseObject({ type: text, text })],
  ["input_image", z.looseObject({ type: text, image_url: text }).or(z.looseObject({ file_id: text }))],
  ["output_text", z.looseObject({ type: text, text })],
]);

const contentItemSchema = schemaByKind(knownContent) as z.ZodType<ContentItem>;

/** What a tool came to. */
export const toolOutputSchema = z.union([text, z.array(contentItemSchema)]);
const of = <K extends Known["type"]>(kind: K) => z.literal(kind);

const schemas: { [K in Known["type"]]: z.ZodType<Extract<Known, { type: K }>> } = {
  message: z.looseObject({
    type: of("message"),
    id,
    role: text,
    content: z.array(contentItemSchema),
    phase: text.optional(),
    internal_chat_message_metadata_passthrough: z
      .looseObject({
        content_item_kinds: z.array(text).optional(),
        content_item_metadata: z.array(z.unknown()).optional(),
        turn_id: text.optional(),
      })
      .optional(),
  }),
  reasoning: z.looseObject({
    type: of("reasoning"),
    id,
    summary: texts,
    content: texts.nullish(),
    encrypted_content: text.nullish(),
  }),
  function_call: z.looseObject({
    type: of("function_call"),
    id,
    name: text,
    namespace: text.optional(),
    arguments: text,
    call_id: text,
  }),
  function_call_output: z.union([
    z.looseObject({ type: of("function_call_output"), id, call_id: text, output: toolOutputSchema }),
    z.looseObject({
      type: of("function_call_output"),
      id,
      call_id: z.undefined().optional(),
      name: text,
      namespace: text.optional(),
      output: toolOutputSchema,
      retain: z.boolean().optional(),
    }),
  ]),
  tool_search_call: z.looseObject({
    type: of("tool_search_call"),
    id,
    call_id: text.nullish(),
    status: text.optional(),
    execution: text,
    arguments: z.unknown(),
  }),
  tool_search_output: z.looseObject({
    type: of("tool_search_output"),
    id,
    call_id: text.nullish(),
    status: text,
    execution: text,
    tools: z.array(z.unknown()),
  }),
  custom_tool_call: z.looseObject({
    type: of("custom_tool_call"),
    id,
    status: text.optional(),
    call_id: text,
    name: text,
    input: text,
  }),
  custom_tool_call_output: z.looseObject({
    type: of("custom_tool_call_output"),
    id,
    call_id: text,
    output: toolOutputSchema,
  }),
  local_shell_call: z.looseObject({
    type: of("local_shell_call"),
    id,
    call_id: text.nullish(),
    status: text,
    action: tagged,
  }),
  web_search_call: z.looseObject({
    type: of("web_search_call"),
    id,
    status: text.optional(),
    action: tagged.optional(),
  }),
  ghost_snapshot: z.looseObject({ type: of("ghost_snapshot"), ghost_commit: z.unknown().optional() }),
  compaction: z.looseObject({ type: of("compaction"), encrypted_content: text }),
};

/** Some servers, and clients, write null for what is not there; so Codex reads it. */
const NULLABLE = ["id", "phase", "namespace", "status", "action", "internal_chat_message_metadata_passthrough"];

function withoutNulls(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  const nulls = NULLABLE.filter((field) => value[field] === null);
  return nulls.length === 0
    ? value
    : Object.fromEntries(Object.entries(value).filter(([field]) => !nulls.includes(field)));
}

/** For items that come from a caller or a model. Rollout files are read by the cheaper checks of rollout.ts. */
export const responseItemSchema = z.preprocess(
  withoutNulls,
  schemaByKind(new Map(Object.entries(schemas))),
) as z.ZodType<ResponseItem>;

/** A user's message: a text becomes one input_text part. */
export const userMessage = (content: string | ContentItem[]): MessageItem => ({
  type: "message",
  role: "user",
  content: typeof content === "string" ? [{ type: "input_text", text: content }] : content,
});

/**
 * A user message that the program itself puts into the history, and that says so: it counts as no user's, in any version.
 *
 * @param kind what it is, in Codex's words (0.169)
 */
export const contextMessage = (content: string, kind: string, turnId?: string): MessageItem => ({
  ...userMessage(content),
  internal_chat_message_metadata_passthrough: {
    ...(turnId !== undefined && { turn_id: turnId }),
    content_item_kinds: [kind],
    content_item_metadata: [{ provenance: { type: "harness", hook: false } }],
  },
});

/** The mark of an interrupt: the model is told that the work before it may be half done. */
export const turnAbortedMessage = (turnId?: string): MessageItem =>
  contextMessage(`<turn_aborted>\n${INTERRUPTED}\n</turn_aborted>`, "generic.turn_aborted", turnId);

const INTERRUPTED =
  "The previous turn was interrupted before it was done. Commands that it had started may have run in part, or may still be running in the background; check before you repeat them.";

/** A message of the model's own, as the history holds it. */
export const assistantMessage = (message: string): MessageItem => ({
  type: "message",
  role: "assistant",
  content: [{ type: "output_text", text: message }],
});

/** A message of the developer role: instructions that rank below the system's. */
export const developerMessage = (message: string): MessageItem => ({
  type: "message",
  role: "developer",
  content: [{ type: "input_text", text: message }],
});

/** The output of the function call of that id: a text, or content parts (images). */
export const functionCallOutput = (callId: string, result: string | ContentItem[]): FunctionCallOutputItem => ({
  type: "function_call_output",
  call_id: callId,
  output: result,
});

/** What a search for tools comes to here: every tool is offered from the start. */
export const noToolsFound = (callId: string): ToolSearchOutputItem => ({
  type: "tool_search_output",
  call_id: callId,
  status: "completed",
  execution: "client",
  tools: [],
});

/** The text of one part; empty for images and unknown parts. */
export const textOfContent = (part: ContentItem): string =>
  part.type === "input_text" || part.type === "output_text" ? part.text : "";

/** The text that an item carries: a message's parts joined, a tool's output, a reasoning summary; empty for the rest. */
export function textOf(item: ResponseItem): string {
  switch (item.type) {
    case "message":
      return item.content.map(textOfContent).join("");
    case "function_call_output":
    case "custom_tool_call_output":
      return typeof item.output === "string" ? item.output : item.output.map(textOfContent).join("");
    case "reasoning":
      return item.summary.map((part) => part.text).join("\n");
    default:
      return "";
  }
}
