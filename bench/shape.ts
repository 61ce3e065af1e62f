/** Whether a cost grows with what it must not grow with: the same work at a small and at a large size, compared. */

/** Costs by name: calls of the file system, bytes, microseconds of the CPU, bytes of the heap. */
export type Costs = Readonly<Record<string, number>>;

/** How far each cost may grow while the size grows tenfold or more. Counts are exact; times are of a busy machine. */
type Bounds = Readonly<Record<string, { readonly factor: number; readonly free: number }>>;

/** `free` is what a cost may be in any case, so that 1 against 0 is no growth. */
const BOUNDS: Bounds = {
  fsCalls: { factor: 1.5, free: 4 },
  bytesWritten: { factor: 1.5, free: 1_024 },
  bytesRead: { factor: 2, free: 64 * 1024 },
  heap: { factor: 3, free: 16 * 1024 },
  cpuUs: { factor: 3, free: 500 },
};

type Verdict = {
  readonly cost: string;
  readonly small: number;
  readonly large: number;
  readonly allowed: number;
  readonly holds: boolean;
};

/** Compares the same costs at two sizes. A cost without a bound is not judged. */
export function judge(small: Costs, large: Costs, bounds: Bounds = BOUNDS): Verdict[] {
  return Object.entries(bounds).flatMap(([cost, { factor, free }]) => {
    const [before, after] = [small[cost], large[cost]];
    if (before === undefined || after === undefined) return [];
    const allowed = Math.max(free, before * factor);
    return [{ cost, small: before, large: after, allowed: Math.round(allowed), holds: after <= allowed }];
  });
}

/** Of several runs, cost by cost: the median of what is counted, and the least time, since a busy machine only adds to that. */
export function costsOf(runs: readonly Costs[]): Costs {
  const names = Object.keys(runs[0] ?? {});
  const of = (name: string): number => {
    const sorted = runs.map((run) => run[name] ?? 0).toSorted((a, b) => a - b);
    return sorted[name === "cpuUs" ? 0 : sorted.length >> 1] ?? 0;
  };
  return Object.fromEntries(names.map((name) => [name, of(name)]));
}
