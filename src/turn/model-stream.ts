/** The stream of a model's answer, told to whoever watches. */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import { runWithin } from "../kernel/traced-work.ts";
import { CheckedAnswer } from "../model/checked-answer.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "../model/model-client.ts";
import { closedEarly } from "../model/model-failure.ts";
import { type ModelTrace, modelTracing } from "./traces.ts";

/** Who asks. */
type Asker = { readonly model: ModelClient; readonly clock: Clock; readonly env: { readonly scope: object } };

/** As {@link ModelClient.stream}. */
export const modelStream = (
  host: Asker,
  request: ModelRequest,
  options: { signal: AbortSignal },
): AsyncIterable<ModelEvent> =>
  modelTracing.isWatched ? watched(host, request, options) : new CheckedAnswer(host.model.stream(request, options));

async function* watched(
  { model, clock, env }: Asker,
  request: ModelRequest,
  options: { signal: AbortSignal },
): AsyncGenerator<ModelEvent, undefined> {
  const { threadId, turnId } = request;
  const { scope } = env;
  const facts = modelTracing.begin(() => ({
    scope,
    threadId,
    turnId,
    provider: model.providerId,
    request,
    output: [],
  }));
  const begun = elapsedBy(clock);
  let isComplete = false;
  const answer = runWithin(facts, () => new CheckedAnswer(model.stream(request, options)));
  try {
    for (;;) {
      const { done, value } = await runWithin(facts, () => answer.next());
      if (done === true) return undefined;
      isComplete ||= value.type === "completed";
      if (facts !== undefined) note(facts, value, elapsedBy(clock) - begun);
      yield value;
    }
  } catch (error) {
    if (facts !== undefined) facts.error = error;
    throw error;
  } finally {
    // Whoever asks stops listening when the answer is complete, and when it is not wanted any more.
    await runWithin(facts, () => answer.return());
    if (facts !== undefined && !isComplete) {
      facts.error ??= options.signal.aborted ? options.signal.reason : closedEarly();
    }
    modelTracing.finish(facts);
  }
}

function note(facts: ModelTrace, event: ModelEvent, ms: number): void {
  if (event.type.endsWith("_delta")) facts.firstWordMs ??= ms;
  if (event.type === "item_done") facts.output.push(event.item);
  if (event.type === "completed" && event.usage !== undefined) facts.usage = event.usage;
  if ((event.type === "completed" || event.type === "created") && event.responseId !== undefined) {
    facts.responseId = event.responseId;
  }
}
