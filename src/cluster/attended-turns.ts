/** The turns that an invocation's messages have begun or joined, and what they come to. */
import { raceAbort } from "../kernel/cancellation.ts";
import { ThreadClosedError } from "../protocol/errors.ts";
import { toSubmissionId } from "../protocol/ids.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import { isTurnEnd, TurnWatch } from "../thread/turn-watch.ts";
import { isShort, resultOf } from "./turn-results.ts";
import { WholeLife } from "./whole-life.ts";
import type { SentResult, TurnAnswer } from "./wire.ts";

export class AttendedTurns {
  readonly #store: Pick<ThreadStore, "load">;
  /** By the submissions' ids. */
  readonly #results = new Map<string, Promise<TurnResult<never>>>();

  constructor(store: Pick<ThreadStore, "load">) {
    this.#store = store;
  }

  /** From before its op is handed over. */
  watch(thread: LiveThread, id: string): TurnWatch {
    const watch = new TurnWatch(new WholeLife(thread), toSubmissionId(id));
    this.#results.set(id, watch.result);
    return watch;
  }

  /** Its op was refused. */
  forget(id: string, watch: TurnWatch): void {
    this.#results.delete(id);
    watch.stop();
  }

  resultOf(id: string): Promise<TurnResult<never>> | undefined {
    return this.#results.get(id);
  }

  /** One that the thread has seen before runs no second time: what became of it stands in the history. */
  async settleKnown(thread: LiveThread, id: string, watch: TurnWatch): Promise<void> {
    if (!watch.isRunning) return;
    const outcome = await thread.outcomeOf(id);
    if (!watch.isRunning) return;
    const joined = outcome === "running" ? await this.#joined(thread, id) : undefined;
    if (outcome === "running" && joined === undefined) return;
    watch.stop();
    const result = (joined?.ended ?? Promise.resolve()).then(() => this.#fromHistory(thread, id));
    result.catch(() => undefined); // whoever collects the results hears of it
    this.#results.set(id, result);
  }

  /** The end of the turn that the input has joined in an earlier life: nothing in this one bears its name. */
  async #joined(thread: LiveThread, id: string): Promise<{ readonly ended: Promise<void> } | undefined> {
    const trace = await thread.incarnation.intake.ledger.trace(toSubmissionId(id), undefined);
    if (trace?.turnId == null || trace.turnId === id) return undefined;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = new WholeLife(thread).observe({
      event({ msg }) {
        if (isTurnEnd(msg) && msg.turn_id === trace.turnId) resolve();
      },
      closed: (cause) => reject(new ThreadClosedError(thread.id, undefined, cause)),
    });
    return { ended: promise.finally(stop) };
  }

  async #fromHistory({ incarnation, id: threadId }: LiveThread, id: string): Promise<TurnResult<never>> {
    const submission = toSubmissionId(id);
    const turnId = (await incarnation.intake.ledger.trace(submission, undefined))?.turnId ?? id;
    return resultOf(this.#store.load(threadId), { id: submission, turnId });
  }

  /** Resolves when those that there are now have ended, however they did. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#results.values());
  }

  /** What they came to, once all have ended; items only where they are short. @throws the signal's reason */
  async collect(signal: AbortSignal): Promise<TurnAnswer["results"]> {
    const entries = [...this.#results].map(async ([id, result]) => {
      const { items, ...rest } = await raceAbort(result, signal);
      const sent: SentResult = { ...rest, items: isShort(items) ? items : null };
      return [id, sent] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  }
}
