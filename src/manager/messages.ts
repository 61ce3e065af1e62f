/**
 * Messages between threads (SEMANTICS 9): read by what their receiver declares, given to it through its mailbox, in the order of each
 * sender; answered, published, and stored where they are to last. What reaches nobody is an error and a dead letter.
 */
import { Observable } from "rxjs";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import {
  InvalidRequestError,
  ManagerClosedError,
  MessageRefusedError,
  RequestFailedError,
  ThreadClosedError,
} from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { Recipient, ThreadMessage } from "../protocol/message.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { Subtree } from "../thread/by-thread.ts";
import { checkCall } from "../thread/call-checks.ts";
import type { LifeEnd } from "../thread/life-end.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type {
  Handled,
  MessageDesk,
  Messenger,
  Published,
  PublishReport,
  ReceivedMessage,
  RequestOptions,
  SendOptions,
  ThreadMessenger,
} from "../thread/messaging.ts";
import { readMessage } from "./declared-messages.ts";
import { Delivery, type DeliveryHost } from "./delivery.ts";
import type { Letter } from "./letter.ts";
import { Mail } from "./mail.ts";
import type { MessageOutcome } from "./open-messages.ts";
import { type Post, plainMessage, postOf } from "./post.ts";
import { type Prompt, Requests, type RequestsHost } from "./requests.ts";
import { checkTopic, Topics } from "./topics.ts";

const SEND_MS = 10_000;
const REPLY_MS = 30_000;

/** Listeners that are kept elsewhere: those of a cluster. */
export interface FurtherListeners {
  /** To those that listen there, but for the one who speaks and those who are told here. */
  publish(
    place: { readonly tree: ThreadId; readonly from: ThreadId | null; readonly except: readonly ThreadId[] },
    topic: string,
    message: ThreadMessage,
    options: SendOptions,
  ): Promise<PublishReport>;
}

/** Whose threads speak to each other. */
export interface MessagesHost extends DeliveryHost, RequestsHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly isClosing: boolean;
  /** The whole tree that the thread is in. */
  treeOf(threadId: ThreadId): Subtree;
  notesOf(config: { readonly ephemeral: boolean }): StandingNotes;
}

export class Messages implements MessageDesk {
  readonly mail: Mail;
  readonly #host: MessagesHost;
  readonly #delivery: Delivery;
  readonly #requests: Requests;
  readonly #topics = new Topics();
  /** What is published here reaches them as well. */
  further: FurtherListeners | undefined;
  readonly #closing = new AbortController();

  constructor(host: MessagesHost) {
    this.#host = host;
    this.#delivery = new Delivery(host);
    this.#requests = new Requests(host, this.#delivery);
    const { logger, mailboxCapacity: capacity } = host;
    this.mail = new Mail({
      ...{ logger, capacity },
      get isClosing() {
        return host.isClosing;
      },
      notesOf: (config) => host.notesOf(config),
      deliver: (to, letter) => this.#deliver(to, letter),
      bury: (to, { id, from, message }, error) => host.deadLetters.note({ to, from, id, message, error }),
    });
  }

  /** What is left of messages: for tests, which expect nothing once all threads are gone. */
  left(): { readonly open: number; readonly asked: number; readonly subscriptions: number; readonly mail: number } {
    return {
      open: this.#delivery.open.size,
      asked: this.#requests.size,
      subscriptions: this.#topics.size,
      mail: this.mail.size,
    };
  }

  /** Whether the submission is a message, whose failure is told here. */
  carries(id: string | undefined): boolean {
    return this.#delivery.carries(id);
  }

  // Who speaks.

  /** Speaks for callers of the library. */
  get outside(): Messenger {
    return {
      send: (to, message, options) => this.#send(null, to, message, options),
      request: (to, message, options) => this.#request(null, to, message, options) as Promise<never>,
    };
  }

  messengerOf(from: ThreadId): ThreadMessenger {
    return {
      send: (to, message, options) => this.#send(from, to, message, options),
      request: (to, message, options) => this.#request(from, to, message, options) as Promise<never>,
      publish: (topic, message, options) => this.publish({ tree: from, from }, topic, message, options),
      subscribe: (topic) => this.#topics.subscribe(from, topic),
    };
  }

  async #send(from: ThreadId | null, to: Recipient, given: unknown, options: SendOptions = {}): Promise<SubmissionId> {
    checkCall("send", options);
    const post = postOf(from, to, given);
    await this.#post(post, options);
    return post.id;
  }

  async #post(post: Post, { signal, deadlineMs = SEND_MS, whenFull, durable }: SendOptions): Promise<void> {
    const what = `message \`${post.message.type}\` to thread ${post.to}`;
    await this.#carry(post, what, { signal, deadlineMs }, (bound) =>
      durable === true ? this.#keep(post, bound) : this.#give(post, whenFull, bound),
    );
  }

  /** Does the work of a message within its bounds; what fails, and is not taken back, is a dead letter. */
  async #carry<T>(
    { id, from, to, message }: Post,
    what: string,
    { signal, deadlineMs }: { readonly signal: AbortSignal | undefined; readonly deadlineMs: number },
    work: (bound: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, deadLetters } = this.#host;
    let bound: AbortSignal | undefined;
    try {
      signal?.throwIfAborted();
      if (this.#host.isClosing) throw new ManagerClosedError();
      const begin = (both: AbortSignal) => {
        bound = both;
        return work(both);
      };
      return await withDeadline(what, begin, { deadlineMs, signal, clock });
    } catch (error) {
      const isTakenBack = bound?.aborted || signal?.aborted;
      const hasReached = error instanceof RequestFailedError || this.#delivery.hasReached(error);
      if (!isTakenBack && !hasReached) deadLetters.note({ to, from, id, message, error });
      throw error;
    }
  }

  /** Gives the message to its receiver, after those that its sender has sent it before. */
  async #give(post: Post, whenFull: SendOptions["whenFull"], signal: AbortSignal): Promise<void> {
    const onOutcome = (outcome: MessageOutcome) => {
      if ("lost" in outcome) this.#noteLost(post, outcome.lost);
    };
    const given = await this.#delivery.inLine(`${post.from} ${post.to}`, () =>
      this.#delivery.find(post, signal, (thread, value) =>
        this.#delivery.hand(thread, post, value, { whenFull, signal, onOutcome }),
      ),
    );
    await given.done;
  }

  #noteLost({ id, from, to, message }: Post, { error: cause }: LifeEnd): void {
    const text = `message \`${message.type}\` was in the mailbox of thread ${to} when a life of it ended; send it anew, or with \`durable\``;
    const error = new MessageRefusedError(text, { cause, reason: "lost", threadId: to, messageType: message.type });
    this.#host.deadLetters.note({ to, from, id, message, error });
  }

  /** Stores the message beside its receiver. */
  async #keep(post: Post, signal: AbortSignal): Promise<void> {
    const { id, from, to, message, topic } = post;
    const given = await this.#delivery.inLine(`durable ${from} ${to}`, async () => {
      const thread = await this.#host.get(to, signal);
      await raceAbort(Promise.resolve(readMessage(this.#delivery.readerOf(thread), message)), signal);
      const letter: Letter = { id, from, message, topic, attempts: 0, sentAt: this.#host.clock.now() };
      return { done: this.mail.accept(thread, letter) };
    });
    await given.done;
  }

  /** What another process takes the message for, told without the thread. @throws MessageRefusedError */
  async check(reader: Pick<LiveThread, "id" | "config">, message: ThreadMessage): Promise<void> {
    await readMessage(this.#delivery.readerOf(reader), message);
  }

  /** Stores a message that another process has sent. Received again under its id it is the same one. @throws as `send` */
  async receive(thread: LiveThread, post: Post): Promise<void> {
    await this.check(thread, post.message);
    const sentAt = this.#host.clock.now();
    await this.mail.accept(thread, { ...post, attempts: 0, sentAt, mayComeAgain: true });
  }

  /** Gives a stored message to its receiver, and waits for what becomes of it. */
  async #deliver(to: ThreadId, letter: Letter): Promise<MessageOutcome> {
    const { id, from, message, topic, attempts: attempt } = letter;
    const post: Post = { id, from, to, message, topic };
    const { signal } = this.#closing;
    const { promise, resolve: onOutcome } = Promise.withResolvers<MessageOutcome>();
    const given = await this.#delivery.find(post, signal, (thread, value) =>
      this.#delivery.hand(thread, post, value, { attempt, signal, onOutcome }),
    );
    return Promise.race([promise, given.done.then(() => promise)]);
  }

  // Requests.

  /** How a turn of the thread answers what another process asks; undefined where its own logic does, by {@link answer}. @throws MessageRefusedError */
  promptOf(thread: LiveThread, post: Post): Promise<Prompt | undefined> {
    return this.#requests.promptOf(thread, post);
  }

  /** What a thread's own logic replies to another process. @throws as `request` */
  answer(post: Post, signal: AbortSignal): Promise<unknown> {
    return this.#requests.ask(post, signal, null);
  }

  async #request(from: ThreadId | null, to: Recipient, given: unknown, options: RequestOptions = {}): Promise<unknown> {
    checkCall("request", options);
    const { signal, deadlineMs = REPLY_MS } = options;
    const post = postOf(from, to, given);
    if (from === post.to) throw new InvalidRequestError("request: a thread can't wait for a reply of its own");
    const what = `the reply of thread ${post.to} to \`${post.message.type}\``;
    return this.#carry(post, what, { signal, deadlineMs }, (bound) => this.#requests.ask(post, bound));
  }

  // Topics.

  /** To all that listen in the tree, but for the one who speaks. */
  async publish(
    { tree, from }: { readonly tree: ThreadId; readonly from: ThreadId | null },
    given: string,
    said: unknown,
    options: SendOptions = {},
  ): Promise<PublishReport> {
    checkCall("publish", options);
    const topic = checkTopic(given);
    const message = plainMessage(said);
    options.signal?.throwIfAborted();
    if (this.#host.isClosing) throw new ManagerClosedError();
    const all = this.#host.treeOf(tree);
    for (const watcher of this.#topics.watchers(topic)) if (all.has(watcher.in)) watcher.tell({ topic, from, message });
    const listeners = this.#topics.within(topic, all).filter((threadId) => threadId !== from);
    const posting = listeners.map((to) => this.#post(postOf(from, to, message, topic), options));
    const [outcomes, there] = await Promise.all([
      Promise.allSettled(posting),
      this.further?.publish({ tree, from, except: listeners }, topic, message, options),
    ]);
    options.signal?.throwIfAborted();
    const reached: ThreadId[] = [...(there?.reached ?? [])];
    const missed: { threadId: ThreadId; error: unknown }[] = [...(there?.missed ?? [])];
    for (const [at, threadId] of listeners.entries()) {
      const outcome = outcomes[at];
      if (outcome?.status === "rejected") missed.push({ threadId, error: outcome.reason });
      else reached.push(threadId);
    }
    return { reached, missed };
  }

  /** What is published on the topic in the thread's tree, from now on. */
  published(tree: ThreadId, given: string): Observable<Published> {
    const topic = checkTopic(given);
    return new Observable((subscriber) =>
      this.#topics.watch(topic, { in: tree, tell: (published) => subscriber.next(published) }),
    );
  }

  // What threads tell of their messages.

  messageOf(threadId: ThreadId, id: SubmissionId): ReceivedMessage | undefined {
    return this.#delivery.open.find(threadId, id);
  }

  settle(threadId: ThreadId, id: SubmissionId, handled: Handled): void {
    this.#delivery.open.settle(threadId, id, handled);
  }

  isBusy(threadId: ThreadId): boolean {
    return this.#delivery.open.isBusy(threadId);
  }

  noteTaken(threadId: ThreadId, id: SubmissionId, epoch: number): void {
    this.#delivery.open.noteTaken(threadId, id, epoch);
  }

  noteLifeEnded(threadId: ThreadId, end: LifeEnd): void {
    this.#delivery.open.noteLifeEnded(threadId, end);
  }

  /** A thread is in memory: the mail that waits for it is given to it. */
  noteLoaded(thread: LiveThread): void {
    if (thread.epoch > 1 && !this.#host.isClosing) this.mail.noteLoaded(thread);
  }

  /** A thread lives on where no message finds it. */
  noteRemoved(threadId: ThreadId): void {
    this.#topics.forget(threadId);
  }

  /** A thread has ended for good. */
  noteEnded(threadId: ThreadId, fate: "ended" | "moved", error?: unknown): void {
    this.#topics.forget(threadId);
    this.#requests.endOf(threadId, () => new ThreadClosedError(threadId, undefined, error));
    if (!this.#host.isClosing) void this.mail.forget(threadId, fate, error);
  }

  /** Nothing is given any more; resolves when nothing more is stored. */
  async close(): Promise<void> {
    this.#closing.abort(new ManagerClosedError());
    this.#requests.endAll(() => new ManagerClosedError());
    await this.mail.settled();
  }
}
