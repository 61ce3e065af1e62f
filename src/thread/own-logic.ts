import type { AnyActorLogic } from "xstate";
import type { ThreadInput } from "../../machines/thread.machine.ts";
import type { SessionConfiguredEvent } from "../protocol/event.ts";
import type { MessageSchemas } from "../protocol/message.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { LogicThread } from "./logic-thread.ts";
import type { PersistOptions } from "./saved-state.ts";

/** A thread's logic. `isOwn`: an embedder's, which is held to docs/thread-logic.md. */
export type ChosenLogic = {
  readonly logic: AnyActorLogic;
  readonly isOwn: boolean;
  /** What its threads may be told. */
  readonly messages?: MessageSchemas | undefined;
  /** It says itself when it has handled a message. */
  readonly handlesMessages: boolean;
  /** How its state is kept: a machine's snapshot, or what a defined logic says that it is. */
  readonly keeps?: { readonly what: "snapshot" | "state"; readonly how: PersistOptions } | undefined;
};

/** A machine of your own whose snapshot is stored whenever it has changed, and which goes on from it in the next life. */
export type PersistentLogic = PersistOptions & { readonly logic: AnyActorLogic };

/** What a thread logic of your own is started with, as XState's `input`. */
export type OwnLogicInput = ThreadInput & {
  readonly config: ResolvedThreadConfig;
  /** The config's `extra`: the starter's own input to the thread's logic. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** What the thread has to emit first, under the submission id `""`; also sent as `session.configure`. */
  readonly sessionConfigured: SessionConfiguredEvent;
  /**
   * What is stored of the thread, oldest first: empty for a new one. null where that is long (more than 128 lines) and
   * `initialMessages: "all"` was not asked for; `thread.history()` reads what the model is to know of it.
   */
  readonly items: readonly RolloutItem[] | null;
  /** The state that the logic has saved last (`thread.save`), brought to its version; absent where there is none. */
  readonly saved?: unknown;
  readonly thread: LogicThread;
};
