/** From stored lines back to what a thread works with (SPEC 5.4). Pure. */

import type { EventMsg } from "../protocol/event.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";
import { History } from "../turn/history.ts";
import { type Environment, type Told, toldEnvironment, toldInstructions } from "../turn/initial-context.ts";
import { WaitingLines } from "./waiting-lines.ts";

/** The events that a history is rebuilt from; rollbacks name turns by their start. */
export const EVENTS_OF_HISTORY: ReadonlySet<string> = new Set(["thread_rolled_back", "token_count", "task_started"]);

/** What the lines of a thread come to, folded in order. */
export class Rebuilt {
  readonly history: History;
  usage: TokenUsageInfo | undefined;
  /** The model of the last request. */
  model: string | undefined;
  /**
   * What turn contexts of a known form said (Codex passes over the others), each with the number of user messages before it; of
   * those with one number the first, which was told before the last of these messages, and the last.
   */
  #told: { readonly messages: number; readonly first: Environment; last: Environment }[] = [];
  /** Those that stand, or that a compaction has kept, its summary among them. */
  #messages = 0;
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
    copy.#told = this.#told.map((told) => ({ ...told }));
    copy.#messages = this.#messages;
    for (const item of this.waiting.all()) copy.waiting.add(item);
    return copy;
  }

  /** @param initialContext what the thread's own settings would tell the model now, for compactions that kept nothing */
  add(item: RolloutItem, initialContext: () => readonly ResponseItem[]): void {
    switch (item.type) {
      case "response_item":
        this.history.append(item.payload);
        if (isUserBoundary(item.payload)) this.#messages += 1;
        return;
      case "turn_context":
        this.model = item.payload.model ?? this.model;
        this.#noteTold(toldEnvironment(item.payload));
        return;
      case "compacted":
        if (item.payload.replacement_history)
          this.history.replaceWith(item.payload.replacement_history, item.payload.message);
        else this.history.compact(item.payload.message, initialContext());
        this.#restart();
        return;
      case "submission":
        this.waiting.add(item.payload);
        return;
      case "event_msg":
        if (item.payload.type === "thread_rolled_back") this.#rollBack(item.payload.num_turns);
        else if (item.payload.type === "token_count") this.usage = item.payload.info ?? this.usage;
    }
  }

  #noteTold(environment: Environment | undefined): void {
    if (environment === undefined) return;
    const last = this.#told.at(-1);
    if (last?.messages === this.#messages) last.last = environment;
    else this.#told.push({ messages: this.#messages, first: environment, last: environment });
  }

  /** What a compaction has told anew, by the settings of the request that it made, comes before all messages that it keeps. */
  #restart(): void {
    const told = this.#told.at(-1)?.last;
    this.#told = told === undefined ? [] : [{ messages: 0, first: told, last: told }];
    this.#messages = this.history.userMessages;
  }

  /** What was told before the first message that goes stays in the history. */
  #rollBack(turns: number): void {
    this.history.rollBack(turns);
    this.#messages = Math.max(0, this.#messages - turns);
    const at = this.#told.findIndex(({ messages }) => messages > this.#messages);
    const gone = this.#told[at];
    if (gone === undefined) return;
    this.#told.length = at;
    if (gone.messages === this.#messages + 1) this.#noteTold(gone.first);
  }

  /** The settings that the model last received. */
  get told(): Told | undefined {
    const environment = this.#told.at(-1)?.last;
    if (environment === undefined) return undefined;
    return { ...environment, ...toldInstructions(this.history.forModel()) };
  }
}

/** Codex's warning that a thread goes on with another model (SPEC 5.1). */
export const modelChanged = (recorded: string, model: string): EventMsg => ({
  type: "warning",
  message: `This session was recorded with model \`${recorded}\` but is resuming with \`${model}\`. Consider switching back to \`${recorded}\` as it may affect Codex performance.`,
});
