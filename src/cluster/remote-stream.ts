/** What a handle tells of its thread: each event from where the handle began, to whoever listens, asks for all, or for the next one. */
import { Observable } from "rxjs";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { Event, ThreadEvent } from "../protocol/event.ts";
import { statusOver } from "../thread/status-over.ts";
import type { EventsOptions, WaitOptions } from "../thread/thread.ts";
import type { Feed } from "./feed.ts";
import { RemoteEvents } from "./remote-events.ts";

/** Whose events they are. */
export interface StreamHost {
  open(): Feed;
  /** The thread has ended, or the connection has. */
  isOver(): boolean;
  /** Stored events of lines before it are left out. */
  from(): number;
  status(): AgentStatus;
  bounded<T>(what: string, work: (signal: AbortSignal) => Promise<T>, options: WaitOptions): Promise<T>;
  ended(): Error;
}

export class RemoteStream {
  readonly #host: StreamHost;
  /** Opened for the first that listens. */
  feed: Feed | undefined;
  #pull: RemoteEvents | undefined;
  #pulled: Promise<IteratorResult<ThreadEvent, undefined>> | undefined;

  constructor(host: StreamHost) {
    this.#host = host;
  }

  get #opened(): Feed {
    this.feed ??= this.#host.open();
    if (this.#host.isOver()) this.feed.close();
    return this.feed;
  }

  get events$(): Observable<ThreadEvent> {
    return new Observable((subscriber) =>
      this.#opened.subscribe({
        from: this.#host.from(),
        event: (event) => subscriber.next(event),
        closed: () => subscriber.complete(),
      }),
    );
  }

  get status$(): Observable<AgentStatus> {
    return statusOver(this.events$, () => this.#host.status());
  }

  events({ after, signal }: EventsOptions): AsyncIterableIterator<ThreadEvent, undefined> {
    const feed = this.#opened;
    const start =
      after === undefined ? { index: feed.end, from: this.#host.from() } : { index: feed.indexAfter(after), from: 0 };
    return new RemoteEvents(feed, { ...start, signal });
  }

  /** Calls that overlap get an event each, in their order. */
  async nextEvent(options: WaitOptions): Promise<Event> {
    for (;;) {
      options.signal?.throwIfAborted();
      this.#pull ??= new RemoteEvents(this.#opened, { index: 1, from: 0 });
      this.#pulled ??= this.#pull.next();
      const pulled = this.#pulled;
      const { done, value } = await this.#host.bounded("the next event", () => pulled, options);
      if (done) throw this.#host.ended();
      if (this.#pulled !== pulled) continue;
      this.#pulled = undefined;
      if (value.msg.type !== "session_configured") return { id: value.id, msg: value.msg };
    }
  }
}
