/** Texts and figures as they are shown. Pure. */

/**
 * What changes how others read, or is not seen at all: shown as what it is. Line breaks and tabs stay, and what makes one
 * picture of several signs.
 */
const UNSEEN =
  /(?![\n\t]|\u200d\p{Extended_Pictographic}|(?<=\p{Extended_Pictographic})\ufe0f|\ufe0f\u20e3)[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029\u2800]/gu;
/** Spaces that a shell takes for a letter. */
const ODD_SPACES = /(?! )\p{Zs}/gu;

const named = (char: string): string => `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** A text without anything unseen. */
export const visible = (text: string): string => text.replace(UNSEEN, named);

/** A command or a path as it is, to the last space: what is approved is what is read. */
export const exact = (text: string): string => visible(text).replace(ODD_SPACES, named);

/** 950, 5.7k, 66k, 1.2M. */
export function count(n: number): string {
  if (n < 1_000) return String(Math.round(n));
  const [size, unit] = n < 999_500 ? [1_000, "k"] : n < 999_500_000 ? [1e6, "M"] : [1e9, "G"];
  const scaled = n / Number(size);
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1_000)} s`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1_440)} days`;
}

/** Money, in the unit of the manager's prices: two digits that count, at least. */
export const money = (n: number): string => (n >= 1 || n === 0 ? n.toFixed(2) : Number(n.toPrecision(2)).toString());

export const bytes = (n: number): string => (n < 1e6 ? `${Math.round(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`);

export const clockTime = (t: number): string => new Date(t).toISOString().slice(11, 23);

/** The end of an id tells threads of one minute apart. */
export const shortId = (id: string): string => id.slice(-12);
