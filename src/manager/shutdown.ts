import type { Clock } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Registry } from "./registry.ts";

/** What became of each thread: ended by itself, ended with its last lines not stored, or ended by force. */
export type ShutdownReport = {
  readonly completed: readonly ThreadId[];
  readonly failed: readonly ThreadId[];
  readonly timedOut: readonly ThreadId[];
};

type Parts = {
  readonly registry: Registry;
  readonly removed: () => readonly LiveThread[];
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly kill: (thread: LiveThread) => Promise<void>;
};

/** Ends all threads side by side, those that are still being made included. One deadline for all of them. */
export async function shutDownThreads({ registry, removed, clock, deadlineMs, kill }: Parts): Promise<ShutdownReport> {
  const timeUp = new AbortController();
  const timer = clock.setTimeout(
    () => timeUp.abort(new DOMException("the deadline has passed", "TimeoutError")),
    deadlineMs,
  );
  try {
    await raceTime(Promise.allSettled(await registry.pending()), timeUp.signal);
    // Those that came while others were waited for are among them.
    const threads = [...(await registry.all()), ...removed()].filter((thread) => thread.isLoaded);
    // A signal each: a listener more on a shared one costs what there are listeners on it.
    const stops = threads.map(() => new AbortController());
    const stopAll = () => {
      for (const stop of stops) stop.abort(timeUp.signal.reason);
    };
    if (timeUp.signal.aborted) stopAll();
    timeUp.signal.addEventListener("abort", stopAll, { once: true });
    const ending = threads.map((thread, at) => endOne(thread, stops[at]?.signal ?? timeUp.signal, kill));
    const outcomes = await Promise.all(ending);
    const of = (wanted: Outcome) => threads.filter((_, at) => outcomes[at] === wanted).map((thread) => thread.id);
    return { completed: of("completed"), failed: of("failed"), timedOut: of("timedOut") };
  } finally {
    clock.clearTimeout(timer);
  }
}

type Outcome = keyof ShutdownReport;

async function endOne(
  thread: LiveThread,
  signal: AbortSignal,
  kill: (thread: LiveThread) => Promise<void>,
): Promise<Outcome> {
  try {
    await thread.shutdown({ signal, deadlineMs: Number.POSITIVE_INFINITY });
    return thread.incarnation.writer.failure === undefined ? "completed" : "failed";
  } catch {
    // The deadline has passed: the thread was ended by force, or is now.
    await kill(thread);
    return "timedOut";
  }
}

function raceTime(work: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
