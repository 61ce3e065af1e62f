/** A typed start for thread logics of your own: what it makes keeps the contract of docs/thread-logic.md by itself. */
import { type CallbackActorLogic, fromCallback } from "xstate";
import {
  isEmptyInput,
  type Submission,
  type ThreadCommand,
  type ThreadEmitted,
  taskKindOf,
} from "../../machines/thread.machine.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { checkCallOptions, type OptionKinds, ofType } from "../protocol/call-options.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, newTurnId, type SubmissionId, type TurnId } from "../protocol/ids.ts";
import { areMessageSchemas, type GivenFor, type MessageSchemas, type ReceivedOf } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { failureOf } from "../turn/failure.ts";
import { TOOL_GRACE_MS } from "../turn/tool-calls.ts";
import type { ModelAnswer, ModelQuestion, StartTurnOptions } from "./logic-thread.ts";
import type { ReceivedMessage } from "./messaging.ts";
import type { OwnLogicInput } from "./own-logic.ts";
import { PERSIST_KINDS } from "./persist-kinds.ts";
import type { PersistOptions } from "./saved-state.ts";
import type { TurnResult } from "./turn-result.ts";

/** One turn, as the function that runs it sees it. */
export type LogicTurn<State> = OwnLogicInput & {
  readonly turnId: TurnId;
  readonly submissionId: SubmissionId;
  readonly input: readonly UserInput[];
  /** The input's texts, one after another. */
  readonly text: string;
  /** What `start` gave. */
  readonly state: State;
  /** Fires at an interrupt, and at the thread's end. */
  readonly signal: AbortSignal;
  /** Says a message, now. */
  say(text: string): void;
  /** Says any event under this turn. */
  publish(msg: EventMsg): void;
  /** Asks the thread's model; see LogicThread.ask. */
  ask(question?: ModelQuestion): Promise<ModelAnswer>;
  /** Has the house run a whole turn within this one; see LogicThread.startTurn. */
  startTurn(input: string | readonly UserInput[], options?: StartTurnOptions): Promise<TurnResult<never>>;
};

/** What a logic's handler of a message is given beside it. */
export type MessageContext<State> = OwnLogicInput &
  Omit<ReceivedMessage, "message"> & {
    readonly state: State;
    /** Says any event under the message's id. */
    publish(msg: EventMsg): void;
  };

/** By each type of message what is done with it: what it gives is the reply, where one is asked for. */
export type Receivers<State, M> = {
  readonly [K in keyof M & string]: (
    message: ReceivedOf<M, K>,
    context: MessageContext<State>,
  ) => GivenFor<M[K]> | Promise<GivenFor<M[K]>>;
};

/** What a thread does with each op, in place of the built-in turns. */
export type ThreadLogicDefinition<State, M extends MessageSchemas = MessageSchemas> = Partial<PersistOptions> & {
  /**
   * What the logic keeps while the thread is in memory; made anew in each life. With `persist` it is stored after each turn and op,
   * as JSON, and the next life is given it as `saved`.
   */
  readonly start?: (input: OwnLogicInput) => State | Promise<State>;
  /**
   * Runs one turn. A text that it gives is said as the turn's last message. What it throws fails the turn, and not the
   * thread. At an interrupt the turn is over when it settles, or after the grace of a tool, 100 ms.
   */
  readonly turn: (turn: LogicTurn<State>) => unknown;
  /** What other threads may say to it beside prompts (SEMANTICS 9); each type is handled by its entry in `receive`. */
  readonly messages?: M;
  /**
   * Handles messages, one at a time with turns and ops, and in order. What one throws fails the message, and not the thread: who asked
   * gets RequestFailedError, and the thread says an `error` event.
   */
  readonly receive?: Receivers<State, NoInfer<M>>;
  /** Ops of other types, one at a time and in order; those without an entry are refused by an event. */
  readonly ops?: { readonly [type: string]: (op: Op, turn: OpContext<State>) => void | Promise<void> };
  /** Lets go of what `start` made; within the shutdown's deadline, and also after a failure. */
  readonly stop?: (state: State) => void | Promise<void>;
};

/** What a logic's handler of an op is given. */
export type OpContext<State> = OwnLogicInput & {
  readonly submissionId: SubmissionId;
  readonly state: State;
  publish(msg: EventMsg): void;
};

/** A thread logic as `threadLogic` in ThreadManagerOptions takes it, with what its threads may be told. */
export type DefinedThreadLogic<M extends MessageSchemas = MessageSchemas> = CallbackActorLogic<
  ThreadCommand,
  OwnLogicInput,
  ThreadEmitted
> & { readonly messages: M };

/** The compiler says when one is missing here. */
const DEFINITION = Object.keys({
  start: 1,
  turn: 1,
  messages: 1,
  receive: 1,
  ops: 1,
  stop: 1,
  persist: 1,
  version: 1,
  migrate: 1,
  unreadable: 1,
  maxBytes: 1,
} satisfies Record<keyof ThreadLogicDefinition<unknown>, 1>);
const DEFINITION_KINDS: OptionKinds = {
  start: ofType("function"),
  receive: ofType("object"),
  ops: ofType("object"),
  stop: ofType("function"),
  ...PERSIST_KINDS,
};

/** @throws InvalidRequestError for a definition without `turn`, and for a message that nothing handles */
export function defineThreadLogic<State = undefined, const M extends MessageSchemas = Record<never, never>>(
  definition: ThreadLogicDefinition<State, M>,
): DefinedThreadLogic<M> {
  if (typeof definition?.turn !== "function")
    throw new InvalidRequestError("defineThreadLogic: give `turn`, a function");
  checkCallOptions("defineThreadLogic", definition, DEFINITION, DEFINITION_KINDS);
  const messages = definition.messages ?? ({} as M);
  checkMessages(messages, definition.receive ?? {});
  const logic = fromCallback<ThreadCommand, OwnLogicInput, ThreadEmitted>(({ input, emit, receive }) => {
    const worker = new Worker(definition, input, emit);
    receive((command) => worker.take(command));
    return () => worker.dispose();
  });
  const { persist, version, migrate, unreadable, maxBytes } = definition;
  if (persist !== undefined) persisting.set(logic, { persist, version, migrate, unreadable, maxBytes });
  declared.set(logic, messages);
  return Object.assign(logic, { messages });
}

/** @throws InvalidRequestError */
function checkMessages(messages: MessageSchemas, receive: object): void {
  if (!areMessageSchemas(messages))
    throw new InvalidRequestError(
      "defineThreadLogic: messages: give a Standard Schema, or { message, reply }, for each type",
    );
  const unhandled = Object.keys(messages).find((type) => typeof own(receive, type) !== "function");
  if (unhandled !== undefined)
    throw new InvalidRequestError(`defineThreadLogic: receive: give a function for \`${unhandled}\``);
  const unknown = Object.keys(receive).find((type) => !Object.hasOwn(messages, type));
  if (unknown !== undefined)
    throw new InvalidRequestError(`defineThreadLogic: messages: \`${unknown}\` is in receive, and not declared`);
}

const own = (of: object, name: string): unknown => (Object.hasOwn(of, name) ? Reflect.get(of, name) : undefined);

/** What each defined logic may be told. */
const declared = new WeakMap<object, MessageSchemas>();

/** undefined for a logic that was not defined so. */
export const messagesOf = (logic: object): MessageSchemas | undefined => declared.get(logic);

/** How the state of each logic that keeps one is kept. */
const persisting = new WeakMap<object, PersistOptions>();

export const persistOf = (logic: object): PersistOptions | undefined => persisting.get(logic);

class Worker<State, M extends MessageSchemas> {
  readonly #definition: ThreadLogicDefinition<State, M>;
  readonly #input: OwnLogicInput;
  readonly #emit: (emitted: ThreadEmitted) => void;
  /** Settles when nothing more will be asked for, and all that was is done. */
  readonly #work: Promise<void>;
  #state: Promise<State> | undefined;
  #running: AbortController | undefined;
  /** Inputs whose turns have not begun. */
  readonly #waiting = new Set<SubmissionId>();
  /** Of those, the ones that an interrupt has ended. */
  readonly #cut = new Set<SubmissionId>();
  #isOver = false;

  constructor(
    definition: ThreadLogicDefinition<State, M>,
    input: OwnLogicInput,
    emit: (emitted: ThreadEmitted) => void,
  ) {
    this.#definition = definition;
    this.#input = input;
    this.#emit = emit;
    this.#work = this.#serve(input.thread.ops({ whileRunning: "hold" }));
  }

  #publish(id: SubmissionId, msg: EventMsg): void {
    if (!this.#isOver) this.#emit({ type: msg.type, id, msg });
  }

  take(command: ThreadCommand): void {
    if (command.type === "session.configure") this.#publish(INITIAL_SUBMISSION_ID, command.msg);
    if (command.type !== "op.submit") return;
    const { id, op } = command;
    if (op.type === "shutdown") void this.#shutDown(id);
    else if (op.type === "interrupt") this.#interrupt();
    else if (hasInput(op)) this.#waiting.add(id);
  }

  /** One at a time, in order; what is urgent has been heard already. */
  async #serve(ops: AsyncIterable<Submission>): Promise<void> {
    for await (const submission of ops) {
      const { id, op } = submission;
      const received = op.type === "thread_message" ? this.#input.thread.message(id) : undefined;
      if (received !== undefined) await this.#receive(received);
      else if (hasInput(op)) await this.#runTurn(submission, op.items);
      else if (taskKindOf(op) !== undefined && !isEmptyInput(op)) await this.#runTask(submission);
      else if (op.type !== "interrupt") await this.#answer(id, op);
    }
  }

  /** What the state has become is stored. */
  #keep(state: State): void {
    if (this.#definition.persist !== undefined && !this.#isOver) this.#input.thread.save(state);
  }

  #interrupt(): void {
    for (const id of this.#waiting) this.#cut.add(id);
    this.#running?.abort(new DOMException("the turn was interrupted", "AbortError"));
  }

  /** The state, made once; one that could not be made is tried again by the next op. */
  #started(): Promise<State> {
    this.#state ??= this.#start().catch((error: unknown) => {
      this.#state = undefined;
      throw error;
    });
    return this.#state;
  }

  async #start(): Promise<State> {
    return (await this.#definition.start?.(this.#input)) as State;
  }

  async #runTurn({ id, turnId = newTurnId() }: Submission, items: readonly UserInput[]): Promise<void> {
    if (this.#isOver) return;
    this.#waiting.delete(id);
    this.#publish(id, { type: "task_started", turn_id: turnId });
    const running = new AbortController();
    const { signal } = running;
    if (this.#cut.delete(id)) running.abort(new DOMException("the turn was interrupted", "AbortError"));
    this.#running = running;
    try {
      const last = await this.#carryOut({ id, turnId, items, signal });
      this.#publish(id, { type: "task_complete", turn_id: turnId, last_agent_message: last });
    } catch (error) {
      if (signal.aborted) this.#publish(id, { type: "turn_aborted", reason: "interrupted", turn_id: turnId });
      else this.#fail(id, turnId, error);
    } finally {
      this.#running = undefined;
    }
  }

  /** Runs the turn's function. What the turn has said last. */
  async #carryOut({ id, turnId, items, signal }: TurnFacts): Promise<string | null> {
    signal.throwIfAborted();
    let last: string | null = null;
    const say = (message: string) => {
      last = message;
      this.#publish(id, { type: "agent_message", message });
    };
    const work = async () => {
      const state = await this.#started();
      // What an interrupted or failed turn has done to it is done.
      using _kept = { [Symbol.dispose]: () => this.#keep(state) };
      return await this.#definition.turn({
        ...this.#input,
        turnId,
        submissionId: id,
        input: items,
        text: items.map((item) => (item.type === "text" ? item.text : "")).join("\n"),
        state,
        signal,
        say,
        publish: (msg) => this.#publish(id, msg),
        ask: (question) => this.#input.thread.ask({ ...question, signal: both(signal, question?.signal) }),
        startTurn: (given, options) =>
          this.#input.thread.startTurn(given, { ...options, signal: both(signal, options?.signal) }),
      });
    };
    const given = await Promise.race([work(), overdue(signal)]);
    signal.throwIfAborted();
    if (typeof given === "string") say(given);
    return last;
  }

  #fail(id: SubmissionId, turnId: TurnId, error: unknown): void {
    this.#publish(id, { type: "error", ...failureOf(error) });
    this.#publish(id, { type: "task_complete", turn_id: turnId, last_agent_message: null });
  }

  /** An op that asks for a turn of another kind: its waiters get an answer. */
  async #runTask({ id, op, turnId = newTurnId() }: Submission): Promise<void> {
    this.#publish(id, { type: "task_started", turn_id: turnId });
    await this.#answer(id, op);
    this.#publish(id, { type: "task_complete", turn_id: turnId, last_agent_message: null });
  }

  async #receive({ message, ...about }: ReceivedMessage): Promise<void> {
    const { id } = about;
    const { thread } = this.#input;
    try {
      const handle = own(this.#definition.receive ?? {}, message.type);
      if (typeof handle !== "function")
        throw new InvalidRequestError(`this thread's logic has no \`receive\` for \`${message.type}\``);
      const state = await this.#started();
      const publish = (msg: EventMsg) => this.#publish(id, msg);
      const value: unknown = await handle(message, { ...this.#input, ...about, state, publish });
      this.#keep(state);
      if (thread.message(id) !== undefined) thread.reply(id, value);
    } catch (error) {
      // It gave up since the thread ends: the message is not handled, and a durable one comes again.
      if (thread.signal.aborted) return;
      if (thread.message(id) !== undefined) thread.refuse(id, error);
      this.#publish(id, { type: "error", message: textOfThrown(error), codex_error_info: "bad_request" });
    }
  }

  async #answer(id: SubmissionId, op: Op): Promise<void> {
    const { ops = {} } = this.#definition;
    const answer = Object.hasOwn(ops, op.type) ? ops[op.type] : undefined;
    if (answer === undefined && (op.type === "user_input" || op.type === "user_turn")) {
      this.#publish(id, { type: "task_complete", last_agent_message: null });
      return;
    }
    try {
      if (answer === undefined) throw new InvalidRequestError(`this thread's logic takes no \`${op.type}\``);
      const state = await this.#started();
      await answer(op, { ...this.#input, submissionId: id, state, publish: (msg) => this.#publish(id, msg) });
      this.#keep(state);
    } catch (error) {
      this.#publish(id, { type: "error", message: textOfThrown(error), codex_error_info: "bad_request" });
    }
  }

  async #shutDown(id: SubmissionId): Promise<void> {
    this.#interrupt();
    await this.#work;
    await this.#letGo();
    this.#publish(id, { type: "shutdown_complete" });
    this.#isOver = true;
  }

  /** The actor was stopped, or has failed. */
  dispose(): void {
    this.#isOver = true;
    this.#interrupt();
    void this.#letGo();
  }

  async #letGo(): Promise<void> {
    const state = this.#state;
    this.#state = undefined;
    if (state === undefined) return;
    try {
      await this.#definition.stop?.(await state);
    } catch (error) {
      this.#publish(INITIAL_SUBMISSION_ID, { type: "warning", message: `stop failed: ${textOfThrown(error)}` });
    }
  }
}

const hasInput = (op: Op): op is Extract<Op, { type: "user_input" | "user_turn" }> =>
  (op.type === "user_input" || op.type === "user_turn") && Array.isArray(op.items) && op.items.length > 0;

type TurnFacts = {
  readonly id: SubmissionId;
  readonly turnId: TurnId;
  readonly items: readonly UserInput[];
  readonly signal: AbortSignal;
};

const both = (one: AbortSignal, other: AbortSignal | undefined): AbortSignal =>
  other === undefined ? one : AbortSignal.any([one, other]);

/** Rejects when a turn that was interrupted has had its grace. */
const overdue = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const wait = () => setTimeout(() => reject(signal.reason), TOOL_GRACE_MS).unref();
    if (signal.aborted) wait();
    else signal.addEventListener("abort", wait, { once: true });
  });
