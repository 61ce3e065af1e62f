/** Times as people read them. */
const STEPS: readonly [limitMs: number, unitMs: number, unit: string][] = [
  [60_000, 1_000, "s"],
  [3_600_000, 60_000, "min"],
  [86_400_000, 3_600_000, "h"],
  [30 * 86_400_000, 86_400_000, "d"],
];

/** `3 min ago` up to a month, then the day. */
export function agoOf(at: number, now: number): string {
  const age = Math.max(0, now - at);
  for (const [limit, unit, name] of STEPS) {
    if (age < limit) return `${Math.floor(age / unit)} ${name} ago`;
  }
  return new Date(at).toISOString().slice(0, 10);
}

export const isoOf = (at: number): string => new Date(at).toISOString();

/** The date and the minute, in local time. */
export function localOf(at: number): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
