/**
 * Which threads end together, and who watches whose end, kept where each of them lives. Half a bond says that this thread is to end when the
 * other does, unless it traps; a watch stands beside whoever watches, until somebody was told, and beside the watched.
 *
 * What concerns two threads is one step of the one that asks: the other's part goes to it as a message of that step, which the engine
 * delivers after all that came before, so neither waits for the other and none is left with half of it. A thread's end is told to those that
 * it is bound to, and takes its own halves along; so it goes round in a ring of threads once.
 */
import type { ObjectContext, ObjectSharedContext } from "@restatedev/restate-sdk";
import { definedFields } from "../protocol/defined-fields.ts";
import { type ErrorJson, ThreadClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { deliver } from "./deliveries.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import {
  type Asked,
  type BindRequest,
  BONDS,
  type DownRequest,
  type Ended,
  type Look,
  type OtherRequest,
  PROTOCOL_VERSION,
  type RefRequest,
  type StandingWatch,
  THREAD,
  type Unwatched,
  type WatchRequest,
} from "./wire.ts";
import { toWire } from "./wire-error.ts";

type Halves = Readonly<Record<ThreadId, { readonly traps: boolean }>>;
/** What a thread watches, and who watches it, by the watches' refs. */
type Watches = Readonly<Record<string, StandingWatch>>;
type Watchers = Readonly<Record<string, ThreadId>>;

type Parts = {
  checked(ctx: { key: string }, request: Asked, fields: Fields): ThreadId;
  look(ctx: ObjectContext, threadId: ThreadId): Promise<Look>;
  fail(json: ErrorJson): Error;
};

export function bondHandlers(sdk: RestateSdk, { checked, look, fail }: Parts) {
  const kept = async <T extends object>(ctx: ObjectSharedContext, name: string): Promise<Partial<T>> =>
    (await ctx.get<T>(name)) ?? {};
  const keep = (ctx: ObjectContext, name: string, all: object) =>
    Object.keys(all).length === 0 ? ctx.clear(name) : ctx.set(name, all);
  const tell = <R extends Asked>(ctx: ObjectContext, to: ThreadId, method: string, request: Omit<R, "protocol">) => {
    const parameter = { protocol: PROTOCOL_VERSION, ...request };
    ctx.genericSend({ service: BONDS, method, key: to, parameter, inputSerde: jsonSerde<object>() });
  };

  /** undefined for one that is not stored any more. */
  const found = async (ctx: ObjectContext, threadId: ThreadId): Promise<Look | undefined> => {
    try {
      return await look(ctx, threadId);
    } catch (error) {
      if (error instanceof sdk.TerminalError) return undefined;
      throw error;
    }
  };
  /** undefined for one that is gone. */
  const living = async (ctx: ObjectContext, threadId: ThreadId): Promise<Look | undefined> => {
    const seen = await found(ctx, threadId);
    return seen?.note.state === "closed" ? undefined : seen;
  };
  const checkLiving = async (ctx: ObjectContext, threadId: ThreadId): Promise<void> => {
    if ((await living(ctx, threadId)) === undefined) throw fail(toWire(new ThreadClosedError(threadId)));
  };

  /** Interrupts what the thread does, and closes it. */
  const end = async (ctx: ObjectContext, threadId: ThreadId): Promise<void> => {
    const seen = await living(ctx, threadId);
    if (seen === undefined) return;
    const { run } = seen.note;
    if (run !== null) await deliver(ctx, run, threadId, { kind: "interrupt", id: ctx.rand.uuidv4() });
    const parameter: Asked = { protocol: PROTOCOL_VERSION };
    ctx.genericSend({ service: THREAD, method: "close", key: threadId, parameter, inputSerde: jsonSerde<Asked>() });
  };

  // Bonds.

  const bind = async (ctx: ObjectContext, request: BindRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.bind);
    const { other, traps } = request;
    await checkLiving(ctx, threadId);
    if ((await living(ctx, other)) === undefined) return traps ? undefined : end(ctx, threadId);
    keep(ctx, "bonds", { ...(await kept<Halves>(ctx, "bonds")), [other]: { traps } });
    tell<OtherRequest>(ctx, other, "bound", { other: threadId });
  };

  /** Another thread has bound this one to itself. */
  const bound = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.other);
    const { other } = request;
    if ((await living(ctx, threadId)) === undefined) return tell<OtherRequest>(ctx, other, "lose", { other: threadId });
    const halves = await kept<Halves>(ctx, "bonds");
    keep(ctx, "bonds", { ...halves, [other]: halves[other] ?? { traps: false } });
  };

  const drop = async (ctx: ObjectContext, other: ThreadId): Promise<{ readonly traps: boolean } | undefined> => {
    const { [other]: half, ...others } = await kept<Halves>(ctx, "bonds");
    keep(ctx, "bonds", others);
    return half;
  };

  const unbind = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.other);
    await drop(ctx, request.other);
    tell<OtherRequest>(ctx, request.other, "unbound", { other: threadId });
  };

  const unbound = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    checked(ctx, request, FIELDS.other);
    await drop(ctx, request.other);
  };

  /** One that the thread is bound to has ended. */
  const lose = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.other);
    const half = await drop(ctx, request.other);
    if (half?.traps === false) await end(ctx, threadId);
  };

  // Watches.

  const watch = async (ctx: ObjectContext, request: WatchRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.watch);
    const { ref, other } = request;
    await checkLiving(ctx, threadId);
    keep(ctx, "watches", { ...(await kept<Watches>(ctx, "watches")), [ref]: { threadId: other } });
    tell<WatchRequest>(ctx, other, "watched", { ref, other: threadId });
  };

  /** Another thread watches this one. */
  const watched = async (ctx: ObjectContext, request: WatchRequest): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.watch);
    const { ref, other } = request;
    if ((await living(ctx, threadId)) !== undefined)
      return keep(ctx, "watchers", { ...(await kept<Watchers>(ctx, "watchers")), [ref]: other });
    const down: Ended = { reason: "not_found", epoch: null };
    tell<DownRequest>(ctx, other, "down", { ref, down });
  };

  /** One that the thread watches has ended: it stands until somebody asks for it. */
  const down = async (ctx: ObjectContext, request: DownRequest): Promise<void> => {
    checked(ctx, request, FIELDS.down);
    const { ref, down: ended } = request;
    const watches = await kept<Watches>(ctx, "watches");
    const standing = watches[ref];
    if (standing !== undefined) keep(ctx, "watches", { ...watches, [ref]: { ...standing, down: ended } });
  };

  const unwatch = async (ctx: ObjectContext, request: RefRequest): Promise<Unwatched> => {
    const threadId = checked(ctx, request, FIELDS.ref);
    const { [request.ref]: standing, ...others } = await kept<Watches>(ctx, "watches");
    // It may have gone with its thread.
    if (standing === undefined) return { isOurs: (await living(ctx, threadId)) === undefined };
    keep(ctx, "watches", others);
    tell<RefRequest>(ctx, standing.threadId, "unwatched", { ref: request.ref });
    return { isOurs: true, ...definedFields({ down: standing.down }) };
  };

  const unwatched = async (ctx: ObjectContext, request: RefRequest): Promise<void> => {
    checked(ctx, request, FIELDS.ref);
    const { [request.ref]: _, ...others } = await kept<Watchers>(ctx, "watchers");
    keep(ctx, "watchers", others);
  };

  const watches = async (ctx: ObjectSharedContext, request: Asked): Promise<Watches> => {
    checked(ctx, request, FIELDS.none);
    return (await ctx.get<Watches>("watches")) ?? {};
  };

  /** The thread has ended. */
  const ended = async (ctx: ObjectContext, request: Asked): Promise<void> => {
    const threadId = checked(ctx, request, FIELDS.none);
    const seen = await found(ctx, threadId);
    const end: Ended = { reason: "shutdown", epoch: seen?.note.facts.epoch ?? null };
    const halves = await kept<Halves>(ctx, "bonds");
    const watchers = await kept<Watchers>(ctx, "watchers");
    const own = await kept<Watches>(ctx, "watches");
    ctx.clearAll();
    for (const other of Object.keys(halves) as ThreadId[]) tell<OtherRequest>(ctx, other, "lose", { other: threadId });
    for (const [ref, watcher] of Object.entries(watchers))
      if (watcher !== undefined) tell<DownRequest>(ctx, watcher, "down", { ref, down: end });
    for (const [ref, standing] of Object.entries(own))
      if (standing !== undefined) tell<RefRequest>(ctx, standing.threadId, "unwatched", { ref });
  };

  return { bind, bound, unbind, unbound, ended, lose, watch, watched, down, unwatch, unwatched, watches };
}
