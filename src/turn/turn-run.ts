import type { Submission } from "../../machines/thread.machine.ts";
import type { Resumption } from "../../machines/turn.machine.ts";
import type { Release } from "../kernel/slots.ts";
import type { TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import type { SubmissionId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { addUsage, type TokenUsage, zeroUsage } from "../protocol/token-usage.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import type { ToolOutput } from "./tool-output.ts";

/** A call that the model made in this turn, and the work that answers it. */
export type RunningCall = {
  readonly callId: string;
  readonly kind: "function_call" | "custom_tool_call" | "local_shell_call" | "tool_search_call";
  readonly name: string;
  /** Of the tool, where it is in one. */
  readonly namespace: string | undefined;
  /** As `elapsedBy` measures. */
  readonly startedAt: number;
  /** Resolves with the output for the model; never rejects. */
  output: Promise<ToolOutput>;
  settled: boolean;
  /** What the work failed by; its output tells the model of it. */
  failure: unknown;
  /** Tells how the work ended; unset where its beginning was never published, or its end already was. */
  tellEnd: ((status: "completed" | "failed", output: ToolOutput) => void) | undefined;
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
  #retake: (() => Release | Promise<Release>) | undefined;
  #returning: Promise<void> | undefined;
  #onVacated: (() => void) | undefined;
  /** Calls of tools that have not ended, and how many of them wait for other threads. */
  #running = 0;
  #waiting = 0;
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
  readonly #unrecorded = new Set<Submission>();
  /** What the turn failed by. */
  error: TaskCompleteEvent["error"];
  /** How it ended, once that is stored. */
  end: TaskCompleteEvent | TurnAbortedEvent | undefined;
  /** How far it had come in an earlier life; undefined for a turn that began in this one, or once that is made use of. */
  #resumed: Resumption | undefined;
  /** Its end is published: work that was abandoned publishes nothing any more. */
  ended = false;

  constructor(options: {
    id: SubmissionId;
    turnId: TurnId;
    rootTurnId?: TurnId | undefined;
    kind: string;
    config: ResolvedThreadConfig;
    startedAt: number;
    outputSchema?: unknown;
    resumed?: Resumption | undefined;
  }) {
    this.id = options.id;
    this.turnId = options.turnId;
    this.rootTurnId = options.rootTurnId ?? options.turnId;
    this.kind = options.kind;
    this.config = options.config;
    this.startedAt = options.startedAt;
    this.outputSchema = options.outputSchema ?? options.resumed?.outputSchema;
    this.#resumed = options.resumed;
    this.lastAgentMessage = options.resumed?.lastAgentMessage ?? null;
    this.usage = options.resumed?.usage ?? zeroUsage;
  }

  get resumed(): Resumption | undefined {
    return this.#resumed;
  }

  /** What was left open is taken up: once. */
  noteTakenUp(): void {
    this.#resumed = undefined;
  }

  /** Whether the call was begun in an earlier life, and this one is still to see to it. */
  owesOutput(callId: string): boolean {
    return this.#resumed?.calls.some((call) => call.callId === callId) ?? false;
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
    this.#lendIfIdle();
  }

  /** Ends the model request that runs, if one does: input has joined, and the next request holds it (T5). */
  cutRequest(): void {
    this.#request?.abort(new DOMException("input has joined the turn", "AbortError"));
  }

  /**
   * The turn's place among the running ones; one that comes after the turn's end goes back at once.
   *
   * @param retake gets it again, after it was lent
   */
  occupy(release: Release, retake?: () => Release | Promise<Release>): void {
    if (this.ended || this.signal.aborted) release();
    else {
      this.#release = release;
      this.#retake = retake;
    }
  }

  /** Calls back once, when the turn needs no place any more. */
  onVacated(call: () => void): void {
    this.#onVacated = call;
  }

  /** Gives the place back. */
  vacate(): void {
    const told = this.#onVacated;
    this.#onVacated = undefined;
    told?.();
    this.#retake = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  /** Input is being recorded; what comes next waits for it. */
  noteRecording(recording: Promise<void>): void {
    this.recording = recording;
  }

  /** These were taken to be recorded, and are not yet. */
  noteTaken(submissions: readonly Submission[]): void {
    for (const submission of submissions) this.#unrecorded.add(submission);
  }

  noteRecorded(submission: Submission): void {
    this.#unrecorded.delete(submission);
  }

  /** What was taken and is not recorded. */
  get unrecorded(): readonly Submission[] {
    return [...this.#unrecorded];
  }

  /** The answer is to be of this form. */
  noteOutputSchema(schema: unknown): void {
    this.outputSchema = schema;
  }

  countUsage(usage: TokenUsage): void {
    this.usage = addUsage(this.usage, usage);
  }

  noteToken(now: number): void {
    this.firstTokenAt = now;
  }

  noteMessage(text: string): void {
    this.lastAgentMessage = text;
  }

  /** undefined when it is done. */
  noteCompaction(item: TurnItem | undefined): void {
    this.compaction = item;
  }

  fail(error: TaskCompleteEvent["error"]): void {
    this.error = error;
  }

  /** How it ends; to be stored, and then to be shown. */
  decide(end: TaskCompleteEvent | TurnAbortedEvent): void {
    this.end = end;
  }

  /** Its end is shown: its place is free. */
  finish(): void {
    this.ended = true;
    this.vacate();
  }

  /** A call of a tool begins, or begins to wait for other threads, or ceases to. */
  noteCalls(change: { readonly running?: number; readonly waiting?: number }): void {
    this.#running += change.running ?? 0;
    this.#waiting += change.waiting ?? 0;
    this.#lendIfIdle();
  }

  /** Whether the turn does nothing but wait for other threads. */
  get onlyWaits(): boolean {
    return this.#request === undefined && this.#running > 0 && this.#waiting === this.#running;
  }

  /** Others may run in its place meanwhile, those that it waits for among them. */
  #lendIfIdle(): void {
    if (!this.onlyWaits || this.#retake === undefined) return;
    this.#release?.();
    this.#release = undefined;
  }

  /** Resolves when the turn has its place again, or has ended; undefined when it has not lent it. */
  takeBack(): Promise<void> | undefined {
    if (this.#release !== undefined || this.#retake === undefined) return undefined;
    this.#returning ??= this.#return(this.#retake).finally(() => {
      this.#returning = undefined;
    });
    return this.#returning;
  }

  async #return(retake: () => Release | Promise<Release>): Promise<void> {
    const release = await Promise.resolve()
      .then(retake)
      .catch(() => undefined);
    if (release !== undefined) this.occupy(release, retake);
  }
}
