/** What a thread is asked while an invocation runs it. Each is answered on its own, to whoever waits; the invocation goes on until all were. */
import { definedFields } from "../protocol/defined-fields.ts";
import { InternalDefect } from "../protocol/errors.ts";
import { newTurnId, toSubmissionId } from "../protocol/ids.ts";
import type { ServerAnswer, ToolAsk } from "../protocol/server-ask.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import { failedCall } from "../turn/tools/mcp/server-ask.ts";
import { refusedBy } from "./served-asks.ts";
import type { Asking, Message, Replied } from "./wire.ts";
import { toWire } from "./wire-error.ts";
import type { WorkerThreads } from "./worker-threads.ts";

type RequestMessage = Extract<Asking, { kind: "request" }>;
type StepMessage = Extract<Asking, { kind: "step" }>;
type ServerMessage = Extract<Asking, { kind: "mcp" }>;
type OpMessage = Extract<Message, { kind: "op" }>;

/** Runs the turns that answer. */
export interface Answering {
  begin(thread: LiveThread, message: OpMessage): Promise<void>;
  resultOf(id: string): Promise<TurnResult<never>> | undefined;
}

type Asked = {
  readonly reply: PromiseWithResolvers<Replied>;
  readonly told: PromiseWithResolvers<void>;
  readonly giveUp: AbortController;
  isTurn: boolean;
  /** What is done first when its reply is asked for: by then it is written down that it was taken. */
  begin?: (() => void) | undefined;
};

export class AskedRequests {
  readonly #worker: WorkerThreads;
  readonly #turns: Answering;
  readonly #stop: AbortSignal;
  readonly #asked = new Map<string, Asked>();
  /** Those that an earlier attempt has answered. */
  readonly #told = new Set<string>();

  /** @param stop fires when the attempt is over: the next one answers */
  constructor(worker: WorkerThreads, turns: Answering, stop: AbortSignal) {
    this.#worker = worker;
    this.#turns = turns;
    this.#stop = stop;
  }

  /**
   * Resolves when the thread has the request. What fails is told to who asks, and to nobody else.
   * @param how `again`: an earlier worker may have asked the thread; one of a logic of its own is asked anew, since its life has ended
   */
  async ask(thread: LiveThread, request: RequestMessage, how: "new" | "again"): Promise<void> {
    const { id, from, message } = request;
    const asked = this.#note(id);
    if (asked === undefined) return;
    const post = { id: toSubmissionId(how === "new" ? id : newTurnId()), from, to: thread.id, message, topic: null };
    try {
      const prompt = await this.#worker.promptOf(thread, post);
      if (prompt === undefined) {
        this.#settle(asked, this.#worker.answer(post, asked.giveUp.signal));
        return;
      }
      asked.isTurn = true;
      await this.#turns.begin(thread, { kind: "op", id, op: prompt.op, isNew: how === "new" });
      const result = this.#turns.resultOf(id);
      if (result === undefined) throw new InternalDefect(`request ${id} began no turn`);
      this.#settle(
        asked,
        result.then((ended) => prompt.replyIn(ended)),
      );
    } catch (error) {
      this.#settle(asked, Promise.reject(error));
    }
  }

  /** undefined for one that is known. */
  #note(id: string): Asked | undefined {
    if (this.#told.has(id) || this.#asked.has(id)) return undefined;
    const reply = Promise.withResolvers<Replied>();
    reply.promise.catch(() => undefined);
    const asked: Asked = { reply, told: Promise.withResolvers<void>(), giveUp: new AbortController(), isTurn: false };
    this.#asked.set(id, asked);
    return asked;
  }

  /** @param how `again`: an earlier worker has taken it, and may have asked the server */
  askServer(thread: LiveThread, { id, ask }: ServerMessage, how: "new" | "again"): void {
    const asked = this.#note(id);
    if (asked === undefined) return;
    const signal = AbortSignal.any([asked.giveUp.signal, this.#stop]);
    const work = (): Promise<ServerAnswer> =>
      how === "again" && "tool" in ask ? Promise.resolve(cutOff(ask)) : this.#worker.askServer(thread, ask, signal);
    asked.begin = () => this.#settle(asked, work());
  }

  /** Asked again, it is answered again. */
  noteStep(thread: LiveThread, { id, ask }: StepMessage): void {
    const asked = this.#note(id);
    if (asked !== undefined) this.#settle(asked, this.#worker.stepOf(thread, ask, this.#stop));
  }

  #settle({ reply }: Asked, answer: Promise<unknown>): void {
    answer.then(
      (value) => reply.resolve(definedFields({ value })),
      (error: unknown) =>
        this.#stop.aborted ? reply.reject(this.#stop.reason) : reply.resolve({ error: toWire(error) }),
    );
  }

  /** Nobody waits for it any more: a turn is interrupted, what a logic of its own does goes on. */
  async giveUp(thread: LiveThread, id: string): Promise<void> {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    asked.giveUp.abort(new DOMException("the request was given up", "AbortError"));
    if (asked.isTurn) await thread.interrupt({ turnId: id }).catch(() => undefined);
  }

  /** What the request comes to. Rejects when the attempt is over. */
  async replyTo(id: string): Promise<Replied> {
    const asked = this.#asked.get(id);
    if (asked === undefined) throw new InternalDefect(`nobody has asked request ${id}`);
    asked.begin?.();
    asked.begin = undefined;
    return asked.reply.promise;
  }

  /** Whoever waits has it. */
  noteTold(id: string): void {
    this.#told.add(id);
    this.#asked.get(id)?.told.resolve();
    this.#asked.delete(id);
  }

  get isIdle(): boolean {
    return this.#asked.size === 0;
  }

  /** Resolves when those that there are now have been told. */
  async settled(): Promise<void> {
    await Promise.all([...this.#asked.values()].map(({ told }) => told.promise));
  }
}

const cutOff = (ask: ToolAsk): ServerAnswer =>
  refusedBy(failedCall(ask, "its worker ended while it ran, and what it did is unknown; see whether to call it again"));
