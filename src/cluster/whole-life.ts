import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Observed, TurnObserver } from "../thread/turn-watch.ts";

/** Hears all that a life has said since it began, then what it says. */
export class WholeLife implements Observed {
  readonly #thread: LiveThread;

  constructor(thread: LiveThread) {
    this.#thread = thread;
  }

  get id(): ThreadId {
    return this.#thread.id;
  }

  goesOnWith(id: Parameters<Observed["goesOnWith"]>[0]): boolean {
    return this.#thread.goesOnWith(id);
  }

  observe(observer: TurnObserver): () => void {
    const { log } = this.#thread.incarnation.door;
    for (let seq = log.first; seq < log.next; seq += 1) {
      const event = log.get(seq);
      if (event !== undefined && event.msg.type !== "session_configured") observer.event(event);
    }
    return this.#thread.observe(observer);
  }
}
