import type { Clock } from "../kernel/clock.ts";
import { paced } from "../kernel/pace.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Registry } from "./registry.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

type Parts = {
  readonly registry: Registry;
  readonly removed: () => readonly LiveThread[];
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly kill: (thread: LiveThread) => Promise<void>;
};

/**
 * Ends all threads side by side, those that are still being made included. One deadline for all of them; between one
 * thread and the next the event loop turns, so that it can pass.
 */
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
    const outcomes = new Map<LiveThread, Outcome>();
    const ending: Promise<void>[] = [];
    const ask = (thread: LiveThread) => {
      ending.push(endOne(thread).then((outcome) => void outcomes.set(thread, outcome)));
    };
    await raceTime(paced(untilAborted(threads, timeUp.signal), ask), timeUp.signal);
    if (!timeUp.signal.aborted) await raceTime(Promise.all(ending), timeUp.signal);
    const left = threads.filter((thread) => !outcomes.has(thread));
    const late = new Set<LiveThread>();
    // A logic that can't end by itself, and has nothing to finish, has done what it could.
    await paced(left, (thread) => void (thread.incarnation.retire() || late.add(thread)));
    const killing: Promise<void>[] = [];
    await paced(late, (thread) => void killing.push(kill(thread)));
    await Promise.all([...killing, ...left.filter((thread) => !late.has(thread)).map(endOfLife)]);
    const outcomeOf = (thread: LiveThread) =>
      late.has(thread) ? "timedOut" : (outcomes.get(thread) ?? storedOf(thread));
    const of = (wanted: Outcome) => threads.filter((thread) => outcomeOf(thread) === wanted).map(({ id }) => id);
    return { completed: of("completed"), failed: of("failed"), timedOut: of("timedOut") };
  } finally {
    clock.clearTimeout(timer);
  }
}

type Outcome = keyof ShutdownReport;

/** Without a deadline of its own: all threads have the same. Never rejects. */
async function endOne(thread: LiveThread): Promise<Outcome> {
  try {
    await thread.shutdown({ deadlineMs: Number.POSITIVE_INFINITY });
    return thread.incarnation.writer.failure === undefined ? "completed" : "failed";
  } catch {
    return "failed";
  }
}

/** What an own logic's thread came to: completed, once what it said is stored. */
const storedOf = ({ incarnation: { writer } }: LiveThread): Outcome =>
  writer.failure === undefined && !writer.dirty ? "completed" : "failed";

const endOfLife = (thread: LiveThread): Promise<void> =>
  new Promise((closed) => void thread.observe({ event: () => undefined, closed: () => closed() }));

function* untilAborted<T>(all: Iterable<T>, signal: AbortSignal): Iterable<T> {
  for (const one of all) {
    if (signal.aborted) return;
    yield one;
  }
}

function raceTime(work: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
