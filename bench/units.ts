/** Figures with the units that their names end in. */

const digits = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

export function timeOf(us: number): string {
  if (us < 1) return `${digits(us * 1_000)} ns`;
  if (us < 1_000) return `${digits(us)} µs`;
  return us < 1e6 ? `${digits(us / 1_000)} ms` : `${digits(us / 1e6)} s`;
}

export function bytesOf(bytes: number): string {
  if (Math.abs(bytes) < 1_024) return `${digits(bytes)} B`;
  return Math.abs(bytes) < 2 ** 20 ? `${digits(bytes / 1_024)} KiB` : `${digits(bytes / 2 ** 20)} MiB`;
}

/** `resumeUs`, `us`, `usPerSpawn` are microseconds, `ns...` nanoseconds, `...Ms` milliseconds, `heapBytes` bytes, `kib` KiB. */
export function shownAs(key: string, value: number): string {
  if (/^us|us$|Us($|[A-Z])/.test(key)) return timeOf(value);
  if (/^ns|Ns($|[A-Z])/.test(key)) return timeOf(value / 1_000);
  if (/^ms|ms$|Ms($|[A-Z])/.test(key)) return timeOf(value * 1_000);
  if (/bytes|Bytes|^rss$|^heap$/.test(key)) return bytesOf(value);
  if (/^kib|Kib/.test(key)) return bytesOf(value * 1_024);
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

/** `perSecond` as `per second`, `heapBytes` as `heap`. */
export const headingOf = (key: string): string =>
  key
    .replace(/(Bytes|Us|Ms)$/, "")
    .replace(/^(us|ms)$/, "time")
    .replace(/^kib$/, "memory")
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase();
