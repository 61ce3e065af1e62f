/** How a manager ends: nothing begins any more, all threads end, and then what they have used is closed. */
import type { SupervisorSignal } from "../../machines/supervisor.machine.ts";
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { Budgets } from "./budgets.ts";
import type { Groups } from "./groups.ts";
import type { Messages } from "./messages.ts";
import type { Monitors } from "./monitors.ts";
import type { ManagerSetup } from "./options.ts";
import { FORCE_MS } from "./ordered-end.ts";
import type { Registry } from "./registry.ts";
import type { ResidencySweep } from "./residency.ts";
import { inTime, shutDownThreads } from "./shutdown.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { ThreadLives } from "./thread-lives.ts";
import type { ThreadMaker } from "./thread-maker.ts";
import type { Timers } from "./timers.ts";

/** What ends. */
type Manager = {
  readonly setup: Pick<ManagerSetup, "logger" | "ownsStore" | "store">;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly groups: Groups;
  readonly monitors: Monitors;
  readonly timers: Timers;
  readonly maker: ThreadMaker;
  readonly messages: Messages;
  readonly mcp: McpPool;
  readonly budgets: Budgets;
  readonly ephemeral: ThreadStore;
  signal(signal: SupervisorSignal): void;
};
type Ending = { readonly lives: ThreadLives; readonly sweep: ResidencySweep; readonly deadlineMs: number };

export async function shutDownManager(manager: Manager, { lives, sweep, deadlineMs }: Ending): Promise<ShutdownReport> {
  const { clock, registry, groups, monitors } = manager;
  const answerBy = elapsedBy(clock) + deadlineMs + 2 * FORCE_MS;
  manager.signal({ type: "manager.drain" });
  const joinedAfter = groups.joinedAfter();
  monitors.close();
  sweep.stop();
  await inTime(closeSources(manager, lives), { clock, deadlineMs });
  const leftMs = Math.max(0, answerBy - 2 * FORCE_MS - elapsedBy(clock));
  const removed = () => lives.removed;
  const { report, over } = await shutDownThreads({ registry, removed, joinedAfter, clock, deadlineMs: leftMs });
  const told = await report;
  // Where very many end on a busy machine the rest goes on behind the answer.
  await inTime(closeAfter(over, manager, lives), { clock, deadlineMs: Math.max(0, answerBy - elapsedBy(clock)) });
  return told;
}

/** Nothing begins by itself any more. */
async function closeSources({ timers, groups }: Manager, lives: ThreadLives): Promise<void> {
  await timers.close();
  await groups.close();
  await lives.down.stop();
}

async function closeAfter(ends: Promise<void>, manager: Manager, lives: ThreadLives): Promise<void> {
  await ends;
  manager.maker.close();
  await lives.endWhatIsLeft();
  await manager.monitors.settled();
  await manager.messages.close();
  await closeStores(manager);
  manager.signal({ type: "manager.stop" });
}

async function closeStores({ mcp, budgets, ephemeral, setup }: Manager): Promise<void> {
  try {
    await mcp.close();
    await budgets.accounts.settled();
    await ephemeral.close();
    if (setup.ownsStore) await setup.store.close();
  } catch (error) {
    setup.logger.error({ err: error }, "the store could not be closed");
  }
}
