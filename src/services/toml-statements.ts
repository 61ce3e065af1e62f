import { parse } from "smol-toml";
import { InternalDefect } from "../protocol/errors.ts";

/** One statement of a TOML text and where it stands: offsets, the end of each span excluded. */
export type TomlStatement = {
  readonly kind: "table" | "arrayTable" | "pair";
  /** From the document's root. */
  readonly path: readonly string[];
  /** Counted from 1. */
  readonly line: number;
  /** Whole lines, the comment behind the statement and the line's end included. */
  readonly lines: { readonly start: number; readonly end: number };
  /** Of a pair: its value. */
  readonly value: { readonly start: number; readonly end: number };
};

/**
 * The statements of a text that a TOML parser has accepted: that is what allows this reader to look for spans only, and
 * to take every rule of TOML as kept.
 */
export function tomlStatements(text: string): TomlStatement[] {
  const statements: TomlStatement[] = [];
  let table: readonly string[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const found = statementAt(text, at, table);
    if (found.statement !== undefined) {
      statements.push({ ...found.statement, line });
      if (found.statement.kind !== "pair") table = found.statement.path;
    }
    line += newlinesIn(text, at, found.end);
    at = found.end;
  }
  return statements;
}

type Found = { readonly statement?: Omit<TomlStatement, "line">; readonly end: number };

function statementAt(text: string, start: number, table: readonly string[]): Found {
  const first = skip(text, start, /[ \t\uFEFF]*/y);
  const opening = text[first];
  if (opening === undefined || opening === "#" || opening === "\n" || opening === "\r") {
    return { end: lineEnd(text, first) };
  }
  if (opening === "[") {
    const isArray = text[first + 1] === "[";
    const { path, end } = keyAt(text, first + (isArray ? 2 : 1));
    const lines = { start, end: lineEnd(text, end) };
    return {
      statement: { kind: isArray ? "arrayTable" : "table", path, lines, value: { start: end, end } },
      end: lines.end,
    };
  }
  const key = keyAt(text, first);
  const valueStart = skip(text, key.end, /[ \t]*=[ \t]*/y);
  const value = { start: valueStart, end: valueEnd(text, valueStart) };
  const lines = { start, end: lineEnd(text, value.end) };
  return { statement: { kind: "pair", path: [...table, ...key.path], lines, value }, end: lines.end };
}

const KEY_PART = /[ \t]*(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')[ \t]*/y;

function keyAt(text: string, start: number): { path: string[]; end: number } {
  const path: string[] = [];
  let end = start;
  do {
    const partEnd = skip(text, path.length === 0 ? end : end + 1, KEY_PART);
    path.push(keyPart(text.slice(path.length === 0 ? end : end + 1, partEnd).trim()));
    end = partEnd;
  } while (text[end] === ".");
  return { path, end };
}

function keyPart(source: string): string {
  if (source.startsWith("'")) return source.slice(1, -1);
  return source.startsWith('"') ? String(parse(`value = ${source}`).value) : source;
}

const BASIC = /"(?:[^"\\]|\\.)*"/y;
const LITERAL = /'[^']*'/y;
/** A closing delimiter may follow one or two quotes that belong to the text. */
const LONG_BASIC = /"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}/y;
const LONG_LITERAL = /'''(?:[^']|'{1,2}(?!'))*'{3,5}/y;
const SCALAR = /[^\s,\]}#]+(?: \d\d:[^\s,\]}#]+)?/y;

function valueEnd(text: string, start: number): number {
  if (text.startsWith('"""', start)) return skip(text, start, LONG_BASIC);
  if (text.startsWith("'''", start)) return skip(text, start, LONG_LITERAL);
  const opening = text[start];
  if (opening === '"') return skip(text, start, BASIC);
  if (opening === "'") return skip(text, start, LITERAL);
  if (opening !== "[" && opening !== "{") return skip(text, start, SCALAR);
  let depth = 0;
  for (let at = start; at < text.length; ) {
    const character = text[at];
    if (character === "#") at = lineEnd(text, at);
    else if (character === '"' || character === "'") at = valueEnd(text, at);
    else {
      if (character === "[" || character === "{") depth++;
      if (character === "]" || character === "}") depth--;
      at++;
      if (depth === 0) return at;
    }
  }
  throw new InternalDefect("the end of a TOML value was not found in a text that the parser accepts");
}

function skip(text: string, start: number, pattern: RegExp): number {
  pattern.lastIndex = start;
  const match = pattern.exec(text);
  if (match === null) throw new InternalDefect("a TOML statement was not understood in a text that the parser accepts");
  return start + match[0].length;
}

function lineEnd(text: string, from: number): number {
  const newline = text.indexOf("\n", from);
  return newline === -1 ? text.length : newline + 1;
}

function newlinesIn(text: string, start: number, end: number): number {
  let count = 0;
  for (let at = text.indexOf("\n", start); at !== -1 && at < end; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
