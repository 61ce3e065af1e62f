/**
 * Lets the event loop turn. Work that never waits for anything but resolved promises (a scripted model, a store in memory)
 * would otherwise keep timers, signals and sockets waiting for as long as it lasts.
 */

/** How long the loop may be kept from turning. */
const LONGEST_MS = 10;

let lastTurnAt = performance.now();
let turning: Promise<void> | undefined;

/** undefined when the loop has turned lately; else a promise for its next turn, shared by all who ask meanwhile. */
export function yieldToLoop(): Promise<void> | undefined {
  if (turning !== undefined) return turning;
  if (performance.now() - lastTurnAt < LONGEST_MS) return undefined;
  turning = new Promise((resolve) => {
    setImmediate(() => {
      lastTurnAt = performance.now();
      turning = undefined;
      resolve();
    });
  });
  return turning;
}
