/**
 * Shapes of stored values. A rollout is outside data, and each of its lines goes through a shape before anybody reads it,
 * so these are plain closures that copy nothing of what fits: a zod schema of the same shapes takes twenty times as long.
 *
 * A value that fits is given back itself, unknown members included. What is optional and does not fit is left out of a
 * copy, and what is needed and does not fit makes the whole a misfit; both are named among the problems.
 */
import { isJsonObject, isTagged, type JsonObject } from "./unknown-kind.ts";

export const MISFIT: unique symbol = Symbol("misfit");

export type Shape = {
  /** What it wants, for the problem's text. */
  readonly expected: string;
  /** The value, a copy without what does not fit, or MISFIT. Adds what is wrong to `problems`. */
  readonly read: (value: unknown, problems: string[]) => unknown;
};

export type Shapes = { readonly [field: string]: Shape };

const leaf = (expected: string, fits: (value: unknown) => boolean): Shape => ({
  expected,
  read: (value) => (fits(value) ? value : MISFIT),
});

export const text = leaf("a string", (value) => typeof value === "string");
export const filledText = leaf("a string that is not empty", (value) => typeof value === "string" && value !== "");
export const number = leaf("a number", (value) => typeof value === "number" && Number.isFinite(value));
export const flag = leaf("true or false", (value) => typeof value === "boolean");
export const count = leaf(
  "a whole number, 0 or more",
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);
/** Any JSON value but null. */
export const anything = leaf("a value", (value) => value !== undefined && value !== null);
export const textMatching = (expected: string, matches: (value: string) => boolean): Shape =>
  leaf(expected, (value) => typeof value === "string" && matches(value));

export const listOf = (part: Shape): Shape => ({
  expected: `an array, each ${part.expected}`,
  read(value, problems) {
    if (!Array.isArray(value)) return MISFIT;
    let copy: unknown[] | undefined;
    for (let index = 0; index < value.length; index += 1) {
      const read = readPart(part, value[index], problems, `[${index}]`);
      if (read === MISFIT) return MISFIT;
      if (read !== value[index]) {
        copy ??= value.slice();
        copy[index] = read;
      }
    }
    return copy ?? value;
  },
});

/** An object whose members' names say nothing of their kind. */
export const mapOf = (part: Shape): Shape => ({
  expected: `an object, each member ${part.expected}`,
  read(value, problems) {
    if (!isJsonObject(value)) return MISFIT;
    let copy: JsonObject | undefined;
    for (const name of Object.keys(value)) {
      const read = readPart(part, value[name], problems, name);
      if (read === MISFIT) return MISFIT;
      if (read !== value[name]) {
        copy ??= { ...value };
        copy[name] = read;
      }
    }
    return copy ?? value;
  },
});

/** `optional` fields may be absent or null. */
export function record(needed: Shapes, optional: Shapes = {}): Shape {
  const all = [
    ...Object.entries(needed).map(([name, shape]) => ({ name, shape, isNeeded: true })),
    ...Object.entries(optional).map(([name, shape]) => ({ name, shape, isNeeded: false })),
  ];
  return {
    expected: "an object",
    read(value, problems) {
      if (!isJsonObject(value)) return MISFIT;
      let copy: JsonObject | undefined;
      for (const { name, shape, isNeeded } of all) {
        const field = value[name];
        if (!isNeeded && (field === undefined || field === null)) continue;
        const read = readPart(shape, field, problems, name);
        if (read === field) continue;
        if (read === MISFIT && isNeeded) return MISFIT;
        copy ??= { ...value };
        if (read === MISFIT) delete copy[name];
        else copy[name] = read;
      }
      return copy ?? value;
    },
  };
}

/** A tagged family. Kinds that are not known here pass as they are. */
export const byType = (known: ReadonlyMap<string, Shape>): Shape => ({
  expected: "an object with a type",
  read(value, problems) {
    if (!isTagged(value)) return MISFIT;
    const shape = known.get(value.type);
    return shape === undefined ? value : shape.read(value, problems);
  },
});

/** The first that fits. */
export const either = (...shapes: readonly Shape[]): Shape => ({
  expected: shapes.map(({ expected }) => expected).join(" or "),
  read(value) {
    for (const shape of shapes) {
      const read = shape.read(value, []);
      if (read !== MISFIT) return read;
    }
    return MISFIT;
  },
});

function readPart(shape: Shape, value: unknown, problems: string[], name: string): unknown {
  const before = problems.length;
  const read = shape.read(value, problems);
  if (read === MISFIT && problems.length === before) problems.push(`${name} must be ${shape.expected}`);
  else for (let at = before; at < problems.length; at += 1) problems[at] = joined(name, problems[at] ?? "");
  return read;
}

const joined = (name: string, rest: string): string => (rest.startsWith("[") ? `${name}${rest}` : `${name}.${rest}`);
