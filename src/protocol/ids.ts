import { v7 } from "uuid";
import { InvalidRequestError } from "./errors.ts";

declare const brand: unique symbol;
/** A text that only this module's functions make, so that ids are not mixed up. At run time it is a plain string. */
export type Branded<Name extends string> = string & { readonly [brand]: Name };

/** Names one thread for ever: a UUIDv7 in lower-case hyphenated text. */
export type ThreadId = Branded<"ThreadId">;
/** Names one turn for ever: a UUIDv7, minted once and stored. */
export type TurnId = Branded<"TurnId">;
/** Names one submitted op. The empty text is the initial submission, which causes the start-up events. */
export type SubmissionId = Branded<"SubmissionId">;

/** The submission id of a thread's first event in every incarnation. */
export const INITIAL_SUBMISSION_ID = "" as SubmissionId;

/** A UUID's worth of random bytes out of many: each call into the system costs as much as a hundred of these. */
const random = { pool: new Uint8Array(4096), used: 4096, one: new Uint8Array(16) };

function nextRandom(): Uint8Array {
  if (random.used === random.pool.length) {
    crypto.getRandomValues(random.pool);
    random.used = 0;
  }
  for (let at = 0; at < random.one.length; at += 1) random.one[at] = random.pool[random.used++] ?? 0;
  return random.one;
}

/** When the last id was made, and its number within that millisecond: ids sort in the order of their making (RFC 9562, 6.2). */
const last = { msecs: 0, seq: 0 };

function newUuid(): string {
  const bytes = nextRandom();
  const now = Date.now();
  if (now > last.msecs) {
    last.msecs = now;
    last.seq = new DataView(bytes.buffer).getUint32(6) >>> 1;
  } else {
    // The clock may stand, or go back. A number begins below 2^31 and cannot run out within a millisecond.
    last.seq += 1;
  }
  return v7({ random: bytes, msecs: last.msecs, seq: last.seq });
}

/** A new thread id: a UUID of version 7, so ids sort by their time of creation. */
export const newThreadId = (): ThreadId => newUuid() as ThreadId;
export const newTurnId = (): TurnId => newUuid() as TurnId;
export const newItemId = (): string => newUuid();
export const toSubmissionId = (text: string): SubmissionId => text as SubmissionId;

/** Reads a submission id of one's own, e.g. for `submitWithId`. @throws InvalidRequestError for what is no text, or empty */
export function submissionId(text: string): SubmissionId {
  if (typeof text !== "string" || text === "") {
    throw new InvalidRequestError("submission id: must be a text, and not empty");
  }
  return text as SubmissionId;
}

export const toTurnId = (text: string): TurnId => text as TurnId;

const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const HYPHENATED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SIMPLE = /^[0-9a-f]{32}$/i;
const URN_PREFIX = "urn:uuid:";
const GROUP_LENGTHS = [8, 4, 4, 4, 12] as const;

/** Whether `text` is a UUID in canonical form. */
export const isUuid = (text: string): boolean => CANONICAL.test(text);

/**
 * Reads a UUID in any of its textual forms (hyphenated, 32 digits, braced, `urn:uuid:`) and gives its canonical form.
 *
 * @throws InvalidRequestError with the text that Codex (Rust's uuid library) gives for the same input.
 */
export function parseUuid(text: string): string {
  if (typeof text !== "string") throw new InvalidRequestError("an id must be a text: a UUID");
  if (CANONICAL.test(text)) return text;
  const bare = unwrap(text);
  if (HYPHENATED.test(bare)) return bare.toLowerCase();
  if (SIMPLE.test(bare) && bare === text) {
    const t = bare.toLowerCase();
    return `${t.slice(0, 8)}-${t.slice(8, 12)}-${t.slice(12, 16)}-${t.slice(16, 20)}-${t.slice(20)}`;
  }
  throw new InvalidRequestError(explainMalformedUuid(text));
}

/** Reads a thread id; see {@link parseUuid} for the accepted forms and errors. */
export const parseThreadId = (text: string): ThreadId => parseUuid(text) as ThreadId;

function unwrap(text: string): string {
  if (text.startsWith(URN_PREFIX)) return text.slice(URN_PREFIX.length);
  return text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
}

/** What is wrong with a text that is no UUID, in the uuid crate's own kinds. */
export type UuidProblem =
  | { readonly kind: "character"; readonly character: string; readonly index: number }
  | { readonly kind: "simpleLength"; readonly length: number }
  | { readonly kind: "groupCount"; readonly count: number }
  | { readonly kind: "groupLength"; readonly group: number; readonly length: number; readonly index: number };

/** The diagnosis follows the uuid crate: first a bad character, then the group count, then the group lengths. */
export function uuidProblem(text: string): UuidProblem {
  const body = unwrap(text);
  const offset = body === text ? 0 : text.startsWith(URN_PREFIX) ? URN_PREFIX.length : 1;
  const hyphens: number[] = [];
  let byteIndex = 0;
  for (const character of body) {
    if (character === "-") hyphens.push(byteIndex);
    else if (!/[0-9a-fA-F]/.test(character)) return { kind: "character", character, index: byteIndex + offset + 1 };
    byteIndex += Buffer.byteLength(character);
  }
  if (hyphens.length === 0 && body === text) return { kind: "simpleLength", length: Buffer.byteLength(text) };
  if (hyphens.length !== 4) return { kind: "groupCount", count: hyphens.length + 1 };
  const starts = [0, ...hyphens.map((at) => at + 1)];
  const lengths = starts.map((start, group) => (hyphens[group] ?? byteIndex) - start);
  const wrong = lengths.findIndex((length, group) => length !== GROUP_LENGTHS[group]);
  const group = wrong === -1 ? 4 : wrong;
  return { kind: "groupLength", group, length: lengths[group] ?? 0, index: offset + (starts[group] ?? 0) + 1 };
}

function explainMalformedUuid(text: string): string {
  const problem = uuidProblem(text);
  switch (problem.kind) {
    case "character":
      return `invalid character: expected an optional prefix of \`urn:uuid:\` followed by [0-9a-fA-F-], found \`${problem.character}\` at ${problem.index}`;
    case "simpleLength":
      return `invalid length: expected length 32 for simple format, found ${problem.length}`;
    case "groupCount":
      return `invalid group count: expected 5, found ${problem.count}`;
    case "groupLength":
      return `invalid group length in group ${problem.group}: expected ${GROUP_LENGTHS[problem.group]}, found ${problem.length}`;
  }
}

/** A thread id as a program gives it. @throws InvalidRequestError in the program's own words */
export function givenThreadId(value: unknown, name: string): ThreadId {
  if (typeof value !== "string") throw new InvalidRequestError(`${name}: must be a text`);
  try {
    return parseThreadId(value);
  } catch (cause) {
    const shown = value.length > 64 ? `${value.slice(0, 64)}...` : value;
    throw new InvalidRequestError(`${name}: \`${shown}\` is no thread id, which is a UUID such as startThread gives`, {
      cause,
    });
  }
}
