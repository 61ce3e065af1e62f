/** The one way from a turn to its model: within the budgets that are in force. */
import type { ModelEvent, ModelRequest } from "../model/model-client.ts";
import { ModelError } from "../protocol/model-error.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import { modelStream } from "./model-stream.ts";
import type { Reservation } from "./spending.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** @throws what the model's client does; BudgetExceededError before anything is asked */
export function askModel(
  host: TurnHost,
  run: TurnRun,
  request: ModelRequest,
  signal: AbortSignal,
): AsyncIterable<ModelEvent> {
  const reserving = host.reserveRequest(run, request);
  return reserving === undefined
    ? modelStream(host, request, { signal })
    : askWithin(reserving, signal, () => modelStream(host, request, { signal }));
}

async function* askWithin(
  reserving: Promise<Reservation | undefined>,
  signal: AbortSignal,
  ask: () => AsyncIterable<ModelEvent>,
): AsyncGenerator<ModelEvent, undefined> {
  const reservation = await reserving;
  let usage: TokenUsage | undefined;
  let outcome: "asked" | "refused" = "refused";
  try {
    signal.throwIfAborted();
    outcome = "asked";
    let hasBegun = false;
    try {
      for await (const event of ask()) {
        if (event.type !== "created" && event.type !== "rate_limits") hasBegun = true;
        if (event.type === "completed") usage = event.usage;
        yield event;
      }
    } catch (error) {
      if (error instanceof ModelError) {
        usage ??= error.usage;
        // The server has turned it away, or was not reached.
        if (!hasBegun && usage === undefined) outcome = "refused";
      }
      throw error;
    }
  } finally {
    reservation?.settle(usage, outcome);
  }
  return undefined;
}
