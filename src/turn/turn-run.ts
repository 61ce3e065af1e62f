import type { Release } from "../kernel/slots.ts";
import type { TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import type { SubmissionId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { type TokenUsage, zeroUsage } from "../protocol/token-usage.ts";
import type { TurnItem } from "../protocol/turn-item.ts";

/** A call that the model made in this turn, and the work that answers it. */
export type RunningCall = {
  readonly callId: string;
  readonly kind: "function_call" | "custom_tool_call" | "local_shell_call";
  readonly name: string;
  /** Of the tool, where it is in one. */
  readonly namespace: string | undefined;
  /** Unix milliseconds. */
  readonly startedAt: number;
  /** Resolves with the output for the model; never rejects. */
  output: Promise<string>;
  settled: boolean;
  /** Tells how the work ended; unset where nobody was told of its beginning, or where that has been done. */
  tellEnd: ((status: "completed" | "failed", output: string) => void) | undefined;
};

/** The live parts of one running turn. The machine's context holds what can be written down; this holds the rest. */
export class TurnRun {
  readonly id: SubmissionId;
  readonly turnId: TurnId;
  /** The user's turn that this one is a part of: its own, but for agents. */
  readonly rootTurnId: TurnId;
  readonly kind: string;
  /** The settings as they were when the turn began: later ones are for later turns. */
  readonly config: ResolvedThreadConfig;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly #controller = new AbortController();
  /** Of the model request that runs now. */
  #request: AbortController | undefined;
  #release: Release | undefined;
  calls: RunningCall[] = [];
  /** Commands of the user's that run in the turn: an abort ends them at once. */
  readonly beside = new Set<Promise<void>>();
  outputSchema: unknown;
  usage: TokenUsage = zeroUsage;
  lastAgentMessage: string | null = null;
  firstTokenAt: number | undefined;
  /** The compaction that is under way; one that is tried again is still the same. */
  compaction: TurnItem | undefined;
  /** Resolves when the input that was taken so far is in the history. */
  recording: Promise<void> | undefined;
  /** From its last look at the inbox on, the turn takes no more input. */
  takesInput = true;
  /** What the turn failed by. */
  error: TaskCompleteEvent["error"];
  /** How it ended, once that is stored. */
  end: TaskCompleteEvent | TurnAbortedEvent | undefined;
  /** Its end is published: work that was abandoned publishes nothing any more. */
  ended = false;

  constructor(options: {
    id: SubmissionId;
    turnId: TurnId;
    rootTurnId?: TurnId | undefined;
    kind: string;
    config: ResolvedThreadConfig;
    startedAt: number;
  }) {
    this.id = options.id;
    this.turnId = options.turnId;
    this.rootTurnId = options.rootTurnId ?? options.turnId;
    this.kind = options.kind;
    this.config = options.config;
    this.startedAt = options.startedAt;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
    this.#request?.abort(reason);
  }

  /** A model request begins. Its signal aborts with the turn's, and when the request is cut. */
  beginRequest(): AbortSignal {
    this.#request = new AbortController();
    if (this.signal.aborted) this.#request.abort(this.signal.reason);
    return this.#request.signal;
  }

  endRequest(): void {
    this.#request = undefined;
  }

  /** Ends the model request that runs, if one does: input has joined, and the next request holds it (T5). */
  cutRequest(): void {
    this.#request?.abort(new DOMException("input has joined the turn", "AbortError"));
  }

  /** The turn's place among the running ones; one that comes after the turn's end goes back at once. */
  occupy(release: Release): void {
    if (this.ended || this.signal.aborted) release();
    else this.#release = release;
  }

  /** Gives the place back. */
  vacate(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
