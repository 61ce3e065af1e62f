/**
 * Tools that a client brings to a thread it starts (`dynamicTools`): the model's calls are asked of the thread's clients
 * (`item/tool/call`), and the first answer is the call's output.
 */
import * as z from "zod";
import { raceAbort } from "../../kernel/cancellation.ts";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { Tool, ToolAnswer } from "../../protocol/function-tool.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { ContentItem } from "../../protocol/response-item.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import type { ToolCallMsg } from "../asked-msg.ts";
import type { ClientTool } from "../memos/thread-memos.ts";
import type { OpenRequest } from "../open-request.ts";
import { optionalFlag, optionalText, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";

const described = {
  name: text,
  description: text,
  inputSchema: z.unknown().refine((given) => given !== undefined),
  deferLoading: optionalFlag,
};
const functionSchema = z.object({ type: z.literal("function"), ...described });
const namespaceSchema = z.object({
  type: z.literal("namespace"),
  name: text,
  description: text,
  tools: z.array(functionSchema),
});
/** As clients of 0.169 and before give it. */
const legacySchema = z.object({ ...described, namespace: optionalText });

export const dynamicToolsSchema = z
  .array(z.union([z.discriminatedUnion("type", [functionSchema, namespaceSchema]), legacySchema]))
  .nullish();

/** @throws RpcError for names that no model may be given */
export function clientTools(given: z.infer<typeof dynamicToolsSchema>): ClientTool[] {
  const kinds = new Set((given ?? []).map((spec) => "type" in spec));
  if (kinds.size > 1) {
    throw invalidRequest("Invalid request: dynamic tools must use either canonical or legacy format consistently");
  }
  const tools = (given ?? []).flatMap((spec): ClientTool[] => {
    if ("type" in spec && spec.type === "namespace") {
      const { name, description } = spec;
      checkName(name, "namespace");
      return spec.tools.map((each) => clientTool(each, { name, description }));
    }
    const namespace = "namespace" in spec && spec.namespace != null ? { name: spec.namespace, description: "" } : null;
    if (spec.deferLoading === true && namespace === null) {
      throw invalidRequest(`deferred dynamic tool must include a namespace: ${spec.name}`);
    }
    return [clientTool(spec, namespace)];
  });
  const names = tools.map(({ name, namespace }) => `${namespace?.name ?? ""} ${name}`);
  const twice = tools.find((_, index) => names.indexOf(names[index] ?? "") !== index);
  if (twice !== undefined) throw invalidRequest(`duplicate dynamic tool name: ${twice.name}`);
  return tools;
}

function clientTool(
  { name, description, inputSchema }: z.infer<typeof legacySchema>,
  namespace: ClientTool["namespace"],
): ClientTool {
  checkName(name, "name");
  const parameters = { type: "object", properties: {}, ...(isJsonObject(inputSchema) ? inputSchema : {}) };
  return { name, description, parameters, namespace };
}

function checkName(name: string, what: "name" | "namespace"): void {
  if (name === "") throw invalidRequest(`dynamic tool ${what} must not be empty`);
  if (!/^[a-zA-Z0-9_-]+$/.test(name)) {
    throw invalidRequest(`dynamic tool ${what} must match ^[a-zA-Z0-9_-]+$ to match Responses API: ${name}`);
  }
  if (name === "mcp" || name.startsWith("mcp__")) throw invalidRequest(`dynamic tool ${what} is reserved: ${name}`);
}

/** How a thread's clients are asked. */
type ClientsOf<Feed> = {
  readonly hub: { feedOf(threadId: ThreadId): Feed };
  readonly requests: { callTool(feed: Feed, msg: ToolCallMsg): void };
};

/** The tools for a thread's settings. They belong to it and to the agents under it. */
export function toolsOf<Feed>({ hub, requests }: ClientsOf<Feed>, kept: readonly ClientTool[]): Tool[] {
  const namespaces = new Map(
    kept.flatMap(({ namespace }) => (namespace === null ? [] : [[namespace.name, namespace]])),
  );
  return kept.map(({ name, description, parameters, namespace }): Tool => {
    const answer: Tool["answer"] = async (raw, { threadId, turnId, callId, signal }) => {
      const answered = Promise.withResolvers<unknown>();
      requests.callTool(hub.feedOf(threadId), {
        type: "dynamic_tool_call",
        ...{ call_id: callId, turn_id: turnId, namespace: namespace?.name ?? null, tool: name },
        arguments: argumentsOf(raw),
        answer: answered.resolve,
      });
      return answerOf(await raceAbort(answered.promise, signal));
    };
    return {
      spec: { type: "function", name, description, parameters, strict: false },
      ...(namespace !== null && { namespace: namespaces.get(namespace.name) ?? namespace }),
      answer,
      call: async () => "",
    };
  });
}

function argumentsOf(raw: string): unknown {
  try {
    return raw.trim() === "" ? {} : JSON.parse(raw);
  } catch (error) {
    throw new InvalidRequestError(`failed to parse function arguments: ${(error as Error).message}`);
  }
}

const answerSchema = z.object({
  success: z.boolean(),
  contentItems: z.array(
    z.union([
      z.object({ type: z.literal("inputText"), text }),
      z.object({ type: z.literal("inputImage"), imageUrl: text }),
    ]),
  ),
});

/** One that is an error, or no answer, is told to the model as a failure. */
function answerOf(result: unknown): ToolAnswer {
  if (result === undefined) return { success: false, output: "dynamic tool request failed" };
  const read = answerSchema.safeParse(result).data;
  if (read === undefined) return { success: false, output: "dynamic tool response was invalid" };
  const { success, contentItems } = read;
  const [only] = contentItems;
  if (contentItems.length === 1 && only?.type === "inputText") return { success, output: only.text };
  const output = contentItems.map(
    (part): ContentItem =>
      part.type === "inputText"
        ? { type: "input_text", text: part.text }
        : { type: "input_image", image_url: part.imageUrl, detail: "high" },
  );
  return { success, output };
}

export const toolCallRequest = ({ msg, feed, turnId }: OpenRequest<ToolCallMsg>) => ({
  method: "item/tool/call",
  params: {
    ...{ threadId: feed.threadId, turnId, callId: msg.call_id },
    ...{ namespace: msg.namespace, tool: msg.tool, arguments: msg.arguments },
  },
});
