import * as z from "zod";
import type { GroupStrategy } from "../../machines/group.machine.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import { RESTART_STRATEGIES, type RestartStrategy, type Supervision } from "./options.ts";

/** How long a restart waits: the first so many milliseconds, each further one within the period twice as long, up to the cap. */
export type Backoff = number | { readonly ms: number; readonly maxMs?: number | undefined };

/** How one thread is restarted: what of it is left out is the manager's (`supervision`). */
export type RestartRule = {
  readonly restart?: RestartStrategy | undefined;
  readonly maxRestarts?: number | undefined;
  readonly periodMs?: number | undefined;
  readonly backoff?: Backoff | undefined;
};

/** How a group is supervised. What is left out of a stored group's is what it was; of a new one's, the manager's `supervision`. */
export type GroupOptions = {
  /** The group is stored under it, and found again by it: its members, their order, and the times of its restarts. Without: in memory. */
  readonly name?: string | undefined;
  /** Whom the end of one member takes along. Default `one_for_one`. */
  readonly strategy?: GroupStrategy | undefined;
  /** Of members that are added without their own. */
  readonly restart?: RestartStrategy | undefined;
  /** At most so many restarts of all members within the period. Default of a group in a group: 1, since levels multiply. */
  readonly maxRestarts?: number | undefined;
  readonly periodMs?: number | undefined;
  readonly backoff?: Backoff | undefined;
  /** Whether giving up is told to the group above, or on `manager.escalations$`. Default true. */
  readonly escalate?: boolean | undefined;
  /** How long a member has to end its turn, when another's crash stops it. Default 5,000. */
  readonly stopDeadlineMs?: number | undefined;
};

/** The options with everything filled in. */
export type GroupRule = {
  readonly strategy: GroupStrategy;
  readonly restart: RestartStrategy;
  readonly maxRestarts: number;
  readonly periodMs: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  readonly escalate: boolean;
  readonly stopDeadlineMs: number;
};

const duration = z.number().nonnegative();
const strategy = z.enum(["one_for_one", "one_for_all", "rest_for_one"]);
const restart = z.enum(RESTART_STRATEGIES);
const backoff = z.union([duration, z.strictObject({ ms: duration, maxMs: duration.optional() })]);

const RULE = {
  restart: restart.optional(),
  maxRestarts: z.int().nonnegative().optional(),
  periodMs: z.number().positive().optional(),
  backoff: backoff.optional(),
};
const restartRule = z.strictObject(RULE);
const groupOptions = z.strictObject({
  ...RULE,
  name: z.string().min(1).max(200).optional(),
  strategy: strategy.optional(),
  escalate: z.boolean().optional(),
  stopDeadlineMs: duration.optional(),
});

/** A stored rule is outside data: what does not fit is left out. */
export const storedRule = z
  .object({
    strategy,
    restart,
    maxRestarts: z.int().nonnegative(),
    periodMs: z.number().positive(),
    backoffMs: duration,
    maxBackoffMs: duration,
    escalate: z.boolean(),
    stopDeadlineMs: duration,
  })
  .partial();

function read<T>(schema: z.ZodType<T> & { shape: object }, what: string, given: unknown): T {
  const { success, data, error } = schema.safeParse(given);
  if (success) return data;
  const [issue] = error.issues;
  if (issue?.code === "unrecognized_keys") {
    const [name = ""] = issue.keys;
    throw new InvalidRequestError(`${what}: unknown option \`${name}\`${didYouMean(name, Object.keys(schema.shape))}`);
  }
  throw new InvalidRequestError(
    `${[what, ...(issue?.path ?? [])].join(".")}: ${issue?.message ?? "is not understood"}`,
  );
}

const DEFAULT_STOP_MS = 5_000;

/** @throws InvalidRequestError that names the option */
export const parseGroupOptions = (given: unknown): GroupOptions => read(groupOptions, "group", given);

/** What a thread's own `restart` says. @throws InvalidRequestError */
export const parseRestartRule = (given: unknown): RestartRule =>
  typeof given === "string"
    ? { restart: read(restartRule, "options", { restart: given }).restart }
    : read(restartRule, "options.restart", given);

/** A rule as a header holds it; undefined for what is none. */
export const readRestartRule = (stored: unknown): RestartRule | undefined => restartRule.safeParse(stored).data;

/** A cap that is not given is the manager's, or the delay itself where that is longer. */
const delaysOf = (
  given: Backoff | undefined,
  maxBackoffMs: number,
): Partial<Pick<Supervision, "backoffMs" | "maxBackoffMs">> => {
  if (given === undefined) return {};
  const { ms, maxMs } = typeof given === "number" ? { ms: given, maxMs: undefined } : given;
  return { backoffMs: ms, maxBackoffMs: maxMs ?? Math.max(ms, maxBackoffMs) };
};

/** The manager's supervision, as the thread's own rule changes it. */
export const supervisionBy = (supervision: Supervision, { backoff: given, ...rule }: RestartRule): Supervision => ({
  ...supervision,
  ...delaysOf(given, supervision.maxBackoffMs),
  ...definedFields(rule),
});

/** @param before what the group was stored with */
export function groupRuleOf(
  { name: _, backoff: given, ...options }: GroupOptions,
  supervision: Supervision,
  { isInner, before = {} }: { readonly isInner: boolean; readonly before?: Partial<GroupRule> | undefined },
): GroupRule {
  const { restart: kind, maxRestarts, periodMs, backoffMs, maxBackoffMs } = supervision;
  return {
    ...{ strategy: "one_for_one", restart: kind, periodMs, backoffMs, maxBackoffMs },
    ...{ maxRestarts: isInner ? 1 : maxRestarts, escalate: true, stopDeadlineMs: DEFAULT_STOP_MS },
    ...definedFields(before),
    ...delaysOf(given, maxBackoffMs),
    ...definedFields(options),
  };
}
