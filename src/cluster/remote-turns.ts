/** Turns of a cluster's thread, from what starts them to what they came to. */
import { isEmptyInput } from "../../machines/thread.machine.ts";
import { linkSignals } from "../kernel/cancellation.ts";
import { sleep, systemClock } from "../kernel/clock.ts";
import { InternalDefect, SkeinError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import { newTurnId, type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { RolloutLine, SubmissionItem } from "../protocol/rollout.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { checkCall } from "../thread/call-checks.ts";
import { runInput, withKnownInput } from "../thread/known-input.ts";
import { shownToModel, withOutput } from "../thread/output-schema.ts";
import type { RunOptions, WaitOptions } from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import { isTurnEnd } from "../thread/turn-watch.ts";
import type { Running } from "./message-line.ts";
import { resultOf } from "./turn-results.ts";
import type { Message, TurnAnswer } from "./wire.ts";

/** Whose turns they are. */
export interface TurnsHost {
  bounded<T>(what: string, work: (signal: AbortSignal) => Promise<T>, options: WaitOptions, op?: Op): Promise<T>;
  send(message: Message, signal: AbortSignal): Promise<Running | undefined>;
  /** Resolves when those who listen have heard all up to the line. */
  reached(position: number): Promise<void>;
  /** Where the thread's lines end, as far as is known. */
  end(): number;
  /** @param from a line; from where the handle began without it */
  lines(signal: AbortSignal, from?: number): AsyncIterable<readonly RolloutLine[]>;
  interrupt(): Promise<void>;
}

/** An invocation's answer comes right behind the end of its last turn. */
const ANSWER_WITHIN_MS = 500;
/** A turn that takes longer is looked for in the history, at growing pauses: its invocation goes on with what others ask of the thread. */
const FIRST_LOOK_MS = 1_000;
const LAST_LOOK_MS = 5_000;

export class RemoteTurns {
  readonly #host: TurnsHost;
  /** What wants to know that a turn's end was heard, by its name. */
  readonly #ends = new Map<string, () => void>();

  constructor(host: TurnsHost) {
    this.#host = host;
  }

  /** An event has reached those who listen. */
  note(msg: EventMsg): void {
    if (isTurnEnd(msg)) this.#ends.get(msg.turn_id ?? "")?.();
  }

  async run<Output = unknown>(
    input: string | readonly UserInput[],
    options: RunOptions<Output> = {},
  ): Promise<TurnResult<Output>> {
    const items = runInput(input);
    checkCall("run", options);
    const { outputSchema } = options;
    const schema = outputSchema === undefined ? {} : { final_output_json_schema: shownToModel(outputSchema) };
    const result = await this.runOp({ type: "user_input", items, ...schema }, options);
    return outputSchema === undefined ? result : await withOutput(result, outputSchema);
  }

  async runOp(given: Op, options: WaitOptions): Promise<TurnResult<never>> {
    options.signal?.throwIfAborted();
    const op = withKnownInput(parseOp(given));
    const id = newTurnId();
    if (isEmptyInput(op)) return nothingOf(toSubmissionId(id));
    let isSent = false;
    let isOver = false;
    try {
      return await this.#host.bounded(
        "the turn",
        async (signal) => {
          const from = this.#host.end();
          const running = await this.#host.send({ kind: "op", id, op, isNew: true }, signal);
          isSent = true;
          if (running === undefined) throw new InternalDefect("a turn was sent to nobody");
          const answer = await this.#answerOf(running, { id, from }, signal);
          isOver = true;
          if (typeof answer === "string")
            return resultOf(this.#host.lines(signal), { id: toSubmissionId(id), turnId: answer });
          await this.#host.reached(answer.facts.position);
          return this.#resultIn(answer, toSubmissionId(id), signal);
        },
        options,
        op,
      );
    } catch (error) {
      const isGivenUp = options.signal?.aborted || (error instanceof SkeinError && error.code === "deadline_exceeded");
      if (isSent && !isOver && isGivenUp) void this.#host.interrupt().catch(() => undefined);
      throw error;
    }
  }

  /** The invocation's answer; or the turn's name, where that is known to be over while the invocation goes on. */
  async #answerOf({ answer }: Running, sent: Sent, signal: AbortSignal): Promise<TurnAnswer | string> {
    const heard = Promise.withResolvers<void>();
    this.#ends.set(sent.id, heard.resolve);
    const wait = linkSignals(signal);
    try {
      const over = heard.promise.then(() => sleep(systemClock, ANSWER_WITHIN_MS, wait.signal));
      const stored = this.#storedEnd(sent, wait.signal);
      stored.catch(() => undefined); // the answer came first
      return await Promise.race([answer, over.then(() => sent.id), stored]);
    } finally {
      this.#ends.delete(sent.id);
      wait.abort();
    }
  }

  /** The turn that the submission is part of, once its end is stored. */
  async #storedEnd({ id, from }: Sent, signal: AbortSignal): Promise<string> {
    let turnId = id;
    let next = from;
    for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(LAST_LOOK_MS, pauseMs * 2)) {
      await sleep(systemClock, pauseMs, signal);
      try {
        for await (const page of this.#host.lines(signal, next)) {
          for (const line of page) {
            next = (line.ordinal ?? next) + 1;
            if (line.type === "submission" && line.payload.id === id && isIn(line.payload))
              turnId = line.payload.turn_id ?? id;
            if (endedBy(line) === turnId) return turnId;
          }
        }
      } catch {
        signal.throwIfAborted(); // what can't be read now is read later: the answer may come before
      }
    }
  }

  async #resultIn({ results }: TurnAnswer, id: SubmissionId, signal: AbortSignal): Promise<TurnResult<never>> {
    const sent = results[id];
    if (sent === undefined) throw new InternalDefect(`no worker says what became of submission ${id}`);
    const { items, ...rest } = sent;
    if (items !== null) return { ...rest, items };
    const turnId = rest.turnId ?? id;
    const whole = await resultOf(this.#host.lines(signal), { id, turnId });
    return { ...rest, items: whole.items };
  }
}

/** A submission, and where the thread's lines ended before it. */
type Sent = { readonly id: string; readonly from: number };

/** What waits to join a turn may come to be one of its own. */
const isIn = ({ op, taken }: SubmissionItem): boolean => op === undefined || taken === true;

const endedBy = (line: RolloutLine): string | undefined =>
  line.type === "event_msg" && isTurnEnd(line.payload) ? (line.payload.turn_id ?? undefined) : undefined;

const nothingOf = (submissionId: SubmissionId): TurnResult<never> => ({
  ...{ submissionId, turnId: null, status: "completed", lastAgentMessage: null, items: [], usage: null, error: null },
});
