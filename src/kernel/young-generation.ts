/**
 * V8's young generation doubles under load, to 128 MiB, and is never given back: most of what a busy server keeps for each of a
 * thousand threads. At 16 MiB it costs no more CPU. At run time it can only be kept from growing, once it has that size: the flag for
 * its greatest size counts at a process's start alone.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

const CAP_BYTES = 16 * 1024 * 1024;

const size = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;

/** Keeps it from growing further once it has 16 MiB. Of the whole process: for programs, not for libraries. */
export function capYoungGeneration(): Disposable {
  const observer = new PerformanceObserver(() => {
    if (size() < CAP_BYTES) return;
    setFlagsFromString("--semi-space-growth-factor=1");
    observer.disconnect();
  });
  observer.observe({ entryTypes: ["gc"] });
  return { [Symbol.dispose]: () => observer.disconnect() };
}
