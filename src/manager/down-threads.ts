/** Threads that have crashed and are down: what they failed by, and when and how they live again (S7). */

import type { SupervisorSignal } from "../../machines/supervisor.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { LimitReachedError, ManagerClosedError, ThreadBusyError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { EndReason } from "../thread/life-end.ts";
import type { RestartRule } from "./group-options.ts";
import type { Groups } from "./groups.ts";
import type { Supervision } from "./options.ts";
import type { Registry, Unloaded } from "./registry.ts";
import type { RestartStanding } from "./restart-standing.ts";
import { RestartCounters } from "./restarts.ts";
import type { Restarts } from "./supervisor.ts";
import type { ThreadEnd } from "./thread-end.ts";
import type { ThreadMaker } from "./thread-maker.ts";

/** Whose threads they are. */
export interface DownHost {
  readonly logger: SkeinLogger;
  readonly clock: Clock;
  readonly supervision: Supervision;
  readonly registry: Registry;
  readonly maker: Pick<ThreadMaker, "reload" | "resume">;
  readonly groups: Pick<Groups, "ownerOf">;
  readonly isClosing: boolean;
  signal(signal: SupervisorSignal): void;
}

/** Nobody writes its fields but these methods. */
export class DownThreads implements Restarts {
  readonly #host: DownHost;
  readonly #close: (end: ThreadEnd) => Promise<void>;
  readonly #counters: RestartCounters;
  /** What threads that are down, or were given up, failed by. */
  readonly #failures = new Map<ThreadId, ThreadEnd>();

  /** @param close closes a thread that is down for good */
  constructor(host: DownHost, close: (end: ThreadEnd) => Promise<void>) {
    this.#host = host;
    this.#close = close;
    this.#counters = new RestartCounters(host.supervision, host.clock, {
      restart: (threadId) => host.signal({ type: "restart.due", threadId }),
      giveUp: (threadId, crashes) => host.signal({ type: "restart.gaveUp", threadId, crashes }),
    });
  }

  /** The thread is restarted by its own rule from now on; without one, by the manager's. */
  setRule(threadId: ThreadId, rule: RestartRule | undefined): void {
    this.#counters.setRule(threadId, rule);
  }

  /** Whether a thread that is in no group lives again after such an end. */
  comesBack(threadId: ThreadId, reason: EndReason): boolean {
    return this.#counters.restarts(threadId, reason);
  }

  /** The thread is down. */
  note(end: ThreadEnd): void {
    this.#failures.set(end.threadId, end);
  }

  failureOf(threadId: ThreadId): ThreadEnd | undefined {
    return this.#failures.get(threadId);
  }

  /** The thread is not restarted any more. */
  forget(threadId: ThreadId): void {
    this.#failures.delete(threadId);
    this.#counters.retire(threadId);
  }

  standingOf(threadId: ThreadId): RestartStanding {
    const { error } = this.#failures.get(threadId) ?? {};
    const group = this.#host.groups.ownerOf(threadId);
    return {
      ...this.#counters.standingOf(threadId),
      error: error === undefined ? null : textOfThrown(error),
      group: group === undefined ? null : (group.name ?? group.id),
    };
  }

  /** From now on nothing comes back: those that wait for their restart are given up. */
  async stop(): Promise<void> {
    for (const threadId of await this.#host.registry.down()) await this.giveUp({ threadId });
    this.#counters.close();
  }

  awaitRestart(threadId: ThreadId): void {
    this.#counters.noteEnd(threadId);
  }

  async restart(threadId: ThreadId): Promise<void> {
    const place = await this.#host.registry.locate(threadId);
    if (place?.kind !== "down") return;
    try {
      await this.#reload(threadId, place.unloaded);
    } catch (error) {
      // Somebody has removed or closed it meanwhile.
      if ((await this.#host.registry.locate(threadId))?.kind !== "down") return;
      await this.#restartLater(threadId, error);
    }
  }

  async #reload(threadId: ThreadId, unloaded: Unloaded): Promise<void> {
    await this.#host.maker.reload(threadId, unloaded, {}, "restart");
    this.#failures.delete(threadId);
  }

  /** A restart that failed counts as a crash; one that was refused for what is not the thread's fault does not. */
  async #restartLater(threadId: ThreadId, error: unknown): Promise<void> {
    if (this.#host.isClosing) {
      await this.giveUp({ threadId });
      return;
    }
    const isRefused = error instanceof LimitReachedError || error instanceof ThreadBusyError;
    this.#host.logger.error(
      { threadId, err: error },
      `a crashed thread could not be restarted${isRefused ? " yet" : ""}`,
    );
    const { epoch = 0 } = this.#failures.get(threadId) ?? {};
    this.#failures.set(threadId, { threadId, epoch, reason: "crashed", error });
    if (!isRefused) this.#counters.noteEnd(threadId);
    else if (!this.#counters.noteRefusal(threadId)) await this.giveUp({ threadId });
  }

  async giveUp({ threadId, crashes }: { threadId: ThreadId; crashes?: number }): Promise<void> {
    const { epoch = 0, error } = this.#failures.get(threadId) ?? {};
    this.#host.logger.error({ threadId, crashes, err: error }, "a thread that crashed stays down");
    await this.#close({ threadId, epoch, reason: "gaveUp", error });
  }

  /** Has a thread live again, for its group, that is down or in the store alone. */
  async bringBack(threadId: ThreadId): Promise<void> {
    for (;;) {
      if (this.#host.isClosing) throw new ManagerClosedError();
      const place = await this.#host.registry.locate(threadId);
      if (place?.kind === "leaving") await place.done;
      else if (place === undefined) return void (await this.#host.maker.resume(threadId, undefined));
      else if (place.kind !== "down") return;
      else return this.#reload(threadId, place.unloaded);
    }
  }
}
