/** From stored lines back to what a thread works with (SPEC 5.4). Pure. */

import type { EventMsg } from "../protocol/event.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import { History } from "../turn/history.ts";
import { type Environment, type Told, toldEnvironment, toldInstructions } from "../turn/initial-context.ts";
import { WaitingLines } from "./waiting-lines.ts";

/** The events among the lines that {@link Rebuilt} looks at. */
export const EVENTS_OF_HISTORY: ReadonlySet<string> = new Set(["thread_rolled_back", "token_count"]);

/** What the lines of a thread come to, folded in order. */
export class Rebuilt {
  readonly history: History;
  usage: TokenUsageInfo | undefined;
  /** The model of the last request. */
  model: string | undefined;
  /** Of the last turn context that is of a known form, as Codex passes over the others. */
  #environment: Environment | undefined;
  /** Ops that were taken, and of which no line says that they have entered the history. */
  readonly waiting = new WaitingLines();

  constructor(history = new History()) {
    this.history = history;
  }

  /** What is added to either does not touch the other. */
  copy(): Rebuilt {
    const copy = new Rebuilt(this.history.copy());
    copy.usage = this.usage;
    copy.model = this.model;
    copy.#environment = this.#environment;
    for (const item of this.waiting.all()) copy.waiting.add(item);
    return copy;
  }

  /** @param initialContext what the thread's own settings would tell the model now, for compactions that kept nothing */
  add(item: RolloutItem, initialContext: () => readonly ResponseItem[]): void {
    switch (item.type) {
      case "response_item":
        this.history.append(item.payload);
        return;
      case "turn_context":
        this.model = item.payload.model ?? this.model;
        this.#environment = toldEnvironment(item.payload) ?? this.#environment;
        return;
      case "compacted":
        if (item.payload.replacement_history)
          this.history.replaceWith(item.payload.replacement_history, item.payload.message);
        else this.history.compact(item.payload.message, initialContext());
        return;
      case "submission":
        this.waiting.add(item.payload);
        return;
      case "event_msg":
        if (item.payload.type === "thread_rolled_back") this.history.rollBack(item.payload.num_turns);
        else if (item.payload.type === "token_count") this.usage = item.payload.info ?? this.usage;
    }
  }

  /** The settings that the model last received. */
  get told(): Told | undefined {
    if (this.#environment === undefined) return undefined;
    return { ...this.#environment, ...toldInstructions(this.history.forModel()) };
  }
}

/** Codex's warning that a thread goes on with another model (SPEC 5.1). */
export const modelChanged = (recorded: string, model: string): EventMsg => ({
  type: "warning",
  message: `This session was recorded with model \`${recorded}\` but is resuming with \`${model}\`. Consider switching back to \`${recorded}\` as it may affect Codex performance.`,
});
