/** The options that stand before or after a command's name, as Codex takes them, and what a whole command line says. */
import type { Command } from "commander";
import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import { FEATURE_NAMES } from "../services/codex-names.ts";

/** Gathers an option that may be given more than once. */
export const repeated = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** What every command takes. */
export const withGlobalOptions = (command: Command): Command =>
  command
    .option("--home <dir>", "where threads and config.toml are (default: $SKEIN_HOME, $CODEX_HOME or ~/.skein)")
    .option(
      "--store <url>",
      "threads in a database, postgres://USER@HOST/DATABASE (default: $SKEIN_STORE, else the home's files)",
    )
    .option("-c, --config <key=value>", "a setting over config.toml's; may be repeated", repeated)
    .option("--enable <feature>", "the same as -c features.FEATURE=true; may be repeated", repeated)
    .option("--disable <feature>", "the same as -c features.FEATURE=false; may be repeated", repeated)
    .option("--strict-config", "refuse a setting or a feature that neither Codex nor Skein knows");

/** What stands for settings, and becomes them. */
type Switches = {
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
  readonly oss?: boolean;
  readonly localProvider?: string;
};

/** The words of a command line with `-c=k=v` as `-c k=v`, which Codex's own parser also takes, up to `--`. */
export function withoutEqualsSigns(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.flatMap((text, at) => {
    const [, flag, value = ""] = (end === -1 || at < end ? /^(-[A-Za-z])=(.*)$/s.exec(text) : null) ?? [];
    return flag === undefined ? [text] : [flag, value];
  });
}

/**
 * The options of a command and of those above it: the nearer one wins, and what may be repeated adds up. Features become
 * settings.
 *
 * @throws InvalidRequestError for a feature that neither Codex nor Skein knows
 */
export function optionsOf<T extends object>(command: Command): T {
  const merged: Record<string, unknown> = {};
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const [name, value] of Object.entries(at.opts())) {
      const nearer = merged[name];
      const isNearerSaid = nearer !== undefined && !isDefault(command, name);
      if (Array.isArray(nearer) && Array.isArray(value) && isNearerSaid) merged[name] = [...value, ...nearer];
      else if (!isNearerSaid) merged[name] = value;
    }
  }
  const {
    enable = [],
    disable = [],
    oss,
    localProvider,
    ...options
  } = merged as Switches & {
    config?: readonly string[];
  };
  const switched = [
    ...(oss === true ? [`model_provider=${JSON.stringify(localProvider ?? "ollama")}`] : []),
    ...enable.map((name) => featureSetting(name, true)),
    ...disable.map((name) => featureSetting(name, false)),
  ];
  const config = [...(options.config ?? []), ...switched];
  // Commander reads what the command itself has declared; T names those options.
  return { ...options, ...(config.length > 0 && { config }) } as unknown as T;
}

const isDefault = (command: Command, name: string): boolean => command.getOptionValueSource(name) === "default";

function featureSetting(name: string, value: boolean): string {
  if (!FEATURE_NAMES.has(name)) {
    throw new InvalidRequestError(`Unknown feature flag: ${name}${didYouMean(name, [...FEATURE_NAMES])}`);
  }
  return `features.${name}=${value}`;
}
