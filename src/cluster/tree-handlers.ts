/**
 * How large the tree of a thread is, kept where its root lives: whoever starts a thread under another one asks here first, from
 * whichever worker. State holds counts, and of each member who is above it. Agents of turns are no part of it: they live and end
 * with the turn, in its worker, which counts them.
 */
import type { ObjectContext } from "@restatedev/restate-sdk";
import { type ErrorJson, LimitReachedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Asked } from "./wire.ts";
import { toWire } from "./wire-error.ts";

/** @param depth of the newcomer: 1 is right under the root */
export type AdmitRequest = Asked & {
  readonly threadId: ThreadId;
  readonly parent: ThreadId;
  readonly depth: number;
};
export type LeaveRequest = Asked & { readonly threadId: ThreadId };

export type TreeLimits = { readonly depth: number; readonly childrenPerParent: number; readonly treeSize: number };

type Parts = {
  readonly limits: TreeLimits;
  checked(ctx: { key: string }, request: Asked): ThreadId;
  fail(json: ErrorJson): Error;
};

export function treeHandlers({ limits, checked, fail }: Parts) {
  const countOf = async (ctx: ObjectContext, name: string): Promise<number> => (await ctx.get<number>(name)) ?? 0;
  const count = (ctx: ObjectContext, name: string, now: number) => (now > 0 ? ctx.set(name, now) : ctx.clear(name));
  const refuse = (limit: keyof TreeLimits, used: number, whose: ThreadId) =>
    fail(toWire(new LimitReachedError(limit, limits[limit], { used, whose })));

  /** One that is in already stays in: a start that is tried again counts once. */
  const admit = async (ctx: ObjectContext, request: AdmitRequest): Promise<boolean> => {
    const root = checked(ctx, request);
    const { threadId, parent, depth } = request;
    if ((await ctx.get<string>(`above:${threadId}`)) !== null) return true;
    const children = await countOf(ctx, `under:${parent}`);
    const members = await countOf(ctx, "members");
    if (depth > limits.depth) throw refuse("depth", depth - 1, parent);
    if (children + 1 > limits.childrenPerParent) throw refuse("childrenPerParent", children, parent);
    // The root is one of the tree.
    if (members + 2 > limits.treeSize) throw refuse("treeSize", members + 1, root);
    ctx.set(`above:${threadId}`, parent);
    count(ctx, `under:${parent}`, children + 1);
    count(ctx, "members", members + 1);
    return true;
  };

  const leave = async (ctx: ObjectContext, request: LeaveRequest): Promise<void> => {
    checked(ctx, request);
    const { threadId } = request;
    const parent = await ctx.get<string>(`above:${threadId}`);
    if (parent === null) return;
    ctx.clear(`above:${threadId}`);
    count(ctx, `under:${parent}`, (await countOf(ctx, `under:${parent}`)) - 1);
    count(ctx, "members", (await countOf(ctx, "members")) - 1);
  };

  return { admit, leave };
}
