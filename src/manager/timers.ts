/**
 * Timers of threads: each gives an op to its thread when it is due, whether that is in memory or not.
 *
 * - They stand in the thread's note, and are taken up by whatever manager comes next. One that came due meanwhile fires late, once; of a
 *   repeating one's missed firings as its policy says. None fires early.
 * - A firing has a submission id of its own, made of what was set and its number: a process that dies between giving the op and noting
 *   that fires again under the same id, and nothing runs twice.
 * - A repeating timer counts from its first time, so it does not drift; while the op of its last firing is still at work, it skips.
 * - Whoever cancels is told when nothing will fire any more. A thread that has ended takes its timers along; one that moved away keeps
 *   them for who has it now.
 * - One timer of the clock waits for the next that is due, however many there are, and looks at the time again every minute: the time of
 *   day may be set, and a machine that sleeps counts none of it on its timers.
 */
import { taskKindOf } from "../../machines/thread.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { MinHeap } from "../kernel/min-heap.ts";
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import { RolloutNotFoundError, ThreadBusyError, ThreadNotFoundError } from "../protocol/errors.ts";
import { newTurnId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import {
  dueAtOf,
  readWhen,
  type ScheduledTimer,
  type ScheduleOptions,
  type StoredTimer,
  timersNoteSchema,
  type When,
} from "../protocol/schedule.ts";
import { parseWith } from "../protocol/validation.ts";
import { SingleFlight } from "../services/single-flight.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import { checkCall } from "../thread/call-checks.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { type Firing, firingsOf, lastDue, submissionOf } from "./firings.ts";

/** So many timers fire side by side. */
const MOST_AT_ONCE = 32;
/** A thread that another process has, or that can't be reached, is tried again so much later. */
const TRY_AGAIN_MS = 30_000;
/** The time is looked at so often while a timer waits. */
const LOOK_MS = 60_000;
/** So many entries of what is not due any more are left lying, beside as many as there are timers. */
const SPARE_ENTRIES = 64;

/** Whose timers they are. */
export interface TimerHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  /** Where the timers of a thread stand; `isEphemeral` for one that is never to last. */
  notesOf(threadId: ThreadId): StandingNotes;
  /** The notes of all threads that last. */
  readonly lasting: StandingNotes;
  /** Whether the thread was taken out and lives on with its holder, where no timer finds it. */
  isRemoved(threadId: ThreadId): boolean;
  /** The thread, loaded for it. @throws ThreadNotFoundError, RolloutNotFoundError, ThreadBusyError */
  bring(threadId: ThreadId): Promise<LiveThread>;
}

type Row = {
  readonly threadId: ThreadId;
  readonly timer: StoredTimer;
  retryAt: number | undefined;
  /** Somebody is at it: nobody fires it a second time. */
  isFiring: boolean;
  /** The submission of its last firing, where this process made it. */
  last: SubmissionId | undefined;
};

export class Timers {
  readonly #host: TimerHost;
  readonly #rows = new Map<ThreadId, Map<string, Row>>();
  /** Of each thread's note. */
  readonly #writes = new SingleFlight<void, ThreadId>();
  /** Threads that have moved while a write of their note waited, which is another process's by now. */
  readonly #movedMeanwhile = new Set<ThreadId>();
  /** Notes of threads that have come from another process. */
  readonly #reading = new Map<ThreadId, Promise<void>>();
  /** When each is due. A row that was replaced, or is due at another time, has left an entry that nobody heeds. */
  readonly #due = new MinHeap<Row>();
  #mostEntries = SPARE_ENTRIES;
  readonly #firing = new Set<Promise<void>>();
  /** Timers that fired for the last time, the newest ones, for those who cancel them later. */
  readonly #fired = new Map<string, number>();
  #wake: unknown;
  #wakesAt = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(host: TimerHost) {
    this.#host = host;
  }

  /** How many timers wait. */
  get size(): number {
    let size = 0;
    for (const rows of this.#rows.values()) size += rows.size;
    return size;
  }

  /** Takes up what earlier processes have left. A note that can't be read is told of, and left alone. */
  async takeUp(): Promise<void> {
    for (const threadId of await this.#host.lasting.threads("timers")) {
      if (this.#isClosed) return;
      if (!this.#rows.has(threadId)) await this.noteArriving(threadId);
    }
  }

  /** The thread was another process's so far: what stands in its note now goes on here, and nothing is written before that is known. Never rejects. */
  noteArriving(threadId: ThreadId): Promise<void> {
    const known = this.#writes.isBusy(threadId) ? [] : [...(this.#rows.get(threadId)?.values() ?? [])];
    const reading = this.#read(threadId, known)
      .catch((err: unknown) => {
        if (!this.#isClosed) this.#host.logger.warn({ threadId, err }, "the timers of a thread could not be read");
      })
      .finally(() => {
        if (this.#reading.get(threadId) === reading) this.#reading.delete(threadId);
      });
    this.#reading.set(threadId, reading);
    return reading;
  }

  /** @param known what the note had when it was this process's */
  async #read(threadId: ThreadId, known: readonly Row[]): Promise<void> {
    const note = await this.#host.notesOf(threadId).read(threadId, "timers");
    const timers = note === undefined ? [] : parseWith(timersNoteSchema, note, `the timers of thread ${threadId}`);
    const ids = new Set(timers.map(({ id }) => id));
    for (const row of known) if (this.#isCurrent(row) && !ids.has(row.timer.id)) this.#remove(row);
    for (const timer of timers) {
      const row = this.#rows.get(threadId)?.get(timer.id);
      if (row === undefined) this.#place({ threadId, timer, retryAt: undefined, isFiring: false, last: undefined });
      else if (known.includes(row) && !isAsFar(row.timer, timer)) this.#place({ ...row, timer, isFiring: false });
    }
    this.#wakeForNext();
  }

  /** Resolves when it is stored. @throws InvalidRequestError, ThreadNotFoundError, StoreIoError */
  async schedule(threadId: ThreadId, when: When, given: Op, options: ScheduleOptions): Promise<ScheduledTimer> {
    checkCall("schedule", options);
    const { id = newTurnId() } = options;
    const op = parseOp(given);
    if (this.#host.isRemoved(threadId)) throw new ThreadNotFoundError(threadId);
    const timer: StoredTimer = {
      id,
      set: newTurnId(),
      op,
      ...readWhen(when, this.#host.clock.now()),
      next: 0,
      fired: 0,
    };
    const row: Row = { threadId, timer, retryAt: undefined, isFiring: false, last: undefined };
    const before = this.#rows.get(threadId)?.get(id);
    this.#place(row);
    try {
      await this.#store(threadId);
    } catch (error) {
      if (this.#rows.get(threadId)?.get(id) === row) {
        this.#remove(row);
        if (before !== undefined) this.#place(before);
      }
      throw error;
    }
    this.#wakeAt(dueAtOf(timer));
    return { id, dueAt: dueAtOf(timer), cancel: () => this.cancel(threadId, id, timer.set) };
  }

  /** @param set only the one that was set then, and none that has replaced it */
  async cancel(threadId: ThreadId, id: string, set?: string): Promise<{ cancelled: boolean; fired: number }> {
    const row = this.#rows.get(threadId)?.get(id);
    if (row === undefined || (set !== undefined && row.timer.set !== set)) {
      return { cancelled: false, fired: (set && this.#fired.get(set)) || 0 };
    }
    this.#remove(row);
    await this.#store(threadId);
    return { cancelled: true, fired: row.timer.fired };
  }

  /** The timers of a thread, the next one first. */
  of(threadId: ThreadId): readonly { readonly id: string; readonly dueAt: number }[] {
    return [...(this.#rows.get(threadId)?.values() ?? [])]
      .map(({ timer }) => ({ id: timer.id, dueAt: dueAtOf(timer) }))
      .toSorted((a, b) => a.dueAt - b.dueAt);
  }

  /** The thread has ended for good: its timers with it; or it has moved away, with its timers. */
  forget(threadId: ThreadId, fate: "ended" | "moved"): void {
    if (!this.#rows.delete(threadId)) return;
    this.#sleepIfEmpty();
    if (fate === "moved") {
      if (this.#writes.isBusy(threadId)) this.#movedMeanwhile.add(threadId);
      return;
    }
    this.#store(threadId).catch((err: unknown) =>
      this.#host.logger.warn({ threadId, err }, "timers could not be dropped"),
    );
  }

  #place(row: Row): void {
    const rows = this.#rows.get(row.threadId) ?? new Map<string, Row>();
    rows.set(row.timer.id, row);
    this.#rows.set(row.threadId, rows);
    this.#await(row);
  }

  #await(row: Row): void {
    this.#due.push(dueAtOfRow(row), row);
    if (this.#due.size > this.#mostEntries) this.#rebuild();
  }

  #rebuild(): void {
    this.#due.clear();
    for (const rows of this.#rows.values()) {
      for (const row of rows.values()) if (!row.isFiring) this.#due.push(dueAtOfRow(row), row);
    }
    this.#mostEntries = 2 * this.#due.size + SPARE_ENTRIES;
  }

  /** When the next one is due; entries that are none any more are left behind. */
  #nextDue(): number {
    for (let first = this.#due.first; first !== undefined; first = this.#due.first) {
      const { key, value: row } = first;
      if (this.#isCurrent(row) && !row.isFiring && key === dueAtOfRow(row)) return key;
      this.#due.pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Neither taken away nor replaced. */
  #isCurrent(row: Row): boolean {
    return this.#rows.get(row.threadId)?.get(row.timer.id) === row;
  }

  #remove({ threadId, timer }: Row): void {
    const rows = this.#rows.get(threadId);
    rows?.delete(timer.id);
    if (rows?.size === 0) this.#rows.delete(threadId);
    this.#sleepIfEmpty();
  }

  #store(threadId: ThreadId): Promise<void> {
    return this.#writes.ask(threadId, async () => {
      await this.#reading.get(threadId);
      const rows = this.#rows.get(threadId);
      if (this.#movedMeanwhile.delete(threadId) && rows === undefined) return;
      const timers = [...(rows?.values() ?? [])].map(({ timer }) => timer);
      await this.#host.notesOf(threadId).write(threadId, "timers", timers.length === 0 ? undefined : timers);
    });
  }

  /** Wakes then at the latest. A wake that comes too early, since what it was for is gone, looks for the next one. */
  #wakeAt(at: number): void {
    if (this.#isClosed || at >= this.#wakesAt) return;
    const { clock } = this.#host;
    clock.clearTimeout(this.#wake);
    this.#wakesAt = at;
    const wake = () => {
      this.#wakesAt = Number.POSITIVE_INFINITY;
      this.#fireDue();
    };
    this.#wake = clock.background(wake, Math.min(LOOK_MS, Math.max(0, at - clock.now())));
  }

  #sleepIfEmpty(): void {
    if (this.#rows.size > 0 && !this.#isClosed) return;
    this.#host.clock.clearTimeout(this.#wake);
    this.#wakesAt = Number.POSITIVE_INFINITY;
  }

  #wakeForNext(): void {
    const next = this.#nextDue();
    if (next !== Number.POSITIVE_INFINITY) this.#wakeAt(next);
  }

  /** So many at once as may be, each as long as any is due. */
  #fireDue(): void {
    if (this.#isClosed) return;
    while (this.#firing.size < MOST_AT_ONCE && this.#nextDue() <= this.#host.clock.now()) {
      const firing = this.#fireAll().finally(() => this.#firing.delete(firing));
      this.#firing.add(firing);
    }
    if (this.#firing.size < MOST_AT_ONCE) this.#wakeForNext();
  }

  /** One after another, the oldest due first; however many there are, the loop turns. */
  async #fireAll(): Promise<void> {
    while (!this.#isClosed && this.#nextDue() <= this.#host.clock.now()) {
      const row = this.#due.pop();
      if (row === undefined) break;
      row.isFiring = true;
      try {
        await this.#fire(row, this.#host.clock.now());
      } catch (err) {
        this.#host.logger.warn({ threadId: row.threadId, err }, "a timer that fired could not be noted");
      }
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
    }
    this.#wakeForNext();
  }

  async #fire(row: Row, now: number): Promise<void> {
    const { threadId, timer } = row;
    const last = lastDue(timer, now);
    try {
      const thread = await this.#host.bring(threadId);
      let given = 0;
      const firings = isAtWork(thread, row) ? [] : firingsOf(timer, now);
      for (const firing of firings) {
        if (!this.#isCurrent(row)) return;
        await this.#give(thread, row, firing, now);
        given += 1;
      }
      if (!this.#isCurrent(row)) return;
      this.#note(row, last + 1, timer.fired + given);
      await this.#store(threadId);
    } catch (error) {
      await this.#failed(row, error);
    }
  }

  async #give(thread: LiveThread, row: Row, firing: Firing, now: number): Promise<void> {
    const { id, op, fired } = submissionOf(row.timer, firing, now);
    await thread.submitWithId({ id, op });
    row.last = id;
    thread.incarnation.publish(id, { type: "timer_fired", ...fired });
  }

  /** What has fired goes on to its next time, or is over. */
  #note(row: Row, next: number, fired: number): void {
    const { timer } = row;
    if (timer.every !== null) {
      const later = { ...timer, next, fired };
      this.#place({ ...row, timer: later, retryAt: undefined, isFiring: false });
      this.#wakeAt(dueAtOf(later));
      return;
    }
    this.#remove(row);
    this.#fired.set(timer.set, fired);
    const [oldest] = this.#fired.keys();
    if (this.#fired.size > 1_000 && oldest !== undefined) this.#fired.delete(oldest);
  }

  async #failed(row: Row, error: unknown): Promise<void> {
    const { threadId, timer } = row;
    const { logger, clock } = this.#host;
    if (this.#isClosed || !this.#isCurrent(row)) return;
    // Of an end, or a move, whoever ends or moves the thread tells.
    if (error instanceof RolloutNotFoundError) {
      logger.warn({ threadId, timer: timer.id }, "a timer's thread is not there any more");
      this.forget(threadId, "ended");
      return;
    }
    // Another process has the thread, and fires its timers; what it leaves is taken up when it is gone.
    const level = error instanceof ThreadBusyError ? "debug" : "warn";
    logger[level]({ threadId, timer: timer.id, err: error }, "a timer could not fire yet");
    row.retryAt = clock.now() + TRY_AGAIN_MS;
    row.isFiring = false;
    this.#await(row);
    this.#wakeAt(row.retryAt);
    if (error instanceof ThreadBusyError) await this.#reread(row);
  }

  /** What the other process has made of it. */
  async #reread(row: Row): Promise<void> {
    const { threadId } = row;
    const note = await this.#host.notesOf(threadId).read(threadId, "timers");
    const timers = timersNoteSchema.safeParse(note ?? []);
    if (!timers.success || !this.#isCurrent(row)) return;
    const now = timers.data.find(({ id }) => id === row.timer.id);
    if (now === undefined) this.#remove(row);
    else this.#place({ ...row, timer: now });
  }

  /** Resolves when nothing of the thread is being written any more. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#writes.rest(threadId);
  }

  /** Nothing fires any more; resolves when what was firing is done, and everything is stored or has failed to be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sleepIfEmpty();
    await Promise.allSettled([...this.#firing]);
    await this.#writes.settled();
  }
}

/** The turn of its last firing runs, or waits: two turns of one timer never queue up. */
const isAtWork = ({ activeTurn, incarnation }: LiveThread, { timer, last }: Row): boolean =>
  last !== undefined &&
  taskKindOf(timer.op) !== undefined &&
  (activeTurn?.submissionId === last || incarnation.intake.ledger.isWaiting(last));

/** The same timer, which has fired as often. */
const isAsFar = (a: StoredTimer, b: StoredTimer): boolean => a.set === b.set && a.next === b.next;

const dueAtOfRow = ({ timer, retryAt }: Row): number => retryAt ?? dueAtOf(timer);
