/**
 * Timers of a cluster's threads. Each waits as a delayed message of the engine to itself, so it outlives every worker, and whichever
 * worker is there gives its op: to the turn that runs, or as a turn of its own. What counts stands in the object's state; a message
 * of a timer that was cancelled or replaced finds it no more. A firing's submission id is made of what was set and its number.
 */
import type { ObjectContext } from "@restatedev/restate-sdk";
import { taskKindOf } from "../../machines/thread.machine.ts";
import { firingsOf, lastDue, submissionOf } from "../manager/firings.ts";
import { type ErrorJson, ThreadClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { parseOp } from "../protocol/op.ts";
import { dueAtOf, type StoredTimer } from "../protocol/schedule.ts";
import { give } from "./deliveries.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import {
  type Asked,
  type Cancelled,
  type CancelRequest,
  type Look,
  PROTOCOL_VERSION,
  TIMERS,
  type TimerRequest,
} from "./wire.ts";
import { toWire } from "./wire-error.ts";

/** A timer that waits: what it is, how often it has fired, and the submission of its last firing. */
type Kept = { readonly set: string; readonly fired: number; readonly last: string | null };
/** By their names; and those that have fired for the last time, the newest ones, for who cancels them later. */
type State = {
  readonly waiting: Readonly<Record<string, Kept>>;
  readonly over: readonly (readonly [string, number])[];
};

type Parts = {
  checked(ctx: { key: string }, request: Asked, fields: Fields): ThreadId;
  look(ctx: ObjectContext, threadId: ThreadId): Promise<Look>;
  fail(json: ErrorJson): Error;
};

const MOST_OVER = 100;

export function timerHandlers(sdk: RestateSdk, { checked, look, fail }: Parts) {
  const stateOf = async (ctx: ObjectContext): Promise<State> =>
    (await ctx.get<State>("timers")) ?? { waiting: {}, over: [] };

  /** @param kept undefined takes it away */
  const note = async (ctx: ObjectContext, { id, set }: Pick<StoredTimer, "id" | "set">, kept: Kept | undefined) => {
    const { waiting, over } = await stateOf(ctx);
    const { [id]: before, ...others } = waiting;
    const ended: State["over"] = kept === undefined && before?.set === set ? [[set, before.fired]] : [];
    const state: State = {
      waiting: kept === undefined ? others : { ...others, [id]: kept },
      over: [...over, ...ended].slice(-MOST_OVER),
    };
    if (Object.keys(state.waiting).length + state.over.length === 0) ctx.clear("timers");
    else ctx.set("timers", state);
  };

  const wait = (ctx: ObjectContext, timer: StoredTimer, now: number) => {
    const parameter: TimerRequest = { protocol: PROTOCOL_VERSION, timer };
    const delay = Math.max(0, dueAtOf(timer) - now);
    ctx.genericSend({
      service: TIMERS,
      method: "fire",
      key: ctx.key,
      parameter,
      inputSerde: jsonSerde<TimerRequest>(),
      delay,
    });
  };

  const setTimer = async (ctx: ObjectContext, request: TimerRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.timer);
    const { timer } = request;
    const { note: thread } = await look(ctx, threadId);
    if (thread.state === "closed") throw fail(toWire(new ThreadClosedError(threadId)));
    const { waiting, over } = await stateOf(ctx);
    // It was handed over before.
    if (waiting[timer.id]?.set === timer.set || over.some(([set]) => set === timer.set)) return;
    await note(ctx, timer, { set: timer.set, fired: timer.fired, last: null });
    wait(ctx, timer, await ctx.date.now());
  };

  const fireTimer = async (ctx: ObjectContext, request: TimerRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.timer);
    const { timer } = request;
    const kept = (await stateOf(ctx)).waiting[timer.id];
    if (kept?.set !== timer.set) return;
    const now = await ctx.date.now();
    // The thread's end takes its timers along.
    const thread = await look(ctx, threadId).catch((error: unknown) => {
      if (error instanceof sdk.TerminalError) return undefined;
      throw error;
    });
    if (thread === undefined || thread.note.state === "closed") return note(ctx, timer, undefined);
    const { run } = thread.note;
    const op = parseOp(timer.op);
    const isAtWork = run !== null && run.submissionId === kept.last && taskKindOf(op) !== undefined;
    const firings = isAtWork ? [] : firingsOf(timer, now).map((firing) => submissionOf(timer, firing, now));
    const fired = kept.fired + firings.length;
    const later: StoredTimer = { ...timer, next: lastDue(timer, now) + 1, fired };
    await note(ctx, timer, { set: timer.set, fired, last: firings.at(-1)?.id ?? kept.last });
    if (timer.every === null) await note(ctx, timer, undefined);
    else wait(ctx, later, now);
    for (const { id, op, fired } of firings) await give(ctx, run, threadId, { kind: "op", id, op, fired });
  };

  const cancelTimer = async (ctx: ObjectContext, request: CancelRequest): Promise<Cancelled> => {
    checked(ctx, request, FIELDS.cancel);
    const { id, set } = request;
    const { waiting, over } = await stateOf(ctx);
    const kept = waiting[id];
    if (kept === undefined || (set !== undefined && kept.set !== set))
      return { cancelled: false, fired: over.find(([each]) => each === set)?.[1] ?? 0 };
    await note(ctx, { id, set: kept.set }, undefined);
    return { cancelled: true, fired: kept.fired };
  };

  return { setTimer, fireTimer, cancelTimer };
}
