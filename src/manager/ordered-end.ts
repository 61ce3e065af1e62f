/** Ends threads in an order, within one deadline: a subtree's one by one, a manager's side by side where none waits for the other. */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import { paced } from "../kernel/pace.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

/** For each thread those that end before it. Whom it names comes before it in the map. */
export type EndOrder = ReadonlyMap<ThreadId, readonly ThreadId[]>;

type Outcome = keyof ShutdownReport;
type Step = { readonly threadId: ThreadId; readonly next: Step[]; waitsFor: number; hasBegun: boolean };

/** One after another. */
export const inTurn = (threadIds: readonly ThreadId[]): EndOrder =>
  new Map(threadIds.map((id, at) => [id, threadIds.slice(Math.max(0, at - 1), at)]));

/**
 * All these, and all that have to end before them. What would go round is cut where it closes, so each comes once.
 * @param before those that have to end before a thread does, the last of them to be visited first
 */
export function endOrder(threadIds: Iterable<ThreadId>, before: (threadId: ThreadId) => readonly ThreadId[]): EndOrder {
  const order = new Map<ThreadId, readonly ThreadId[]>();
  const seen = new Set<ThreadId>();
  const path: { readonly id: ThreadId; readonly before: readonly ThreadId[]; readonly left: ThreadId[] }[] = [];
  const visit = (id: ThreadId) => {
    if (seen.has(id)) return;
    seen.add(id);
    const first = before(id);
    path.push({ id, before: first, left: [...first] });
  };
  for (const start of threadIds) {
    visit(start);
    for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
      const next = at.left.pop();
      if (next !== undefined) visit(next);
      else {
        path.pop();
        order.set(
          at.id,
          at.before.filter((id) => order.has(id)),
        );
      }
    }
  }
  return order;
}

function stepsOf(order: EndOrder): Step[] {
  const steps = new Map<ThreadId, Step>();
  for (const [threadId, before] of order) {
    const step: Step = { threadId, next: [], waitsFor: before.length, hasBegun: false };
    steps.set(threadId, step);
    for (const id of before) steps.get(id)?.next.push(step);
  }
  return [...steps.values()];
}

/**
 * Ends each thread once those before it have ended. One that others wait for may take half of the time that is left, so that one that
 * hangs leaves some to them. When the time is up nobody waits for another any more: those that are left are all ended by force.
 *
 * @param end ends one within so many milliseconds; undefined where nothing of it lives
 */
export async function endInOrder(
  order: EndOrder,
  { clock, deadlineMs }: { readonly clock: Clock; readonly deadlineMs: number },
  end: (threadId: ThreadId, deadlineMs: number) => Promise<Outcome | undefined>,
): Promise<ShutdownReport> {
  const report: Record<Outcome, ThreadId[]> = { completed: [], failed: [], timedOut: [] };
  const steps = stepsOf(order);
  if (steps.length === 0) return report;
  const deadlineAt = elapsedBy(clock) + deadlineMs;
  const allEnded = Promise.withResolvers<void>();
  let left = steps.length;
  const begin = async (step: Step) => {
    if (step.hasBegun) return;
    step.hasBegun = true;
    const leftMs = Math.max(0, deadlineAt - elapsedBy(clock));
    const ownMs = step.next.length === 0 ? leftMs : leftMs / 2;
    const outcome = await end(step.threadId, ownMs).catch(() => "failed" as const);
    if (outcome !== undefined) report[outcome].push(step.threadId);
    for (const next of step.next) {
      next.waitsFor -= 1;
      if (next.waitsFor === 0) void begin(next);
    }
    left -= 1;
    if (left === 0) allEnded.resolve();
  };
  const timeUp = () => void paced(steps, (step) => void begin(step));
  const timer = deadlineMs === Number.POSITIVE_INFINITY ? undefined : clock.setTimeout(timeUp, deadlineMs);
  try {
    const first = steps.filter(({ waitsFor }) => waitsFor === 0);
    await paced(first, (step) => void begin(step));
    await allEnded.promise;
    return report;
  } finally {
    clock.clearTimeout(timer);
  }
}
