/**
 * Any language model of the AI SDK as a ModelClient. The types are structural, so that nothing of the SDK is imported:
 * its interface LanguageModel fits in the versions 2, 3 and 4.
 */
import { raceAbort } from "../kernel/cancellation.ts";
import { ModelError } from "../protocol/model-error.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { AiSdkAnswer } from "./ai-sdk-answer.ts";
import { failureOfCall } from "./ai-sdk-failure.ts";
import { type AiSdkCallOptions, callOptionsOf } from "./ai-sdk-prompt.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "./model-client.ts";
import { closedEarly } from "./model-failure.ts";

/** What is used of a LanguageModel of `@ai-sdk/provider`. */
export interface AiSdkModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  doStream(options: AiSdkCallOptions): PromiseLike<{ readonly stream: ReadableStream<unknown> }>;
}

/** How a model of the AI SDK is called. */
export type AiSdkClientOptions = {
  /** Default: the model's own, or `"ai-sdk"` when models are chosen by name. */
  readonly providerId?: string | undefined;
  /** Further call options for a request, for instance `{ temperature: 0 }` or `{ providerOptions: { ... } }`. */
  readonly callOptions?: ((request: ModelRequest) => Readonly<Record<string, unknown>>) | undefined;
};

/**
 * Makes a client of a model, or of a function that gives the model of a name, as the SDK's providers are.
 *
 * Its streams begin with `created` and know no rate limits. They reject with a ModelError, retryable where the SDK calls
 * its error so, or with the signal's reason: at once, also when the model ignores the signal. What a provider wants back
 * with an item (signatures of reasoning, ids) is kept in the history as `provider_metadata`, and sent to it again.
 */
export function aiSdkClient(
  model: AiSdkModel | ((modelId: string) => AiSdkModel),
  options: AiSdkClientOptions = {},
): ModelClient {
  const providerId = options.providerId ?? (typeof model === "function" ? "ai-sdk" : model.provider);
  const choose = typeof model === "function" ? model : () => model;
  return {
    providerId,
    stream: (request, { signal }) => answer(choose, request, options, signal),
  };
}

async function* answer(
  choose: (modelId: string) => AiSdkModel,
  request: ModelRequest,
  options: AiSdkClientOptions,
  signal: AbortSignal,
): AsyncGenerator<ModelEvent, void> {
  signal.throwIfAborted();
  const reader = await open(choose, request, options, signal);
  const read = new AiSdkAnswer();
  try {
    for (;;) {
      const { done, value } = await orFail(() => raceAbort(reader.read(), signal), signal);
      if (done) throw closedEarly();
      for (const event of take(read, value)) {
        signal.throwIfAborted();
        yield event;
        if (event.type === "completed") return;
      }
    }
  } finally {
    // A stream that was read to its end, or has failed, takes no harm; another one stops its model.
    void reader.cancel().catch(() => {});
  }
}

async function open(
  choose: (modelId: string) => AiSdkModel,
  request: ModelRequest,
  options: AiSdkClientOptions,
  signal: AbortSignal,
): Promise<ReadableStreamDefaultReader<unknown>> {
  return orFail(async () => {
    const model = choose(request.model);
    const call = { ...callOptionsOf(request, model, signal), ...options.callOptions?.(request) };
    const opening = Promise.resolve(model.doStream(call));
    // An answer that comes after the abort is not wanted any more.
    opening.then(
      ({ stream }) => void (signal.aborted && stream.cancel().catch(() => {})),
      () => {},
    );
    const { stream } = await raceAbort(opening, signal);
    return stream.getReader();
  }, signal);
}

async function orFail<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof ModelError ? error : failureOfCall(error);
  }
}

function take(answer: AiSdkAnswer, part: unknown): Iterable<ModelEvent> {
  if (!isJsonObject(part)) return [];
  if (part.type === "error") throw failureOfCall(part.error);
  return answer.take(part);
}
