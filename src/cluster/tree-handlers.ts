/**
 * How large the tree of a thread is, kept where its root lives: whoever starts a thread under another one asks here first, from
 * whichever worker. State holds counts, and of each member who is above it. Agents of turns are no part of it: they live and end
 * with the turn, in its worker, which counts them.
 */
import type { ObjectContext } from "@restatedev/restate-sdk";
import type { AgentFacts } from "../manager/thread-options.ts";
import { type ErrorJson, LimitReachedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import { type Asked, type Look, PROTOCOL_VERSION, TREE } from "./wire.ts";
import { toWire } from "./wire-error.ts";

/** @param depth of the newcomer: 1 is right under the root */
export type AdmitRequest = Asked & {
  readonly threadId: ThreadId;
  readonly parent: ThreadId;
  readonly depth: number;
  /** What the parent's settings allow its agents, where that is less than the workers do; null: it was there before, and no limit keeps it out. */
  readonly allowed: Pick<AgentFacts, "maxDepth" | "maxThreads"> | null;
};
export type LeaveRequest = Asked & { readonly threadId: ThreadId };

export type TreeLimits = { readonly depth: number; readonly childrenPerParent: number; readonly treeSize: number };

type Parts = {
  readonly limits: TreeLimits;
  checked(ctx: { key: string }, request: Asked, fields: Fields): ThreadId;
  look(ctx: ObjectContext, threadId: ThreadId): Promise<Look>;
  fail(json: ErrorJson): Error;
};

/** By then whoever was admitted has come, or was given up. */
const RECHECK_MS = 60 * 60 * 1000;

export function treeHandlers(sdk: RestateSdk, { limits, checked, look, fail }: Parts) {
  const countOf = async (ctx: ObjectContext, name: string): Promise<number> => (await ctx.get<number>(name)) ?? 0;
  const count = (ctx: ObjectContext, name: string, now: number) => (now > 0 ? ctx.set(name, now) : ctx.clear(name));
  const check = (limit: keyof TreeLimits, max: number, { used, whose }: { used: number; whose: ThreadId }): void => {
    if (used + 1 > max) throw fail(toWire(new LimitReachedError(limit, max, { used, whose })));
  };

  /** One that is in already stays in: a start that is tried again counts once. */
  const admit = async (ctx: ObjectContext, request: AdmitRequest): Promise<boolean> => {
    const root = checked(ctx, request, FIELDS.admit);
    const { threadId, parent, depth, allowed } = request;
    if ((await ctx.get<string>(`above:${threadId}`)) !== null) return true;
    const children = await countOf(ctx, `under:${parent}`);
    const members = await countOf(ctx, "members");
    if (allowed !== null) {
      const { maxDepth = limits.depth, maxThreads = limits.treeSize } = allowed;
      check("depth", Math.min(limits.depth, maxDepth), { used: depth - 1, whose: parent });
      check("childrenPerParent", limits.childrenPerParent, { used: children, whose: parent });
      // The root is one of the tree, and none of its agents.
      check("treeSize", Math.min(limits.treeSize, maxThreads + 1), { used: members + 1, whose: root });
    }
    ctx.set(`above:${threadId}`, parent);
    count(ctx, `under:${parent}`, children + 1);
    count(ctx, "members", members + 1);
    const parameter: LeaveRequest = { protocol: PROTOCOL_VERSION, threadId };
    ctx.genericSend({
      ...{ service: TREE, method: "recheck", key: root, parameter },
      ...{ inputSerde: jsonSerde<LeaveRequest>(), delay: RECHECK_MS },
    });
    return true;
  };

  const leave = async (ctx: ObjectContext, request: LeaveRequest): Promise<void> => {
    checked(ctx, request, FIELDS.leave);
    const { threadId } = request;
    const parent = await ctx.get<string>(`above:${threadId}`);
    if (parent === null) return;
    ctx.clear(`above:${threadId}`);
    count(ctx, `under:${parent}`, (await countOf(ctx, `under:${parent}`)) - 1);
    count(ctx, "members", (await countOf(ctx, "members")) - 1);
  };

  /** One that never came is counted no more: the engine gives a start up without a word when it was tried too often. */
  const recheck = async (ctx: ObjectContext, request: LeaveRequest): Promise<void> => {
    checked(ctx, request, FIELDS.leave);
    const seen = await look(ctx, request.threadId).catch((error: unknown) => {
      if (error instanceof sdk.TerminalError) return undefined;
      throw error;
    });
    if (seen?.note.state !== "open") await leave(ctx, request);
  };

  return { admit, leave, recheck };
}
