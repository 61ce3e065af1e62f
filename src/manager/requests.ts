/** Requests that wait for their replies. */
import { raceAbort } from "../kernel/cancellation.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import {
  InvalidRequestError,
  ManagerClosedError,
  RequestFailedError,
  type RequestFailure,
  ThreadClosedError,
} from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { Exchange, ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { shownToModel, withOutput } from "../thread/output-schema.ts";
import type { ChosenLogic } from "../thread/own-logic.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import { waitForTurn, whileWaiting } from "../turn/tool-scope.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { exchangeFor, readBy, readMessage } from "./declared-messages.ts";
import type { Delivery } from "./delivery.ts";
import type { MessageOutcome } from "./open-messages.ts";
import { type Post, plain, textForModel } from "./post.ts";

/** Whose requests they are. */
export interface RequestsHost {
  readonly deadLetters: DeadLetters;
  logicOf(config: ResolvedThreadConfig): ChosenLogic;
}

/** A request as a turn answers it. */
export type Prompt = {
  readonly op: Op;
  /** The reply that the turn came to. @throws RequestFailedError */
  replyIn(result: TurnResult<never>): Promise<unknown>;
};

export class Requests {
  readonly #host: RequestsHost;
  readonly #delivery: Delivery;
  /** By who asks, so that its end costs what it has asked itself. */
  readonly #asked = new Map<ThreadId | null, Map<SubmissionId, (error: unknown) => void>>();

  constructor(host: RequestsHost, delivery: Delivery) {
    this.#host = host;
    this.#delivery = delivery;
  }

  /** How many wait: for tests, which expect none once all threads are gone. */
  get size(): number {
    let size = 0;
    for (const asked of this.#asked.values()) size += asked.size;
    return size;
  }

  /** @param asker whose end ends the wait: null where another process waits for it */
  async ask(post: Post, signal: AbortSignal, asker: ThreadId | null = post.from): Promise<unknown> {
    const { id, from, to } = post;
    const answer = Promise.withResolvers<unknown>();
    answer.promise.catch(() => undefined);
    const asked = this.#asked.get(asker) ?? new Map<SubmissionId, (error: unknown) => void>();
    this.#asked.set(asker, asked.set(id, answer.reject));
    const waits = () => asked.has(id);
    try {
      const given = await this.#delivery.inLine(`${from} ${to}`, () =>
        this.#delivery.find(post, signal, (thread, value) => {
          const declared = exchangeFor(this.#delivery.readerOf(thread), post.message.type);
          const { isOwn, handlesMessages } = this.#host.logicOf(thread.config);
          if (!isOwn) return { done: this.#askModel(thread, post, declared, signal) };
          const wait = async () => {
            const onOutcome = (outcome: MessageOutcome) =>
              void this.#answer(post, declared, outcome, { answer, waits, signal });
            await this.#delivery.hand(thread, post, value, { isRequest: true, signal, onOutcome }).done;
            return raceAbort(answer.promise, signal);
          };
          // One that handles one thing at a time would never come to it while its own turn waits for this one.
          return { done: handlesMessages ? waitForTurn(to, wait) : whileWaiting([to], wait) };
        }),
      );
      return await raceAbort(Promise.race([given.done, answer.promise]), signal);
    } finally {
      asked.delete(id);
      if (asked.size === 0 && this.#asked.get(asker) === asked) this.#asked.delete(asker);
    }
  }

  /** A thread of the built-in logic answers in a turn. */
  async #askModel(thread: LiveThread, post: Post, { reply }: Exchange, signal: AbortSignal): Promise<unknown> {
    try {
      const result = await thread.run(textForModel(post), { outputSchema: reply, signal });
      return replyIn(result, post);
    } catch (error) {
      this.#delivery.noteReached(error);
      throw error;
    }
  }

  /** How a turn answers a request; undefined where the thread's own logic does. @throws MessageRefusedError */
  async promptOf(thread: LiveThread, post: Post): Promise<Prompt | undefined> {
    const reader = this.#delivery.readerOf(thread);
    const { reply } = exchangeFor(reader, post.message.type);
    if (this.#host.logicOf(thread.config).isOwn) return undefined;
    await readMessage(reader, post.message);
    const items: UserInput[] = [{ type: "text", text: textForModel(post) }];
    return {
      op: { type: "user_input", items, final_output_json_schema: shownToModel(reply) },
      replyIn: async (result) => replyIn(await withOutput(result, reply), post),
    };
  }

  async #answer(
    post: Post,
    { reply }: Exchange,
    outcome: MessageOutcome,
    { answer, waits, signal }: { answer: PromiseWithResolvers<unknown>; waits: () => boolean; signal: AbortSignal },
  ): Promise<void> {
    if ("lost" in outcome) return answer.reject(failed("ended", post, "its life ended first", outcome.lost.error));
    if ("error" in outcome) return answer.reject(failed("threw", post, textOfThrown(outcome.error), outcome.error));
    const { id, from, to } = post;
    if (!waits()) {
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

  /** Who has asked has ended, and gets no reply; what it has asked has reached its receiver. */
  endOf(from: ThreadId | null, errorOf: () => Error): void {
    const asked = this.#asked.get(from);
    if (asked === undefined) return;
    const error = errorOf();
    this.#delivery.noteReached(error);
    for (const reject of asked.values()) reject(error);
  }

  endAll(errorOf: () => Error): void {
    for (const from of [...this.#asked.keys()]) this.endOf(from, errorOf);
  }
}

/** @throws RequestFailedError */
function replyIn(result: TurnResult<unknown>, post: Post): unknown {
  if (result.status === "completed") return result.output;
  const { message = `the turn was ${result.status}` } = result.error ?? {};
  throw failed("threw", post, message);
}

const failed = (reason: RequestFailure, { to, message }: Post, text: string, cause?: unknown): RequestFailedError =>
  new RequestFailedError(`thread ${to} has not answered \`${message.type}\`: ${text}`, { reason, threadId: to, cause });
