/** The supervisor's messages, read and carried out. Each is answered once, if an answer is asked for. */

import type { SupervisorMessage as Message, Outcome } from "../../machines/supervisor.machine.ts";
import { InvalidForkPointError, InvalidRequestError } from "../protocol/errors.ts";
import { parseThreadId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { type ForkAnchor, type InitialHistory, parseInitialHistory } from "../protocol/initial-history.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { NewThread, Thread } from "../thread/thread.ts";
import type { ManagerRuntime } from "./runtime.ts";
import type { ThreadOptions } from "./thread-maker.ts";

export class Service {
  readonly #runtime: ManagerRuntime;

  constructor(runtime: ManagerRuntime) {
    this.#runtime = runtime;
  }

  async answer(message: SupervisorMessage): Promise<void> {
    const { logger } = this.#runtime.setup;
    let outcome = await this.#outcomeOf(message);
    // Whoever asked was told of an abort in its moment, and will never hear of the thread. Nothing may be awaited from
    // here to the reply, or an abort could come between them.
    if (outcome.ok && message.signal?.aborted && makesThread(message))
      outcome = await this.#undo(message, outcome.value);
    if (!outcome.ok && message.reply === undefined) {
      logger.warn({ err: outcome.error, message: message.type }, "a message failed, and nobody asked for the answer");
    }
    try {
      (message.reply as ((outcome: Outcome<unknown>) => void) | undefined)?.(outcome);
    } catch (error) {
      logger.error({ err: error, message: message.type }, "a reply function threw");
    }
  }

  async #outcomeOf(message: SupervisorMessage): Promise<Outcome<unknown>> {
    try {
      return { ok: true, value: await this.#serve(message) };
    } catch (error) {
      return { ok: false, error };
    }
  }

  async #undo({ signal }: SupervisorMessage, made: unknown): Promise<Outcome<never>> {
    await this.#runtime.discard((made as NewThread).threadId);
    return { ok: false, error: signal?.reason };
  }

  async #serve(message: SupervisorMessage): Promise<Replies[keyof Replies]> {
    const runtime = this.#runtime;
    message.signal?.throwIfAborted();
    switch (message.type) {
      case "thread.spawn":
        return runtime.maker.spawn(message.config, optionsOf(message));
      case "thread.resume":
        return this.#resume(message);
      case "thread.fork":
        return runtime.maker.fork(
          sourceOf(message.from),
          anchorOf(message.at ?? "full"),
          message.config,
          optionsOf(message),
        );
      case "thread.remove":
        return runtime.remove(threadIdOf(message));
      case "thread.get":
        return runtime.get(threadIdOf(message), message.signal);
      case "thread.list":
        return runtime.registry.ids();
      case "thread.send": {
        const { op, id, signal } = message;
        const thread = await runtime.get(threadIdOf(message), signal);
        return id === undefined ? thread.submit(op, { signal }) : thread.submitWithId({ id, op }, { signal });
      }
    }
  }

  #resume(message: SupervisorRequest<"thread.resume">): Promise<NewThread> {
    const { maker } = this.#runtime;
    const { rolloutPath, history, threadId, config } = message;
    const options = optionsOf(message);
    if ([rolloutPath, history, threadId].filter((from) => from !== undefined).length !== 1) {
      throw new InvalidRequestError("thread.resume: give one of threadId, rolloutPath and history");
    }
    if (rolloutPath !== undefined) return maker.resumeFile(textOf(rolloutPath, "rolloutPath"), config, options);
    if (history !== undefined) return maker.resumeHistory(parseInitialHistory(history), config, options);
    return maker.resume(threadIdOf(message), config, options);
  }
}

const makesThread = ({ type }: SupervisorMessage): boolean => type === "thread.spawn" || type === "thread.fork";

function textOf(value: unknown, name: string): string {
  if (typeof value !== "string") throw new InvalidRequestError(`${name}: must be a text`);
  return value;
}

const threadIdOf = ({ threadId }: { threadId?: unknown }): ThreadId => parseThreadId(textOf(threadId, "threadId"));

function optionsOf({ options, signal }: { options?: unknown; signal?: AbortSignal | undefined }): ThreadOptions {
  if (options !== undefined && !isJsonObject(options)) throw new InvalidRequestError("options: must be an object");
  const given: ThreadOptions = { ...options };
  const { parentThreadId } = given;
  return {
    ...given,
    ...(parentThreadId === undefined
      ? {}
      : { parentThreadId: parseThreadId(textOf(parentThreadId, "parentThreadId")) }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function sourceOf(from: unknown): ForkSource {
  if (typeof from === "string") return parseThreadId(from);
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

/** What each message to the supervisor is answered with. */
export type Replies = {
  "thread.spawn": NewThread;
  "thread.resume": NewThread;
  "thread.fork": NewThread;
  "thread.remove": Thread | undefined;
  "thread.get": Thread;
  "thread.list": readonly ThreadId[];
  "thread.send": SubmissionId;
};

/** The messages of the supervisor, which an orchestrator can use in place of the facade (DESIGN section 4). */
export type SupervisorMessage = Message<Replies>;
export type SupervisorRequest<K extends keyof Replies = keyof Replies> = Extract<SupervisorMessage, { type: K }>;
export type { Outcome };

/** Where a thread is resumed from: exactly one of the three. */
export type ResumeSource = { threadId: ThreadId } | { rolloutPath: string } | { history: InitialHistory };
export type ForkSource = ThreadId | { rolloutPath: string } | { history: InitialHistory };
export type ForkRequest = {
  from: ForkSource;
  at?: ForkAnchor | undefined;
  config?: import("../protocol/thread-config.ts").ThreadConfig | undefined;
};
export type { ThreadOptions };
