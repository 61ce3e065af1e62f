import type { ModelRequest } from "../model/model-client.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";

type Asked = Pick<ModelRequest, "model" | "instructions" | "reasoning" | "verbosity" | "serviceTier">;

/** What of a thread's settings every request to its model says. */
export const askedOf = (config: ResolvedThreadConfig): Asked => ({
  model: config.model,
  instructions: config.baseInstructions ?? "",
  reasoning: { effort: config.reasoningEffort, summary: config.reasoningSummary },
  ...(config.modelVerbosity !== null && { verbosity: config.modelVerbosity }),
  ...(config.serviceTier !== null && { serviceTier: config.serviceTier }),
});
