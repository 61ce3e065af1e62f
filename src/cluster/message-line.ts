/**
 * What a handle says to its thread, in the order of the calls: to the invocation that runs the thread, or as an invocation of its own. The
 * end of what runs is waited for, so that it is known what does.
 */
import { InvalidRequestError, NoActiveTurnError, SkeinError, ThreadClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Followed } from "./engine-calls.ts";
import type { RemoteView } from "./remote-view.ts";
import type { ThreadHost } from "./thread-host.ts";
import { type Delivery, type Message, needsTurn, type TurnAnswer } from "./wire.ts";
import { fromWire } from "./wire-error.ts";

export type Running = Followed & { readonly answer: Promise<TurnAnswer> };

type Handle = {
  readonly view: RemoteView;
  /** There may be news of the thread. */
  news(): void;
  /** The thread has been closed. */
  closed(): void;
  /** No worker could do what nobody waits for. */
  failed(text: string): void;
};

export class MessageLine {
  readonly #host: ThreadHost;
  readonly #threadId: ThreadId;
  readonly #handle: Handle;
  #last: Promise<unknown> = Promise.resolve();
  running: Running | undefined;

  constructor(host: ThreadHost, threadId: ThreadId, handle: Handle) {
    this.#host = host;
    this.#threadId = threadId;
    this.#handle = handle;
  }

  /** @returns what runs the message; undefined where nothing does, and nothing has to */
  send(message: Message, signal: AbortSignal): Promise<Running | undefined> {
    const sent = this.#last.then(() => this.#sendNow(message, signal));
    this.#last = sent.catch(() => undefined);
    return sent;
  }

  async #sendNow(message: Message, signal: AbortSignal): Promise<Running | undefined> {
    const { view, news } = this.#handle;
    const { running } = this;
    if (running !== undefined) {
      const delivery = await this.#host.calls.deliver(this.#threadId, running, message, signal);
      news();
      if (delivery.taken) return this.#delivered(running, delivery);
      if (this.running === running) this.running = undefined;
    }
    if (!needsTurn(message)) return this.#missed(message);
    const begun = this.follow({ invocation: await this.#host.calls.begin(this.#threadId, message, signal) }, message);
    view.noteBegun(message);
    news();
    return begun;
  }

  #delivered(running: Running, { error, config }: Extract<Delivery, { taken: true }>): Running {
    if (error !== undefined) throw fromWire(error);
    if (config !== undefined) this.#handle.view.noteConfig(config);
    return running;
  }

  /** Nothing runs that it could be for. */
  #missed(message: Message): undefined {
    if (message.kind === "interrupt" && message.turnId !== undefined) throw new NoActiveTurnError();
    if (message.kind !== "op" || message.op.type === "interrupt") return undefined;
    throw new InvalidRequestError(
      `op ${message.op.type}: no call \`${String((message.op as { id?: unknown }).id)}\` waits for an answer: nobody has asked, or its turn has ended; see pendingApprovals`,
    );
  }

  /** @param message what the invocation was begun for by this handle */
  follow({ invocation, through }: Followed, message?: Message): Running {
    const { view, news, closed, failed } = this.#handle;
    const answer = this.#answerOf(invocation);
    const running: Running = { invocation, through, answer };
    this.running = running;
    const over = () => {
      if (this.running === running) this.running = undefined;
      news();
    };
    answer.then(
      ({ facts }) => {
        if (this.running === running) view.absorb(facts);
        over();
      },
      (error: unknown) => {
        over();
        if (error instanceof ThreadClosedError) closed();
        // Of a message that is no op its sender is told, who waits for it.
        if (this.#host.signal.aborted || (message !== undefined && message.kind !== "op")) return;
        view.noteFailure(error instanceof Error ? error.message : String(error));
        if (error instanceof SkeinError) failed(error.message);
      },
    );
    return running;
  }

  async #answerOf(invocation: string): Promise<TurnAnswer> {
    const { signal } = this.#host;
    const answer = await this.#host.calls.answerOf(invocation, signal);
    if (answer.facts.threadId === this.#threadId) return answer;
    // An agent's invocation tells of the thread that has started it.
    return { ...answer, facts: (await this.#host.calls.look(this.#threadId, signal)).note.facts };
  }
}
