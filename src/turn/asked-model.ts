import { knownModel } from "../model/known-models.ts";
import type { ModelRequest } from "../model/model-client.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";

type Asked = Pick<ModelRequest, "model" | "instructions" | "reasoning" | "verbosity" | "serviceTier">;

/** What of a thread's settings every request to its model says; where they are silent, what the model is known to be asked with. */
export function askedOf(config: ResolvedThreadConfig): Asked {
  const known = knownModel(config.model);
  const effort = config.reasoningEffort ?? known?.effort ?? null;
  const verbosity = config.modelVerbosity ?? known?.verbosity;
  return {
    model: config.model,
    instructions: config.baseInstructions ?? "",
    reasoning: {
      effort: effort === "ultra" ? (known?.ultra ?? "medium") : effort,
      summary: config.reasoningSummary ?? (known === undefined ? "auto" : null),
    },
    ...(verbosity !== undefined && { verbosity }),
    ...(config.serviceTier !== null && { serviceTier: config.serviceTier }),
  };
}
