/** What a connection's threads, and its program, say to each other: in the order of each sender, kept by the engine. */
import { raceAbort } from "../kernel/cancellation.ts";
import { type Post, plainMessage, postOf } from "../manager/post.ts";
import { SendLines } from "../manager/send-lines.ts";
import { checkTopic } from "../manager/topics.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { newItemId, newTurnId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import type { Recipient } from "../protocol/message.ts";
import { checkCall } from "../thread/call-checks.ts";
import type { PublishReport, RequestOptions, SendOptions } from "../thread/messaging.ts";
import type { WaitOptions } from "../thread/wait-options.ts";
import type { ClusterSubscription } from "./cluster-thread.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { Asking, Message } from "./wire.ts";
import { fromWire } from "./wire-error.ts";

const SEND_MS = 10_000;
const REPLY_MS = 30_000;
/** Where the asker sets no deadline: the engine does not wait for ever. */
const LONGEST_MS = 24 * 60 * 60 * 1000;
const MOST_IN_LINE = 1_000;

/** A thread that is told something. */
export interface Receiver {
  /** Resolves when the engine has the message, or the worker that runs the thread. */
  receive(message: Message, signal: AbortSignal): Promise<void>;
}

/** Whose threads they are. */
export interface MessagesHost {
  readonly calls: EngineCalls;
  /** @throws ThreadNotFoundError */
  receiver(threadId: ThreadId, signal: AbortSignal): Promise<Receiver>;
  bounded<T>(what: string, work: (signal: AbortSignal) => Promise<T>, options: WaitOptions): Promise<T>;
  /** The connection is not closed before this has been done, or has had a while. */
  finish(work: Promise<unknown>): void;
}

export class RemoteMessages {
  readonly #host: MessagesHost;
  readonly #lines = new SendLines(MOST_IN_LINE);
  /** Who publishes asks who listens first: what it sends after that comes after what it has published. */
  readonly #lookups = new Map<ThreadId | null, Promise<unknown>>();
  /** Subscriptions that are on their way to the engine: what is published here later finds them. */
  readonly #subscribing = new Set<Promise<unknown>>();

  constructor(host: MessagesHost) {
    this.#host = host;
  }

  /** The engine keeps it until its receiver has handled it: `durable` or not, it is so. */
  async send(from: ThreadId | null, to: Recipient, message: unknown, options: SendOptions = {}): Promise<SubmissionId> {
    checkCall("send", options);
    options.signal?.throwIfAborted();
    const post = postOf(from, to, message);
    await this.#post(post, options, this.#lookups.get(from));
    return post.id;
  }

  async #post(post: Post, { signal, deadlineMs = SEND_MS }: SendOptions, before?: Promise<unknown>): Promise<void> {
    const what = `message \`${post.message.type}\` to thread ${post.to}`;
    const give = async (bound: AbortSignal) => {
      if (before !== undefined) await raceAbort(before, bound);
      await this.#inLine(post, async () => {
        const receiver = await this.#host.receiver(post.to, bound);
        await this.#host.calls.check(post.to, post.message, bound);
        await receiver.receive({ kind: "message", ...sent(post), topic: post.topic }, bound);
      });
    };
    await this.#host.bounded(what, give, { signal, deadlineMs });
  }

  /** From the call on: finding the receiver, and asking what it takes, overtake nobody. */
  async #inLine<T>({ from, to }: Post, work: () => Promise<T>): Promise<T> {
    return this.#lines.run(`${from} ${to}`, work);
  }

  /** The reply comes by way of an invocation that waits for it, so it does not wait for the end of the receiver's turn. */
  async request(
    from: ThreadId | null,
    to: Recipient,
    message: unknown,
    options: RequestOptions = {},
  ): Promise<unknown> {
    checkCall("request", options);
    const { signal, deadlineMs = REPLY_MS } = options;
    signal?.throwIfAborted();
    const post = postOf(from, to, message);
    if (from === post.to) throw new InvalidRequestError("request: a thread can't wait for a reply of its own");
    const before = this.#lookups.get(from);
    const give = async (bound: AbortSignal): Promise<Given> => {
      const receiver = await this.#host.receiver(post.to, bound);
      const reply = await this.#host.calls.ask(post.id, deadlineMs, bound);
      await receiver.receive({ kind: "request", ...sent(post), reply }, bound);
      return { receiver, id: post.id, reply };
    };
    const ask = async (bound: AbortSignal) => {
      if (before !== undefined) await raceAbort(before, bound);
      return this.#replyTo(await this.#inLine(post, () => give(bound)), bound);
    };
    const what = `the reply of thread ${post.to} to \`${post.message.type}\``;
    return this.#host.bounded(what, ask, { signal, deadlineMs });
  }

  /** Asks what the thread itself has no part in, and so nobody's line. */
  async ask(
    receiver: Receiver,
    about: About,
    { what, signal, deadlineMs }: WaitOptions & { readonly what: string },
  ): Promise<unknown> {
    const ask = async (bound: AbortSignal) => {
      const id = newTurnId();
      const reply = await this.#host.calls.ask(id, deadlineMs ?? LONGEST_MS, bound);
      await receiver.receive({ ...about, id, reply }, bound);
      return this.#replyTo({ receiver, id, reply }, bound);
    };
    return this.#host.bounded(what, ask, { signal, deadlineMs });
  }

  async #replyTo({ receiver, id, reply }: Given, bound: AbortSignal): Promise<unknown> {
    try {
      const replied = await this.#host.calls.replyOf(reply, bound);
      if ("error" in replied) throw fromWire(replied.error);
      return replied.value;
    } catch (error) {
      if (bound.aborted) this.#giveUp(receiver, id);
      throw error;
    }
  }

  #giveUp(receiver: Receiver, request: string): void {
    const tell = (bound: AbortSignal) => receiver.receive({ kind: "giveUp", id: newTurnId(), request }, bound);
    this.#host.finish(this.#host.bounded("giving up a request", tell, { deadlineMs: SEND_MS }));
  }

  /** @param place a thread of the tree that hears it, and who is told of it otherwise */
  async publish(
    place: { readonly from: ThreadId | null; readonly tree: ThreadId; readonly except?: readonly ThreadId[] },
    given: string,
    message: unknown,
    options: SendOptions = {},
  ): Promise<PublishReport> {
    checkCall("publish", options);
    const topic = checkTopic(given);
    const said = plainMessage(message);
    options.signal?.throwIfAborted();
    const { from, tree, except = [] } = place;
    const looking = this.#listeners(tree, topic, options, this.#lookups.get(from));
    const looked = looking.catch(() => undefined);
    this.#lookups.set(from, looked);
    try {
      const listeners = (await looking).filter((threadId) => threadId !== from && !except.includes(threadId));
      const posting = listeners.map((to) => this.#post(postOf(from, to, said, topic), options));
      const outcomes = await Promise.allSettled(posting);
      options.signal?.throwIfAborted();
      const missed = outcomes.flatMap((outcome, n) => {
        const threadId = listeners[n];
        return outcome.status === "rejected" && threadId !== undefined ? [{ threadId, error: outcome.reason }] : [];
      });
      return { reached: listeners.filter((_, n) => outcomes[n]?.status === "fulfilled"), missed };
    } finally {
      if (this.#lookups.get(from) === looked) this.#lookups.delete(from);
    }
  }

  #listeners(
    tree: ThreadId,
    topic: string,
    { signal, deadlineMs = SEND_MS }: SendOptions,
    before: Promise<unknown> | undefined,
  ): Promise<readonly ThreadId[]> {
    const subscribing = [...this.#subscribing];
    const look = async (bound: AbortSignal) => {
      await raceAbort(Promise.allSettled([before, ...subscribing]), bound);
      return this.#host.calls.listeners(tree, topic, bound);
    };
    return this.#host.bounded(`who listens to \`${topic}\``, look, { signal, deadlineMs });
  }

  subscribe(threadId: ThreadId, given: string): ClusterSubscription {
    const topic = checkTopic(given);
    const { calls } = this.#host;
    const ref = newItemId();
    const stored = this.#onItsWay(calls.subscribe(threadId, topic, ref));
    let hears = true;
    stored.catch(() => {
      hears = false;
    });
    const unsubscribe = (): boolean => {
      const was = hears;
      hears = false;
      const drop = () => calls.unsubscribe(threadId, topic, ref);
      if (was) this.#host.finish(this.#onItsWay(stored.then(drop, drop)));
      return was;
    };
    return { topic, stored, unsubscribe, [Symbol.dispose]: () => void unsubscribe() };
  }

  #onItsWay(work: Promise<void>): Promise<void> {
    const settled = work
      .catch(() => undefined)
      .finally(() => {
        this.#subscribing.delete(settled);
      });
    this.#subscribing.add(settled);
    return work;
  }
}

/** A message that is answered: who has it, and which invocation waits for the reply. */
type Given = { readonly receiver: Receiver; readonly id: string; readonly reply: string };

/** What is asked beside what threads say to each other. */
type About =
  | Pick<Extract<Asking, { kind: "mcp" }>, "kind" | "ask">
  | Pick<Extract<Asking, { kind: "step" }>, "kind" | "ask">;

const sent = ({ id, from, message }: Post) => ({ id, from, message });
