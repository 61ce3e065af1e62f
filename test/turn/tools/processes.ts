import { readFile } from "node:fs/promises";

/** A process that was killed and is still to be waited for by its parent counts as ended. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && stat[stat.lastIndexOf(")") + 2] !== "Z";
}

/** Whether all have ended, or do so within some turns of the event loop: the kernel needs a moment after a signal. */
export async function gone(pids: readonly number[]): Promise<boolean> {
  for (let tries = 0; tries < 2_000; tries += 1) {
    const running = await Promise.all(pids.map(isRunning));
    if (!running.includes(true)) return true;
  }
  return false;
}
