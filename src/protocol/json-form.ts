/**
 * The one form in which values are stored, sent and shown: JSON of Unicode text. Whatever is given by code of others is brought to it
 * once, where it comes in, so that no getter, `toJSON` or proxy answers one thing when it is looked at and another when it is stored.
 */
import { types } from "node:util";
import { InvalidRequestError } from "./errors.ts";
import { isDeepText, isDeepValue, MAX_JSON_DEPTH } from "./json-depth.ts";

/**
 * The value itself where it is JSON data already, else a copy of what JSON makes of it: `toJSON` is asked, members that hold no JSON
 * are left out, and U+FFFD stands for each half of a surrogate pair.
 *
 * @param what how the error names it, such as `op user_input`
 * @throws InvalidRequestError for what nests deeper than `levels`, holds itself or a BigInt, or throws when it is read
 */
export function jsonForm<T>(value: T, what: string, levels = MAX_JSON_DEPTH): T {
  let text: string | undefined;
  try {
    if (isJsonData(value, levels)) return value;
    if (isDeepValue(value, levels)) throw tooDeep(what, levels);
    text = jsonText(value);
  } catch (cause) {
    if (cause instanceof InvalidRequestError) throw cause;
    const why = cause instanceof Error ? cause.message : "something is thrown when it is read";
    throw new InvalidRequestError(`${what} is no JSON: ${why}`, { cause });
  }
  if (text === undefined) throw new InvalidRequestError(`${what} is no JSON`);
  if (isDeepText(text, levels)) throw tooDeep(what, levels);
  return JSON.parse(text);
}

const tooDeep = (what: string, levels: number): InvalidRequestError =>
  new InvalidRequestError(
    `${what} holds itself, or nests deeper than ${levels} levels, which no reader of rollouts takes; flatten it, or give it as a text`,
  );

/** What JSON.stringify writes for a lone surrogate; a pair it writes as it is. */
const LONE_SURROGATE = /(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g;

/** As JSON.stringify, in names and texts with U+FFFD for each lone surrogate, whose escape strict readers refuse. */
export function jsonText(value: unknown): string | undefined {
  const text = JSON.stringify(value);
  return text?.includes("\\ud") ? text.replace(LONE_SURROGATE, "$1\uFFFD") : text;
}

/** Whether it is plain JSON of Unicode text, and runs no code when it is read. A member may be undefined, which JSON leaves out. */
function isJsonData(value: unknown, levels: number): boolean {
  switch (typeof value) {
    case "string":
      return value.isWellFormed();
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "boolean":
      return true;
    case "object":
      return value === null || (levels > 0 && isObjectOfData(value, levels - 1));
    default:
      return false;
  }
}

function isObjectOfData(value: object, levels: number): boolean {
  if (types.isProxy(value) || "toJSON" in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) return prototype === Array.prototype && isListOfData(value, levels);
  return (prototype === Object.prototype || prototype === null) && isRecordOfData(value, levels);
}

function isListOfData(list: readonly unknown[], levels: number): boolean {
  for (let at = 0; at < list.length; at += 1) if (!isJsonData(list[at], levels)) return false;
  return true;
}

function isRecordOfData(record: object, levels: number): boolean {
  for (const name in record) {
    const member = Object.getOwnPropertyDescriptor(record, name);
    if (member === undefined || !("value" in member) || !name.isWellFormed()) return false;
    if (member.value !== undefined && !isJsonData(member.value, levels)) return false;
  }
  return true;
}
