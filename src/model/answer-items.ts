/**
 * Makes items of an answer that comes in pieces of text, for APIs that know no items.
 *
 * - An item opens with its first piece and closes when one of another kind begins, or the answer ends: items do not
 *   overlap.
 * - An item's deltas, joined, are its text.
 */
import { newItemId } from "../protocol/ids.ts";
import type { FunctionCallItem, MessageItem, ReasoningItem } from "../protocol/response-item.ts";
import type { ModelEvent } from "./model-client.ts";

/** What an API wants to have back with an item; it stays in the history under this name, unread by others. */
export type ProviderMetadata = Readonly<Record<string, unknown>>;

type Kept = { provider_metadata?: ProviderMetadata };

export type AnsweredCall = {
  /** Made up when the server gave none. */
  readonly callId: string | undefined;
  readonly name: string;
  readonly args: string;
  readonly metadata?: ProviderMetadata | undefined;
};

export class AnswerItems {
  #events: ModelEvent[] = [];
  #kind: "message" | "reasoning" | undefined;
  #id = "";
  #pieces: string[] = [];
  #metadata: ProviderMetadata | undefined;

  /** The events that have come up since the last call. */
  take(): ModelEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  text(delta: string): void {
    if (delta === "") return;
    this.openMessage();
    this.#pieces.push(delta);
    this.#events.push({ type: "text_delta", delta, itemId: this.#id });
  }

  reasoning(delta: string): void {
    if (delta === "") return;
    this.openReasoning();
    this.#pieces.push(delta);
    this.#events.push({ type: "reasoning_text_delta", delta, contentIndex: 0, itemId: this.#id });
  }

  openMessage(): void {
    if (this.#kind === "message") return;
    this.close();
    this.#open("message");
    this.#events.push({
      type: "item_added",
      item: { type: "message", role: "assistant", id: this.#id, content: [] },
    });
  }

  openReasoning(): void {
    if (this.#kind === "reasoning") return;
    this.close();
    this.#open("reasoning");
    this.#events.push({ type: "item_added", item: { type: "reasoning", id: this.#id, summary: [] } });
  }

  /** Whether the open item has metadata: then it is one that its API knows as such. */
  get hasMetadata(): boolean {
    return this.#metadata !== undefined;
  }

  /** Adds to what the open item keeps for its API. */
  keep(metadata: ProviderMetadata | undefined): void {
    if (metadata !== undefined && this.#kind !== undefined) this.#metadata = { ...this.#metadata, ...metadata };
  }

  call({ callId, name, args, metadata }: AnsweredCall): void {
    this.close();
    const item: FunctionCallItem & Kept = {
      type: "function_call",
      id: newItemId(),
      call_id: callId || `call_${newItemId()}`,
      name,
      arguments: args === "" ? "{}" : args,
      ...(metadata !== undefined && { provider_metadata: metadata }),
    };
    this.#events.push({ type: "item_done", item });
  }

  /** Closes the open item, if any. */
  close(): void {
    const text = this.#pieces.join("");
    const kept: Kept = this.#metadata === undefined ? {} : { provider_metadata: this.#metadata };
    if (this.#kind === "message") {
      const content = [{ type: "output_text" as const, text }];
      const item: MessageItem & Kept = { type: "message", role: "assistant", id: this.#id, content, ...kept };
      this.#events.push({ type: "item_done", item });
    } else if (this.#kind === "reasoning") {
      const content = [{ type: "reasoning_text", text }];
      const item: ReasoningItem & Kept = { type: "reasoning", id: this.#id, summary: [], content, ...kept };
      this.#events.push({ type: "item_done", item });
    }
    this.#kind = undefined;
  }

  #open(kind: "message" | "reasoning"): void {
    this.#kind = kind;
    this.#id = newItemId();
    this.#pieces = [];
    this.#metadata = undefined;
  }
}

/** What {@link AnswerItems.keep} kept with the item. */
export function keptWith(item: object): ProviderMetadata | undefined {
  const { provider_metadata } = item as Kept;
  return typeof provider_metadata === "object" && provider_metadata !== null ? provider_metadata : undefined;
}
