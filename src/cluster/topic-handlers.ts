/**
 * Who listens to which topic, kept where the tree's root lives: whoever publishes in the tree asks there, from whichever client. A thread's
 * end takes its subscriptions along: it is told here after the thread is noted as closed, and one that comes later is refused.
 */
import type { ObjectContext, ObjectSharedContext } from "@restatedev/restate-sdk";
import { type ErrorJson, ThreadClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import type { Asked, Look, OtherRequest, TopicRequest } from "./wire.ts";
import { toWire } from "./wire-error.ts";

/** Of a topic, who listens, in the order in which they began to; a thread that has subscribed twice hears once. */
type Listeners = readonly (readonly [threadId: ThreadId, refs: readonly string[]])[];

/** What is asked of a root, for one of its tree's threads. */
export type ListenRequest = OtherRequest & TopicRequest & { readonly ref: string };

type Parts = {
  checked(ctx: { key: string }, request: Asked, fields: Fields): ThreadId;
  look(ctx: ObjectContext, threadId: ThreadId): Promise<Look>;
  fail(json: ErrorJson): Error;
};

export function topicHandlers({ checked, look, fail }: Parts) {
  const listenersOf = async (ctx: ObjectSharedContext, topic: string): Promise<Listeners> =>
    (await ctx.get<Listeners>(`topic:${topic}`)) ?? [];
  const topicsOf = async (ctx: ObjectContext, threadId: ThreadId): Promise<readonly string[]> =>
    (await ctx.get<readonly string[]>(`of:${threadId}`)) ?? [];
  const keep = (ctx: ObjectContext, name: string, all: readonly unknown[]) =>
    all.length === 0 ? ctx.clear(name) : ctx.set(name, all);

  const listen = async (ctx: ObjectContext, request: ListenRequest): Promise<void> => {
    checked(ctx, request, FIELDS.listen);
    const { other, topic, ref } = request;
    if ((await look(ctx, other)).note.state !== "open") throw fail(toWire(new ThreadClosedError(other)));
    const listeners = await listenersOf(ctx, topic);
    const known = listeners.some(([threadId]) => threadId === other);
    const added: Listeners = known
      ? listeners.map(([threadId, refs]) => [threadId, threadId === other ? [...refs, ref] : refs])
      : [...listeners, [other, [ref]]];
    keep(ctx, `topic:${topic}`, added);
    if (!known) keep(ctx, `of:${other}`, [...(await topicsOf(ctx, other)), topic]);
  };

  /** @param ref undefined: whatever the thread has subscribed to */
  const drop = async (ctx: ObjectContext, topic: string, other: ThreadId, ref: string | undefined): Promise<void> => {
    const left: Listeners = (await listenersOf(ctx, topic)).flatMap(([threadId, refs]) => {
      const others = threadId === other ? refs.filter((each) => ref !== undefined && each !== ref) : refs;
      return others.length === 0 ? [] : [[threadId, others] as const];
    });
    keep(ctx, `topic:${topic}`, left);
    if (left.some(([threadId]) => threadId === other)) return;
    keep(
      ctx,
      `of:${other}`,
      (await topicsOf(ctx, other)).filter((each) => each !== topic),
    );
  };

  const ignore = async (ctx: ObjectContext, request: ListenRequest): Promise<void> => {
    checked(ctx, request, FIELDS.listen);
    await drop(ctx, request.topic, request.other, request.ref);
  };

  /** A thread has left the tree, or has ended. */
  const forget = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    checked(ctx, request, FIELDS.other);
    for (const topic of await topicsOf(ctx, request.other)) await drop(ctx, topic, request.other, undefined);
  };

  const listeners = async (ctx: ObjectSharedContext, request: TopicRequest): Promise<readonly ThreadId[]> => {
    checked(ctx, request, FIELDS.topic);
    return (await listenersOf(ctx, request.topic)).map(([threadId]) => threadId);
  };

  return { listen, ignore, forget, listeners };
}
