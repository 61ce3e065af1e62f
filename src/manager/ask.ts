import type { AnyActorRef } from "xstate";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import { systemClock } from "../kernel/clock.ts";
import { ManagerClosedError } from "../protocol/errors.ts";
import type { Outcome, Replies } from "./messages.ts";

export type AskOptions = { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined };

type Message = { readonly type: string };
type Answer<M extends Message> = M["type"] extends keyof Replies ? Replies[M["type"]] : unknown;

/**
 * Sends a message that carries a `reply`, and waits for the reply's value.
 *
 * @throws the reply's error; ManagerClosedError when the actor has ended and so would never answer;
 *   DeadlineExceededError; on abort the signal's reason. In both cases the message's own signal is aborted with it, so
 *   that what it asked for is undone.
 */
export async function ask<const M extends Message>(
  actor: Pick<AnyActorRef, "send" | "getSnapshot">,
  message: M,
  { signal, deadlineMs }: AskOptions = {},
): Promise<Answer<M>> {
  signal?.throwIfAborted();
  if (actor.getSnapshot().status !== "active") throw new ManagerClosedError("the actor that was asked has ended");
  const send = (until: AbortSignal | undefined): Promise<Answer<M>> => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer<M>>();
    const reply = (outcome: Outcome<Answer<M>>) => (outcome.ok ? resolve(outcome.value) : reject(outcome.error));
    actor.send({ ...message, reply, ...(until === undefined ? {} : { signal: until }) });
    return promise;
  };
  if (deadlineMs === undefined) return raceAbort(send(signal), signal);
  return withDeadline(`the answer to ${message.type}`, send, { deadlineMs, signal, clock: systemClock });
}
