/** How a message reaches its receiver: found, read by what it declares, and put into its mailbox, in the order of each sender. */
import { raceAbort } from "../kernel/cancellation.ts";
import { type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { SendOptions } from "../thread/messaging.ts";
import type { ChosenLogic } from "../thread/own-logic.ts";
import type { NamedSubmission } from "../thread/thread.ts";
import { type Reader, readMessage } from "./declared-messages.ts";
import { type MessageOutcome, OpenMessages } from "./open-messages.ts";
import { type Post, toldToModel } from "./post.ts";
import { SendLines } from "./send-lines.ts";

/** Where receivers are found. */
export interface DeliveryHost {
  /** How many messages may wait for one thread. */
  readonly mailboxCapacity: number;
  get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread>;
  /** One that is in memory. */
  peek(threadId: ThreadId): LiveThread | undefined;
  logicOf(config: ResolvedThreadConfig): ChosenLogic;
}

type How = Pick<SendOptions, "whenFull"> & {
  readonly attempt?: number;
  readonly isRequest?: boolean;
  readonly signal: AbortSignal;
  readonly onOutcome: (outcome: MessageOutcome) => void;
};

/** On its way: wrapped, so that those behind it in order do not wait for its room, or its reply. */
export type Given<T = void> = { readonly done: Promise<T> };

export class Delivery {
  readonly open = new OpenMessages();
  readonly #host: DeliveryHost;
  readonly #lines: SendLines;
  /** Ids of what is being given to a thread: what becomes of it is told here. */
  readonly #underWay = new Set<string>();
  /** Failures that the thread itself has told of. */
  readonly #told = new WeakSet<object>();

  constructor(host: DeliveryHost) {
    this.#host = host;
    this.#lines = new SendLines(host.mailboxCapacity);
  }

  /** Whether the submission is a message, whose failure is told here. */
  carries(id: string | undefined): boolean {
    return id !== undefined && this.#underWay.has(id);
  }

  /** What failed has reached its receiver all the same. */
  noteReached(error: unknown): void {
    this.#told.add(Object(error));
  }

  hasReached(error: unknown): boolean {
    return this.#told.has(Object(error));
  }

  /** Does the work after all that came before it in the line. */
  inLine<T>(line: string, work: () => T | Promise<T>): T | Promise<T> {
    return this.#lines.run(line, work);
  }

  /** Finds the receiver and reads the message by what it declares; at once where both are at hand. */
  find<T>(
    post: Post,
    signal: AbortSignal,
    give: (thread: LiveThread, value: ThreadMessage) => Given<T>,
  ): Given<T> | Promise<Given<T>> {
    const read = (thread: LiveThread): Given<T> | Promise<Given<T>> => {
      const message = readMessage(this.readerOf(thread), post.message);
      if (!(message instanceof Promise)) return give(thread, message);
      return raceAbort(message, signal).then((value) => give(thread, value));
    };
    const thread = this.#host.peek(post.to);
    return thread === undefined ? this.#host.get(post.to, signal).then(read) : read(thread);
  }

  readerOf({ id: threadId, config }: Pick<LiveThread, "id" | "config">): Reader {
    return { threadId, schemas: { ...this.#host.logicOf(config).messages, ...config.messages } };
  }

  hand(thread: LiveThread, post: Post, value: ThreadMessage, how: How): Given {
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
    this.open.add(to, { id, from, message: value, topic, isRequest, attempt }, onOutcome);
    const settles = handlesMessages || isRequest;
    const done = this.#submit(thread, { id, op, isNew: true }, { signal, whenFull }).then(
      () => {
        if (!settles) this.open.noteSurvived(to, id);
      },
      (error: unknown) => {
        const isTaken = !this.open.takeBack(to, id);
        if (isTaken) this.noteReached(error);
        if (isTaken && !settles) this.open.noteSurvived(to, id);
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
}
