/** Rollouts with one field deleted, or replaced by a value of another type. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { isUuid, type ThreadId } from "../../src/protocol/ids.ts";
import { isJsonObject } from "../../src/protocol/unknown-kind.ts";
import { parseRolloutName } from "../../src/store/file/layout.ts";

type Path = readonly (string | number)[];

export type Mutation = {
  readonly line: number;
  readonly path: Path;
  readonly to: unknown;
  /** The kind of line and the field's place in it, which are the same in many rollouts. */
  readonly field: string;
};

const deep = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));
const DELETED = Symbol("deleted");
export const REPLACEMENTS: readonly unknown[] = [
  DELETED,
  null,
  7,
  -1,
  1e300,
  "x",
  "",
  [],
  {},
  true,
  [null],
  [{}],
  [{ type: 5 }],
  deep(200),
];
/** One of each type. */
export const FEW_REPLACEMENTS: readonly unknown[] = [DELETED, null, 7, "x", [], {}];

/** Of arrays the first three members stand for all. */
const MEMBERS = 3;

function* pathsIn(value: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (Array.isArray(value)) {
    for (const [index, part] of value.slice(0, MEMBERS).entries()) yield* pathsIn(part, [...path, index]);
  } else if (isJsonObject(value)) {
    for (const [name, part] of Object.entries(value)) yield* pathsIn(part, [...path, name]);
  }
}

function mutated(value: unknown, [step, ...rest]: Path, to: unknown): unknown {
  if (step === undefined) return to;
  const copy = Array.isArray(value) ? value.slice() : { ...(value as object) };
  const next = mutated(Reflect.get(copy, step), rest, to);
  if (next === DELETED) Reflect.deleteProperty(copy, step);
  else Reflect.set(copy, step, next);
  return copy;
}

/** undefined: it is no JSON. */
export function kindOfLine(text: string): string | undefined {
  const value = parsed(text);
  return value === undefined ? undefined : kindOf(value);
}

function kindOf(value: unknown): string {
  const kinds: string[] = [];
  for (let part: unknown = value; isJsonObject(part); part = part.payload ?? part.item) {
    kinds.push(String(part.type ?? part.role ?? ""));
  }
  return kinds.join("/");
}

/** All of them, of fields that are not among `seen`, which these join. */
export function mutationsOf(
  lines: readonly string[],
  { replacements = REPLACEMENTS, seen = new Set() }: { replacements?: readonly unknown[]; seen?: Set<string> } = {},
): Mutation[] {
  const all: Mutation[] = [];
  const own = new Set<string>();
  for (const [line, text] of lines.entries()) {
    const value: unknown = parsed(text);
    const kind = kindOf(value);
    for (const path of pathsIn(value)) {
      const field = `${kind}: ${path.map((step) => (typeof step === "number" ? "*" : step)).join(".")}`;
      if (seen.has(field)) continue;
      own.add(field);
      for (const to of replacements) all.push({ line, path, to, field });
    }
  }
  for (const field of own) seen.add(field);
  return all;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `count` of them, evenly spread; another `seed` gives others. */
export function someOf<T>(all: readonly T[], count: number, seed: number): T[] {
  if (all.length <= count) return [...all];
  // A stride that shares no factor with the length visits each once.
  let stride = 7919 + seed * 104_729;
  while (gcd(stride, all.length) !== 1) stride += 1;
  return Array.from({ length: count }, (_, n) => all[(n * stride + seed) % all.length] as T);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

export const changedLine = (lines: readonly string[], { line, path, to }: Mutation): string =>
  JSON.stringify(mutated(JSON.parse(lines[line] ?? ""), path, to));

/** The file with the change, ended by a line feed. */
export const textWith = (lines: readonly string[], mutation: Mutation): string =>
  `${lines.with(mutation.line, changedLine(lines, mutation)).join("\n")}\n`;

export const nameOfMutation = ({ line, path, to }: Mutation): string =>
  `line ${line}, ${path.join(".")} -> ${to === DELETED ? "deleted" : JSON.stringify(to).slice(0, 60)}`;

export function rolloutsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => parseRolloutName(basename(name)) !== undefined)
    .map((name) => join(folder, name))
    .sort();
}

/** The id in a header that every reader takes; undefined where there is none. */
export function headerIdOf(text: string): ThreadId | undefined {
  for (const line of text.split("\n")) {
    const value = parsed(line);
    if (!isJsonObject(value) || value.type !== "session_meta" || typeof value.timestamp !== "string") continue;
    const { payload } = value;
    if (isJsonObject(payload) && typeof payload.id === "string" && isUuid(payload.id)) return payload.id as ThreadId;
  }
  return undefined;
}
