/**
 * The one way out of a thread. Whatever its actor emits is stored where it must last, taken into the history, stamped into
 * the log and shown, in this order (T7). Nothing else appends, nothing else shows. The first thing through it is the
 * thread's session (S4); once it is shut, nothing comes through any more: late events of an old life are dropped (S7).
 */
import type { Clock } from "../kernel/clock.ts";
import { EventLog } from "../kernel/event-log.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { SessionConfiguredNotFirstEventError } from "../protocol/errors.ts";
import type {
  EventMsg,
  SessionConfiguredEvent,
  TaskCompleteEvent,
  TaskStartedEvent,
  ThreadEvent,
  TurnAbortedEvent,
  TurnResumedEvent,
} from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { isPersisted } from "../protocol/persistence.ts";
import type { ThreadWriter } from "../store/thread-store.ts";
import { outsideCalls } from "../turn/tool-scope.ts";
import { type TurnTrace, turnTracing } from "../turn/traces.ts";
import { type Emission, guardFirst, readEmission, readFirst } from "./emitted.ts";
import type { OwnLife } from "./own-life.ts";
import type { Session } from "./session.ts";
import { appendPlaced } from "./stored-place.ts";
import type { ThreadHistory } from "./thread-history.ts";

/** Shows a thread's events to its observers. */
export interface EventSink {
  notify(event: ThreadEvent): void;
}

/** Whose door it is. */
export interface DoorThread {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly writer: ThreadWriter;
  readonly session: Session;
  readonly past: ThreadHistory;
  readonly turn: object | undefined;
  readonly env: {
    readonly scope: object;
    readonly clock: Clock;
    readonly logger: SkeinLogger;
    readonly eventCapacity: number;
    readonly onEvent: (event: ThreadEvent) => void;
  };
  /** What came first is not the thread's session: its life ends. */
  noteRefused(): void;
  /** A turn has ended. */
  noteTurnEnd(): void;
  /** An own logic has said its last word. */
  noteLastWord(): void;
}

const isTurnEvent = ({ type }: EventMsg): boolean =>
  type === "task_started" || type === "task_complete" || type === "turn_aborted" || type === "error";

/** Why the first thing that a thread said can't be its session. */
export type Refusal = { readonly received?: string; readonly detail?: string; readonly cause?: unknown };

export class Door {
  readonly log: EventLog<ThreadEvent>;
  /** How many lines the thread had when this life of it began. */
  readonly start: number;
  readonly #thread: DoorThread;
  /** Where the logic is an embedder's own. */
  readonly #own: OwnLife | undefined;
  #prepared: SessionConfiguredEvent | undefined;
  #configured: SessionConfiguredEvent | undefined;
  #refusal: SessionConfiguredNotFirstEventError | undefined;
  #onFirst: (() => void) | undefined;
  #sink: EventSink | undefined;
  /** The turn that is watched. */
  #turn: TurnTrace | undefined;
  #isShut = false;

  /** @param prepared what the thread is to say first, if it has nothing of its own to say of it */
  constructor(thread: DoorThread, prepared: SessionConfiguredEvent, own: OwnLife | undefined) {
    this.#thread = thread;
    this.#prepared = prepared;
    this.#own = own;
    this.start = thread.writer.position().ordinal;
    this.log = new EventLog({ capacity: thread.env.eventCapacity, guard: guardFirst });
  }

  /** What the thread said first; undefined until then. */
  get configured(): SessionConfiguredEvent | undefined {
    return this.#configured;
  }

  get refusal(): SessionConfiguredNotFirstEventError | undefined {
    return this.#refusal;
  }

  /** The first refusal is the one that counts. */
  refuse(why: Refusal): SessionConfiguredNotFirstEventError {
    this.#refusal ??= new SessionConfiguredNotFirstEventError(why);
    this.#thread.noteRefused();
    return this.#refusal;
  }

  /** Calls back when the first thing has come, or never will. */
  onFirst(settle: (() => void) | undefined): void {
    this.#onFirst = settle;
  }

  /** From now on events are shown to this one. */
  showTo(sink: EventSink): void {
    this.#sink = sink;
  }

  shut(): void {
    this.#isShut = true;
    this.#turnIsCut();
    this.log.close();
    this.#onFirst?.();
  }

  /** What the actor emits. That of an embedder's own logic is outside data, and read first. */
  hear(emitted: unknown): void {
    if (this.#own === undefined) {
      this.admit(readEmission(emitted));
      return;
    }
    if (!this.#isShut) {
      for (const emission of this.#own.read(emitted, this.#configured === undefined)) this.admit(emission);
    }
    this.#own.noteRecorded();
  }

  admit(emission: Emission): void {
    if (this.#isShut) return;
    const { threadId, env } = this.#thread;
    try {
      if (this.#configured === undefined) this.#admitFirst(emission);
      else if (emission.kind === "record") this.#admitRecord(emission);
      else if (emission.kind === "event") this.#admitEvent(emission);
      else env.logger.warn({ threadId, type: emission.type }, "a thread emitted what is no event");
    } catch (error) {
      env.logger.error({ threadId, err: error }, "an event could not be admitted");
    }
  }

  #admitFirst(emission: Emission): void {
    const first = readFirst(emission);
    if ("received" in first) {
      this.refuse(first);
      this.#onFirst?.();
      return;
    }
    const prepared = this.#prepared ?? first.configured;
    const { configured, wrong } = this.#own?.configured(first.configured, prepared) ?? { ...first, wrong: [] };
    this.#configured = configured;
    this.#prepared = undefined;
    this.#show(INITIAL_SUBMISSION_ID, configured);
    this.#own?.reportFirst(wrong);
    this.#onFirst?.();
  }

  #admitRecord({ item }: Extract<Emission, { kind: "record" }>): void {
    const { writer, past } = this.#thread;
    appendPlaced(writer, item);
    if (this.#own !== undefined && item.type === "response_item") past.append(item.payload);
  }

  #admitEvent({ id, msg, recorded }: Extract<Emission, { kind: "event" }>): void {
    const { writer, past, session } = this.#thread;
    if (msg.type === "raw_response_item") {
      writer.append({ type: "response_item", payload: msg.item });
      past.append(msg.item);
    } else if (!recorded && isPersisted(msg, writer.historyMode)) {
      appendPlaced(writer, { type: "event_msg", payload: msg });
    }
    if (!this.#isBesideTurn(id, msg)) {
      if (msg.type === "task_started" || msg.type === "turn_resumed") this.#turnBegins(id, msg);
      if (session.hear(id, msg)) {
        this.#turnEnds(msg);
        this.#thread.noteTurnEnd();
      }
    }
    this.#show(id, msg);
    // However its logic goes on: what has said its last word has ended.
    if (this.#own !== undefined && msg.type === "shutdown_complete") this.#thread.noteLastWord();
  }

  #turnBegins(submissionId: SubmissionId, { turn_id }: TaskStartedEvent | TurnResumedEvent): void {
    const { threadId, epoch, env, session } = this.#thread;
    const { model, modelProvider: provider } = session.config;
    this.#turn = turnTracing.begin(() => ({
      ...{ scope: env.scope, threadId, turnId: turn_id ?? submissionId, submissionId, epoch, model, provider },
    }));
  }

  #turnEnds(outcome: EventMsg): void {
    const turn = this.#turn;
    this.#turn = undefined;
    if (turn === undefined || (outcome.type !== "task_complete" && outcome.type !== "turn_aborted")) return;
    turn.outcome = outcome as TaskCompleteEvent | TurnAbortedEvent;
    if (turn.outcome.type === "turn_aborted")
      turn.error = new DOMException(`the turn was ${turn.outcome.reason}`, "AbortError");
    else if (turn.outcome.error) turn.error = turn.outcome.error;
    turnTracing.finish(turn);
  }

  /** This life ends without its turn's end: another one may go on with it. */
  #turnIsCut(): void {
    const turn = this.#turn;
    this.#turn = undefined;
    if (turn !== undefined) turn.error = new DOMException("the thread's life ended before the turn", "AbortError");
    turnTracing.finish(turn);
  }

  /**
   * An input without items is over at once (SPEC 4.8): while a turn runs, that says nothing of the thread. Nor does a turn
   * within another one.
   */
  #isBesideTurn(id: SubmissionId, msg: EventMsg): boolean {
    if (this.#own !== undefined) return isTurnEvent(msg) && this.#own.isWithinTurn(id);
    return msg.type === "task_complete" && msg.turn_id === undefined && this.#thread.turn !== undefined;
  }

  #show(id: SubmissionId, msg: EventMsg): void {
    const { threadId, epoch, env } = this.#thread;
    const time = env.clock.now();
    const event = this.log.append((seq) => ({ threadId, seq, epoch, time, id, msg }));
    if (!msg.type.endsWith("_delta"))
      env.logger.debug({ threadId, epoch, seq: event.seq, id, type: msg.type }, "event");
    // What observers do is no part of what the thread does.
    outsideCalls(() => {
      this.#sink?.notify(event);
      env.onEvent(event);
    });
  }
}
