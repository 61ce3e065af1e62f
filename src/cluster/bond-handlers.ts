/**
 * Which threads end together, kept where each of them lives: a half says that this thread is to end when the other does, unless it traps.
 * A thread's end is told to those that it is bound to, and takes its own halves along; so it goes round in a ring of threads once.
 */
import type { ObjectContext } from "@restatedev/restate-sdk";
import type { ThreadId } from "../protocol/ids.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import {
  type Asked,
  addressed,
  type BindRequest,
  BONDS,
  CONTROL,
  type DeliverRequest,
  type Delivery,
  type Look,
  type OtherRequest,
  PROTOCOL_VERSION,
  THREAD,
} from "./wire.ts";

type Halves = Readonly<Record<ThreadId, { readonly traps: boolean }>>;

type Parts = {
  checked(ctx: { key: string }, request: Asked): ThreadId;
  look(ctx: ObjectContext, threadId: ThreadId): Promise<Look>;
};

export function bondHandlers(sdk: RestateSdk, { checked, look }: Parts) {
  const halvesOf = async (ctx: ObjectContext): Promise<Halves> => (await ctx.get<Halves>("bonds")) ?? {};
  const keep = (ctx: ObjectContext, halves: Halves) =>
    Object.keys(halves).length === 0 ? ctx.clear("bonds") : ctx.set("bonds", halves);

  /** undefined for one that is gone. */
  const living = async (ctx: ObjectContext, threadId: ThreadId): Promise<Look | undefined> => {
    try {
      const found = await look(ctx, threadId);
      return found.note.state === "closed" ? undefined : found;
    } catch (error) {
      if (error instanceof sdk.TerminalError) return undefined;
      throw error;
    }
  };

  /** Interrupts what the thread does, and closes it. */
  const end = async (ctx: ObjectContext, threadId: ThreadId): Promise<void> => {
    const found = await living(ctx, threadId);
    if (found === undefined) return;
    const { run } = found.note;
    if (run !== null) {
      const { key, parameter } = addressed(run, threadId, { kind: "interrupt", id: ctx.rand.uuidv4() });
      await ctx.genericCall<DeliverRequest, Delivery>({
        ...{ service: CONTROL, method: "deliver", key, parameter },
        ...{ inputSerde: jsonSerde<DeliverRequest>(), outputSerde: jsonSerde<Delivery>() },
      });
    }
    const parameter: Asked = { protocol: PROTOCOL_VERSION };
    ctx.genericSend({ service: THREAD, method: "close", key: threadId, parameter, inputSerde: jsonSerde<Asked>() });
  };

  const bind = async (ctx: ObjectContext, request: BindRequest): Promise<void> => {
    const threadId = checked(ctx, request);
    const { other, traps: given } = request;
    const { [other]: before, ...others } = await halvesOf(ctx);
    const traps = given ?? before?.traps ?? false;
    if ((await living(ctx, other)) !== undefined) keep(ctx, { ...others, [other]: { traps } });
    else if (!traps) await end(ctx, threadId);
  };

  const unbind = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    checked(ctx, request);
    const { [request.other]: _, ...others } = await halvesOf(ctx);
    keep(ctx, others);
  };

  /** The thread has ended. */
  const ended = async (ctx: ObjectContext, request: Asked): Promise<void> => {
    const threadId = checked(ctx, request);
    const halves = await halvesOf(ctx);
    keep(ctx, {});
    const parameter: OtherRequest = { protocol: PROTOCOL_VERSION, other: threadId };
    for (const key of Object.keys(halves))
      ctx.genericSend({ service: BONDS, method: "lose", key, parameter, inputSerde: jsonSerde<OtherRequest>() });
  };

  /** One that the thread is bound to has ended. */
  const lose = async (ctx: ObjectContext, request: OtherRequest): Promise<void> => {
    const threadId = checked(ctx, request);
    const { [request.other]: half, ...others } = await halvesOf(ctx);
    if (half === undefined) return;
    keep(ctx, others);
    if (!half.traps) await end(ctx, threadId);
  };

  return { bind, unbind, ended, lose };
}
