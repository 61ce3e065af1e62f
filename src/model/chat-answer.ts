import { type TokenUsage, tokenCount } from "../protocol/token-usage.ts";
import { isJsonObject, type JsonObject } from "../protocol/unknown-kind.ts";
import { AnswerItems } from "./answer-items.ts";
import type { ModelEvent } from "./model-client.ts";
import { closedEarly, errorObjectOf, failureOfResponse, incomplete, parseJson } from "./model-failure.ts";
import type { AnswerReader } from "./streamed-answer.ts";

/** The finish reasons of an answer that has no end, in the words of the Responses API. */
const CUT_SHORT: ReadonlyMap<string, string> = new Map([
  ["length", "max_output_tokens"],
  ["content_filter", "content_filter"],
]);

type PartialCall = { id: string; name: string; args: string[] };

/**
 * Reads the chunks of one streamed chat completion.
 *
 * - The answer is complete at `[DONE]`, at the chunk of the usage, or at the end of the stream, whichever comes first
 *   after a finish reason; without a finish reason the stream was cut.
 * - Calls are given when the answer is complete, in the order of their index: their pieces may be mixed.
 * - What an answer has said that was cut short is given before the error; its calls, which may be cut too, are not.
 */
export class ChatAnswer implements AnswerReader {
  readonly #items = new AnswerItems();
  readonly #calls = new Map<unknown, PartialCall>();
  #responseId: string | undefined;
  #isCreated = false;
  #finish: string | undefined;
  #usage: TokenUsage | undefined;

  *take(data: string, redact: (text: string) => string): Iterable<ModelEvent> {
    if (data.trim() === "[DONE]") {
      if (this.#finish !== undefined) yield* this.end();
      return;
    }
    const chunk = parseJson(data);
    if (!isJsonObject(chunk)) return;
    const error = errorObjectOf(chunk);
    if (error !== undefined) {
      const { message } = error;
      throw failureOfResponse(typeof message === "string" ? { ...error, message: redact(message) } : error);
    }
    yield* this.#create(chunk);
    const [choice] = Array.isArray(chunk.choices) ? (chunk.choices as unknown[]) : [];
    if (isJsonObject(choice)) this.#hear(choice);
    const isLast = this.#finish !== undefined && isJsonObject(chunk.usage);
    if (isJsonObject(chunk.usage)) this.#usage = usageOf(chunk.usage);
    yield* this.#items.take();
    if (isLast) yield* this.end();
  }

  *end(): Iterable<ModelEvent> {
    if (this.#finish === undefined) throw closedEarly();
    this.#items.close();
    const cutShort = CUT_SHORT.get(this.#finish);
    if (cutShort !== undefined) {
      yield* this.#items.take();
      throw incomplete(cutShort, this.#usage);
    }
    for (const { id, name, args } of this.#calls.values()) {
      this.#items.call({ callId: id, name, args: args.join("") });
    }
    yield* this.#items.take();
    yield {
      type: "completed",
      ...(this.#responseId !== undefined && { responseId: this.#responseId }),
      ...(this.#usage !== undefined && { usage: this.#usage }),
    };
  }

  #create(chunk: JsonObject): ModelEvent[] {
    if (this.#isCreated) return [];
    this.#isCreated = true;
    if (typeof chunk.id === "string") this.#responseId = chunk.id;
    return [{ type: "created", ...(this.#responseId !== undefined && { responseId: this.#responseId }) }];
  }

  #hear({ delta, finish_reason: finish }: JsonObject): void {
    if (isJsonObject(delta)) {
      this.#items.reasoning(textIn(delta.reasoning_content) || textIn(delta.reasoning));
      this.#items.text(textIn(delta.content) || textIn(delta.refusal));
      if (Array.isArray(delta.tool_calls)) for (const piece of delta.tool_calls as unknown[]) this.#call(piece);
    }
    if (typeof finish === "string" && finish !== "") this.#finish = finish;
  }

  /** Servers that leave the index out give each call whole, or its id with every piece. */
  #call(piece: unknown): void {
    if (!isJsonObject(piece)) return;
    const key = piece.index ?? piece.id ?? this.#calls.size;
    let call = this.#calls.get(key);
    if (call === undefined) {
      call = { id: "", name: "", args: [] };
      this.#calls.set(key, call);
    }
    if (typeof piece.id === "string" && piece.id !== "") call.id = piece.id;
    if (!isJsonObject(piece.function)) return;
    const { name, arguments: args } = piece.function;
    if (typeof name === "string" && name !== "") call.name = name;
    if (typeof args === "string") call.args.push(args);
    else if (isJsonObject(args)) call.args.push(JSON.stringify(args));
  }
}

/** A text, or the texts of a list of parts. */
function textIn(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((part: unknown) => (isJsonObject(part) && typeof part.text === "string" ? part.text : ""))
    .join("");
}

function usageOf(usage: JsonObject): TokenUsage {
  const input = tokenCount(usage.prompt_tokens);
  const output = tokenCount(usage.completion_tokens);
  return {
    input_tokens: input,
    cached_input_tokens: countAt(usage.prompt_tokens_details, "cached_tokens"),
    output_tokens: output,
    reasoning_output_tokens: countAt(usage.completion_tokens_details, "reasoning_tokens"),
    total_tokens: tokenCount(usage.total_tokens) || input + output,
  };
}

const countAt = (value: unknown, field: string): number => (isJsonObject(value) ? tokenCount(value[field]) : 0);
