import { parse } from "smol-toml";
import { InvalidRequestError } from "../protocol/errors.ts";
import { type ConfigTable, isTable, type KeyPath, mergeTables, parseKeyPath, withValue } from "./config-table.ts";

/** One `-c key=value` of the command line. */
export type ConfigOverride = { readonly keyPath: KeyPath; readonly value: unknown };

/**
 * Reads `key=value`: the key dotted, the value TOML, or a plain text where it is none, as in `-c model=gpt-5.2`.
 *
 * @throws InvalidRequestError when there is no key or no `=`.
 */
export function parseOverride(text: string): ConfigOverride {
  const at = text.indexOf("=");
  if (at === -1) throw new InvalidRequestError(`config override \`${text}\` lacks a = and a value`);
  return { keyPath: parseKeyPath(text.slice(0, at)), value: tomlOrText(text.slice(at + 1).trim()) };
}

function tomlOrText(text: string): unknown {
  try {
    const table = parse(`value = ${text}`);
    if (Object.keys(table).length === 1) return table.value;
  } catch {
    // No TOML: the text is meant as it stands.
  }
  return text.replace(/^(["'])(.*)\1$/s, "$2");
}

/** The layer that overrides make; the later one wins. */
export const tableOfOverrides = (overrides: readonly ConfigOverride[]): ConfigTable =>
  overrides.reduce<ConfigTable>((table, { keyPath, value }) => mergeTables(table, withValue({}, keyPath, value)), {});

/**
 * The layer that a request's `config` makes: dotted keys, JSON values. A null sets nothing.
 *
 * @throws InvalidRequestError when it is no object or a key is no dotted key.
 */
export function tableOfRequest(config: unknown): ConfigTable {
  if (config === undefined || config === null) return {};
  if (!isTable(config)) throw new InvalidRequestError("config: must be an object");
  return tableOfOverrides(Object.entries(config).map(([key, value]) => ({ keyPath: parseKeyPath(key), value })));
}
