import type { ToolNamespace } from "../../model/model-client.ts";
import type { ToolSpec } from "../../protocol/function-tool.ts";
import type { ToolOutput } from "../tool-output.ts";
import type { CallContext } from "./call-context.ts";

/**
 * A tool of the house. It tells of its work in events of its own, runs under the thread's policies and may ask for
 * approval, where an embedder's tool only answers with a text.
 */
export interface BuiltInTool {
  readonly spec: ToolSpec;
  /** What the tool is grouped under, where it has no name of its own in the request. */
  readonly namespace?: Pick<ToolNamespace, "name" | "description">;
  /** `alias`: not listed for the model, which may call it. */
  readonly offered?: "alias";
  /** A call that was cut off by its process's end may be made once more. */
  readonly idempotent?: boolean;
  /** Answers with the output for the model. What it throws becomes the output, and never ends the turn. */
  run(call: CallContext): Promise<ToolOutput>;
}
