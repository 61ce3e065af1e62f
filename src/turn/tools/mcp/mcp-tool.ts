import type { CallToolResult, Tool } from "@modelcontextprotocol/client";
import * as z from "zod";
import { elapsedBy } from "../../../kernel/clock.ts";
import { textOfThrown } from "../../../kernel/thrown.ts";
import { clippedDepth } from "../../../protocol/json-depth.ts";
import type { ContentItem } from "../../../protocol/response-item.ts";
import type { McpInvocation, McpToolCallTurnItem } from "../../../protocol/turn-item.ts";
import { MAX_IMAGE_BYTES, OMITTED_PICTURE, pictureUrl } from "../../picture-content.ts";
import { type ToolOutput, truncateMiddle } from "../../tool-output.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import { type CallContext, durationOf } from "../call-context.ts";
import type { Asked } from "./elicitation.ts";
import { toolName } from "./mcp-names.ts";
import type { McpServer } from "./mcp-server.ts";

/** A result whose JSON is longer is told in events by the text that the model gets. */
const TOLD_CHARS = 256 * 1024;

const anyObject = z.record(z.string(), z.unknown());

/** A server's tool, as the model may call it. */
export function mcpTool(server: McpServer, tool: Tool): BuiltInTool {
  return {
    spec: {
      type: "function",
      name: toolName(server.name, tool.name),
      description: tool.description ?? "",
      strict: false,
      parameters: withProperties(tool.inputSchema),
    },
    idempotent: tool.annotations?.idempotentHint === true || tool.annotations?.readOnlyHint === true,
    async run(call) {
      const args = call.raw.trim() === "" ? undefined : call.argumentsAs(anyObject);
      const invocation = {
        server: server.name,
        tool: tool.name,
        ...(args === undefined ? {} : { arguments: clippedDepth(args) }),
      };
      const meta = call.metaFor(server.name, tool.name);
      return new McpCall(call, invocation).run(() =>
        server.call(tool.name, args, { signal: call.signal, meta, asked: askedBy(call, server.name) }),
      );
    },
  };
}

const askedBy = (call: CallContext, server: string): Asked => ({
  threadId: call.threadId,
  askUser: (asked, signal) => call.elicit(server, asked, signal),
});

/** Some model APIs refuse an object schema that does not say its properties. */
function withProperties({ $schema: _, ...schema }: Record<string, unknown>): Record<string, unknown> {
  return "properties" in schema ? schema : { ...schema, properties: {} };
}

/** The server ran the tool, and says that it failed. */
class McpToolError extends Error {
  override readonly name = "tool_error";
}

class McpCall {
  readonly #call: CallContext;
  readonly #invocation: McpInvocation;
  readonly #startedAt: number;

  constructor(call: CallContext, invocation: McpInvocation) {
    this.#call = call;
    this.#invocation = invocation;
    this.#startedAt = elapsedBy(call.clock);
  }

  async run(work: () => Promise<CallToolResult>): Promise<ToolOutput> {
    const { callId: call_id } = this.#call;
    this.#call.startItem(this.#item({ status: "in_progress" }));
    this.#call.publish({ type: "mcp_tool_call_begin", call_id, invocation: this.#invocation });
    let result: CallToolResult;
    try {
      result = clippedDepth(await work()) as CallToolResult;
    } catch (error) {
      const isAborted = this.#call.signal.aborted;
      const message = isAborted ? "aborted by user" : `tool call error: ${textOfThrown(error)}`;
      this.#end({ Err: message }, { status: "failed", error: { message } });
      if (isAborted) throw error;
      this.#call.noteFailure(error);
      return message;
    }
    const output = truncateMiddle(textOf(result));
    const told = toldResult(result, output);
    if (result.isError === true) this.#call.noteFailure(new McpToolError(output));
    this.#end({ Ok: told }, { status: result.isError === true ? "failed" : "completed", result: told });
    return withPictures(result, output);
  }

  #end(
    result: { Ok: unknown } | { Err: string },
    state: Pick<McpToolCallTurnItem, "status" | "result" | "error">,
  ): void {
    const duration = durationOf(elapsedBy(this.#call.clock) - this.#startedAt);
    this.#call.completeItem(this.#item({ ...state, duration }));
    this.#call.publish({
      type: "mcp_tool_call_end",
      call_id: this.#call.callId,
      invocation: this.#invocation,
      duration,
      result,
    });
  }

  #item(state: Pick<McpToolCallTurnItem, "status" | "result" | "error" | "duration">): McpToolCallTurnItem {
    return { type: "McpToolCall", id: this.#call.callId, ...this.#invocation, ...state };
  }
}

/** Structured content as JSON, texts as they are, anything else as JSON with its binary data left out. */
function textOf({ content, structuredContent }: CallToolResult): string {
  if (structuredContent !== undefined && structuredContent !== null) return JSON.stringify(structuredContent);
  const texts = content.flatMap((part) => (part.type === "text" ? [part.text] : []));
  if (texts.length === content.length) return texts.join("\n");
  return JSON.stringify(content, withoutData);
}

const withoutData = (key: string, value: unknown): unknown =>
  (key === "data" || key === "blob") && typeof value === "string" ? `[${value.length} characters of base64]` : value;

/** As Codex gives a result to the model: with pictures in it, its parts in their order. Structured content stands for all of it. */
function withPictures({ content, structuredContent }: CallToolResult, output: string): ToolOutput {
  if (structuredContent !== undefined && structuredContent !== null) return output;
  if (!content.some(({ type }) => type === "image")) return output;
  const parts = content.map((part): ContentItem => {
    if (part.type === "image") return picture(part);
    return said(part.type === "text" ? part.text : JSON.stringify(part, withoutData));
  });
  const words = parts.flatMap((part) => (part.type === "input_text" ? [part.text] : [])).join("\n");
  const bounded = truncateMiddle(words);
  return bounded === words ? parts : [said(bounded), ...parts.filter(({ type }) => type === "input_image")];
}

/** A picture is what its bytes are, whatever the server says of it; one that is none would fail every later turn. */
function picture({ data, mimeType }: { readonly data: string; readonly mimeType: string }): ContentItem {
  const whole = data.length > MAX_BASE64 ? undefined : pictureUrl(`data:${mimeType};base64,${data}`);
  return whole === undefined ? said(OMITTED_PICTURE) : { type: "input_image", image_url: whole, detail: "high" };
}

const MAX_BASE64 = Math.ceil((MAX_IMAGE_BYTES * 4) / 3);

const said = (text: string): ContentItem => ({ type: "input_text", text });

function toldResult(result: CallToolResult, output: string): unknown {
  if (JSON.stringify(result).length <= TOLD_CHARS) return result;
  return {
    content: [{ type: "text", text: output }],
    ...(result.isError === undefined ? {} : { isError: result.isError }),
  };
}
