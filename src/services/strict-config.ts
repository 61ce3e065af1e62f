/** `--strict-config`: a name that neither Codex nor Skein knows is refused, at the top of a layer and among its features. */
import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import { CODEX_FIELDS, FEATURE_NAMES } from "./codex-names.ts";
import type { ConfigFileContents } from "./config-file.ts";
import { type ConfigOverride, tableOfOverrides } from "./config-overrides.ts";
import { CONFIG_KEYS } from "./config-schema.ts";
import { type ConfigTable, formatKeyPath, isTable, type KeyPath } from "./config-table.ts";

type Files = Readonly<Record<"file" | "profileFile", ConfigFileContents | undefined>>;

/** @throws InvalidRequestError, in Codex's words, with the file and the line */
export function refuseUnknownNames({ file, profileFile }: Files, overrides: readonly ConfigOverride[]): void {
  for (const contents of [file, profileFile]) {
    const path = contents === undefined ? undefined : unknownName(contents.table);
    if (contents === undefined || path === undefined) continue;
    const line = contents.lineOf(path);
    throw refused(path, { before: `${contents.path}${line === undefined ? "" : `:${line}`}: ` });
  }
  const path = unknownName(tableOfOverrides(overrides));
  if (path !== undefined) throw refused(path, { after: " in -c/--config override" });
}

function refused(path: KeyPath, { before = "", after = "" }: { before?: string; after?: string }): InvalidRequestError {
  const near = didYouMean(path.at(-1) ?? "", [...(path.length > 1 ? FEATURE_NAMES : known())]);
  return new InvalidRequestError(`${before}unknown configuration field \`${formatKeyPath(path)}\`${after}${near}`);
}

const known = (): ReadonlySet<string> => new Set([...CODEX_FIELDS, ...CONFIG_KEYS]);

function unknownName(table: ConfigTable): KeyPath | undefined {
  const fields = known();
  const field = Object.keys(table).find((name) => !fields.has(name));
  if (field !== undefined) return [field];
  const features = isTable(table.features) ? Object.keys(table.features) : [];
  const feature = features.find((name) => !FEATURE_NAMES.has(name));
  return feature === undefined ? undefined : ["features", feature];
}
