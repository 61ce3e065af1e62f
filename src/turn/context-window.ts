import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TurnHost } from "./turn-host.ts";

/** How many tokens the context holds: as the settings say, else as is known of the model; null when it has no bound. */
export const contextWindowOf = (
  host: Pick<TurnHost, "contextWindow">,
  { model, modelProvider, modelContextWindow }: ResolvedThreadConfig,
): number | null => modelContextWindow ?? host.contextWindow(model, modelProvider);
