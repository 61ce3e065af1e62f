/**
 * What the door does for a logic of an embedder's own (docs/thread-logic.md): reads what it emits, adds what the built-in
 * logic says by itself, so that both are stored by the same rules, and ends its turns where it can't any more.
 */
import { taskKindOf } from "../../machines/thread.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { RankedSlots } from "../kernel/ranked-slots.ts";
import type { ErrorEvent, EventMsg, SessionConfiguredEvent, TaskStartedEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, newItemId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import type { Op } from "../protocol/op.ts";
import { assistantMessage, type ResponseItem, textOf } from "../protocol/response-item.ts";
import type { HistoryMode, RolloutItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RequestUserInputEvent } from "../protocol/tool-events.ts";
import { agentMessageText, type TurnItem } from "../protocol/turn-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { CallQuestions } from "../turn/tools/call-host.ts";
import { messageOf } from "../turn/user-message.ts";
import type { Emission } from "./emitted.ts";
import { interruptionOf } from "./life-end.ts";
import { readOwnEmission } from "./own-emission.ts";
import { OwnTurns, type SubmittedOp } from "./own-turns.ts";

/** Whose life it is. */
export interface OwnThread {
  readonly threadId: ThreadId;
  readonly logger: SkeinLogger;
  readonly clock: Clock;
  readonly config: Pick<ResolvedThreadConfig, "cwd">;
  /** To the door, past the logic. */
  publish(id: SubmissionId, msg: EventMsg): void;
  record(item: RolloutItem): void;
  readonly historyMode: HistoryMode;
  readonly intake: {
    /** The input stands in the history now. */
    noteTaken(id: SubmissionId): void;
  };
  readonly questions: CallQuestions;
}

export type OwnLifeParts = {
  readonly slots: RankedSlots;
  /** Gives the op to the logic. */
  readonly deliver: (event: SubmittedOp) => void;
};

type Said = Extract<Emission, { kind: "event" }>;
type ApprovalRequest = Extract<EventMsg, { type: "exec_approval_request" | "apply_patch_approval_request" }>;

/** Inputs that no event of the logic has named yet; the oldest is recorded when there are more. */
const HELD_INPUTS = 64;
/** So many messages of the latest turns are known, to tell what is said twice from what was only recorded before. */
const KNOWN_MESSAGES = 64;

const said = (id: SubmissionId, msg: EventMsg): Said => ({ kind: "event", id, msg, recorded: false });

export class OwnLife {
  readonly turns: OwnTurns;
  readonly #thread: OwnThread;
  readonly #deliver: OwnLifeParts["deliver"];
  readonly #held = new Map<SubmissionId, readonly UserInput[]>();
  /** What an item of the history, or of the turn, says already; until the turn's end. */
  readonly #items = new Set<string>();
  /** Inputs that were recorded, the newest ones. */
  readonly #recordedInputs = new Set<SubmissionId>();
  #toNote: SubmissionId[] = [];
  #closingFor = INITIAL_SUBMISSION_ID;
  #hasSaidShutdown = false;
  /** The submission that has answered last. */
  #answerId = INITIAL_SUBMISSION_ID;
  /** Ends the questions that the logic has asked by events, once their turns have ended. */
  readonly #questions = new Map<SubmissionId, AbortController>();

  constructor(thread: OwnThread, { slots, deliver }: OwnLifeParts) {
    this.#thread = thread;
    this.#deliver = deliver;
    this.turns = new OwnTurns(slots, thread.threadId, deliver);
  }

  // From the thread's holders to the logic.

  give(event: SubmittedOp): void {
    const { id, op } = event;
    if (op.type === "exec_approval" || op.type === "patch_approval") {
      this.#answerId = id;
      // One that the logic has asked for by an event is given to it; others are awaited by their caller.
      this.#thread.questions.approvals.answer(op.id, op.decision);
      return;
    }
    if (op.type === "user_input_answer") {
      this.#answerId = id;
      this.#thread.questions.ofModel.answer(op.id, op.response);
      return;
    }
    if (op.type === "shutdown") this.#closingFor = id;
    if ((op.type === "user_input" || op.type === "user_turn") && op.items.length > 0) this.#hold(id, op.items);
    for (const cut of this.turns.give(event)) this.#publish(this.#endOf(cut.id, cut.turnId, undefined, undefined));
  }

  #publish(emissions: readonly Emission[]): void {
    for (const emission of emissions) {
      if (emission.kind === "event") this.#thread.publish(emission.id, emission.msg);
      else if (emission.kind === "record") this.#thread.record(emission.item);
    }
    this.noteRecorded();
  }

  /** Inputs that have come through the door are taken. */
  noteRecorded(): void {
    for (const id of this.#toNote.splice(0)) this.#thread.intake.noteTaken(id);
  }

  /** Whether the input stands in no line yet. */
  holds(id: SubmissionId): boolean {
    return this.#held.has(id);
  }

  #hold(id: SubmissionId, items: readonly UserInput[]): void {
    this.#held.set(id, items);
    if (this.#held.size <= HELD_INPUTS) return;
    const [oldest] = this.#held.keys();
    if (oldest !== undefined) this.#publish(this.#inputOf(oldest));
  }

  // From the logic to the door.

  /** What comes through the door for one emission, in order. `isFirst`: nothing has come yet. */
  read(emitted: unknown, isFirst: boolean): readonly Emission[] {
    const { id, read } = readOwnEmission(emitted);
    if (isFirst) return [read.kind === "breach" ? { kind: "foreign", type: read.type } : read];
    if (read.kind === "breach") return [this.#report(id, `\`${read.type}\` was not shown: ${read.problem}`)];
    if (read.kind === "foreign") return [this.#report(id, `\`${read.type}\` was not shown: it is no event`)];
    if (read.kind === "record") {
      if (read.item.type !== "response_item") return [read];
      return this.#recorded(said(this.turns.running?.id ?? id, { type: "raw_response_item", item: read.item.payload }));
    }
    return read.recorded ? [read] : this.#told(read);
  }

  /** The first event, with its maker's own word in place of what can't be so; and what that was. */
  configured(
    own: SessionConfiguredEvent,
    prepared: SessionConfiguredEvent,
  ): { readonly configured: SessionConfiguredEvent; readonly wrong: readonly string[] } {
    if (own === prepared) return { configured: own, wrong: [] };
    const given: Record<string, unknown> = { ...prepared };
    const wrong: string[] = [];
    for (const [name, value] of Object.entries(own)) {
      const known: unknown = Reflect.get(prepared, name);
      const fits = known === undefined || known === null || value === null || typeof known === typeof value;
      if (value === undefined) continue;
      if (name === "session_id" ? value === prepared.session_id : fits) given[name] = value;
      else wrong.push(name);
    }
    return { configured: given as SessionConfiguredEvent, wrong };
  }

  /** Tells of what the first event said that is not so. */
  reportFirst(wrong: readonly string[]): void {
    this.#publish(
      wrong.map((name) => this.#report(INITIAL_SUBMISSION_ID, `its session_configured has another \`${name}\``)),
    );
  }

  /** Tells of what else is not as it should be. */
  complain(what: string): void {
    this.#publish([this.#report(INITIAL_SUBMISSION_ID, what)]);
  }

  #report(id: SubmissionId, what: string): Said {
    const message = `The thread's logic broke its contract: ${what}`;
    this.#thread.logger.warn({ threadId: this.#thread.threadId }, message);
    return said(id, { type: "warning", message });
  }

  #told(event: Said): readonly Emission[] {
    const { id, msg } = event;
    switch (msg.type) {
      case "session_configured":
        return [this.#report(id, "`session_configured` was not shown: it came a second time")];
      case "task_started":
        return this.#begun(id, msg);
      case "task_complete":
      case "turn_aborted":
        return this.#ended(id, msg);
      case "raw_response_item":
        return this.#recorded(event);
      case "item_completed":
        this.#note(`item ${keyOf(msg.item)}`);
        return [event];
      case "user_message":
        if (this.#recordedInputs.has(id)) return [{ ...event, recorded: true }];
        return [...this.#inputOf(id, [{ type: "text", text: msg.message }]), { ...event, recorded: true }];
      case "agent_message":
        return [...this.#behindMessage(id, msg.message), event];
      case "exec_approval_request":
      case "apply_patch_approval_request":
        this.#ask(id, msg);
        return [event];
      case "request_user_input":
        this.#askUser(id, msg);
        return [event];
      case "shutdown_complete":
        this.#hasSaidShutdown = true;
        return [...this.#endsOfOwed(), event];
      default:
        return [event];
    }
  }

  #begun(id: SubmissionId, msg: TaskStartedEvent): readonly Emission[] {
    const started = msg.turn_id ? msg : { ...msg, turn_id: this.#turnIdOf(id) };
    this.turns.begin(id, started, this.#thread.clock.now());
    return [said(id, started), ...this.#inputOf(id)];
  }

  #ended(id: SubmissionId, msg: Extract<EventMsg, { type: "task_complete" | "turn_aborted" }>): readonly Emission[] {
    const turnId = msg.turn_id ?? this.#turnIdOf(id);
    const input = this.#inputOf(id);
    if (!this.turns.end(id)) return [this.#report(id, `\`${msg.type}\` was not shown: the turn has ended already`)];
    this.#items.clear();
    this.#withdraw(id);
    return [...input, said(id, msg.turn_id ? msg : { ...msg, turn_id: turnId })];
  }

  /** The logic asks by an event: its answer comes to it as the op that gives it. */
  #ask(turn: SubmissionId, msg: ApprovalRequest): void {
    const { approvals } = this.#thread.questions;
    const { call_id: callId } = msg;
    if (approvals.isPending(callId)) return;
    const type = msg.type === "exec_approval_request" ? "exec_approval" : "patch_approval";
    this.#deliverAnswer(approvals.ask({ turn, callId, msg }, this.#untilWithdrawn(turn)), (decision) => ({
      type,
      id: callId,
      decision,
    }));
  }

  #askUser(turn: SubmissionId, msg: RequestUserInputEvent): void {
    const { ofModel } = this.#thread.questions;
    const { call_id: id } = msg;
    if (ofModel.isPending(id)) return;
    const answer = ofModel.ask({ turn, callId: id, msg }, this.#untilWithdrawn(turn));
    this.#deliverAnswer(answer, (response) => ({ type: "user_input_answer", id, response }));
  }

  #deliverAnswer<T>(answer: Promise<T>, opOf: (answer: T) => Op): void {
    answer.then(
      (given) => this.#deliver({ type: "op.submit", id: this.#answerId, op: opOf(given) }),
      () => undefined,
    );
  }

  #untilWithdrawn(turn: SubmissionId): AbortSignal {
    const withdrawn = this.#questions.get(turn) ?? new AbortController();
    this.#questions.set(turn, withdrawn);
    return withdrawn.signal;
  }

  #withdraw(turn: SubmissionId): void {
    this.#questions.get(turn)?.abort();
    this.#questions.delete(turn);
  }

  #turnIdOf(id: SubmissionId): string {
    const turn = this.turns.owed(id);
    return turn?.started?.turn_id ?? turn?.submission?.turnId ?? id;
  }

  /** An item of the history. The input is recorded once, by either side. */
  #recorded(event: Said): readonly Said[] {
    if (event.msg.type !== "raw_response_item") return [event];
    const key = keyOfItem(event.msg.item);
    if (key.startsWith("user ") && this.#items.has(`raw ${key}`)) return [];
    this.#note(`raw ${key}`);
    return [event];
  }

  /** The items of an agent's message, unless the logic has recorded them itself. They are stored, and nobody is shown them. */
  #behindMessage(id: SubmissionId, text: string): readonly Emission[] {
    const key = `assistant ${text}`;
    const raw = this.#items.delete(`raw ${key}`) ? [] : [recorded(assistantMessage(text))];
    const item: TurnItem = { type: "AgentMessage", id: newItemId(), content: [{ type: "Text", text }] };
    return [...raw, ...(this.#items.delete(`item ${key}`) ? [] : this.#turnItem(id, item))];
  }

  /** What a paginated thread stores of a turn's item; a legacy one stores the events that follow from it. */
  #turnItem(id: SubmissionId, item: TurnItem): readonly Emission[] {
    if (this.#thread.historyMode === "legacy") return [];
    const place = { thread_id: this.#thread.threadId, turn_id: this.#turnIdOf(this.turns.running?.id ?? id) };
    return [{ kind: "record", item: { type: "event_msg", payload: { type: "item_completed", ...place, item } } }];
  }

  /** What is stored of an input. `items`: what the logic calls it, where nobody gave it. */
  #inputOf(id: SubmissionId, items?: readonly UserInput[]): readonly Emission[] {
    const input = this.#held.get(id) ?? items;
    if (input === undefined) return [];
    this.#held.delete(id);
    keep(this.#recordedInputs, id);
    const item: TurnItem = { type: "UserMessage", id: newItemId(), content: [...input] };
    const events =
      this.#thread.historyMode === "legacy"
        ? legacyEventsOf(item).map((payload) => ({
            kind: "record" as const,
            item: { type: "event_msg" as const, payload },
          }))
        : this.#turnItem(id, item);
    const message = messageOf(input, { cwd: this.#thread.config.cwd, signal: AbortSignal.timeout(IMAGE_MS) });
    if (message instanceof Promise) {
      void message.then((read) => {
        this.#toNote.push(id);
        this.#publish([recorded(read)]);
      });
      return events;
    }
    const key = `raw ${keyOfItem(message)}`;
    const raw = this.#items.has(key) ? [] : [recorded(message)];
    this.#note(key);
    this.#toNote.push(id);
    return [...raw, ...events];
  }

  #note(key: string): void {
    keep(this.#items, key);
  }

  // A turn of the house, which the logic has begun.

  /** Takes in what such a turn publishes past the logic, so that both count alike. */
  noteHouse(id: SubmissionId, msg: EventMsg): void {
    if (msg.type === "task_started") {
      // The turn records its input itself.
      if (this.#held.delete(id)) keep(this.#recordedInputs, id);
      this.turns.begin(id, msg, this.#thread.clock.now());
    } else if (msg.type === "task_complete" || msg.type === "turn_aborted") this.turns.end(id);
    else if (msg.type === "raw_response_item") this.#note(`raw ${keyOfItem(msg.item)}`);
    else if (msg.type === "item_completed") this.#note(`item ${keyOf(msg.item)}`);
  }

  /** Whether the event's turn is within another one, which says what the thread does. */
  isWithinTurn(id: SubmissionId): boolean {
    const { running } = this.turns;
    return running !== undefined && running.id !== id;
  }

  // The end.

  /** The logic has ended by itself: it need not say so. */
  complete(): void {
    if (!this.#hasSaidShutdown) this.shutDown();
  }

  /** Says for the logic that it has ended. */
  shutDown(): void {
    this.#hasSaidShutdown = true;
    this.#publish([...this.#endsOfOwed(), said(this.#closingFor, { type: "shutdown_complete" })]);
  }

  /** What has no end gets one, and inputs that stand nowhere are recorded. */
  sayLast(failure: ErrorEvent | undefined): void {
    this.#publish(this.#endsOfOwed(failure));
  }

  #endsOfOwed(failure?: ErrorEvent): readonly Emission[] {
    for (const turn of [...this.#questions.keys()]) this.#withdraw(turn);
    const { owed, waiting } = this.turns.close();
    const all = [
      ...owed.map(([id, { submission, started }]) => ({ id, turnId: submission?.turnId, started })),
      ...waiting
        .filter(({ op }) => taskKindOf(op) !== undefined)
        .map(({ id, turnId }) => ({ id, turnId, started: undefined })),
    ];
    const ends = all.flatMap(({ id, turnId, started }) => this.#endOf(id, turnId, started, failure));
    const unseen = [...this.#held.keys()].flatMap((id) => this.#inputOf(id));
    return [...ends, ...unseen];
  }

  #endOf(
    id: SubmissionId,
    named: string | undefined,
    started: TaskStartedEvent | undefined,
    failure: ErrorEvent | undefined,
  ): Emission[] {
    // Of an op that is no input, and that the logic has said nothing of, there is no turn to end.
    if (started === undefined && !this.#held.has(id)) return [];
    const begin: TaskStartedEvent = {
      ...(started ?? { type: "task_started" }),
      turn_id: started?.turn_id ?? named ?? id,
    };
    return [
      ...(started === undefined ? [said(id, begin)] : []),
      ...this.#inputOf(id),
      ...(failure === undefined ? [] : [said(id, failure)]),
      said(id, interruptionOf(begin)),
    ];
  }
}

/** Adds to a set of the newest ones. */
function keep<T>(newest: Set<T>, one: T): void {
  newest.delete(one);
  newest.add(one);
  const [oldest] = newest;
  if (newest.size > KNOWN_MESSAGES && oldest !== undefined) newest.delete(oldest);
}

/** How long a local image of an input may take to be read. */
const IMAGE_MS = 10_000;

const recorded = (item: ResponseItem): Emission => ({ kind: "record", item: { type: "response_item", payload: item } });

const keyOfItem = (item: ResponseItem): string =>
  item.type === "message" ? `${item.role} ${textOf(item)}` : `${item.type} `;

function keyOf(item: TurnItem): string {
  if (item.type === "AgentMessage" && Array.isArray(item.content)) {
    return `assistant ${agentMessageText(item as Parameters<typeof agentMessageText>[0])}`;
  }
  return item.type;
}
