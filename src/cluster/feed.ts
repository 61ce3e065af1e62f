/**
 * A thread's events, as one client sees them over all workers and lives.
 *
 * - What is stored comes from the history, by ordinal, each line once and none left out, whether a worker tells it live or not.
 * - What is not stored (deltas, questions) comes from the worker that runs the thread, best effort; with the next life it begins anew.
 * - Numbers go on without gaps within a life, as this client sees it.
 */

import { sleep, systemClock } from "../kernel/clock.ts";
import { EventLog } from "../kernel/event-log.ts";
import { RolloutNotFoundError } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import { isTurnEnd } from "../thread/turn-watch.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import { liveFrames } from "./live-events.ts";
import { NOW } from "./live-side.ts";
import type { LiveState, Look, Run } from "./wire.ts";

/** Where a feed reads. */
export interface FeedSource {
  readonly threadId: ThreadId;
  /** Something was sent, or is known to run, whose end has not been heard of. */
  readonly isAwaiting: boolean;
  look(signal: AbortSignal): Promise<Look>;
  lines(from: number, to: number | undefined, signal: AbortSignal): AsyncIterable<readonly RolloutLine[]>;
  /** Told before the subscribers are. */
  note(event: ThreadEvent): void;
  noteState(state: LiveState): void;
}

export type FeedStart = {
  readonly ordinal: number;
  readonly epoch: number;
  readonly configured: SessionConfiguredEvent;
  /** The life in which the thread was at work already: of that one it tells what comes from now on. */
  readonly lateIn: number | undefined;
};

type Told = { readonly event: ThreadEvent; readonly ordinal: number | null };
type Subscriber = { readonly from: number; event(event: ThreadEvent): void; closed(): void };

/** What follows from stored items, and was told with them. */
const FOLLOWING: ReadonlySet<string> = new Set([
  ...["user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content", "web_search_end"],
  ...["context_compacted", "entered_review_mode", "exited_review_mode"],
]);

const KEPT_EVENTS = 4_096;
const FIRST_POLL_MS = 25;
const LAST_POLL_MS = 1_000;

export class Feed {
  readonly #source: FeedSource;
  readonly #stop = new AbortController();
  readonly #subscribers = new Set<Subscriber>();
  readonly #told = new EventLog<Told>({ capacity: KEPT_EVENTS });
  /** The first line that was not looked at. */
  #next: number;
  /** Lines from there on that a worker has told live. */
  #live = new Set<number>();
  #epoch: number;
  #seq = -1;
  /** The submission whose turn is open, and the names of turns that are not their submission's. */
  #current: SubmissionId = INITIAL_SUBMISSION_ID;
  readonly #submissions = new Map<string, SubmissionId>();
  /** The turn that has begun last. */
  #begun: string | undefined;
  /** The line of the last submission that has no turn: the marker of a named rollback comes right behind it. */
  #turnless: { readonly id: SubmissionId; readonly ordinal: number } | undefined;
  #poke: (() => void) | undefined;
  #isPoked = false;
  readonly #onProgress = new Set<() => void>();
  readonly #onInterest = new Set<() => void>();
  readonly #onState = new Set<() => void>();
  readonly #lateIn: number | undefined;
  #isClosed = false;

  constructor(source: FeedSource, { ordinal, epoch, configured, lateIn }: FeedStart) {
    this.#source = source;
    this.#next = ordinal;
    this.#epoch = epoch;
    this.#lateIn = lateIn;
    this.#tell(INITIAL_SUBMISSION_ID, configured, { ordinal: null });
    void this.#run();
  }

  /** Something has been sent: there may be news. */
  poke(): void {
    this.#isPoked = true;
    this.#poke?.();
  }

  /** Resolves when what is stored before a line was told, or nothing more will come. */
  async reached(ordinal: number): Promise<void> {
    while (this.#next < ordinal && !this.#isClosed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onProgress.add(resolve);
      this.#noteInterest();
      this.poke();
      await promise;
    }
  }

  /** Resolves when a worker has told how the thread stands there, or could not be asked. */
  stated(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.poke();
    return new Promise((resolve) => this.#onState.add(resolve));
  }

  #noteState(): void {
    for (const resolve of this.#onState) resolve();
    this.#onState.clear();
  }

  /** Resolves while somebody listens or waits; without anybody nothing is asked, and the feed and its thread can be forgotten. */
  async #untilWanted(): Promise<void> {
    while (this.#subscribers.size === 0 && this.#onProgress.size === 0 && !this.#isClosed)
      await new Promise<void>((resolve) => this.#onInterest.add(resolve));
  }

  #noteInterest(): void {
    for (const resolve of this.#onInterest) resolve();
    this.#onInterest.clear();
  }

  #noteProgress(): void {
    for (const resolve of this.#onProgress) resolve();
    this.#onProgress.clear();
  }

  /** Nothing more will come. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#noteProgress();
    this.#noteInterest();
    this.#noteState();
    this.#stop.abort(new DOMException("the thread's events have ended", "AbortError"));
    for (const subscriber of [...this.#subscribers]) subscriber.closed();
    this.#subscribers.clear();
  }

  /** Stored events of lines before `from` are left out. */
  subscribe(subscriber: Subscriber): () => void {
    if (this.#isClosed) subscriber.closed();
    else {
      this.#subscribers.add(subscriber);
      this.#noteInterest();
    }
    return () => void this.#subscribers.delete(subscriber);
  }

  /** What a worker could not take is told as well, though no thread has said it. */
  tellFailure(id: SubmissionId, message: string): void {
    this.#tell(id, { type: "error", message, codex_error_info: "other" }, { ordinal: null });
  }

  /** The place after an event of the current life, or of a given one; -1 is before the first that is known. */
  indexAfter(place: number | { readonly epoch: number; readonly seq: number }): number {
    const { epoch, seq } = typeof place === "number" ? { epoch: this.#epoch, seq: place } : place;
    for (let index = this.#told.next - 1; index >= this.#told.first; index -= 1) {
      const event = this.#told.get(index)?.event;
      if (event?.epoch === epoch && event.seq <= seq) return index + 1;
    }
    return 0;
  }

  get end(): number {
    return this.#told.next;
  }

  /** Whether somebody listens. */
  get isHeard(): boolean {
    return this.#subscribers.size > 0;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The event of an index; the first that is kept where it is no more. */
  at(index: number): { readonly told: Told; readonly index: number } | undefined {
    const kept = Math.max(index, this.#told.first);
    const told = this.#told.get(kept);
    return told && { told, index: kept };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let pollMs = FIRST_POLL_MS;
    let wasPoked = true;
    for (;;) {
      await this.#untilWanted();
      if (signal.aborted) return;
      try {
        const before = this.end;
        const { note, position } = await this.#source.look(signal);
        const wasLive = note.run !== null && (await this.#follow(note.run));
        if (!wasLive) await this.#catchUp(note.run === null ? Math.max(position, note.facts.position) : undefined);
        if (note.state === "closed" && note.run === null) return this.close();
        const { isAwaiting } = this.#source;
        if (wasLive || this.end > before || (wasPoked && isAwaiting)) pollMs = FIRST_POLL_MS;
        else pollMs = isAwaiting ? Math.min(LAST_POLL_MS, pollMs * 2) : LAST_POLL_MS;
        this.#noteState();
        wasPoked = await this.#pause(pollMs);
      } catch (error) {
        if (signal.aborted) return;
        // The thread was deleted.
        if (error instanceof RolloutNotFoundError) return this.close();
        wasPoked = await this.#pause(LAST_POLL_MS);
      }
    }
  }

  /** @returns whether news were told of meanwhile: they may take a moment to be there */
  async #pause(ms: number): Promise<boolean> {
    if (!this.#isPoked) {
      const poked = new AbortController();
      this.#poke = () => poked.abort();
      await sleep(systemClock, ms, AbortSignal.any([poked.signal, this.#stop.signal])).catch(() => undefined);
      this.#poke = undefined;
    }
    const wasPoked = this.#isPoked;
    this.#isPoked = false;
    return wasPoked;
  }

  /** Follows a life where it runs. @returns whether a worker has told of it */
  async #follow(run: Run): Promise<boolean> {
    const { signal } = this.#stop;
    const isLate = run.epoch === this.#lateIn && run.epoch !== this.#epoch;
    const after = isLate ? NOW : run.epoch === this.#epoch ? this.#seq : -1;
    let isKnown = false;
    let isBehind = false;
    let isRepeat = false;
    for await (const frame of liveFrames(this.#source.threadId, run, { after, signal })) {
      if (signal.aborted) return true;
      if (frame.kind === "state") {
        isKnown = true;
        if (isLate) await this.#catchUp(frame.state.position);
        else if (frame.state.epoch !== this.#epoch) await this.#catchUp(frame.state.base);
        isRepeat = !isLate && frame.state.base < this.#next;
        this.#source.noteState(frame.state);
        this.#noteState();
        continue;
      }
      const { event, ordinal } = frame;
      if (event.msg.type === "lagged") {
        isBehind = true;
        continue;
      }
      if (isBehind && ordinal !== null) {
        isBehind = false;
        await this.#catchUp(ordinal);
      }
      if (ordinal !== null && (ordinal < this.#next || this.#live.has(ordinal))) continue;
      if (ordinal !== null) {
        this.#live.add(ordinal);
        isRepeat = false;
      } else if (isRepeat && FOLLOWING.has(event.msg.type)) continue;
      this.#take(event, ordinal);
    }
    // A worker that ended in the middle, or told less than was stored.
    await this.#catchUp(undefined);
    return isKnown;
  }

  /** Tells what is stored up to a line, and was not told. */
  async #catchUp(to: number | undefined): Promise<void> {
    if (to !== undefined && to <= this.#next) return;
    const { signal } = this.#stop;
    for await (const page of this.#source.lines(this.#next, to, signal)) {
      for (const line of page) {
        const ordinal = line.ordinal ?? this.#next;
        this.#next = ordinal + 1;
        if (!this.#live.delete(ordinal)) this.#tellLine(line, ordinal);
      }
      this.#noteProgress();
    }
  }

  #tellLine(line: RolloutLine, ordinal: number): void {
    if (line.type === "submission") {
      const { id, turn_id: turnId, op, taken } = line.payload;
      if (turnId == null) this.#turnless = { id: toSubmissionId(id), ordinal };
      // What joins a turn that runs does not name it.
      else if (turnId !== this.#begun || (op === undefined && taken !== true))
        this.#submissions.set(turnId, toSubmissionId(id));
    }
    if (line.type !== "event_msg") return;
    const { payload } = line;
    const turnId = "turn_id" in payload && typeof payload.turn_id === "string" ? payload.turn_id : undefined;
    if (turnId !== undefined) this.#current = this.#submissions.get(turnId) ?? toSubmissionId(turnId);
    const time = Date.parse(line.timestamp) || Date.now();
    const named = this.#turnless;
    const isNamed = payload.type === "thread_rolled_back" && named?.ordinal === ordinal - 1;
    this.#tell(isNamed ? named.id : this.#current, payload, { ordinal, time });
    if (payload.type !== "item_completed") return;
    for (const msg of legacyEventsOf(payload.item)) this.#tell(this.#current, msg, { ordinal, time });
  }

  #tell(
    id: SubmissionId,
    msg: EventMsg,
    { ordinal, time = Date.now() }: { ordinal: number | null; time?: number },
  ): void {
    const { threadId } = this.#source;
    this.#show({ threadId, seq: this.#seq + 1, epoch: this.#epoch, time, id, msg }, ordinal);
  }

  /** A live event: its life has numbered it; after a gap the numbers go on from ours. */
  #take(event: ThreadEvent, ordinal: number | null): void {
    const isNewLife = event.epoch !== this.#epoch;
    this.#show(isNewLife ? event : { ...event, seq: Math.max(event.seq, this.#seq + 1) }, ordinal);
  }

  #show(event: ThreadEvent, ordinal: number | null): void {
    if (this.#isClosed) return;
    this.#epoch = event.epoch;
    this.#seq = event.seq;
    if (event.msg.type === "task_started") this.#begun = event.msg.turn_id ?? undefined;
    if (event.id !== INITIAL_SUBMISSION_ID) this.#current = event.id;
    this.#told.append(() => ({ event, ordinal }));
    this.#source.note(event);
    for (const subscriber of [...this.#subscribers]) {
      if (ordinal === null || ordinal >= subscriber.from) subscriber.event(event);
    }
  }
}

/** By which events a thread asks for an approval, and by which its model asks the user. */
export const APPROVALS: ReadonlySet<string> = new Set(["exec_approval_request", "apply_patch_approval_request"]);
export const USER_QUESTIONS: ReadonlySet<string> = new Set(["request_user_input", "elicitation_request"]);

/** The questions of some kinds that are open after an event. */
export function openQuestions(
  open: readonly PendingApproval[],
  { id, msg }: ThreadEvent,
  kinds: ReadonlySet<string>,
): readonly PendingApproval[] {
  if (kinds.has(msg.type)) {
    const { call_id: callId } = msg as { call_id?: unknown };
    return typeof callId === "string"
      ? [...open.filter((each) => each.callId !== callId), { turn: id, callId, msg }]
      : open;
  }
  return isTurnEnd(msg) && open.length > 0 ? [] : open;
}
