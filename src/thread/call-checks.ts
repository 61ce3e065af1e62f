/** What may be given beside a call, and of which kind: one table for threads of this process and of a cluster, and for those who manage them. */
import type { Backoff } from "../kernel/backoff.ts";
import { budgetSchema } from "../protocol/budget.ts";
import { checkCallOptions, type OptionKinds, ofType, oneOf, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import { type Priority, parseThreadConfig } from "../protocol/thread-config.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { parseWith } from "../protocol/validation.ts";
import type { ThreadQuery } from "../store/thread-store.ts";
import type { BudgetChange } from "../turn/spending.ts";
import type { SendOptions } from "./messaging.ts";
import type { StepOptions } from "./steps.ts";
import type { EventsOptions, InterruptOptions, NamedSubmission, RunOptions, SubmitOptions } from "./thread.ts";
import type { LinkOptions, MonitorOptions } from "./watching.ts";

const NAMED = ["id", "op", "rerun", "isNew"] satisfies (keyof NamedSubmission)[];
const SUBMIT = [...WAIT_OPTIONS, "durability", "whenFull"] satisfies (keyof SubmitOptions)[];
const WHEN_FULL = oneOf("wait", "reject", "dropOldest");
const SUBMIT_KINDS = { whenFull: WHEN_FULL, durability: oneOf("memory", "stored") };
const RUN = [...WAIT_OPTIONS, "outputSchema"] satisfies (keyof RunOptions)[];
const RUN_KINDS: OptionKinds = {
  outputSchema: (value) =>
    typeof value === "function" || (typeof value === "object" && value !== null)
      ? undefined
      : "must be a JSON Schema, or a Standard Schema such as zod's",
};
const EVENTS = ["after", "signal"] satisfies (keyof EventsOptions)[];
const EVENTS_KINDS: OptionKinds = {
  after: (value) => {
    const seq = isJsonObject(value) && typeof value.epoch === "number" ? value.seq : value;
    return typeof seq === "number" && !Number.isNaN(seq) ? undefined : "must be a seq, or { epoch, seq }";
  },
};
const INTERRUPT = [...WAIT_OPTIONS, "turnId"] satisfies (keyof InterruptOptions)[];
const INTERRUPT_KINDS = { turnId: ofType("string") };

const isErrorName = (value: unknown): boolean => typeof value === "string" || typeof value === "function";
const isAmount = (value: unknown): boolean => typeof value === "number" && value >= 0;
const BACKOFF = ["baseMs", "factor", "maxMs", "jitter"] satisfies (keyof Backoff)[] as readonly string[];

const STEP = [...WAIT_OPTIONS, "attempts", "backoff", "retryOn", "onCut"] satisfies (keyof StepOptions)[];
const STEP_KINDS: OptionKinds = {
  attempts: (value) =>
    Number.isSafeInteger(value) && Number(value) >= 1 ? undefined : "must be a whole number from 1 on",
  backoff: (value) =>
    isJsonObject(value) && Object.entries(value).every(([name, given]) => BACKOFF.includes(name) && isAmount(given))
      ? undefined
      : `must be an object of numbers: ${BACKOFF.join(", ")}`,
  retryOn: (value) =>
    typeof value === "function" || (Array.isArray(value) && value.every(isErrorName))
      ? undefined
      : "must be a function, or a list of classes and codes of errors",
  onCut: oneOf("rerun", "fail"),
};

const SEND = [...WAIT_OPTIONS, "whenFull", "durable"] satisfies (keyof SendOptions)[];
const SEND_KINDS = { whenFull: WHEN_FULL, durable: ofType("boolean") };
const MONITOR = ["signal", "onDown"] satisfies (keyof MonitorOptions)[];
const LINK = [...MONITOR, "trap"] satisfies (keyof LinkOptions)[];
const LINK_KINDS = { onDown: ofType("function"), trap: ofType("boolean") };
const BUDGET = ["budget", "treeBudget"] satisfies (keyof BudgetChange)[];

const LONGEST_TIMER_ID = 256;
const TIMER_KINDS: OptionKinds = {
  id: (id) =>
    typeof id === "string" && id !== "" && id.length <= LONGEST_TIMER_ID
      ? undefined
      : `must be a text of 1 to ${LONGEST_TIMER_ID} characters`,
};

/** The compiler says when one is missing here. */
const QUERY = Object.keys({
  cursor: 1,
  limit: 1,
  orderBy: 1,
  cwd: 1,
  modelProviders: 1,
  sourceKinds: 1,
  archived: 1,
  interrupted: 1,
  parentThreadId: 1,
  forkedFromId: 1,
  search: 1,
} satisfies Record<keyof ThreadQuery, 1>);

type Names = readonly string[];
const WAIT: readonly [Names] = [WAIT_OPTIONS];

const CALLS = {
  submit: [SUBMIT, SUBMIT_KINDS],
  submitWithId: [NAMED],
  outcomeOf: WAIT,
  ready: WAIT,
  refresh: WAIT,
  askServer: WAIT,
  nextEvent: WAIT,
  events: [EVENTS, EVENTS_KINDS],
  run: [RUN, RUN_KINDS],
  compact: WAIT,
  rollback: [[...WAIT_OPTIONS, "id"]],
  review: WAIT,
  step: [STEP, STEP_KINDS],
  interrupt: [INTERRUPT, INTERRUPT_KINDS],
  shutdown: WAIT,
  setBudget: [BUDGET],
  schedule: [["id"], TIMER_KINDS],
  send: [SEND, SEND_KINDS],
  request: WAIT,
  publish: [SEND, SEND_KINDS],
  monitor: [MONITOR, LINK_KINDS],
  link: [LINK, LINK_KINDS],
  fork: [["from", "at", "config"]],
  removeThread: WAIT,
  deleteThread: WAIT,
  getThread: WAIT,
  listThreads: [QUERY],
  sendOp: [[...WAIT_OPTIONS, "id", "whenFull"], { whenFull: WHEN_FULL }],
} satisfies Record<string, readonly [known: Names, kinds?: OptionKinds]>;

/** @throws InvalidRequestError, see {@link checkCallOptions} */
export function checkCall(call: keyof typeof CALLS, options: unknown): void {
  const [known, kinds]: readonly [Names, OptionKinds?] = CALLS[call];
  checkCallOptions(call, options, known, kinds);
}

/** @throws InvalidRequestError */
export function checkNamed(submission: NamedSubmission): void {
  if (!isJsonObject(submission)) throw new InvalidRequestError("submitWithId: give { id, op }");
  checkCall("submitWithId", submission);
  givenSubmissionId(submission.id);
}

/** @throws InvalidRequestError */
export function givenSubmissionId(id: unknown): SubmissionId {
  if (typeof id !== "string" || id === "")
    throw new InvalidRequestError("submission id: must be a text, and not empty");
  return toSubmissionId(id);
}

/** @throws InvalidRequestError */
export function checkFork(fork: unknown): void {
  if (fork === undefined || fork === null)
    throw new InvalidRequestError("fork: give { from }: a thread id, { rolloutPath } or { history }");
  checkCall("fork", fork);
}

/** What a budget is to be from now on, read. @throws InvalidRequestError */
export function givenBudgetChange(change: BudgetChange): BudgetChange {
  checkCall("setBudget", change ?? null);
  const read = (name: keyof BudgetChange) => {
    const given = change[name];
    return given === null || given === undefined ? given : parseWith(budgetSchema, given, name);
  };
  return { budget: read("budget"), treeBudget: read("treeBudget") };
}

/** @throws InvalidRequestError */
export function givenPriority(given: Priority): Priority {
  const { priority } = parseThreadConfig({ priority: given });
  if (priority === undefined)
    throw new InvalidRequestError("setPriority: give a number from 1 to 5, `interactive` or `background`");
  return priority;
}

/** How many turns are rolled back. @throws InvalidRequestError */
export function checkTurns(turns: unknown): void {
  if (Number.isSafeInteger(turns) && Number(turns) >= 1) return;
  if (typeof turns === "object" && turns !== null && "beforeTurn" in turns && typeof turns.beforeTurn === "string")
    return;
  throw new InvalidRequestError(
    "rollback: give how many turns, from 1 on, or the turn to go back to as { beforeTurn: id }",
  );
}
