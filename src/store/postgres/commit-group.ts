/**
 * Group commit over all threads of a store: one statement stores what waits of all of them.
 *
 * PB1  Only one batch is under way, so the lines of a thread are stored in their order; what comes meanwhile is the next.
 * PB2  A thread's part is fenced in the statement itself: it is stored only under the epoch that the thread has, and only
 *     right after the line that was stored before. A batch that is given twice is stored once.
 * PB3  What cannot be stored waits, and is tried again with growing pauses and at each flush. Nothing is dropped but what
 *     another writer's epoch shuts out.
 * PB4  A thread whose row another transaction holds is given apart, and is in no batch until that has ended: all others go on.
 */
import { backoffDelay } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import { RolloutNotFoundError, StoreIoError, ThreadBusyError } from "../../protocol/errors.ts";
import type { MarkLookups } from "./anchors.ts";
import { batchStatement, type Part, partOf, stateStatement } from "./batch.ts";
import type { OnLock, PostgresDatabase } from "./database.ts";
import { isLocked, isOfTheStatement, storeFailure } from "./failure.ts";
import { readRow, type Summary, summaryOf } from "./thread-row.ts";
import type { LineGroup, PostgresWriter } from "./writer.ts";

const RETRY = { baseMs: 100, factor: 2, maxMs: 5_000 } as const;
/** What waits beyond this is stored at once. */
const HURRY_CHARS = 256 * 1024;

export class CommitGroup implements LineGroup {
  readonly clock: Clock;
  readonly #database: PostgresDatabase;
  readonly #lookups: MarkLookups;
  readonly #dirty = new Set<PostgresWriter>();
  #waitingChars = 0;
  readonly #failing = new Set<PostgresWriter>();
  readonly #apart = new Map<PostgresWriter, Promise<void>>();
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #tick: NodeJS.Immediate | undefined;
  #retry: unknown;
  #attempts = 0;

  constructor(database: PostgresDatabase, lookups: MarkLookups) {
    this.clock = database.clock;
    this.#database = database;
    this.#lookups = lookups;
  }

  add(writer: PostgresWriter, chars: number): void {
    this.#dirty.add(writer);
    this.#waitingChars += chars;
    if (this.#waitingChars > HURRY_CHARS) this.#start();
    else this.#tick ??= setImmediate(() => this.#start());
  }

  hurry(writer: PostgresWriter): void {
    this.#dirty.add(writer);
    this.#start();
  }

  #start(): void {
    if (this.#tick !== undefined) clearImmediate(this.#tick);
    this.#tick = undefined;
    if (this.#isRunning) return;
    this.#isRunning = true;
    // Never rejects: each writer is told how its part ended.
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    // Those who append in one go come together.
    await Promise.resolve();
    while (this.#dirty.size > 0) {
      const writers = [...this.#dirty];
      this.#dirty.clear();
      this.#waitingChars = 0;
      const failed = await this.#store(writers);
      if (failed.length > 0) this.#later(failed);
      else this.#attempts = 0;
    }
    this.#isRunning = false;
  }

  /** @returns those whose lines still wait after a failure */
  async #store(writers: readonly PostgresWriter[]): Promise<PostgresWriter[]> {
    const parts: Part[] = [];
    const failed: PostgresWriter[] = [];
    for (const writer of writers) {
      if (writer.hasEnded || !writer.dirty || this.#apart.has(writer)) continue;
      try {
        parts.push(await partOf(writer, this.#lookups));
      } catch (error) {
        writer.fail(storeFailure(error));
        failed.push(writer);
      }
    }
    return [...failed, ...(await this.#storeParts(parts, "tell"))];
  }

  async #storeParts(parts: readonly Part[], onLock: OnLock): Promise<PostgresWriter[]> {
    if (parts.length === 0) return [];
    try {
      const rows = await this.#database.run({ ...batchStatement(this.#database.schema, parts), onLock });
      const stored = new Set(rows.map(({ t }) => Number(t)));
      const left = parts.filter(({ writer }) => !stored.has(writer.t));
      for (const { writer, next, summary } of parts) if (stored.has(writer.t)) this.#settle(writer, next, summary);
      return await this.#explain(left);
    } catch (error) {
      const { cause } = error as Error;
      // One thread's lines must not hold up all others'.
      if ((isLocked(cause) && onLock === "tell") || (isOfTheStatement(cause) && parts.length > 1)) {
        for (const part of parts) this.#giveApart(part);
        return [];
      }
      for (const { writer } of parts) writer.fail(storeFailure(error));
      return parts.map(({ writer }) => writer).filter(({ hasEnded }) => !hasEnded);
    }
  }

  #giveApart(part: Part): void {
    const { writer } = part;
    const given = this.#storeParts([part], "wait").then((failed) => {
      this.#apart.delete(writer);
      if (failed.length > 0) this.#later(failed);
      else if (writer.dirty) this.hurry(writer);
    });
    this.#apart.set(writer, given);
  }

  #settle(writer: PostgresWriter, next: number, summary: Summary): void {
    writer.settle(next, summary);
    // What came meanwhile, or did not fit.
    if (writer.dirty) this.#dirty.add(writer);
  }

  /** Why the threads took nothing: they have it already, or are another's, or gone. */
  async #explain(parts: readonly Part[]): Promise<PostgresWriter[]> {
    if (parts.length === 0) return [];
    const { schema } = this.#database;
    const rows = await this.#database.run(stateStatement(schema, parts));
    const found = new Map(rows.map(readRow).map((row) => [row.t, row]));
    const failed: PostgresWriter[] = [];
    for (const { writer, next } of parts) {
      const row = found.get(writer.t);
      if (row === undefined || row.deleted) {
        writer.end(new RolloutNotFoundError(`thread ${writer.threadId} was deleted`));
      } else if (row.epoch !== writer.epoch) {
        writer.end(new ThreadBusyError(writer.threadId, row.owner ?? undefined));
      } else if (row.next === writer.stored) failed.push(writer);
      // A batch of before was stored, and nobody heard so; since then more lines have come.
      else if (row.next > writer.stored && row.next <= next) this.#settle(writer, row.next, summaryOf(row));
      else writer.end(new StoreIoError(`thread ${writer.threadId} ends at line ${row.next}, not ${writer.stored}`));
    }
    return failed;
  }

  #later(writers: readonly PostgresWriter[]): void {
    for (const writer of writers) this.#failing.add(writer);
    this.#attempts += 1;
    this.#retry ??= this.clock.background(
      () => {
        this.#retry = undefined;
        for (const writer of this.#failing) if (writer.dirty) this.#dirty.add(writer);
        this.#failing.clear();
        this.#start();
      },
      backoffDelay(this.#attempts, RETRY),
    );
  }

  /** Resolves when no batch is under way, and none comes. */
  async close(): Promise<void> {
    while (this.#isRunning || this.#apart.size > 0) await Promise.all([this.#running, ...this.#apart.values()]);
    if (this.#retry !== undefined) this.clock.clearTimeout(this.#retry);
    if (this.#tick !== undefined) clearImmediate(this.#tick);
  }
}
