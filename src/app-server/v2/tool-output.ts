/** What a tool of a client's own has come to, unasked by the model (`toolOutput` of turn/start). */
import * as z from "zod";
import { toolOutputSchema as outputSchema } from "../../protocol/response-item.ts";
import type { ToolOutputInput } from "../../protocol/user-input.ts";
import { text, untagged } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { V2Input } from "./input.ts";

const detail = z.enum(["auto", "low", "high", "original"]).optional();
const part = z.union([
  z.object({ type: z.literal("input_text"), text }),
  z.object({ type: z.literal("input_image"), image_url: text, detail }),
  z.object({ type: z.literal("input_image"), file_id: text, detail }),
  z.object({ type: z.literal("input_audio"), audio_url: text }),
  z.object({ type: z.literal("input_audio"), file_id: text }),
  z.object({ type: z.literal("encrypted_content"), encrypted_content: text }),
]);

export const toolOutputSchema = z.looseObject({
  name: text,
  namespace: text.nullish(),
  output: z
    .union([text, z.array(part)], untagged("FunctionCallOutputBody"))
    .transform((given) => outputSchema.parse(given)),
  retain: z.boolean().optional(),
});
type V2ToolOutput = z.infer<typeof toolOutputSchema>;

/** @throws RpcError for an output without a name */
export function outputFromV2({ name, namespace, output, retain }: V2ToolOutput): ToolOutputInput {
  if (name === "") throw invalidRequest("`toolOutput.name` must not be empty");
  return {
    type: "tool_output",
    name,
    output,
    ...(namespace != null && { namespace }),
    ...(retain === true && { retain }),
  };
}

/** Its texts and pictures as an input would have them, whose bounds are the output's too. */
export const asInput = ({ output }: V2ToolOutput): V2Input[] =>
  typeof output === "string"
    ? [{ type: "text", text: output }]
    : output.flatMap((each): V2Input[] => {
        if (each.type === "input_text") return [{ type: "text", text: each.text }];
        if (each.type !== "input_image" || each.image_url === undefined) return [];
        return [{ type: "image", url: each.image_url }];
      });
