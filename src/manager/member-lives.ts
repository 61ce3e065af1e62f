/** How the threads of a group live, as their group sees it. */
import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Registry } from "./registry.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { ThreadEnd } from "./thread-end.ts";

/** How lives go on and end. */
interface Lives {
  readonly down: { bringBack(threadId: ThreadId): Promise<void>; failureOf(threadId: ThreadId): ThreadEnd | undefined };
  layDown(thread: LiveThread): Promise<void>;
  closeForGood(end: ThreadEnd): Promise<void>;
}

export class MemberLives {
  readonly #host: { readonly registry: Registry };
  readonly #lives: Lives;

  constructor(host: { readonly registry: Registry }, lives: Lives) {
    this.#host = host;
    this.#lives = lives;
  }

  /** Has a thread live again that is down, or that is in the store alone. */
  bringBack(threadId: ThreadId): Promise<void> {
    return this.#lives.down.bringBack(threadId);
  }

  /**
   * Ends this life of a thread, and not the thread: it is down until it is brought back. What runs is interrupted and stored, as at an
   * interrupt; one that has left memory stays there, since nothing of it lives.
   */
  async suspend(threadId: ThreadId, deadlineMs: number): Promise<void> {
    const place = await this.#host.registry.locate(threadId);
    if (place?.kind === "leaving") {
      await place.done;
      return this.suspend(threadId, deadlineMs);
    }
    if (place?.kind !== "loaded") return;
    const { thread } = place;
    await thread.interrupt({ deadlineMs }).catch(() => undefined);
    if (!(await this.#host.registry.leave(thread, "always"))) return this.suspend(threadId, deadlineMs);
    await this.#lives.layDown(thread);
  }

  async endMember(
    threadId: ThreadId,
    { deadlineMs, hasFailed }: { readonly deadlineMs: number; readonly hasFailed: boolean },
  ): Promise<keyof ShutdownReport> {
    for (;;) {
      const place = await this.#host.registry.whereOrArrival(threadId);
      if (place?.kind === "leaving") await place.done;
      else if (place === undefined) return "completed";
      else if (place.kind === "loaded") {
        const outcome = await place.thread.shutdown({ deadlineMs });
        return place.thread.incarnation.writer.failure === undefined ? outcome : "failed";
      } else {
        const { epoch } = place.unloaded;
        const failure = this.#lives.down.failureOf(threadId);
        const asked = { threadId, epoch, reason: "closed", wasAsked: true } as const;
        const gaveUp = { threadId, epoch, reason: "gaveUp", error: failure?.error } as const;
        await this.#lives.closeForGood(hasFailed && failure !== undefined ? gaveUp : asked);
        return "completed";
      }
    }
  }
}
