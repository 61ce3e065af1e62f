/**
 * The one place that knows how a line of a rollout looks: for the writer, the readers, export and repair.
 *
 * - Every line ends in one line feed and holds none inside, so that files can be cut and counted at line feeds alone.
 * - What is copied from file to file is copied as bytes: only the ordinal in the head of the line changes, so numbers
 *   and members that this version cannot hold survive.
 */
import { InvalidRequestError } from "../../protocol/errors.ts";
import { isDeepText, MAX_JSON_DEPTH } from "../../protocol/json-depth.ts";
import { jsonForm, jsonText } from "../../protocol/json-form.ts";
import { type RolloutItem, type RolloutLine, readStoredLine, type SessionMeta } from "../../protocol/rollout.ts";
import { isJsonObject, type JsonObject } from "../../protocol/unknown-kind.ts";

/** `without`: what of it did not fit and was left out. */
export type DecodedLine =
  | { readonly line: RolloutLine; readonly without?: string }
  | { readonly problem: LineProblem; readonly why?: string };
/** `garbage` is no JSON object; `unreadable` is one whose payload does not fit its known type. */
export type LineProblem = "garbage" | "unreadable" | "blank";

const OWN_MEMBERS: ReadonlySet<string> = new Set(["timestamp", "ordinal", "type", "payload"]);

/** A file's longest line, in bytes. */
export const MAX_LINE_BYTES = 256 * 1024 * 1024;

/**
 * The item as every store keeps it (W8).
 *
 * @throws InvalidRequestError for one that has no JSON form, or nests too deep to be read again
 */
export const storable = <I extends RolloutItem>(item: I): I => jsonForm(item, `a ${item.type} line`);

/** A thread's header as every store keeps it. @throws InvalidRequestError */
export const storableHeader = (meta: SessionMeta): SessionMeta =>
  jsonForm(meta, "a session_meta line", MAX_JSON_DEPTH - 1);

/**
 * A line with its line feed. Without an ordinal it is of the legacy form. Further members of the item are kept.
 *
 * @param item one that is {@link storable}
 * @throws InvalidRequestError for a line that is too long
 */
export function encodeLine(item: RolloutItem, timestamp: string, ordinal: number | undefined): string {
  const text = lineOf(item, timestamp, ordinal);
  if (text.length > MAX_LINE_BYTES) {
    throw new InvalidRequestError(`a ${item.type} line of ${text.length} characters is longer than rollouts may hold`);
  }
  return text;
}

function lineOf(item: RolloutItem, timestamp: string, ordinal: number | undefined): string {
  const place = ordinal === undefined ? "" : `"ordinal":${ordinal},`;
  const payload = jsonText(item.payload);
  const body = payload === undefined ? "" : `,"payload":${payload}`;
  return `{"timestamp":"${timestamp}",${place}"type":${jsonText(item.type)}${body}${furtherMembers(item)}}\n`;
}

function furtherMembers(item: RolloutItem): string {
  let text = "";
  for (const name in item) {
    if (OWN_MEMBERS.has(name)) continue;
    const value = jsonText((item as unknown as JsonObject)[name]);
    if (value !== undefined) text += `,${jsonText(name)}:${value}`;
  }
  return text;
}

/** Reads one line, with or without its line feed. */
export function decodeLine(text: string): DecodedLine {
  if (isDeepText(text)) return { problem: "unreadable", why: `it nests deeper than ${MAX_JSON_DEPTH} levels` };
  const value = parseJson(text);
  if (value === undefined) return { problem: text.trim() === "" ? "blank" : "garbage" };
  const problems: string[] = [];
  const line = readStoredLine(value, problems);
  const why = problems.length === 0 ? {} : { why: problems.join(", ") };
  if (line === undefined) return { problem: isJsonObject(value) ? "unreadable" : "garbage", ...why };
  return problems.length === 0 ? { line } : { line, without: problems.join(", ") };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** No file has so many lines, and a number above it could not be counted on from. */
const MOST_LINES = 2 ** 52;

const asOrdinal = (value: number | undefined): number | undefined =>
  value !== undefined && Number.isInteger(value) && value >= 0 && value < MOST_LINES ? value : undefined;

/** A line's ordinal; undefined for lines of the legacy form and for nonsense. */
export const ordinalOf = (line: RolloutLine): number | undefined => asOrdinal(line.ordinal);

const HEAD = /^\{"timestamp":"([^"\\]*)",(?:"ordinal":\d+,)?"type":/;

/** A line of a file under another ordinal, or none; the rest of its bytes as they are, where its head allows. */
export function reordinal(text: string, ordinal: number | undefined, timestamp?: string): string {
  const place = ordinal === undefined ? "" : `"ordinal":${ordinal},`;
  const head = HEAD.exec(text);
  if (head !== null) return `{"timestamp":"${timestamp ?? head[1]}",${place}"type":${text.slice(head[0].length)}`;
  const decoded = decodeLine(text);
  if ("problem" in decoded) return text;
  return encodeLine(decoded.line, timestamp ?? decoded.line.timestamp, ordinal).trimEnd();
}

const ORDINAL = /^\{"timestamp":"[^"\\]*","ordinal":(\d+),/;

/** The ordinal that a line's head names, without parsing the line; undefined where the head has another form. */
export function peekOrdinal(text: string): number | undefined {
  const found = ORDINAL.exec(text);
  return found === null ? undefined : asOrdinal(Number(found[1]));
}

/** A line as it stands at an ordinal, or in a file without ordinals: byte for byte as it is, where it says that already. */
export function lineAt(text: string, ordinal: number | undefined): string {
  if (!HEAD.test(text)) {
    const decoded = decodeLine(text);
    if ("problem" in decoded || decoded.line.ordinal === ordinal) return text;
  }
  return reordinal(text, ordinal);
}

/** A fork's header with the bytes that its base has where it lies. */
export const withBaseBytes = (header: string, bytes: number): string =>
  header.replace(/("end_byte_offset":)\s*\d+/, `$1${bytes}`);

/** The type that a line's head names, without parsing the line; undefined where the head has another form. */
export function peekType(text: string): string | undefined {
  const head = HEAD.exec(text);
  if (head === null || text[head[0].length] !== '"') return undefined;
  const start = head[0].length + 1;
  const end = text.indexOf('"', start);
  const type = end === -1 ? undefined : text.slice(start, end);
  return type?.includes("\\") ? undefined : type;
}

const EVENT = /^\{"timestamp":"[^"\\]*",(?:"ordinal":\d+,)?"type":"event_msg","payload":\{"type":"([^"\\]*)"/;

/** Which event an `event_msg` line holds, where its payload begins with that; undefined elsewhere. */
export const peekEvent = (text: string): string | undefined => EVENT.exec(text)?.[1];

let lastMs = Number.NaN;
let lastText = "";

/** UTC with milliseconds and `Z`. */
export function timestampOf(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastText;
}
