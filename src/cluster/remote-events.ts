import { onceAborted } from "../kernel/abort-listeners.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import type { Feed } from "./feed.ts";

type Result = IteratorResult<ThreadEvent, undefined>;

const END: Result = { done: true, value: undefined };

/** A feed's events as an iterator, from an index on. Those that are kept no more are told by one `lagged` event. */
export class RemoteEvents implements AsyncIterableIterator<ThreadEvent, undefined> {
  readonly #feed: Feed;
  readonly #from: number;
  readonly #stop: () => void;
  #index: number;
  #isOver = false;
  #wake: (() => void) | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #unlink: (() => void) | undefined;

  /** @param start.from stored events of lines before it are left out */
  constructor(feed: Feed, { index, from, signal }: { index: number; from: number; signal?: AbortSignal | undefined }) {
    this.#feed = feed;
    this.#index = index;
    this.#from = from;
    this.#stop = feed.subscribe({ from: 0, event: () => this.#wake?.(), closed: () => this.#wake?.() });
    if (signal?.aborted) this.#end();
    else if (signal !== undefined) this.#unlink = onceAborted(signal, () => this.#end());
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Calls that overlap are answered in order. */
  next(): Promise<Result> {
    const answer = this.#last.then(() => this.#step());
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async return(): Promise<Result> {
    this.#end();
    return END;
  }

  #end(): void {
    this.#isOver = true;
    this.#stop();
    this.#unlink?.();
    this.#wake?.();
  }

  async #step(): Promise<Result> {
    for (;;) {
      if (this.#isOver) return END;
      const found = this.#feed.at(this.#index);
      if (found === undefined) {
        if (this.#feed.isClosed) return END;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      const missed = found.index - this.#index;
      this.#index = found.index + 1;
      const { event, ordinal } = found.told;
      if (missed > 0) return { done: false, value: lagged(event, missed, () => (this.#index -= 1)) };
      if (ordinal === null || ordinal >= this.#from) return { done: false, value: event };
    }
  }
}

/** What is told next is the event that follows the gap. */
function lagged(event: ThreadEvent, missed: number, stepBack: () => void): ThreadEvent {
  stepBack();
  const to = Math.max(0, event.seq - 1);
  return {
    ...event,
    seq: to,
    id: INITIAL_SUBMISSION_ID,
    msg: { type: "lagged", from: Math.max(0, to - missed + 1), to },
  };
}
