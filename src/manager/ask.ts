import type { AnyActorRef } from "xstate";
import type { Outcome } from "../../machines/supervisor.machine.ts";
import { linkSignals } from "../kernel/cancellation.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { checkCallOptions, oneOf, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { DeadlineExceededError, InvalidRequestError, ManagerClosedError } from "../protocol/errors.ts";
import { isTagged } from "../protocol/unknown-kind.ts";
import type { WhenFull } from "../thread/thread.ts";
import { isSupervisorMessage } from "./supervisor-gate.ts";
import type { Replies, SupervisorMessage, SupervisorRef, SupervisorRequest } from "./supervisor-messages.ts";

/** How long `ask` waits: past `deadlineMs` it rejects with DeadlineExceededError, on abort with the signal's reason. */
export type AskOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number | undefined;
  /** What to do where the supervisor's mailbox, or the thread's, is full. Default: wait. */
  readonly whenFull?: WhenFull | undefined;
  /** What the deadline is measured by. Default: the system's. */
  readonly clock?: Clock | undefined;
};

const ASK = [...WAIT_OPTIONS, "whenFull"];
const ASK_KINDS = { whenFull: oneOf("wait", "reject", "dropOldest") };

/** What `ask` needs of an actor. */
export type Askable = Pick<AnyActorRef, "send" | "getSnapshot">;
/** A message to a supervisor: one of SupervisorMessage without its `reply`, or one that an orchestrator's own actor takes. */
export type AskMessage = { readonly type: string };
/** A field that the message does not have is a mistake; a type parameter would let it pass. */
export type OnlyFieldsOf<M extends SupervisorMessage> = {
  readonly [K in Exclude<keyof M, keyof SupervisorRequest<M["type"]>>]: never;
};
/** The value that such a message is answered with. */
export type AskAnswer<M extends AskMessage> = M["type"] extends keyof Replies ? Replies[M["type"]] : unknown;

/**
 * Sends a message that carries a `reply`, and waits for the reply's value. An abort, and a deadline that passes, abort
 * the message's own signal: what it asked for is undone.
 *
 * @throws the reply's error; ManagerClosedError when the actor has ended and so would never answer;
 *   DeadlineExceededError; on abort the signal's reason.
 */
export function ask<const M extends SupervisorMessage>(
  actor: SupervisorRef,
  message: M & OnlyFieldsOf<M>,
  options?: AskOptions,
): Promise<AskAnswer<M>>;
/** Of any other actor that replies. */
export function ask<const M extends AskMessage, A extends Askable>(
  actor: A extends SupervisorRef ? never : A,
  message: M,
  options?: AskOptions,
): Promise<unknown>;
export async function ask<const M extends AskMessage>(
  actor: Askable,
  message: M,
  options: AskOptions = {},
): Promise<AskAnswer<M>> {
  if (typeof actor?.getSnapshot !== "function" || typeof actor.send !== "function")
    throw new InvalidRequestError("ask: give an actor, such as `manager.supervisor`");
  if (!isTagged(message)) throw new InvalidRequestError("ask: a message is an object with a `type`");
  const { signal, deadlineMs, whenFull = "wait", clock = systemClock } = options;
  checkCallOptions("options", { signal, deadlineMs, whenFull }, ASK, ASK_KINDS);
  signal?.throwIfAborted();
  if (actor.getSnapshot().status !== "active") throw new ManagerClosedError("the actor that was asked has ended");
  const { promise, resolve, reject } = Promise.withResolvers<AskAnswer<M>>();
  // The reply settles at once: from then on an abort comes too late, for the one who asks and for the one who answers.
  const reply = (outcome: Outcome<AskAnswer<M>>) => (outcome.ok ? resolve(outcome.value) : reject(outcome.error));
  const asked = isSupervisorMessage(message.type) ? { whenFull, ...message } : message;
  if (signal === undefined && deadlineMs === undefined) {
    actor.send({ ...asked, reply });
    return promise;
  }
  const link = linkSignals(signal);
  const onAbort = () => reject(link.signal.reason);
  link.signal.addEventListener("abort", onAbort, { once: true });
  const late = () => link.abort(new DeadlineExceededError(`the answer to ${message.type}`, deadlineMs ?? 0));
  const timer = deadlineMs === undefined ? undefined : clock.setTimeout(late, deadlineMs);
  try {
    actor.send({ ...asked, reply, signal: link.signal });
    return await promise;
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
    link[Symbol.dispose]();
  }
}
