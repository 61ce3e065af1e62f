/** The supervisor's messages, read and carried out. Each is answered once, if an answer is asked for. */

import type { Outcome } from "../../machines/supervisor.machine.ts";
import type { Release } from "../kernel/slots.ts";
import { InvalidForkPointError, InvalidRequestError } from "../protocol/errors.ts";
import { givenThreadId, isUuid, type ThreadId } from "../protocol/ids.ts";
import { type ForkAnchor, parseInitialHistory } from "../protocol/initial-history.ts";
import { isJsonObject, isTagged } from "../protocol/unknown-kind.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { NewThread } from "../thread/thread.ts";
import { Admission } from "./admission.ts";
import type { Limits } from "./options.ts";
import type { ForkSource, Replies, SupervisorMessage, SupervisorRequest } from "./supervisor-messages.ts";
import { givenThreadOptions } from "./thread-options.ts";
import type { Threads } from "./threads.ts";

type Request<K extends keyof Replies> = SupervisorRequest<K>;

/** Reads each message, has it carried out, and answers it once, if an answer is asked for. */
export class Service {
  readonly #threads: Threads;

  readonly #admission: Admission;

  constructor(threads: Threads, limits: Limits) {
    this.#threads = threads;
    this.#admission = new Admission(limits);
  }

  startThread(message: Request<"thread.spawn">): void {
    void this.#answer(message, () =>
      this.#threads.maker.spawn(message.config, givenThreadOptions(message.options, message.signal)),
    );
  }

  resumeThread(message: Request<"thread.resume">): void {
    void this.#answer(message, () => this.#resume(message));
  }

  forkThread(message: Request<"thread.fork">): void {
    const { maker } = this.#threads;
    void this.#answer(message, () =>
      maker.fork(
        sourceOf(message.from),
        anchorOf(message.at ?? "full"),
        message.config,
        givenThreadOptions(message.options, message.signal),
      ),
    );
  }

  removeThread(message: Request<"thread.remove">): void {
    void this.#answer(message, () => this.#threads.remove(threadIdOf(message), message.signal));
  }

  findThread(message: Request<"thread.get">): void {
    void this.#answer(message, () => this.#threads.get(threadIdOf(message), message.signal));
  }

  listThreads(message: Request<"thread.list">): void {
    void this.#answer(message, () => this.#threads.ids());
  }

  sendToThread(message: Request<"thread.send">): void {
    void this.#answer(message, async () => {
      const { op, id, signal, whenFull } = message;
      const thread = await this.#findFor(message);
      const how = { signal, whenFull };
      return id === undefined ? thread.submit(op, how) : thread.submitWithId({ id, op }, how);
    });
  }

  /** The thread that a message is for. Where there is none, or it can't be loaded, the message is a dead letter. */
  async #findFor(message: Request<"thread.send">): Promise<LiveThread> {
    const to = threadIdOf(message);
    try {
      return await this.#threads.get(to, message.signal);
    } catch (error) {
      if (!message.signal?.aborted) this.#noteDead(message, to, error);
      throw error;
    }
  }

  #noteDead({ op, id }: Request<"thread.send">, to: ThreadId, error: unknown): void {
    this.#threads.deadLetters.note({ to, id: id ?? null, message: op, error });
  }

  /** Tells the caller that it won't be done. */
  refuse(message: { readonly type: string; readonly reply?: unknown }, error: Error): void {
    if (message.type === "thread.send") this.#refuseMail(message as Request<"thread.send">, error);
    this.#reply(message, { ok: false, error });
  }

  #refuseMail(message: Request<"thread.send">, error: Error): void {
    const { threadId } = message;
    if (typeof threadId === "string" && isUuid(threadId) && isTagged(message.op))
      this.#noteDead(message, threadId, error);
  }

  async #answer(message: SupervisorMessage, serve: () => unknown): Promise<void> {
    let release: Release | undefined;
    let outcome = await outcomeOf(message, () => {
      const place = this.#enter(message);
      if (place instanceof Promise) {
        return place.then((granted) => {
          release = granted;
          return serve();
        });
      }
      release = place;
      return serve();
    });
    // The caller has already seen the abort; a thread made now would leak, so undo it. Nothing may be awaited from here
    // to the reply, or an abort could come between them.
    if (outcome.ok && message.signal?.aborted && makesThread(message)) {
      await this.#threads.discard((outcome.value as NewThread).threadId);
      outcome = { ok: false, error: message.signal.reason };
    }
    release?.();
    this.#reply(message, outcome);
  }

  /** @throws OverloadedError */
  #enter(message: SupervisorMessage): Release | Promise<Release> {
    try {
      return this.#admission.enter(message);
    } catch (error) {
      if (message.type === "thread.send") this.#refuseMail(message, error as Error);
      throw error;
    }
  }

  #reply({ type, reply }: { readonly type: string; readonly reply?: unknown }, outcome: Outcome<unknown>): void {
    const { logger } = this.#threads;
    if (typeof reply !== "function") {
      if (!outcome.ok)
        logger.warn({ err: outcome.error, message: type }, "a message failed, and nobody asked for the answer");
      return;
    }
    try {
      reply(outcome);
    } catch (error) {
      logger.error({ err: error, message: type }, "a reply function threw");
    }
  }

  #resume(message: Request<"thread.resume">): Promise<NewThread> {
    const { maker } = this.#threads;
    const { rolloutPath, history, threadId, config } = message;
    const options = givenThreadOptions(message.options, message.signal);
    if ([rolloutPath, history, threadId].filter((from) => from !== undefined).length !== 1) {
      throw new InvalidRequestError("thread.resume: give one of threadId, rolloutPath and history");
    }
    if (rolloutPath !== undefined) return maker.resumeFile(textOf(rolloutPath, "rolloutPath"), config, options);
    if (history !== undefined) return maker.resumeHistory(parseInitialHistory(history), config, options);
    return maker.resume(threadIdOf(message), config, options);
  }
}

async function outcomeOf({ signal }: SupervisorMessage, serve: () => unknown): Promise<Outcome<unknown>> {
  try {
    signal?.throwIfAborted();
    return { ok: true, value: await serve() };
  } catch (error) {
    return { ok: false, error };
  }
}

const makesThread = ({ type }: SupervisorMessage): boolean => type === "thread.spawn" || type === "thread.fork";

function textOf(value: unknown, name: string): string {
  if (typeof value !== "string") throw new InvalidRequestError(`${name}: must be a text`);
  return value;
}

const threadIdOf = ({ threadId }: { threadId?: unknown }): ThreadId => givenThreadId(threadId, "threadId");

function sourceOf(from: unknown): ForkSource {
  if (typeof from === "string") return givenThreadId(from, "from");
  if (isJsonObject(from) && typeof from.rolloutPath === "string") return { rolloutPath: from.rolloutPath };
  if (isJsonObject(from) && from.history !== undefined) return { history: parseInitialHistory(from.history) };
  throw new InvalidRequestError("from: must be a thread id, { rolloutPath } or { history }");
}

function anchorOf(at: unknown): ForkAnchor {
  if (at === "full" || at === "interrupted") return at;
  if (isJsonObject(at)) {
    if (typeof at.beforeUserMessage === "number") return { beforeUserMessage: at.beforeUserMessage };
    if (typeof at.throughTurn === "string") return { throughTurn: at.throughTurn };
    if (typeof at.beforeTurn === "string") return { beforeTurn: at.beforeTurn };
  }
  throw new InvalidForkPointError(
    'at: must be "full", "interrupted", { beforeUserMessage: n }, { throughTurn: id } or { beforeTurn: id }',
  );
}
