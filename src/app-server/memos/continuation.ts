import type { ThreadEvent } from "../../protocol/event.ts";
import type { ServedThreads } from "../served-threads.ts";
import type { Goals } from "./goals.ts";
import type { Queues } from "./queues.ts";

/** What follows a turn that has ended: input that waits for it, else the next turn toward the thread's goal. */
export class Continuation implements Disposable {
  readonly #goals: Goals;
  readonly #queues: Queues;
  readonly #subscription: { unsubscribe(): void };

  /** To be made after what tells clients of the same events: they hear of the end first. */
  constructor(events: ServedThreads["events$"], { goals, queues }: { goals: Goals; queues: Queues }) {
    this.#goals = goals;
    this.#queues = queues;
    this.#subscription = events.subscribe((event) => this.#take(event));
  }

  #take(event: ThreadEvent): void {
    const { threadId, msg } = event;
    if (msg.type === "token_count") this.#goals.onTokens(event);
    // Input without content has no turn.
    if (msg.type !== "task_complete" || msg.turn_id == null) return;
    if (!this.#queues.goOn(threadId) && msg.error == null) this.#goals.goOn(threadId);
  }

  [Symbol.dispose](): void {
    this.#subscription.unsubscribe();
  }
}
