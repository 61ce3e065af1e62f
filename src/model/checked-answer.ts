/**
 * What a model's client says, looked at before anything believes it: a client may be an embedder's own, and in JavaScript. Kinds
 * of events that are unknown pass, as Codex does with a server's.
 */
import { textOfThrown } from "../kernel/thrown.ts";
import { clippedDepth } from "../protocol/json-depth.ts";
import { jsonForm } from "../protocol/json-form.ts";
import { ModelError } from "../protocol/model-error.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import { responseItemShape } from "../protocol/response-item-shape.ts";
import { byType, MISFIT, number, record, type Shape, text } from "../protocol/shape.ts";
import type { ModelEvent } from "./model-client.ts";

const itemId = { itemId: text };
const responseId = { responseId: text };
const usage = record({
  input_tokens: number,
  cached_input_tokens: number,
  output_tokens: number,
  reasoning_output_tokens: number,
  total_tokens: number,
});

const eventShape: Shape = byType(
  new Map([
    ["created", record({}, responseId)],
    ["rate_limits", record({ snapshot: record({}) })],
    ["item_added", record({ item: responseItemShape })],
    ["item_done", record({ item: responseItemShape })],
    ["text_delta", record({ delta: text }, itemId)],
    ["reasoning_summary_part", record({ summaryIndex: number }, itemId)],
    ["reasoning_summary_delta", record({ delta: text, summaryIndex: number }, itemId)],
    ["reasoning_text_delta", record({ delta: text, contentIndex: number }, itemId)],
    ["completed", record({}, { ...responseId, usage })],
  ]),
);

/**
 * The events of an answer, each as it must be.
 *
 * @throws ModelError that says what is wrong with an event, or with an answer that is no AsyncIterable; it is not retried
 */
export class CheckedAnswer implements AsyncIterableIterator<ModelEvent, undefined> {
  readonly #events: AsyncIterator<unknown> | Iterator<unknown>;

  constructor(answer: unknown) {
    this.#events = iteratorOf(answer);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<ModelEvent, undefined>> {
    const { done, value } = await this.#events.next();
    if (done === true) return { done, value: undefined };
    try {
      return { done: false, value: checked(value) };
    } catch (error) {
      // Whoever iterates takes this for the answer's end, and closes nothing.
      await this.#events.return?.();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<ModelEvent, undefined>> {
    await this.#events.return?.();
    return { done: true, value: undefined };
  }
}

function iteratorOf(answer: unknown): AsyncIterator<unknown> | Iterator<unknown> {
  const events = Object(answer) as Partial<AsyncIterable<unknown> & Iterable<unknown>>;
  const iterator = events[Symbol.asyncIterator]?.() ?? events[Symbol.iterator]?.();
  if (iterator === undefined || typeof answer === "string") {
    throw new ModelError("the model's client must answer `stream` with an AsyncIterable of events");
  }
  return iterator;
}

function checked(value: unknown): ModelEvent {
  const problems: string[] = [];
  const read = eventShape.read(value, problems);
  if (read === MISFIT || problems.length > 0) {
    const { type = "event" } = Object(value) as { type?: unknown };
    throw unusable(String(type), problems.join("; ") || `it must be ${eventShape.expected}`);
  }
  const event = read as ModelEvent;
  if (event.type === "item_done") return { ...event, item: storable(event.item) };
  if (event.type !== "completed" || event.usage !== null) return event;
  // A usage that nobody knows may be null.
  const { usage: _, ...completed } = event;
  return completed;
}

/** The item in the form in which it is stored, without what nests too deep. */
function storable(item: ResponseItem): ResponseItem {
  try {
    return jsonForm(clippedDepth(item) as ResponseItem, "item");
  } catch (cause) {
    throw unusable("item_done", textOfThrown(cause), cause);
  }
}

const unusable = (type: string, why: string, cause?: unknown): ModelError =>
  new ModelError(`the model's client gave an event that cannot be used (${type}): ${why}`, { cause });
