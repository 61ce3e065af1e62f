import { tool } from "../../index.ts";
import { TOOL_SCENE } from "./scenes.ts";

/** A function tool as an embedder writes it: the model may call it, and gets what it returns. */
export const driveMinutes = tool<Record<string, unknown>>({
  name: TOOL_SCENE.tool,
  description: "How many minutes a drive takes.",
  inputJsonSchema: {
    type: "object",
    properties: { km: { type: "number" }, kmh: { type: "number" } },
    required: ["km", "kmh"],
  },
  execute: ({ km, kmh }) => String(Math.round((Number(km) / Number(kmh)) * 60)),
});
