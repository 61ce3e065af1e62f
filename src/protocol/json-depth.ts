/**
 * How deep stored JSON may nest, a line's own object included. It is what Codex's reader takes (serde_json's limit of 128,
 * which it reaches one level before): a deeper line would be passed over by Codex, and overflow the stack of whoever walks it.
 */
export const MAX_JSON_DEPTH = 127;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENERS: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const CLOSERS: ReadonlySet<number> = new Set([0x5d, 0x7d]);

/** Whether a JSON text nests deeper than that many levels. Walks it, without building anything. */
export function isDeepText(text: string, levels = MAX_JSON_DEPTH): boolean {
  if (!hasMoreOpeners(text, levels)) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === BACKSLASH) at += 1;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (OPENERS.has(code)) {
      depth += 1;
      if (depth > levels) return true;
    } else if (CLOSERS.has(code)) depth -= 1;
  }
  return false;
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
  let level = objectsIn([value]);
  for (let depth = 0; level.size > 0; depth += 1) {
    if (depth === levels) return true;
    level = objectsIn([...level].flatMap((each) => Object.values(each)));
  }
  return false;
}

/** Each once, so that a value which holds itself twice does not grow. */
const objectsIn = (values: readonly unknown[]): Set<object> =>
  new Set(values.filter((value) => typeof value === "object" && value !== null));
