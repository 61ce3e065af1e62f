/** What a program gives beside a call. It is checked before anything is done: a mistake is told, and is no default. */
import { InvalidRequestError } from "./errors.ts";
import { didYouMean } from "./nearest-name.ts";
import { isJsonObject } from "./unknown-kind.ts";

/** The options of whatever waits. */
export const WAIT_OPTIONS = ["signal", "deadlineMs"] as const;

type Fits = (value: unknown) => string | undefined;

/** What an option has to be, where it is more than a name; undefined of it says that the value is right. */
export type OptionKinds = Readonly<Record<string, Fits>>;

export const oneOf =
  (...values: readonly unknown[]): Fits =>
  (value) =>
    values.includes(value) ? undefined : `must be one of ${values.map((each) => `\`${String(each)}\``).join(", ")}`;

export const ofType =
  (type: "string" | "boolean" | "number" | "function" | "object"): Fits =>
  (value) => {
    const kind: string = value === null ? "null" : typeof value;
    return kind === type ? undefined : `must be ${type === "object" ? "an" : "a"} ${type}`;
  };

const isSignal: Fits = (value) =>
  typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value
    ? undefined
    : "must be an AbortSignal";

const isDuration: Fits = (value) =>
  typeof value === "number" && !Number.isNaN(value) ? undefined : "must be a number of milliseconds";

const EVERYWHERE: OptionKinds = { signal: isSignal, deadlineMs: isDuration };

/** @throws InvalidRequestError */
export function checkObject(name: string, value: unknown): asserts value is Record<string, unknown> {
  if (!isJsonObject(value)) throw new InvalidRequestError(`${name}: must be an object`);
}

/**
 * @param what the call, such as `run`
 * @param known the names of its options
 * @throws InvalidRequestError for anything but an object, an unknown name (with the nearest known one), and a value of a
 *   wrong kind
 */
export function checkCallOptions(
  what: string,
  options: unknown,
  known: readonly string[],
  kinds: OptionKinds = {},
): void {
  if (options === undefined) return;
  checkObject(`${what}: options`, options);
  for (const name in options) {
    const value = options[name];
    if (value === undefined) continue;
    if (!known.includes(name))
      throw new InvalidRequestError(`${what}: unknown option \`${name}\`${didYouMean(name, known)}`);
    const problem = (kinds[name] ?? EVERYWHERE[name])?.(value);
    if (problem !== undefined) throw new InvalidRequestError(`${what}: ${name}: ${problem}`);
  }
}
