/** Finds threads of a manager by their ids and by their handles, and has those that have left memory loaded again. */
import { raceAbort } from "../kernel/cancellation.ts";
import { ManagerClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Registry, Unloaded } from "./registry.ts";
import type { ThreadMaker } from "./thread-maker.ts";

/** Whose threads they are. */
interface FinderHost {
  readonly registry: Registry;
  readonly maker: Pick<ThreadMaker, "reload" | "resume">;
  readonly isClosing: boolean;
}

export class ThreadFinder {
  readonly #host: FinderHost;

  constructor(host: FinderHost) {
    this.#host = host;
  }

  /** The thread, loaded again if it has left memory; one that is down is waited for. @throws ThreadNotFoundError */
  async get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread> {
    for (;;) {
      const place = await this.#host.registry.locate(threadId);
      if (place === undefined) throw new ThreadNotFoundError(threadId);
      if (place.kind === "loaded") return place.thread;
      if (place.kind === "unloaded") return this.#reload(threadId, place.unloaded, signal);
      await raceAbort(place.done, signal);
    }
  }

  #reload(threadId: ThreadId, unloaded: Unloaded, signal: AbortSignal | undefined): Promise<LiveThread> {
    if (this.#host.isClosing) throw new ManagerClosedError();
    return raceAbort(this.#host.maker.reload(threadId, unloaded, { signal }), signal);
  }

  /** The thread, also one that only an earlier process had. */
  async bring(threadId: ThreadId): Promise<LiveThread> {
    try {
      return await this.get(threadId);
    } catch (error) {
      if (!(error instanceof ThreadNotFoundError)) throw error;
      await this.#host.maker.resume(threadId, undefined, { initialMessages: "none" });
      return this.get(threadId);
    }
  }

  /** Loads a handle's thread. @throws ThreadClosedError when it never comes back to this handle */
  async load(thread: LiveThread, signal: AbortSignal | undefined): Promise<void> {
    const { id } = thread;
    for (;;) {
      if (this.#host.isClosing) throw new ManagerClosedError();
      const place = await this.#host.registry.locate(id);
      switch (place?.kind) {
        case "loaded":
          // One that has ended, or another handle's thread of the same id, never comes back to this handle.
          if (place.thread !== thread || !thread.isLoaded) throw thread.closedError();
          return;
        case "leaving":
          if (place.thread !== thread) throw thread.closedError();
          await raceAbort(place.done, signal);
          break;
        case "down":
          await raceAbort(place.done, signal);
          break;
        case "unloaded":
          // Others may have loaded it meanwhile, and sent it away again: its epoch is the one that it has now.
          if (place.unloaded.epoch !== thread.epoch) throw thread.closedError();
          await this.#reload(id, place.unloaded, signal);
          break;
        default:
          throw thread.closedError();
      }
    }
  }
}
