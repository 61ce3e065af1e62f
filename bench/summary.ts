/** Numbers of several runs of one case, as they are told and put together. */

export type Summary = { readonly median: number; readonly min: number; readonly max: number; readonly n: number };

/** A result as a bench prints it: what was measured under which circumstances. */
export type Line = Readonly<Record<string, unknown>>;

const rounded = (value: number): number => Number(value.toPrecision(4));

export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { median: rounded(at(0.5)), min: rounded(at(0)), max: rounded(at(1)), n: sorted.length };
}

export const isSummary = (value: unknown): value is Summary =>
  typeof value === "object" && value !== null && "median" in value && "min" in value && "max" in value && "n" in value;

/** What of a line says which case it is. */
export const caseOf = (line: Line): Line =>
  Object.fromEntries(Object.entries(line).filter(([, value]) => !isSummary(value)));

/** The same cases of several rounds as one line each: the median of the rounds' medians, and the extremes of all. */
export function merged(lines: readonly Line[]): Line[] {
  const byCase = Map.groupBy(lines, (line) => JSON.stringify(caseOf(line)));
  return [...byCase.values()].map((same) => {
    const metrics = new Set(same.flatMap((line) => Object.keys(line).filter((key) => isSummary(line[key]))));
    const together = [...metrics].map((key) => [key, pooled(same.map((line) => line[key]).filter(isSummary))] as const);
    return { ...caseOf(same[0] ?? {}), ...Object.fromEntries(together) };
  });
}

function pooled(summaries: readonly Summary[]): Summary {
  return {
    median: summarize(summaries.map(({ median }) => median)).median,
    min: Math.min(...summaries.map(({ min }) => min)),
    max: Math.max(...summaries.map(({ max }) => max)),
    n: summaries.reduce((sum, { n }) => sum + n, 0),
  };
}
