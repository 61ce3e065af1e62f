import { createHash } from "node:crypto";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";

/**
 * A table of config.toml as data. It is never changed in place, and its parts are made by `Object.fromEntries`, so that a
 * key such as `__proto__` is a key like any other.
 */
export type ConfigTable = { readonly [key: string]: unknown };
/** A dotted key of TOML, in its parts. */
export type KeyPath = readonly string[];

export const isTable = (value: unknown): value is ConfigTable => isJsonObject(value) && !(value instanceof Date);

const isSet = (value: unknown): boolean => value !== undefined && value !== null;

/** `above` over `below`: tables merge key by key, anything else replaces. What is undefined or null replaces nothing. */
export function mergeTables(below: ConfigTable, above: ConfigTable): ConfigTable {
  const merged = new Map(Object.entries(below));
  for (const [key, value] of Object.entries(above)) {
    if (!isSet(value)) continue;
    const under = merged.get(key);
    merged.set(key, isTable(value) ? mergeTables(isTable(under) ? under : {}, value) : value);
  }
  return Object.fromEntries(merged);
}

export function valueAt(table: ConfigTable, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (value, key) => (isTable(value) && Object.hasOwn(value, key) ? value[key] : undefined),
    table,
  );
}

/** The table with the value at the path; tables on the way are made where there are none. */
export function withValue(table: ConfigTable, path: KeyPath, value: unknown): ConfigTable {
  const [key, ...rest] = path;
  if (key === undefined) return table;
  const inner = valueAt(table, [key]);
  const replaced = rest.length === 0 ? value : withValue(isTable(inner) ? inner : {}, rest, value);
  return Object.fromEntries([...Object.entries(table).filter(([name]) => name !== key), [key, replaced]]);
}

/** The table without what stands at the path. */
export function withoutValue(table: ConfigTable, path: KeyPath): ConfigTable {
  const [key, ...rest] = path;
  if (key === undefined || !Object.hasOwn(table, key)) return table;
  if (rest.length === 0) return Object.fromEntries(Object.entries(table).filter(([name]) => name !== key));
  const inner = table[key];
  return isTable(inner) ? { ...table, [key]: withoutValue(inner, rest) } : table;
}

/** Every value that is no table, with its path. */
export function leavesOf(table: ConfigTable, above: KeyPath = []): { path: KeyPath; value: unknown }[] {
  return Object.entries(table).flatMap(([key, value]) => {
    const path = [...above, key];
    return isTable(value) ? leavesOf(value, path) : [{ path, value }];
  });
}

/** Codex's fingerprint of a layer: the SHA-256 of its JSON with sorted keys. */
export const versionOf = (table: ConfigTable): string =>
  `sha256:${createHash("sha256").update(JSON.stringify(table, sortKeys)).digest("hex")}`;

const sortKeys = (_: string, value: unknown): unknown =>
  isTable(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;

const SEGMENT = /\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^."']+))\s*(\.|$)/y;

/**
 * Reads a dotted key; a part in quotes may hold dots.
 *
 * @throws InvalidRequestError when it is none.
 */
export function parseKeyPath(text: string): KeyPath {
  const path: string[] = [];
  SEGMENT.lastIndex = 0;
  for (let more = true; more; ) {
    const match = SEGMENT.exec(text);
    const part = match?.[1]?.replace(/\\(.)/g, "$1") ?? match?.[2] ?? match?.[3]?.trim();
    if (match === null || part === undefined || part === "") {
      throw new InvalidRequestError(`config key \`${text}\` must be names joined by dots`);
    }
    path.push(part);
    more = match[4] === ".";
  }
  return path;
}

/** The dotted key, as TOML writes it. */
export const formatKeyPath = (path: KeyPath): string =>
  path.map((part) => (/^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part))).join(".");
