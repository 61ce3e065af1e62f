/**
 * Messages between threads (SEMANTICS 9): read by what their receiver declares, given to it through its mailbox, in the order of each
 * sender; answered, published, and stored where they are to last. What reaches nobody is an error and a dead letter.
 */
import { Observable } from "rxjs";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import {
  InvalidRequestError,
  ManagerClosedError,
  MessageRefusedError,
  RequestFailedError,
  type RequestFailure,
  ThreadClosedError,
} from "../protocol/errors.ts";
import { type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { Exchange, Recipient, ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { LifeEnd } from "../thread/life-end.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type {
  Handled,
  MessageDesk,
  Messenger,
  PublishReport,
  ReceivedMessage,
  RequestOptions,
  SendOptions,
  ThreadMessenger,
} from "../thread/messaging.ts";
import type { ChosenLogic } from "../thread/own-logic.ts";
import type { NamedSubmission } from "../thread/thread.ts";
import { waitForTurn, whileWaiting } from "../turn/tool-scope.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { exchangeFor, type Reader, readBy, readMessage } from "./declared-messages.ts";
import type { Letter } from "./letter.ts";
import { Mail } from "./mail.ts";
import { type MessageOutcome, OpenMessages } from "./open-messages.ts";
import { type Post, plain, plainMessage, postOf, textForModel, toldToModel } from "./post.ts";
import { SendLines } from "./send-lines.ts";
import { checkTopic, type Published, Topics } from "./topics.ts";

const SEND_MS = 10_000;
const REPLY_MS = 30_000;

/** Whose threads speak to each other. */
export interface MessagesHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly deadLetters: DeadLetters;
  readonly isClosing: boolean;
  /** How many messages may wait for one thread. */
  readonly mailboxCapacity: number;
  get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread>;
  /** One that is in memory. */
  peek(threadId: ThreadId): LiveThread | undefined;
  logicOf(config: ResolvedThreadConfig): ChosenLogic;
  rootOf(threadId: ThreadId): ThreadId;
  notesOf(config: { readonly ephemeral: boolean }): StandingNotes;
}

type How = Pick<SendOptions, "whenFull"> & {
  readonly attempt?: number;
  readonly isRequest?: boolean;
  readonly signal: AbortSignal;
  readonly onOutcome: (outcome: MessageOutcome) => void;
};

/** On its way: wrapped, so that those behind it in order do not wait for its room, or its reply. */
type Given<T = void> = { readonly done: Promise<T> };

type Asked = { readonly from: ThreadId | null; readonly reject: (error: unknown) => void };

export class Messages implements MessageDesk {
  readonly mail: Mail;
  readonly #host: MessagesHost;
  readonly #open = new OpenMessages();
  readonly #topics = new Topics();
  readonly #lines: SendLines;
  readonly #asked = new Map<SubmissionId, Asked>();
  /** Ids of what is being given to a thread: what becomes of it is told here. */
  readonly #underWay = new Set<string>();
  /** Failures that the thread itself has told of. */
  readonly #told = new WeakSet<object>();
  readonly #closing = new AbortController();

  constructor(host: MessagesHost) {
    this.#host = host;
    this.#lines = new SendLines(host.mailboxCapacity);
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
    return { open: this.#open.size, asked: this.#asked.size, subscriptions: this.#topics.size, mail: this.mail.size };
  }

  /** Whether the submission is a message, whose failure is told here. */
  carries(id: string | undefined): boolean {
    return id !== undefined && this.#underWay.has(id);
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
      const hasReached = error instanceof RequestFailedError || this.#told.has(Object(error));
      if (!isTakenBack && !hasReached) deadLetters.note({ to, from, id, message, error });
      throw error;
    }
  }

  /** Gives the message to its receiver, after those that its sender has sent it before. */
  async #give(post: Post, whenFull: SendOptions["whenFull"], signal: AbortSignal): Promise<void> {
    const onOutcome = (outcome: MessageOutcome) => {
      if ("lost" in outcome) this.#noteLost(post, outcome.lost);
    };
    const given = await this.#lines.run(`${post.from} ${post.to}`, () =>
      this.#find(post, signal, (thread, value) => this.#hand(thread, post, value, { whenFull, signal, onOutcome })),
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
    const given = await this.#lines.run(`durable ${from} ${to}`, async () => {
      const thread = await this.#host.get(to, signal);
      await raceAbort(Promise.resolve(readMessage(this.#readerOf(thread), message)), signal);
      const letter: Letter = { id, from, message, topic, attempts: 0, sentAt: this.#host.clock.now() };
      return { done: this.mail.accept(thread, letter) };
    });
    await given.done;
  }

  /** Gives a stored message to its receiver, and waits for what becomes of it. */
  async #deliver(to: ThreadId, letter: Letter): Promise<MessageOutcome> {
    const { id, from, message, topic, attempts: attempt } = letter;
    const post: Post = { id, from, to, message, topic };
    const { signal } = this.#closing;
    const { promise, resolve: onOutcome } = Promise.withResolvers<MessageOutcome>();
    const given = await this.#find(post, signal, (thread, value) =>
      this.#hand(thread, post, value, { attempt, signal, onOutcome }),
    );
    return Promise.race([promise, given.done.then(() => promise)]);
  }

  // To whom.

  /** Finds the receiver and reads the message by what it declares; at once where both are at hand. */
  #find<T>(
    post: Post,
    signal: AbortSignal,
    give: (thread: LiveThread, value: ThreadMessage) => Given<T>,
  ): Given<T> | Promise<Given<T>> {
    const read = (thread: LiveThread): Given<T> | Promise<Given<T>> => {
      const message = readMessage(this.#readerOf(thread), post.message);
      if (!(message instanceof Promise)) return give(thread, message);
      return raceAbort(message, signal).then((value) => give(thread, value));
    };
    const thread = this.#host.peek(post.to);
    return thread === undefined ? this.#host.get(post.to, signal).then(read) : read(thread);
  }

  #readerOf({ id: threadId, config }: LiveThread): Reader {
    return { threadId, schemas: { ...this.#host.logicOf(config).messages, ...config.messages } };
  }

  #hand(thread: LiveThread, post: Post, value: ThreadMessage, how: How): Given {
    const { from, to, message, topic } = post;
    const { signal, whenFull, attempt = 1, isRequest = false, onOutcome } = how;
    const { isOwn, handlesMessages } = this.#host.logicOf(thread.config);
    if (!isOwn) {
      const op: Op = { type: "inject_items", items: [toldToModel(post)] };
      const submission = { id: post.id, op, isNew: how.attempt === undefined };
      return {
        done: this.#submit(thread, submission, { signal, whenFull }).then(() => onOutcome({ value: undefined })),
      };
    }
    // A later attempt is another submission: an id is spent for ever.
    const id = attempt > 1 ? toSubmissionId(`${post.id}/${attempt}`) : post.id;
    const op: Op = { type: "thread_message", message, from, topic, is_request: isRequest, attempt };
    this.#open.add(to, { id, from, message: value, topic, isRequest, attempt }, onOutcome);
    const settles = handlesMessages || isRequest;
    const done = this.#submit(thread, { id, op, isNew: true }, { signal, whenFull }).then(
      () => {
        if (!settles) this.#open.noteSurvived(to, id);
      },
      (error: unknown) => {
        const isTaken = !this.#open.takeBack(to, id);
        if (isTaken) this.#told.add(Object(error));
        if (isTaken && !settles) this.#open.noteSurvived(to, id);
        throw error;
      },
    );
    return { done };
  }

  async #submit(thread: LiveThread, submission: NamedSubmission, options: SendOptions): Promise<void> {
    this.#underWay.add(submission.id);
    try {
      await thread.submitWithId(submission, options);
    } finally {
      this.#underWay.delete(submission.id);
    }
  }

  // Requests.

  async #request(
    from: ThreadId | null,
    to: Recipient,
    given: unknown,
    { signal, deadlineMs = REPLY_MS }: RequestOptions = {},
  ): Promise<unknown> {
    const post = postOf(from, to, given);
    if (from === post.to) throw new InvalidRequestError("request: a thread can't wait for a reply of its own");
    const what = `the reply of thread ${post.to} to \`${post.message.type}\``;
    return this.#carry(post, what, { signal, deadlineMs }, (bound) => this.#ask(post, bound));
  }

  async #ask(post: Post, signal: AbortSignal): Promise<unknown> {
    const { id, from, to } = post;
    const answer = Promise.withResolvers<unknown>();
    answer.promise.catch(() => undefined);
    this.#asked.set(id, { from, reject: answer.reject });
    try {
      const given = await this.#lines.run(`${from} ${to}`, () =>
        this.#find(post, signal, (thread, value) => {
          const declared = exchangeFor(this.#readerOf(thread), post.message.type);
          const { isOwn, handlesMessages } = this.#host.logicOf(thread.config);
          if (!isOwn) return { done: this.#askModel(thread, post, declared, signal) };
          const wait = async () => {
            const onOutcome = (outcome: MessageOutcome) => void this.#answer(post, declared, outcome, answer, signal);
            await this.#hand(thread, post, value, { isRequest: true, signal, onOutcome }).done;
            return raceAbort(answer.promise, signal);
          };
          // One that handles one thing at a time would never come to it while its own turn waits for this one.
          return { done: handlesMessages ? waitForTurn(to, wait) : whileWaiting([to], wait) };
        }),
      );
      return await raceAbort(Promise.race([given.done, answer.promise]), signal);
    } finally {
      this.#asked.delete(id);
    }
  }

  /** A thread of the built-in logic answers in a turn. */
  async #askModel(thread: LiveThread, post: Post, { reply }: Exchange, signal: AbortSignal): Promise<unknown> {
    try {
      const result = await thread.run(textForModel(post), { outputSchema: reply, signal });
      if (result.status === "completed") return result.output;
      const { message = `the turn was ${result.status}` } = result.error ?? {};
      throw failed("threw", post, message);
    } catch (error) {
      this.#told.add(Object(error));
      throw error;
    }
  }

  async #answer(
    post: Post,
    { reply }: Exchange,
    outcome: MessageOutcome,
    answer: PromiseWithResolvers<unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    if ("lost" in outcome) return answer.reject(failed("ended", post, "its life ended first", outcome.lost.error));
    if ("error" in outcome) return answer.reject(failed("threw", post, textOfThrown(outcome.error), outcome.error));
    const { id, from, to } = post;
    if (!this.#asked.has(id)) {
      const ended = from === null ? new ManagerClosedError() : new ThreadClosedError(from);
      const error: unknown = signal.aborted ? signal.reason : ended;
      const message: ThreadMessage = { type: "reply", value: outcome.value };
      this.#host.deadLetters.note({ to: from, from: to, id, message, error });
      return;
    }
    try {
      const checked = await readBy(reply, plain(outcome.value, "reply"));
      if (!checked.ok) throw new InvalidRequestError(checked.problem);
      answer.resolve(checked.value);
    } catch (error) {
      answer.reject(failed("bad_reply", post, `its reply does not fit: ${textOfThrown(error)}`, error));
    }
  }

  // Topics.

  /** To all that listen in the tree, but for the one who speaks. */
  async publish(
    { tree, from }: { readonly tree: ThreadId; readonly from: ThreadId | null },
    given: string,
    said: unknown,
    options: SendOptions = {},
  ): Promise<PublishReport> {
    const topic = checkTopic(given);
    const message = plainMessage(said);
    options.signal?.throwIfAborted();
    if (this.#host.isClosing) throw new ManagerClosedError();
    const root = this.#host.rootOf(tree);
    const isWithin = (threadId: ThreadId) => this.#host.rootOf(threadId) === root;
    for (const watcher of this.#topics.watchers(topic))
      if (isWithin(watcher.in)) watcher.tell({ topic, from, message });
    const listeners = this.#topics.threads(topic).filter((threadId) => threadId !== from && isWithin(threadId));
    const posting = listeners.map((to) => this.#post(postOf(from, to, message, topic), options));
    const outcomes = await Promise.allSettled(posting);
    options.signal?.throwIfAborted();
    const reached: ThreadId[] = [];
    const missed: { threadId: ThreadId; error: unknown }[] = [];
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
    return this.#open.find(threadId, id);
  }

  settle(threadId: ThreadId, id: SubmissionId, handled: Handled): void {
    this.#open.settle(threadId, id, handled);
  }

  isBusy(threadId: ThreadId): boolean {
    return this.#open.isBusy(threadId);
  }

  noteTaken(threadId: ThreadId, id: SubmissionId, epoch: number): void {
    this.#open.noteTaken(threadId, id, epoch);
  }

  noteLifeEnded(threadId: ThreadId, end: LifeEnd): void {
    this.#open.noteLifeEnded(threadId, end);
  }

  /** A thread is in memory: the mail that waits for it is given to it. */
  noteLoaded(thread: LiveThread): void {
    if (thread.epoch > 1 && !this.#host.isClosing) this.mail.noteLoaded(thread);
  }

  /** A thread has ended for good. */
  noteEnded(threadId: ThreadId, fate: "ended" | "moved"): void {
    this.#topics.forget(threadId);
    this.#endWaits((from) => from === threadId, new ThreadClosedError(threadId));
    if (!this.#host.isClosing) void this.mail.forget(threadId, fate);
  }

  /** Those who wait for a reply get none; what they have asked has reached its receiver. */
  #endWaits(of: (from: ThreadId | null) => boolean, error: Error): void {
    this.#told.add(error);
    for (const { from, reject } of this.#asked.values()) if (of(from)) reject(error);
  }

  /** Nothing is given any more; resolves when nothing more is stored. */
  async close(): Promise<void> {
    this.#closing.abort(new ManagerClosedError());
    this.#endWaits(() => true, new ManagerClosedError());
    await this.mail.settled();
  }
}

const failed = (reason: RequestFailure, { to, message }: Post, text: string, cause?: unknown): RequestFailedError =>
  new RequestFailedError(`thread ${to} has not answered \`${message.type}\`: ${text}`, { reason, threadId: to, cause });
