/** The beginning of a life: the actor is started, and what it says first has to be its session (S4). */
import type { Clock } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import type { SessionConfiguredEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import type { Door, Refusal } from "./door.ts";
import type { LogicActor } from "./logic-actor.ts";
import type { OwnHost } from "./own-host.ts";
import { told } from "./told.ts";

/** Whose life begins. */
export type Beginning = {
  readonly made: LogicActor;
  readonly door: Door;
  readonly clock: Clock;
  /** Where the logic is an embedder's own. */
  readonly own: OwnHost | undefined;
};

export type BootOptions = { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined };

/**
 * Starts the actor and gives it its session. Answers at once when the first event comes at once.
 *
 * @throws SessionConfiguredNotFirstEventError (S4), also when nothing comes within `deadlineMs`; or the signal's reason.
 *   The actor is then closed; what to do with the rollout is the caller's.
 */
export function boot(
  beginning: Beginning,
  msg: SessionConfiguredEvent,
  options: BootOptions,
): SessionConfiguredEvent | Promise<SessionConfiguredEvent> {
  const { made, door, own } = beginning;
  const { actor, isRestored, problem } = made;
  // In the state that it is in, it may have no ear for its configuration.
  if (isRestored) door.hear({ type: msg.type, id: INITIAL_SUBMISSION_ID, msg });
  const start = () => {
    actor.start();
    const configure = { type: "session.configure", msg } as const;
    if (!isRestored) actor.send(own === undefined ? told(configure) : configure);
  };
  if (own === undefined) start();
  else own.inLogic(start);
  if (door.configured !== undefined) {
    if (problem !== undefined) own?.life.complain(`it starts anew, since ${problem}`);
    return door.configured;
  }
  const endedEarly = endOf(made);
  if (door.refusal !== undefined || endedEarly !== undefined) throw door.refuse(endedEarly ?? {});
  return awaitFirst(beginning, options);
}

async function awaitFirst(
  { made, door, clock }: Beginning,
  { deadlineMs, signal }: BootOptions,
): Promise<SessionConfiguredEvent> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const settle = () => resolve();
  door.onFirst(settle);
  const observer = made.actor.subscribe({ complete: settle, error: settle });
  const timer = clock.setTimeout(settle, deadlineMs);
  signal?.addEventListener("abort", settle, { once: true });
  if (signal?.aborted) settle();
  await promise;
  observer.unsubscribe();
  clock.clearTimeout(timer);
  signal?.removeEventListener("abort", settle);
  door.onFirst(undefined);
  if (door.configured !== undefined) return door.configured;
  const refusal = door.refuse(endOf(made) ?? { detail: `no event came within ${deadlineMs} ms` });
  if (signal?.aborted) throw signal.reason;
  throw refusal;
}

/** That the actor has ended before it said anything; undefined while it lives. */
function endOf({ actor }: LogicActor): Refusal | undefined {
  const { status, error: cause } = actor.getSnapshot() as { status: string; error?: unknown };
  if (status === "active") return undefined;
  return {
    detail: status === "error" ? `the thread logic failed: ${textOfThrown(cause)}` : "the thread logic ended",
    cause,
  };
}
