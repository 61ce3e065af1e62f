/** Of one signal, all who want to hear of its abort. */
const listening = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when the signal aborts, which it has not yet. An EventTarget walks its listeners whenever one comes or goes:
 * a signal that n threads share would cost O(n) an op. Here one listener stands for all, and each costs the same.
 *
 * @returns stops listening
 */
export function onceAborted(signal: AbortSignal, call: () => void): () => void {
  const found = listening.get(signal);
  const calls = found ?? new Set();
  calls.add(call);
  if (found === undefined) {
    listening.set(signal, calls);
    signal.addEventListener("abort", callAll, { once: true });
  }
  return () => {
    calls.delete(call);
    if (calls.size > 0 || listening.get(signal) !== calls) return;
    listening.delete(signal);
    signal.removeEventListener("abort", callAll);
  };
}

/** Resolves when the signal is aborted, at once where it is. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => onceAborted(signal, resolve));
}

function callAll(this: AbortSignal): void {
  const calls = listening.get(this);
  listening.delete(this);
  for (const call of calls ?? []) call();
}
