/**
 * How deep stored JSON may nest, a line's own object included. It is what Codex's reader takes (serde_json's limit of 128,
 * which it reaches one level before): a deeper line would be passed over by Codex, and overflow the stack of a recursive reader.
 */
export const MAX_JSON_DEPTH = 127;

export const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
/** Of the code of a character: `[` or `{`; and what ends those. */
export const isOpener = (code: number): boolean => code === 0x5b || code === 0x7b;
export const isCloser = (code: number): boolean => code === 0x5d || code === 0x7d;

export type JsonBounds = { readonly levels: number; readonly values: number };

/** Whether a JSON text nests deeper than that many levels. Walks it, without building anything. */
export const isDeepText = (text: string, levels = MAX_JSON_DEPTH): boolean =>
  hasMoreOpeners(text, levels) && boundPassed(text, { levels, values: Number.POSITIVE_INFINITY }) === "levels";

/** Which bound a JSON text goes beyond first. Walks it, without building anything; what is no JSON gets some answer. */
export function boundPassed(text: string, { levels, values }: JsonBounds): keyof JsonBounds | undefined {
  let depth = 0;
  let count = 1;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (isOpener(code)) {
      depth += 1;
      if (depth > levels) return "levels";
    } else if (isCloser(code)) depth -= 1;
    else if (code === COMMA) {
      count += 1;
      if (count > values) return "values";
    }
  }
  return undefined;
}

/** Where the string that begins with the quote at `start` has its other quote; the text's length where it has none. */
export function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 0) return end;
  }
  return text.length;
}

/** Most lines hold fewer brackets than that, which is seen in a few jumps. */
function hasMoreOpeners(text: string, levels: number): boolean {
  let left = levels;
  for (const opener of ["{", "["]) {
    for (let at = text.indexOf(opener); at !== -1; at = text.indexOf(opener, at + 1)) {
      left -= 1;
      if (left < 0) return true;
    }
  }
  return false;
}

/** The same of a value. One that holds itself is as deep as can be. */
export function isDeepValue(value: unknown, levels = MAX_JSON_DEPTH): boolean {
  let level = isObject(value) ? new Set([value]) : NONE;
  for (let depth = 0; level.size > 0; depth += 1) {
    if (depth === levels) return true;
    level = objectsWithin(level);
  }
  return false;
}

const NONE: ReadonlySet<object> = new Set();

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/** Each once, so that a value which holds itself twice does not grow. */
function objectsWithin(level: ReadonlySet<object>): ReadonlySet<object> {
  const within: object[] = [];
  for (const each of level) {
    for (const value of Object.values(each)) if (isObject(value)) within.push(value);
  }
  return within.length === 0 ? NONE : new Set(within);
}

/** How deep an op may nest: lines hold it, or what it gives, two levels deeper. */
export const MAX_OP_DEPTH = MAX_JSON_DEPTH - 2;
/** How deep what a model or a tool has said may nest, which lines wrap further. */
const MAX_SAID_DEPTH = MAX_JSON_DEPTH - 7;

/** A JSON value itself, or a copy in which a text stands for whatever nests deeper than that many levels. */
export function clippedDepth(value: unknown, levels = MAX_SAID_DEPTH): unknown {
  return isDeepValue(value, levels) ? clipped(value, levels) : value;
}

function clipped(value: unknown, levels: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return "[left out: nested too deep to be stored]";
  if (Array.isArray(value)) return value.map((part) => clipped(part, levels - 1));
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, clipped(part, levels - 1)]));
}
