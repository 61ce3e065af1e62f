/** How threads speak to each other beside prompts (SEMANTICS 9). */
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { MessageTo, Recipient, ReplyFrom, RequestTo, ThreadMessage } from "../protocol/message.ts";
import type { LifeEnd } from "./life-end.ts";
import type { WaitOptions, WhenFull } from "./wait-options.ts";

/** How a message is sent. Default deadline: 10,000 ms; what its sender takes back is no dead letter. */
export type SendOptions = WaitOptions & {
  /** What to do while the receiver's mailbox is full. Default `wait`. */
  readonly whenFull?: WhenFull | undefined;
  /** Stored beside the receiver before `send` resolves, and given to it until it has handled it: at least once. */
  readonly durable?: boolean | undefined;
};

/** How long a reply is waited for. Default deadline: 30,000 ms. */
export type RequestOptions = WaitOptions;

/** Whom a published message has reached. Those that it has not are on `deadLetters$`. */
export type PublishReport = {
  readonly reached: readonly ThreadId[];
  readonly missed: readonly { readonly threadId: ThreadId; readonly error: unknown }[];
};

/** A message that was published on a topic. */
export type Published = {
  readonly topic: string;
  /** The thread that published it; null: a caller of the library. */
  readonly from: ThreadId | null;
  readonly message: ThreadMessage;
};

/** A thread hears what is published on a topic, until this is disposed of or the thread ends. */
export interface Subscription extends Disposable {
  readonly topic: string;
  /** @returns whether the thread still heard */
  unsubscribe(): boolean;
}

/** Speaks for one thread, or for a caller of the library. */
export interface Messenger {
  /**
   * Sends a message of a type that the receiver declares (`messages`). Resolves with its id when the receiver has it in its mailbox, after
   * all that this sender has sent to it before; with `durable` when it is stored. At most once, with `durable` at least once.
   *
   * @throws MessageRefusedError, ThreadNotFoundError, ThreadClosedError, OverloadedError, StoreIoError, InvalidRequestError,
   *   DeadlineExceededError, the signal's reason; all but the last two are told on `deadLetters$` too
   */
  send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId>;
  /**
   * Sends a message and waits for what its receiver gives for it. A thread of the built-in logic answers in a turn, by its last message. Giving
   * up the wait leaves the work alone; its late reply is a dead letter.
   *
   * @throws RequestFailedError, and as {@link send}; TurnFailedError of a turn that was to answer
   */
  request<const To extends Recipient, const Message extends RequestTo<To>>(
    to: To,
    message: Message,
    options?: RequestOptions,
  ): Promise<ReplyFrom<To, Message>>;
}

/** The messages of a thread's life, as its logic sees them. */
export type ReceivedMessage = {
  /** The submission that brings it. */
  readonly id: SubmissionId;
  /** The thread that sent it; null: a caller of the library. */
  readonly from: ThreadId | null;
  /** As its schema gives it. */
  readonly message: ThreadMessage;
  /** The topic that it was published on. */
  readonly topic: string | null;
  /** Whether somebody waits for a reply. */
  readonly isRequest: boolean;
  /** How often it has been given to the thread, this time included; above 1 only where it is `durable`. */
  readonly attempt: number;
};

/** What became of a message that its receiver has handled. */
export type Handled = { readonly value: unknown } | { readonly error: unknown };

/** What a thread needs of whoever carries messages. */
export interface MessageDesk {
  messengerOf(threadId: ThreadId): ThreadMessenger;
  /** A message that was given to the thread and is not handled yet. */
  messageOf(threadId: ThreadId, id: SubmissionId): ReceivedMessage | undefined;
  /** @throws InvalidRequestError when it is no message that waits */
  settle(threadId: ThreadId, id: SubmissionId, handled: Handled): void;
  /** Whether the thread has messages that it has not handled: it is not to leave memory. */
  isBusy(threadId: ThreadId): boolean;
  /** This life of the thread has it now. */
  noteTaken(threadId: ThreadId, id: SubmissionId, epoch: number): void;
  /** What the life had taken and not handled, it will not handle any more. */
  noteLifeEnded(threadId: ThreadId, end: LifeEnd): void;
}

/** Speaks for a thread, also to those of its tree that listen to a topic. */
export interface ThreadMessenger extends Messenger {
  /**
   * Sends a message to every thread of this one's tree that has subscribed to the topic, itself excepted. Each gets it as by {@link send}.
   * @throws InvalidRequestError, ThreadClosedError, ManagerClosedError
   */
  publish(topic: string, message: ThreadMessage, options?: SendOptions): Promise<PublishReport>;
  /**
   * Has what is published on the topic, within its tree, sent to this thread: over unloading and restarts, until it ends. Subscribing
   * twice is two subscriptions and one message. @throws InvalidRequestError, ThreadClosedError
   */
  subscribe(topic: string): Subscription;
}
