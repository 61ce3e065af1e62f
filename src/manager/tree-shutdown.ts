import type { Clock } from "../kernel/clock.ts";
import { elapsedBy } from "../kernel/clock.ts";
import { ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { MemberLives } from "./group.ts";
import type { Registry } from "./registry.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

type Parts = {
  readonly registry: Registry;
  readonly lives: Pick<MemberLives, "endMember">;
  readonly clock: Clock;
};

/**
 * Ends a thread and all agents under it, children before parents and the last started first. Nobody can be started under it meanwhile.
 * Each may take half of the time that is left, so that one that hangs leaves some to the others; the root has all of what is left.
 *
 * @throws ThreadNotFoundError when the thread is not open and has no agents
 */
export async function shutDownTree(
  root: ThreadId,
  deadlineMs: number,
  { registry, lives, clock }: Parts,
): Promise<ShutdownReport> {
  if ((await registry.whereOrArrival(root)) === undefined && registry.agentsUnder(root).length === 0)
    throw new ThreadNotFoundError(root);
  const deadlineAt = elapsedBy(clock) + deadlineMs;
  const report: Record<keyof ShutdownReport, ThreadId[]> = { completed: [], failed: [], timedOut: [] };
  const end = async (threadId: ThreadId) => {
    const leftMs = Math.max(0, deadlineAt - elapsedBy(clock));
    const ownMs = threadId === root ? leftMs : leftMs / 2;
    const outcome = await lives
      .endMember(threadId, { deadlineMs: ownMs, hasFailed: false })
      .catch(() => "failed" as const);
    report[outcome].push(threadId);
  };
  const unseal = registry.seal(root);
  try {
    for (const threadId of registry.endOrder(root)) await end(threadId);
    await end(root);
  } finally {
    unseal();
  }
  return report;
}
