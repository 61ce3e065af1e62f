/** A message of the model's in plan mode: its plan is an item of its own. Each of the two begins with its first text. */
import type { EventMsg } from "../protocol/event.ts";
import { newItemId, type ThreadId } from "../protocol/ids.ts";
import type { MessageItem } from "../protocol/response-item.ts";
import { type AgentMessageTurnItem, agentMessageText } from "../protocol/turn-item.ts";
import { emptyTurnItem, wholeTurnItem } from "./answer-turn-items.ts";
import { PlanSplitter, splitPlan } from "./proposed-plan.ts";

type Place = { readonly thread_id: ThreadId; readonly turn_id: string };

export class PlanMessage {
  readonly #id: string;
  readonly #place: Place;
  readonly #publish: (msg: EventMsg) => void;
  readonly #begun: MessageItem;
  readonly #splitter = new PlanSplitter();
  readonly #planId = newItemId();
  #hasPlan = false;
  #hasText = false;
  /** White space that nothing has followed yet. */
  #leading = "";

  constructor(
    item: MessageItem,
    { id, place, publish }: { id: string; place: Place; publish: (msg: EventMsg) => void },
  ) {
    this.#begun = item;
    this.#id = id;
    this.#place = place;
    this.#publish = publish;
  }

  take(delta: string): void {
    for (const { type, text } of this.#splitter.take(delta)) this.#say(type, text);
  }

  /** The message is whole. What is left of it beside its plan; undefined: nothing. */
  finish(item: MessageItem): AgentMessageTurnItem | undefined {
    for (const { type, text } of this.#splitter.end()) this.#say(type, text);
    const whole = wholeTurnItem(item, this.#id) as AgentMessageTurnItem;
    const { text, plan } = splitPlan(agentMessageText(whole));
    if (plan !== undefined) {
      this.#startPlan();
      this.#publish({ type: "item_completed", ...this.#place, item: { type: "Plan", id: this.#planId, text: plan } });
    }
    if (!this.#hasText && text.trim() === "") return undefined;
    this.#startText();
    return { ...whole, content: [{ type: "Text", text }] };
  }

  #say(type: "text" | "plan", text: string): void {
    if (type === "plan") {
      this.#startPlan();
      this.#publish({ type: "plan_delta", ...this.#place, item_id: this.#planId, delta: text });
      return;
    }
    const delta = this.#leading + text;
    if (!this.#hasText && delta.trim() === "") {
      this.#leading = delta;
      return;
    }
    this.#leading = "";
    this.#startText();
    this.#publish({ type: "agent_message_content_delta", ...this.#place, item_id: this.#id, delta });
    this.#publish({ type: "agent_message_delta", delta });
  }

  #startPlan(): void {
    if (this.#hasPlan) return;
    this.#hasPlan = true;
    this.#publish({ type: "item_started", ...this.#place, item: { type: "Plan", id: this.#planId, text: "" } });
  }

  #startText(): void {
    if (this.#hasText) return;
    this.#hasText = true;
    this.#publish({ type: "item_started", ...this.#place, item: emptyTurnItem(this.#begun, this.#id) });
  }
}
