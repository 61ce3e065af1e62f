/** The actor of a thread's logic: a new one, or one that goes on from the snapshot that is stored of it. */
import { type AnyActorRef, createActor, type Snapshot } from "xstate";
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ChosenLogic } from "./own-logic.ts";
import type { Saved } from "./saved-state.ts";

export type LogicActor = {
  readonly actor: AnyActorRef;
  /** It goes on in the state that it was in: its first event has been said in an earlier life. */
  readonly isRestored: boolean;
  /** Why it starts anew, where a state was stored that can't be gone on from. */
  readonly problem?: string | undefined;
};

/** @throws InvalidRequestError for a snapshot that the logic can't go on from, unless it is to start anew then */
export function actorOf(
  { logic, keeps }: ChosenLogic,
  options: { readonly parent: AnyActorRef; readonly id: string; readonly input: object },
  saved: Saved | undefined,
): LogicActor {
  if (keeps?.what !== "snapshot" || saved?.state === undefined) {
    return { actor: createActor(logic, options), isRestored: false, problem: saved?.problem };
  }
  const actor = createActor(logic, { ...options, snapshot: saved.state as Snapshot<unknown> });
  const { status, error } = actor.getSnapshot() as { status: unknown; error?: unknown };
  if (status === "active") return { actor, isRestored: true };
  const why = status === "error" ? textOfThrown(error) : `its status is \`${String(status)}\``;
  const problem = `the state of thread ${options.id} can't be gone on from: ${why}`;
  if (keeps.how.unreadable === "anew") return { actor: createActor(logic, options), isRestored: false, problem };
  throw new InvalidRequestError(
    `${problem}; give its logic a higher \`version\` and a \`migrate\`, or \`unreadable: "anew"\``,
    {
      cause: error,
    },
  );
}
