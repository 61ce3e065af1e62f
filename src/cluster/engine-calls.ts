/** What a connection asks of a cluster: by way of the engine, or of the store that it shares with the workers. */
import type { BudgetUse } from "../protocol/budget.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { newTurnId, type ThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import type { ThreadPage, ThreadQuery, ThreadStore } from "../store/thread-store.ts";
import type { Ingress } from "./ingress.ts";
import {
  type AskRequest,
  addressed,
  BONDS,
  type Cancelled,
  CONTROL,
  type Delivery,
  type HistoryPage,
  type Look,
  type Message,
  PROTOCOL_VERSION,
  REQUESTS,
  type Replied,
  type Run,
  readNote,
  STORED,
  type StandingWatch,
  THREAD,
  TIMERS,
  type TurnAnswer,
  type Unwatched,
} from "./wire.ts";

/** What runs a thread. */
export type Followed = Pick<Run, "invocation" | "through">;

export class EngineCalls {
  readonly #ingress: Ingress;
  readonly #store: ThreadStore | undefined;
  readonly #signal: AbortSignal;

  /** @param signal ends what is asked, where the caller gives none of its own */
  constructor(ingress: Ingress, store: ThreadStore | undefined, signal: AbortSignal) {
    this.#ingress = ingress;
    this.#store = store;
    this.#signal = signal;
  }

  #ask<T>(path: readonly [string, ...string[]], request: object, signal: AbortSignal = this.#signal): Promise<T> {
    return this.#ingress.call(path, { protocol: PROTOCOL_VERSION, ...request }, { signal }) as Promise<T>;
  }

  /** One change of a thread, done once however often it is sent. */
  change<T>(threadId: ThreadId, handler: string, request: object, signal?: AbortSignal): Promise<T> {
    return this.#change<T>([THREAD, threadId, handler], request, { signal });
  }

  #change<T>(
    path: readonly [string, ...string[]],
    request: object,
    { key = newTurnId(), signal = this.#signal }: { key?: string; signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    return this.#ingress.call(path, { protocol: PROTOCOL_VERSION, ...request }, { key, signal }) as Promise<T>;
  }

  // How threads stand.

  async look(threadId: ThreadId, signal?: AbortSignal): Promise<Look> {
    const store = this.#store;
    if (store?.notes === undefined) return this.#ask<Look>([THREAD, threadId, "look"], {}, signal);
    const note = readNote(await store.notes.read(threadId, "cluster"));
    if (note === undefined) return this.#ask<Look>([THREAD, threadId, "look"], {}, signal);
    return { note, position: note.facts.position };
  }

  async *lines(
    threadId: ThreadId,
    from: number,
    to: number | undefined,
    signal: AbortSignal = this.#signal,
  ): AsyncGenerator<readonly RolloutLine[], void> {
    if (this.#store !== undefined) {
      yield* this.#store.load(threadId, { from: { ordinal: from }, ...definedFields({ toOrdinal: to }), signal });
      return;
    }
    for (let next: number | null = from; next !== null; ) {
      const page: HistoryPage = await this.#ask(
        [THREAD, threadId, "history"],
        { from: next, ...definedFields({ to }) },
        signal,
      );
      yield page.lines;
      next = page.next;
    }
  }

  list(query: ThreadQuery | undefined): Promise<ThreadPage> {
    if (this.#store !== undefined) return this.#store.list(query);
    return this.#ask<ThreadPage>([STORED, "list"], { ...definedFields({ query }) });
  }

  lineage(threadId: ThreadId, direction: "ancestors" | "descendants"): Promise<readonly ThreadId[]> {
    if (this.#store !== undefined) return this.#store[direction](threadId);
    return this.#ask<readonly ThreadId[]>([THREAD, threadId, "lineage"], { direction });
  }

  async budgetOf(threadId: ThreadId): Promise<BudgetUse | undefined> {
    return (await this.#ask<{ budget?: BudgetUse }>([THREAD, threadId, "budget"], {})).budget;
  }

  // What they are told.

  /** Hands a message in as an invocation of its own. What came to nothing when it was asked before is tried again. */
  async begin(threadId: ThreadId, message: Message, signal: AbortSignal = this.#signal): Promise<string> {
    const send = (key: string) =>
      this.#ingress.send([THREAD, threadId, "turn"], { protocol: PROTOCOL_VERSION, message }, { key, signal });
    const { invocation, wasKnown } = await send(message.kind === "op" && message.rerun ? newTurnId() : message.id);
    if (!wasKnown || !(await this.#ingress.hasFailed(invocation, signal))) return invocation;
    return (await send(newTurnId())).invocation;
  }

  /**
   * Hands a message to the invocation that runs the thread; that of an agent is another thread's. What was refused when it was asked
   * before is tried again.
   */
  async deliver(threadId: ThreadId, run: Followed, message: Message, signal = this.#signal): Promise<Delivery> {
    const { key: to, parameter } = addressed(run, threadId, message);
    const ask = newTurnId();
    const tell = (key: string) =>
      this.#ingress.call([CONTROL, to, "deliver"], { ...parameter, ask }, { key, signal }) as Promise<Delivery>;
    const delivery = await tell(`${message.id}@${run.invocation}`);
    const isOldRefusal = delivery.taken && delivery.error !== undefined && delivery.ask !== ask;
    return isOldRefusal ? tell(ask) : delivery;
  }

  /** What an invocation came to. */
  answerOf(invocation: string, signal: AbortSignal = this.#signal): Promise<TurnAnswer> {
    return this.#ingress.attach(invocation, signal) as Promise<TurnAnswer>;
  }

  async close(threadId: ThreadId, signal?: AbortSignal): Promise<void> {
    await this.change(threadId, "close", {}, signal);
  }

  /** @throws MessageRefusedError for what the thread does not take */
  async check(threadId: ThreadId, message: ThreadMessage, signal?: AbortSignal): Promise<void> {
    await this.#ask([THREAD, threadId, "check"], { message }, signal);
  }

  /** @returns the invocation that waits for the reply */
  async ask(id: string, deadlineMs: number, signal: AbortSignal): Promise<string> {
    const request: AskRequest = { protocol: PROTOCOL_VERSION, deadlineMs };
    return (await this.#ingress.send([REQUESTS, "ask"], request, { key: id, signal })).invocation;
  }

  replyOf(invocation: string, signal: AbortSignal): Promise<Replied> {
    return this.#ingress.attach(invocation, signal) as Promise<Replied>;
  }

  /** Who listens in the thread's tree. */
  listeners(threadId: ThreadId, topic: string, signal: AbortSignal): Promise<readonly ThreadId[]> {
    return this.#ask([THREAD, threadId, "listeners"], { topic }, signal);
  }

  subscribe(threadId: ThreadId, topic: string, ref: string): Promise<void> {
    return this.#change([THREAD, threadId, "subscribe"], { topic, ref });
  }

  unsubscribe(threadId: ThreadId, topic: string, ref: string): Promise<void> {
    return this.#change([THREAD, threadId, "unsubscribe"], { topic, ref });
  }

  // What the engine keeps beside them.

  async setTimer(threadId: ThreadId, timer: StoredTimer): Promise<void> {
    await this.#change([TIMERS, threadId, "set"], { timer }, { key: timer.set });
  }

  /** @param set only the one that was set then */
  cancelTimer(threadId: ThreadId, id: string, set?: string): Promise<Cancelled> {
    return this.#change([TIMERS, threadId, "cancel"], { id, ...definedFields({ set }) });
  }

  /** The two threads end together from now on, unless this one traps. */
  async bind(threadId: ThreadId, other: ThreadId, traps: boolean): Promise<void> {
    await this.#change([BONDS, threadId, "bind"], { other, traps });
  }

  async unbind(threadId: ThreadId, other: ThreadId): Promise<void> {
    await this.#change([BONDS, threadId, "unbind"], { other });
  }

  /** The thread watches the other's end, until somebody was told. */
  async watch(threadId: ThreadId, other: ThreadId, ref: string): Promise<void> {
    await this.#change([BONDS, threadId, "watch"], { other, ref });
  }

  unwatch(threadId: ThreadId, ref: string): Promise<Unwatched> {
    return this.#change([BONDS, threadId, "unwatch"], { ref });
  }

  watches(threadId: ThreadId): Promise<Readonly<Record<string, StandingWatch>>> {
    return this.#ask([BONDS, threadId, "watches"], {});
  }
}
