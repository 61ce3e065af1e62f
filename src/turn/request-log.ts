import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { ModelRequest } from "../model/model-client.ts";

/** The debug lines of one model request: when it begins, and when its answer is over. Nothing of what is said. */
export function logRequest(
  { logger, clock }: { readonly logger: SkeinLogger; readonly clock: Clock },
  { threadId, turnId, model, input }: ModelRequest,
): Disposable {
  const begun = elapsedBy(clock);
  logger.debug({ threadId, turnId, model, items: input.length }, "model request");
  return {
    [Symbol.dispose]: () => logger.debug({ threadId, turnId, ms: elapsedBy(clock) - begun }, "model request over"),
  };
}
