import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ServedThreads } from "./served-threads.ts";

/** Which threads run a turn, from when this is made on. */
export class RunningTurns implements Disposable {
  readonly #turns = new Map<ThreadId, string>();
  readonly #subscriptions: readonly { unsubscribe(): void }[];
  readonly #waiting = new Set<() => void>();

  constructor(manager: Pick<ServedThreads, "events$" | "threadClosed$">) {
    this.#subscriptions = [
      manager.events$.subscribe((event) => this.#take(event)),
      manager.threadClosed$.subscribe(({ threadId }) => this.#forget(threadId)),
    ];
  }

  /** Resolves as soon as none runs; at once when none does. */
  whenNone(): Promise<void> {
    if (this.#turns.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #take({ threadId, msg }: ThreadEvent): void {
    if (msg.type === "task_started" || msg.type === "turn_resumed") this.#turns.set(threadId, msg.turn_id ?? "");
    // An empty input ends as soon as it comes, and is not the running turn; a new incarnation runs none.
    else if (msg.type === "task_complete" || msg.type === "turn_aborted") {
      if (this.#turns.get(threadId) === (msg.turn_id ?? "")) this.#forget(threadId);
    } else if (msg.type === "session_configured" && msg.resumed_turn_id === undefined) this.#forget(threadId);
  }

  #forget(threadId: ThreadId): void {
    if (!this.#turns.delete(threadId) || this.#turns.size > 0) return;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }
}
