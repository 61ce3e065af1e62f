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

/** What ends by force may take once the time is up, before the answer comes without them. */
export const FORCE_MS = 1_000;

/** What is told of ends, and how far they are. */
export type Ending = {
  /** Comes a second after the deadline at the latest, whatever there is still to do: who has not ended by then is among those that timed out. */
  readonly report: Promise<ShutdownReport>;
  /** Resolves once each has ended. */
  readonly over: Promise<void>;
};

/**
 * Ends each thread once those before it have ended. One that others wait for may take half of the time that is left, so that one that
 * hangs leaves some to them. When the time is up nobody waits for another any more: those that are left are all ended by force.
 *
 * @param end ends one within so many milliseconds; undefined where nothing of it lives
 */
export function endInOrder(
  order: EndOrder,
  { clock, deadlineMs }: { readonly clock: Clock; readonly deadlineMs: number },
  end: (threadId: ThreadId, deadlineMs: number) => Promise<Outcome | undefined>,
): Ending {
  const outcomes = new Map<ThreadId, Outcome | undefined>();
  const steps = stepsOf(order);
  const deadlineAt = elapsedBy(clock) + deadlineMs;
  const allEnded = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const begin = async (step: Step) => {
    if (step.hasBegun) return;
    step.hasBegun = true;
    const leftMs = Math.max(0, deadlineAt - elapsedBy(clock));
    const ownMs = step.next.length === 0 ? leftMs : leftMs / 2;
    outcomes.set(step.threadId, await end(step.threadId, ownMs).catch(() => "failed" as const));
    for (const next of step.next) {
      next.waitsFor -= 1;
      if (next.waitsFor === 0) void begin(next);
    }
    if (outcomes.size === steps.length) allEnded.resolve();
  };
  const forced = clock.setTimeout(() => void paced(steps, (step) => void begin(step)), deadlineMs);
  const late = clock.setTimeout(answered.resolve, deadlineMs + FORCE_MS);
  const over = allEnded.promise.finally(() => {
    clock.clearTimeout(forced);
    clock.clearTimeout(late);
  });
  if (steps.length === 0) allEnded.resolve();
  const first = steps.filter(({ waitsFor }) => waitsFor === 0);
  void paced(first, (step) => void begin(step));
  const report = Promise.race([over, answered.promise]).then(() => reportOf(steps, outcomes));
  return { report, over };
}

/** In the order of their ends; who has none yet comes last. */
function reportOf(steps: readonly Step[], outcomes: ReadonlyMap<ThreadId, Outcome | undefined>): ShutdownReport {
  const report: Record<Outcome, ThreadId[]> = { completed: [], failed: [], timedOut: [] };
  for (const [threadId, outcome] of outcomes) if (outcome !== undefined) report[outcome].push(threadId);
  for (const { threadId } of steps) if (!outcomes.has(threadId)) report.timedOut.push(threadId);
  return report;
}
