/**
 * What runs a thread: an invocation of its own, which carries out the message that it was made for, and what other clients hand in meanwhile,
 * as signals that are numbered. Its steps are few, since those of an invocation in flight must not change.
 */
import type { Context, ObjectContext, RestatePromise } from "@restatedev/restate-sdk";
import { definedFields } from "../protocol/defined-fields.ts";
import type { ErrorJson } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import {
  type Asked,
  type DeliverRequest,
  type Delivery,
  type Message,
  PROTOCOL_VERSION,
  type Replied,
  TIMERS,
  type TimerRequest,
  type TurnAnswer,
  type TurnRequest,
} from "./wire.ts";
import { toWire } from "./wire-error.ts";
import type { WorkerActions } from "./worker-actions.ts";

/** What work came to whose typed failure is an answer. */
export type Told<T> = { readonly value: T } | { readonly error: ErrorJson };

/** A signal to a running invocation: the message, and where the sender waits for its answer. */
type Signalled = { readonly message: Message; readonly ack: string };

/** A request that waits for its reply: the invocation that gets it, and the step that it comes from. */
type Asking = { readonly reply: string; readonly work: RestatePromise<Told<Replied>> };

type Parts = {
  checked(ctx: { key: string }, request: Asked, fields: Fields): ThreadId;
  told<T>(work: () => Promise<T>): Promise<Told<T>>;
  answerOf<T>(answer: Told<T>): T;
  step<T>(ctx: Context, name: string, work: () => Promise<T>): Promise<T>;
};

const signalName = (n: number): string => `message-${n}`;

export function turnHandlers(
  sdk: RestateSdk,
  worker: Pick<WorkerActions, "attend" | "leave" | "dropTimers">,
  { checked, told, answerOf, step }: Parts,
) {
  const { RestatePromise } = sdk;

  /** From now on the engine keeps them. One that it was given already it has. */
  const keep = async (ctx: ObjectContext, threadId: ThreadId, timers: readonly StoredTimer[]): Promise<void> => {
    if (timers.length === 0) return;
    // Nobody waits for them here: what fires just now may wait for this invocation.
    for (const timer of timers) {
      const parameter: TimerRequest = { protocol: PROTOCOL_VERSION, timer };
      ctx.genericSend({
        service: TIMERS,
        method: "set",
        key: threadId,
        parameter,
        inputSerde: jsonSerde<TimerRequest>(),
      });
    }
    await step(ctx, "timers-kept", () => worker.dropTimers(threadId));
  };

  const turn = async (ctx: ObjectContext, request: TurnRequest): Promise<TurnAnswer> => {
    const threadId = checked(ctx, request, FIELDS.turn);
    const { id: invocation, attemptCompletedSignal } = ctx.request();
    const attendance = await worker.attend(threadId, invocation, attemptCompletedSignal);
    try {
      const work = ctx.run("turn", () => told(() => attendance.attend(request.message)));
      const asked = new Map<string, Asking>();
      const expect = ({ id, reply }: { id: string; reply?: string }): void => {
        if (reply === undefined) return;
        asked.set(id, { reply, work: ctx.run(`reply-${id}`, () => told(() => attendance.replyTo(id))) });
      };
      const tell = (id: string, replied: Replied): void => {
        const to = asked.get(id)?.reply ?? "";
        asked.delete(id);
        ctx.invocation(sdk.InvocationIdParser.fromString(to)).signal<Replied>("reply").resolve(replied);
        attendance.requests.noteTold(id);
      };
      expect(request.message);
      for (let n = 0; ; ) {
        const next = await RestatePromise.race([
          work.map((answer, failure) => ({ answer, failure })),
          ctx.signal<Signalled>(signalName(n)).map((signalled) => ({ signalled })),
          ...[...asked].map(([id, { work }]) => work.map((replied, failure) => ({ id, replied, failure }))),
        ]);
        if ("id" in next) {
          const { id, replied = { error: toWire(next.failure) } } = next;
          tell(id, "value" in replied ? replied.value : { error: replied.error });
          continue;
        }
        if (!("signalled" in next)) {
          const answered =
            next.failure === undefined ? (next.answer as Told<TurnAnswer>) : { error: toWire(next.failure) };
          if ("error" in answered) for (const id of [...asked.keys()]) tell(id, { error: answered.error });
          const { timers = [], ...answer } = answerOf(answered);
          await keep(ctx, threadId, timers);
          return answer;
        }
        n += 1;
        if (next.signalled === undefined) continue;
        const { message, ack } = next.signalled;
        let isTaken = false;
        const taking = ctx.run(`take-${n - 1}`, () => {
          isTaken = true;
          return attendance.take(message);
        });
        // A step begins only when it is waited for, and this one waits for what the other one loads: after a replay that has not begun.
        await RestatePromise.race([taking, work.map(() => undefined)]);
        const delivery = await taking;
        // An earlier worker has taken it; what that one refused stays refused.
        if (!isTaken && delivery.taken && delivery.error === undefined) attendance.takeAgain(message, delivery);
        if (delivery.taken) expect(message);
        ctx.resolveAwakeable(ack, delivery);
      }
    } finally {
      worker.leave(attendance);
    }
  };

  const deliver = async (ctx: ObjectContext, request: DeliverRequest): Promise<Delivery> => {
    checked(ctx, request, FIELDS.deliver);
    const { message, ask } = request;
    const sent = await ctx.get<{ invocation: string; next: number }>("sent");
    const n = sent?.invocation === request.invocation ? sent.next : 0;
    const running = ctx.invocation(sdk.InvocationIdParser.fromString(request.invocation));
    const ack = ctx.awakeable<Delivery>();
    ctx.set("sent", { invocation: request.invocation, next: n + 1 });
    running.signal<Signalled>(signalName(n)).resolve({ message, ack: ack.id });
    const over = running.attach().map((): Delivery => ({ taken: false }));
    return { ...(await RestatePromise.race([ack.promise, over])), ...definedFields({ ask }) };
  };

  return { turn, deliver, keep };
}
