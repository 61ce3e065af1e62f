/** How handlers of the engine hand a message to a thread: to the invocation that runs it, or as an invocation of its own. */
import type { ObjectContext } from "@restatedev/restate-sdk";
import type { ThreadId } from "../protocol/ids.ts";
import { jsonSerde } from "./restate-sdk.ts";
import {
  addressed,
  CONTROL,
  type DeliverRequest,
  type Delivery,
  type Message,
  needsTurn,
  PROTOCOL_VERSION,
  type Run,
  THREAD,
  type TurnRequest,
} from "./wire.ts";

/** To what runs the thread; one that was over before is told nothing. */
export async function deliver(ctx: ObjectContext, run: Run, threadId: ThreadId, message: Message): Promise<Delivery> {
  const { key, parameter } = addressed(run, threadId, message);
  return ctx.genericCall<DeliverRequest, Delivery>({
    ...{ service: CONTROL, method: "deliver", key, parameter },
    ...{ inputSerde: jsonSerde<DeliverRequest>(), outputSerde: jsonSerde<Delivery>() },
  });
}

/** To what runs the thread, or to a turn of its own where the message needs one. */
export async function give(ctx: ObjectContext, run: Run | null, threadId: ThreadId, message: Message): Promise<void> {
  if (run !== null && (await deliver(ctx, run, threadId, message)).taken) return;
  if (!needsTurn(message)) return;
  const parameter: TurnRequest = { protocol: PROTOCOL_VERSION, message };
  ctx.genericSend({
    ...{ service: THREAD, method: "turn", key: threadId, parameter, inputSerde: jsonSerde<TurnRequest>() },
    idempotencyKey: message.id,
  });
}
