import { isDeepStrictEqual } from "node:util";
import { parse, stringify } from "smol-toml";
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import {
  type ConfigTable,
  formatKeyPath,
  isTable,
  type KeyPath,
  valueAt,
  withoutValue,
  withValue,
} from "./config-table.ts";
import { type TomlStatement, tomlStatements } from "./toml-statements.ts";

/**
 * The text with another value at the path, or with none when the value is undefined or null. Everything else stays as it
 * is written: comments, order, blank lines. The result is read back and compared before it is given out.
 *
 * @throws InvalidRequestError when the value cannot be put there by such an edit. The text must be valid TOML.
 */
export function editToml(text: string, path: KeyPath, value: unknown): string {
  if (path.length === 0) throw new InvalidRequestError("config key: must not be empty");
  const before = parse(text);
  for (let length = 1; length < path.length; length++) {
    const above = path.slice(0, length);
    const holder = valueAt(before, above);
    if (holder !== undefined && !isTable(holder)) {
      throw new InvalidRequestError(`config key \`${formatKeyPath(above)}\` is not a table`);
    }
  }
  const remove = value === undefined || value === null;
  const expected = remove ? withoutValue(before, path) : withValue(before, path, value);
  for (const edited of remove ? [removed(text, path)] : candidates(text, path, value)) {
    if (meansTheSame(parsedOrUndefined(edited), expected)) return edited;
  }
  throw new InvalidRequestError(
    `config key \`${formatKeyPath(path)}\` cannot be changed in place; edit the file by hand`,
  );
}

/** Ways to set a value, the least intrusive first. */
function* candidates(text: string, path: KeyPath, value: unknown): Iterable<string> {
  const own = tomlStatements(text).find((each) => each.kind === "pair" && isPrefix(each.path, path));
  if (own !== undefined) {
    const rest = path.slice(own.path.length);
    const current = parse(`value = ${text.slice(own.value.start, own.value.end)}`).value;
    const replacement = rest.length === 0 ? value : isTable(current) ? withValue(current, rest, value) : undefined;
    if (replacement !== undefined) yield splice(text, own.value, inline(replacement));
  }
  const cleared = removed(text, path);
  yield* insertions(cleared, path, value);
}

function* insertions(text: string, path: KeyPath, value: unknown): Iterable<string> {
  const statements = tomlStatements(text);
  const parent = path.slice(0, -1);
  if (isTable(value) && Object.keys(value).length > 0) yield appended(text, section(path, value));
  const header = statements.findLast((each) => each.kind === "table" && isSame(each.path, parent));
  if (header !== undefined || parent.length === 0) {
    yield insertedAfter(text, lastOf(statements, header), pair(path.slice(-1), value));
  }
  const sibling = statements.findLast((each) => each.kind === "pair" && isPrefix(parent, each.path));
  if (sibling !== undefined) {
    const table = statements.findLast((each) => each.kind !== "pair" && each.lines.start < sibling.lines.start);
    yield insertedAfter(text, sibling, pair(path.slice(table?.path.length ?? 0), value));
  }
  yield appended(text, section(parent, Object.fromEntries([[path.at(-1), value]])));
}

/** The last statement of the header's own body; of the root's, without a header. */
function lastOf(statements: readonly TomlStatement[], header: TomlStatement | undefined): TomlStatement | undefined {
  const from = header === undefined ? 0 : statements.indexOf(header) + 1;
  const body = statements.slice(from);
  const length = body.findIndex((each) => each.kind !== "pair");
  return (length === -1 ? body : body.slice(0, length)).at(-1) ?? header;
}

function insertedAfter(text: string, place: TomlStatement | undefined, line: string): string {
  const at = place?.lines.end ?? 0;
  const before = text.slice(0, at);
  return `${before}${before === "" || before.endsWith("\n") ? "" : eolOf(text)}${line}${eolOf(text)}${text.slice(at)}`;
}

function appended(text: string, addition: string): string {
  const eol = eolOf(text);
  const gap = text === "" ? "" : text.endsWith("\n") ? eol : eol + eol;
  return `${text}${gap}${addition.replaceAll("\n", eol)}`;
}

function removed(text: string, path: KeyPath): string {
  const statements = tomlStatements(text);
  const holder = statements.find(
    (each) => each.kind === "pair" && each.path.length < path.length && isPrefix(each.path, path),
  );
  if (holder !== undefined) {
    const table = parse(`value = ${text.slice(holder.value.start, holder.value.end)}`).value;
    const rest = path.slice(holder.path.length);
    if (!isTable(table) || valueAt(table, rest) === undefined) return text;
    return splice(text, holder.value, inline(withoutValue(table, rest)));
  }
  return statements
    .filter((each) => isPrefix(path, each.path))
    .reduceRight((edited, each) => splice(edited, each.lines, ""), text);
}

const splice = (text: string, span: { start: number; end: number }, replacement: string): string =>
  text.slice(0, span.start) + replacement + text.slice(span.end);

const isPrefix = (prefix: KeyPath, path: KeyPath): boolean =>
  prefix.length <= path.length && prefix.every((part, index) => part === path[index]);

const isSame = (a: KeyPath, b: KeyPath): boolean => a.length === b.length && isPrefix(a, b);

const pair = (path: KeyPath, value: unknown): string => `${formatKeyPath(path)} = ${inline(value)}`;

/**
 * The value in one line: the writer puts so what stands in an array of mixed kinds.
 *
 * @throws InvalidRequestError for what TOML cannot say, such as a null in an array.
 */
function inline(value: unknown): string {
  try {
    return stringify({ value: [0, value] })
      .trim()
      .slice("value = [ 0, ".length, -" ]".length);
  } catch (error) {
    throw new InvalidRequestError(`config value: ${textOfThrown(error)}`, { cause: error });
  }
}

const section = (path: KeyPath, table: ConfigTable): string => {
  const pairs = Object.entries(table).map(([key, value]) => `${pair([key], value)}\n`);
  return `[${formatKeyPath(path)}]\n${pairs.join("")}`;
};

const eolOf = (text: string): string => (/\r\n/.test(text) ? "\r\n" : "\n");

function parsedOrUndefined(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** As JSON values: TOML has no null, and its tables may hold a key that the edit left empty. */
const meansTheSame = (a: unknown, b: unknown): boolean =>
  isDeepStrictEqual(
    JSON.parse(JSON.stringify(withoutEmptyTables(a) ?? null)),
    JSON.parse(JSON.stringify(withoutEmptyTables(b) ?? null)),
  );

function withoutEmptyTables(value: unknown): unknown {
  if (!isTable(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, withoutEmptyTables(inner)] as const);
  return Object.fromEntries(entries.filter(([, inner]) => !isTable(inner) || Object.keys(inner).length > 0));
}
