/** Reads a request's params, and says what is wrong with them in Codex's words (SPEC 9.2). */
import * as z from "zod";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { invalidRequest } from "./rpc-error.ts";

type Issue = z.core.$ZodIssue;

/** The schema with fields that it does not name let through, as what it names is all that its reader looks at. */
export const loose = <S extends z.ZodObject>(schema: S): z.ZodType<z.infer<S>> =>
  schema.loose() as unknown as z.ZodType<z.infer<S>>;

/** @throws RpcError -32600 `Invalid request: ...` */
export function readParams<T>(schema: z.ZodType<T>, params: unknown): T {
  const given = params ?? {};
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const problem =
    (params === undefined || params === null ? "missing field `params`" : undefined) ??
    problemOf(result.error.issues, given);
  throw invalidRequest(`Invalid request: ${problem}`);
}

/** Codex stops at the first field that is wrong, and misses fields only at the end. */
export function problemOf(issues: readonly Issue[], params: unknown): string {
  const issue = issues.find((each) => !isMissing(each, params)) ?? issues[0];
  return issue === undefined ? "invalid params" : describe(issue, params);
}

const isMissing = (issue: Issue, params: unknown): boolean => valueAt(params, issue.path) === undefined;

function describe(issue: Issue, params: unknown): string {
  const value = valueAt(params, issue.path);
  if (value === undefined && issue.path.length > 0) return `missing field \`${String(issue.path.at(-1))}\``;
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "int" && typeof value === "number"
        ? `invalid type: floating point \`${value}\`, expected u32`
        : `invalid type: ${unexpected(value)}, expected ${expectedType(issue.expected)}`;
    case "invalid_value":
      return typeof value === "string"
        ? `unknown variant \`${value}\`, expected ${oneOf(issue.values.map(String))}`
        : wrongVariant(value);
    case "too_small":
    case "too_big":
      return `invalid value: integer \`${String(value)}\`, expected u32`;
    case "invalid_union":
      return describeUnion(issue, params);
    case "unrecognized_keys":
      return `unknown field \`${issue.keys[0]}\``;
    default:
      return issue.message;
  }
}

/** Of the tag's own problem first; else of the branch that got furthest, which the caller meant. */
function describeUnion(issue: Extract<Issue, { code: "invalid_union" }>, params: unknown): string {
  const [first] = issue.errors.flat().sort((a, b) => b.path.length - a.path.length);
  const value = valueAt(params, issue.path);
  if (first === undefined) {
    const known =
      "options" in issue && issue.options !== undefined ? `, expected ${oneOf(issue.options.map(String))}` : "";
    return typeof value === "string" ? `unknown variant \`${value}\`${known}` : issue.message;
  }
  if (issue.message !== "Invalid input") return issue.message;
  return describe({ ...first, path: [...issue.path, ...first.path] } as Issue, params);
}

/** Of a value where one of several names, or an object of one of them, is expected. */
export function wrongVariant(value: unknown): string {
  return isJsonObject(value)
    ? "invalid value: map, expected map with a single key"
    : `invalid type: ${unexpected(value)}, expected string or map`;
}

/** `expected `a` or `b``, or a list of more. */
function oneOf(values: readonly string[]): string {
  const quoted = values.map((value) => `\`${value}\``);
  if (quoted.length === 1) return quoted[0] ?? "";
  return quoted.length === 2 ? quoted.join(" or ") : `one of ${quoted.join(", ")}`;
}

function unexpected(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "sequence";
  switch (typeof value) {
    case "string":
      return `string ${JSON.stringify(value)}`;
    case "number":
      return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
    case "boolean":
      return `boolean \`${value}\``;
    default:
      return "map";
  }
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: "a string",
  boolean: "a boolean",
  array: "a sequence",
  object: "a map",
  record: "a map",
  number: "u32",
  int: "u32",
};
const expectedType = (name: string): string => EXPECTED[name] ?? name;

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  );
}

// What the methods' schemas are built of. Every optional one may be null or absent.

export const text = z.string();
/** Codex's error where a value is of none of the shapes that its type `name` may have. */
export const untagged = (name: string) => ({ error: `data did not match any variant of untagged enum ${name}` });
export const optionalText = z.string().nullish();
export const optionalFlag = z.boolean().nullish();
export const optionalCount = z.int().min(0).max(0xffffffff).nullish();
export const optionalTexts = z.array(z.string()).nullish();
export const sortDirection = z.enum(["asc", "desc"]).nullish();
