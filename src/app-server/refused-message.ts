/** Messages that are too much to parse: seen before anything is built of them, and answered as what they ask. */
import {
  boundPassed,
  endOfString,
  isCloser,
  isDeepText,
  isOpener,
  type JsonBounds,
  MAX_JSON_DEPTH,
  QUOTE,
} from "../protocol/json-depth.ts";

/** Codex's own depth; and as many values as are parsed in a fraction of a second. A message of texts has far fewer. */
const BOUNDS: JsonBounds = { levels: MAX_JSON_DEPTH, values: 2_000_000 };

const REASONS: Readonly<Record<keyof JsonBounds, string>> = {
  levels: `recursion limit exceeded: a message nests at most ${BOUNDS.levels} levels`,
  values: `too many values: a message holds at most ${BOUNDS.values}`,
};

/** Why a message is not parsed; undefined when it may be. */
export function reasonToRefuse(text: string): string | undefined {
  // A text has no more values than characters, so most messages are not walked at all.
  if (text.length <= BOUNDS.values) return isDeepText(text, BOUNDS.levels) ? REASONS.levels : undefined;
  const passed = boundPassed(text, BOUNDS);
  return passed === undefined ? undefined : REASONS[passed];
}

export type Envelope = { readonly id: unknown; readonly hasMethod: boolean };

/** What a message's own members say of it, without its being parsed. */
export function envelopeOf(text: string): Envelope {
  let depth = 0;
  let id: unknown;
  let hasMethod = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) {
      const end = endOfString(text, at);
      if (depth === 1 && id === undefined && isKey(text, at, end, "id")) id = scalarAfter(text, end + 1);
      else if (depth === 1 && isKey(text, at, end, "method")) hasMethod = true;
      at = end;
    } else if (isOpener(char)) depth += 1;
    else if (isCloser(char)) depth -= 1;
  }
  return { id, hasMethod };
}

const COLON = /\s*:/y;
const SCALAR = /\s*:\s*("(?:[^"\\]|\\.){0,1024}"|-?\d{1,1024}(?=\s*[,}]))/y;

function isKey(text: string, start: number, end: number, name: string): boolean {
  if (end - start - 1 !== name.length || !text.startsWith(name, start + 1)) return false;
  COLON.lastIndex = end + 1;
  return COLON.test(text);
}

function scalarAfter(text: string, at: number): unknown {
  SCALAR.lastIndex = at;
  const found = SCALAR.exec(text)?.[1];
  if (found === undefined) return undefined;
  try {
    return found.startsWith('"') || Number.isSafeInteger(Number(found)) ? JSON.parse(found) : BigInt(found);
  } catch {
    return undefined;
  }
}
