/** What a thread logic of an embedder's own may do as its thread. */
import type { Submission } from "../../machines/thread.machine.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { ReceivedMessage, ThreadMessenger } from "./messaging.ts";
import type { Thread } from "./thread.ts";
import type { TurnResult } from "./turn-result.ts";

/** What a logic asks the model. */
export type ModelQuestion = {
  /** Recorded before the model is asked. A text becomes a user's message. */
  readonly input?: string | readonly ResponseItem[] | undefined;
  /** In place of the config's `baseInstructions`. */
  readonly instructions?: string | undefined;
  /** A JSON Schema that the final message must fit. */
  readonly outputSchema?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** How often the model may be asked again after calls of tools. Default 50. */
  readonly maxRounds?: number | undefined;
};

/** What the model answered to a logic's question. */
export type ModelAnswer = {
  /** The last message. */
  readonly text: string;
  /** All that the model has said, and what its calls came to; recorded already. */
  readonly items: readonly ResponseItem[];
  readonly usage: TokenUsage | null;
};

/** How a logic begins a turn of the house. */
export type StartTurnOptions = {
  /** Interrupts the turn. Default: the thread's own, which fires when it is to end. */
  readonly signal?: AbortSignal | undefined;
  /** A JSON Schema that the final message must fit. */
  readonly outputSchema?: unknown;
  /** The op that the turn is to answer: the turn bears its id, so `run()` of whoever gave the op resolves with it. */
  readonly submission?: Pick<Submission, "id" | "turnId"> | undefined;
};

/** What a logic's `ops` gives while a turn runs. */
export type OpsOptions = {
  /** `hold`: ops that come meanwhile, all but urgent ones, are kept for the turn's end. Default `give`. */
  readonly whileRunning?: "give" | "hold" | undefined;
};

/** The thread, as its own logic sees it: it emits, asks the model and calls tools. */
export interface LogicThread {
  readonly id: ThreadId;
  readonly epoch: number;
  /** Fires when the thread is asked to end, or has ended. */
  readonly signal: AbortSignal;
  /** Says an event, as `emit({ type: msg.type, id, msg })` does. @param id the submission that it belongs to */
  publish(id: SubmissionId | string, msg: EventMsg): void;
  /** Adds an item to what the model knows, and to the rollout. */
  record(item: ResponseItem): void;
  /** What the thread's model knows: the stored items, rollbacks and compactions taken into account. */
  history(options?: { signal?: AbortSignal }): Promise<readonly ResponseItem[]>;
  /**
   * The ops that the thread is given from now on, in order, for logics that receive nothing by themselves (fromPromise).
   * Ends when the thread is asked to shut down. To be called once, before anything is awaited.
   */
  ops(options?: OpsOptions): AsyncGenerator<Submission, undefined>;
  /**
   * Asks the thread's model with its history, its settings and all tools of its config and its manager, those of the house and of
   * MCP servers among them; calls are answered, and the model is asked again until it makes none. What fails on the way is tried
   * again as in a turn of the house. What the model says is recorded, and told by nobody: say what is to be shown with `publish`.
   * What its tools do is told, and asked about, as in any turn; tokens are counted.
   *
   * @throws ModelError, the signal's reason, InvalidRequestError after too many rounds
   */
  ask(question?: ModelQuestion): Promise<ModelAnswer>;
  /**
   * Has the house run a whole turn with this input: its context, sampling, tools, approvals, compaction, retries, events and
   * storage are those of the built-in logic, and so is what an interrupt does. It counts as the thread's turn, in its place
   * (`limits.runningTurns`); within a turn that the logic has announced it is a turn of its own, under an id of its own, unless
   * `submission` names the op that it answers. One at a time.
   *
   * @returns how it ended, failed turns and interrupted ones included
   * @throws the signal's reason, once the turn has ended; InvalidRequestError for no input, and while another one runs
   */
  startTurn(input: string | readonly UserInput[], options?: StartTurnOptions): Promise<TurnResult<never>>;
  /**
   * Stores the state that the next life is given as `saved`, once for all that is saved in one step. For logics that are defined with
   * `persist`; what can't be stored is told by a warning. @throws InvalidRequestError for any other
   */
  save(state: unknown): void;
  /** Speaks for this thread to others (SEMANTICS 9). */
  readonly messenger: ThreadMessenger;
  /**
   * The message that the op of this id, of the type `thread_message`, brings: as its schema gives it. undefined once it is handled, and for
   * an op that nobody has checked.
   */
  message(id: SubmissionId | string): ReceivedMessage | undefined;
  /**
   * Answers a request. For logics that are made by hand: `defineThreadLogic` does so with what its `receive` gives. A message that is no
   * request counts as handled once the logic has taken it. @throws InvalidRequestError for what was answered already
   */
  reply(id: SubmissionId | string, value?: unknown): void;
  /** Answers a request by a failure: whoever asked gets RequestFailedError with this cause. @throws as {@link reply} */
  refuse(id: SubmissionId | string, error: unknown): void;
  /** Starts a thread under this one: it counts against this thread's limits. @throws as ThreadManager.startThread */
  spawn(config?: ThreadConfig, options?: { signal?: AbortSignal }): Promise<Thread>;
}
