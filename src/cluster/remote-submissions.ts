/** What a thread of a cluster is told: handed to whatever runs it, or as an invocation of its own, and waited for as far as its kind needs it. */
import { ThreadClosedError } from "../protocol/errors.ts";
import { type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import { rolledBackBy } from "../thread/awaited-turns.ts";
import { checkCall, givenSubmissionId } from "../thread/call-checks.ts";
import { withKnownInput } from "../thread/known-input.ts";
import { traceOf } from "../thread/submission-ledger.ts";
import type {
  NamedSubmission,
  RolledBackTurns,
  SubmissionOutcome,
  SubmitOptions,
  WaitOptions,
} from "../thread/thread.ts";
import type { Feed } from "./feed.ts";
import type { MessageLine, Running } from "./message-line.ts";
import type { RemoteView } from "./remote-view.ts";
import type { Look, Message, TurnAnswer } from "./wire.ts";

/** Whose submissions they are. */
export interface SubmissionsHost {
  readonly threadId: ThreadId;
  readonly view: RemoteView;
  readonly line: MessageLine;
  feed(): Feed | undefined;
  isClosed(): boolean;
  look(signal: AbortSignal): Promise<Look>;
  takeLook(look: Look): void;
  /** The whole history. */
  lines(signal: AbortSignal): AsyncIterable<readonly RolloutLine[]>;
  bounded<T>(what: string, work: (signal: AbortSignal) => Promise<T>, options: WaitOptions, op?: Op): Promise<T>;
}

export class RemoteSubmissions {
  readonly #host: SubmissionsHost;

  constructor(host: SubmissionsHost) {
    this.#host = host;
  }

  /** @param look how the thread stood just now, where somebody has asked */
  async submit(
    { id, op: given, isNew, rerun }: NamedSubmission,
    options: SubmitOptions,
    look?: Look,
  ): Promise<SubmissionId> {
    checkCall("submit", options);
    options.signal?.throwIfAborted();
    const op = withKnownInput(parseOp(given));
    const { line } = this.#host;
    await this.#host.bounded(
      "the submission",
      async (signal) => {
        if (look !== undefined) this.#host.takeLook(look);
        else await this.#lookAtRest(signal);
        if (op.type === "thread_rollback") return this.rollBack({ id, turns: rolledBackBy(op) }, signal);
        const before = line.running;
        const running = await this.send({ kind: "op", id, op, isNew, rerun }, signal);
        // What the settings are from now on is known when it has been carried out.
        if (op.type === "override_turn_context" && running !== before) await running?.answer;
      },
      options,
      op,
    );
    this.#host.view.noteAnswered(op);
    return toSubmissionId(id);
  }

  /** Somebody else may have begun what runs. */
  async #lookAtRest(signal: AbortSignal): Promise<void> {
    if (this.#host.line.running === undefined) this.#host.takeLook(await this.#host.look(signal));
  }

  async send(message: Message, signal: AbortSignal): Promise<Running | undefined> {
    if (this.#host.isClosed())
      throw new ThreadClosedError(this.#host.threadId, message.kind === "op" ? message.op : undefined);
    return this.#host.line.send(message, signal);
  }

  /** Hands a message in, and waits until it was carried out. */
  async message(message: Message, options: WaitOptions = {}, what = "the message"): Promise<void> {
    await this.#host.bounded(what, (signal) => this.#carryOut(message, signal), options);
  }

  /** @returns what the invocation came to that was made for the message */
  async #carryOut(message: Message, signal: AbortSignal): Promise<TurnAnswer | undefined> {
    await this.#lookAtRest(signal);
    const before = this.#host.line.running;
    const running = await this.send(message, signal);
    return running === undefined || running === before ? undefined : running.answer;
  }

  async rollBack({ id, turns }: { id: string; turns: RolledBackTurns }, signal: AbortSignal): Promise<void> {
    const answer = await this.#carryOut({ kind: "rollback", id, turns }, signal);
    await this.#host.feed()?.reached(answer?.facts.position ?? 0);
  }

  async outcomeOf(given: string, options: WaitOptions): Promise<SubmissionOutcome | undefined> {
    checkCall("outcomeOf", options);
    const id = givenSubmissionId(given);
    const { threadId } = this.#host;
    return this.#host.bounded(
      "the outcome",
      async (signal) => {
        const { note } = await this.#host.look(signal);
        const trace = await traceOf(this.#host.lines(signal), { id, threadId });
        if (trace === undefined) return note.run?.submissionId === id ? "running" : undefined;
        if (trace.end !== "open") return trace.end;
        return note.run === null ? "cut" : "running";
      },
      options,
    );
  }
}
