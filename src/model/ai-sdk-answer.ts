import { type TokenUsage, tokenCount } from "../protocol/token-usage.ts";
import { isJsonObject, type JsonObject } from "../protocol/unknown-kind.ts";
import { AnswerItems, type ProviderMetadata } from "./answer-items.ts";
import type { ModelEvent } from "./model-client.ts";
import { disconnected, incomplete } from "./model-failure.ts";

/** Reads the stream parts of one answer of the AI SDK, of any version. */
export class AiSdkAnswer {
  readonly #items = new AnswerItems();
  #isCreated = false;
  #responseId: string | undefined;

  /**
   * What the part means; parts that are unknown, and calls that the provider has run itself, are passed over.
   * @throws ModelError when the part says that the answer has no end, after what it had said by then.
   */
  *take(part: JsonObject): Iterable<ModelEvent> {
    if (part.type === "response-metadata" && typeof part.id === "string") this.#responseId ??= part.id;
    yield* this.#create(part.type);
    this.#hear(part);
    yield* this.#items.take();
    if (part.type === "finish") yield* this.#finish(part);
  }

  /** With the first part that says something, so that the metadata before it are known. */
  #create(type: unknown): ModelEvent[] {
    if (this.#isCreated || type === "stream-start" || type === "ping" || type === "raw") return [];
    this.#isCreated = true;
    return [{ type: "created", ...(this.#responseId !== undefined && { responseId: this.#responseId }) }];
  }

  #hear(part: JsonObject): void {
    const items = this.#items;
    const metadata = metadataOf(part);
    const delta = typeof part.delta === "string" ? part.delta : "";
    switch (part.type) {
      case "text-start":
        // Texts that the provider tells apart are items of their own; others are pieces of one.
        if (metadata !== undefined || items.hasMetadata) items.close();
        if (metadata !== undefined) items.openMessage();
        break;
      case "text-delta":
        items.text(delta);
        break;
      case "reasoning-start":
        items.close();
        items.openReasoning();
        break;
      case "reasoning-delta":
        items.reasoning(delta);
        break;
      case "reasoning-end":
        items.keep(metadata);
        items.close();
        return;
      case "tool-call":
        if (part.providerExecuted !== true) this.#call(part, metadata);
        return;
      case "text-end":
        break;
      default:
        return;
    }
    items.keep(metadata);
  }

  #call({ toolCallId, toolName, input }: JsonObject, metadata: ProviderMetadata | undefined): void {
    this.#items.call({
      callId: typeof toolCallId === "string" ? toolCallId : undefined,
      name: typeof toolName === "string" ? toolName : "",
      args: typeof input === "string" ? input : JSON.stringify(input ?? {}),
      metadata,
    });
  }

  *#finish({ usage: given, finishReason }: JsonObject): Iterable<ModelEvent> {
    const usage = isJsonObject(given) ? usageOf(given) : undefined;
    const reason = isJsonObject(finishReason) ? finishReason.unified : finishReason;
    if (reason === "error" || reason === "interrupted") throw disconnected(`the provider finished with: ${reason}`);
    this.#items.close();
    yield* this.#items.take();
    if (reason === "length") throw incomplete("max_output_tokens", usage);
    if (reason === "content-filter") throw incomplete("content_filter", usage);
    yield {
      type: "completed",
      ...(this.#responseId !== undefined && { responseId: this.#responseId }),
      ...(usage !== undefined && { usage }),
    };
  }
}

const metadataOf = ({ providerMetadata }: JsonObject): ProviderMetadata | undefined =>
  isJsonObject(providerMetadata) ? providerMetadata : undefined;

/** The second version of the interface has plain numbers, later ones have numbers by kind. */
function usageOf({
  inputTokens,
  outputTokens,
  totalTokens,
  reasoningTokens,
  cachedInputTokens,
}: JsonObject): TokenUsage {
  const input = isJsonObject(inputTokens) ? inputTokens : { total: inputTokens, cacheRead: cachedInputTokens };
  const output = isJsonObject(outputTokens) ? outputTokens : { total: outputTokens, reasoning: reasoningTokens };
  const inputTotal = tokenCount(input.total);
  const outputTotal = tokenCount(output.total);
  return {
    input_tokens: inputTotal,
    cached_input_tokens: tokenCount(input.cacheRead),
    output_tokens: outputTotal,
    reasoning_output_tokens: tokenCount(output.reasoning),
    total_tokens: tokenCount(totalTokens) || inputTotal + outputTotal,
  };
}
