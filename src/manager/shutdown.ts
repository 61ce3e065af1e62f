import { type Clock, elapsedBy } from "../kernel/clock.ts";
import { ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { MemberLives } from "./member-lives.ts";
import { type Ending, endInOrder, endOrder, inTurn } from "./ordered-end.ts";
import type { Registry } from "./registry.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

type TreeParts = {
  readonly registry: Registry;
  readonly lives: Pick<MemberLives, "endMember">;
  readonly clock: Clock;
};

/**
 * Ends a thread and all agents under it, children before parents and the last started first. Nobody can be started under it meanwhile.
 *
 * @throws ThreadNotFoundError when the thread is not open and has no agents
 */
export async function shutDownTree(
  root: ThreadId,
  deadlineMs: number,
  { registry, lives, clock }: TreeParts,
): Promise<ShutdownReport> {
  if ((await registry.whereOrArrival(root)) === undefined && registry.kin.allUnder(root).length === 0)
    throw new ThreadNotFoundError(root);
  const unseal = registry.kin.seal(root);
  const order = [...endOrder([root], (threadId) => registry.kin.startedBy(threadId)).keys()];
  const members = order.filter((threadId) => threadId === root || registry.kin.isAdmitted(threadId));
  const { report, over } = endInOrder(inTurn(members), { clock, deadlineMs }, (threadId, ownMs) =>
    lives.endMember(threadId, { deadlineMs: ownMs, hasFailed: false }),
  );
  void over.then(unseal);
  return report;
}

type Parts = {
  readonly registry: Registry;
  readonly removed: () => readonly LiveThread[];
  /** Who joined a group right after a thread. */
  readonly joinedAfter: ReadonlyMap<ThreadId, ThreadId>;
  readonly clock: Clock;
  readonly deadlineMs: number;
};

/**
 * Ends all threads, those that are still being made included: agents before whoever started them, and of a group the last that joined
 * first; else side by side, those that have something to do first, so that nobody's turn goes on while very many others end.
 */
export async function shutDownThreads(parts: Parts): Promise<Ending> {
  const { registry, removed, joinedAfter, clock, deadlineMs } = parts;
  const deadlineAt = elapsedBy(clock) + deadlineMs;
  await inTime(Promise.allSettled(await registry.pending()), parts);
  // Those that came while others were waited for are among them.
  const { busy = [], idle = [] } = Object.groupBy([...(await registry.all()), ...removed()], standing);
  const handles = Map.groupBy([...busy, ...idle], ({ id }) => id);
  const order = endOrder(handles.keys(), (threadId) => {
    const after = joinedAfter.get(threadId);
    return [...registry.kin.startedBy(threadId), ...(after === undefined ? [] : [after])];
  });
  const leftMs = Math.max(0, deadlineAt - elapsedBy(clock));
  return endInOrder(order, { clock, deadlineMs: leftMs }, async (threadId, ownMs) => {
    const loaded = (handles.get(threadId) ?? []).filter((thread) => thread.isLoaded);
    const outcomes = await Promise.all(loaded.map((thread) => endOne(thread, ownMs)));
    return OUTCOMES.find((outcome) => outcomes.includes(outcome));
  });
}

const standing = ({ isLoaded, incarnation }: LiveThread) => (isLoaded && !incarnation.isIdle ? "busy" : "idle");

type Outcome = keyof ShutdownReport;
/** The worst first. */
const OUTCOMES: readonly Outcome[] = ["timedOut", "failed", "completed"];

/** Whether all that it said is stored decides what it has come to. */
async function endOne(thread: LiveThread, deadlineMs: number): Promise<Outcome> {
  const outcome = await thread.shutdown({ deadlineMs });
  return outcome === "completed" && thread.incarnation.writer.failure !== undefined ? "failed" : outcome;
}

/** Waits for the work, and no longer than so many milliseconds. */
export async function inTime(
  work: Promise<unknown>,
  { clock, deadlineMs }: Pick<Parts, "clock" | "deadlineMs">,
): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = clock.setTimeout(late.resolve, deadlineMs);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clock.clearTimeout(timer);
  }
}
