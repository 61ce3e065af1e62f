/**
 * Durable messages (SEMANTICS 9.6): they stand in a note beside their receiver, which only the process that has the receiver writes, until
 * it has handled them. They are given to it one at a time, in the order in which they were stored.
 *
 * Each time is counted on the message, and stored, before the receiver hears of it: so one that ends its receiver's lives, or its
 * process, is known in the next one and is set aside after {@link MOST_ATTEMPTS}. Of those that another process may send again the newest that
 * were handled are known as well.
 */
import * as z from "zod";
import type { SkeinLogger } from "../kernel/log.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { MessageRefusedError, OverloadedError, type SkeinError, ThreadClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { SingleFlight } from "../services/single-flight.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { asideSchema, type Letter, letterSchema, type SetAsideMessage, type ThreadMail } from "./letter.ts";
import type { MessageOutcome } from "./open-messages.ts";

/** So often a message may be given to its receiver, where each time ends the receiver's life. */
const MOST_ATTEMPTS = 2;
/** So many that were set aside are kept, the newest. */
const KEPT_ASIDE = 100;
/** So many ids of handled ones are kept. */
const KEPT_HANDLED = 100;

const mailSchema = z.object({
  waiting: z.array(letterSchema),
  setAside: z.array(asideSchema),
  handled: z.array(z.string()).default([]),
});

/** Whether a note of a thread's mail has any that waits. */
export const hasWaitingMail = (note: unknown): boolean => {
  const { success, data } = mailSchema.safeParse(note);
  return success && data.waiting.length > 0;
};

type Box = {
  readonly threadId: ThreadId;
  readonly notes: StandingNotes;
  waiting: Letter[];
  setAside: SetAsideMessage[];
  handled: readonly string[];
  /** Those that `send` has not answered for yet: they wait until they are stored. */
  readonly unstored: Set<Letter>;
  isDropped: boolean;
};

/** Whose mail it is. */
export interface MailHost {
  readonly logger: SkeinLogger;
  readonly isClosing: boolean;
  readonly capacity: number;
  notesOf(config: { readonly ephemeral: boolean }): StandingNotes;
  /** Gives one to its receiver, and waits for what becomes of it. Rejects where it could not be given. */
  deliver(to: ThreadId, letter: Letter): Promise<MessageOutcome>;
  /** It is not given any more. */
  bury(to: ThreadId, letter: Letter, error: unknown): void;
}

export class Mail {
  readonly #host: MailHost;
  readonly #boxes = new Map<ThreadId, Promise<Box>>();
  readonly #writes = new SingleFlight<void, ThreadId>();
  readonly #serving = new Set<Promise<void>>();
  readonly #served = new Set<Box>();
  /** Threads that have just come into memory, and whose boxes are being read. */
  readonly #reading = new Set<{ readonly threadId: ThreadId }>();

  constructor(host: MailHost) {
    this.#host = host;
  }

  /** How many threads have mail that waits: for tests, which expect none once all is handled. */
  get size(): number {
    return this.#boxes.size;
  }

  /** Whether mail of the thread is being given to it, or will be where there is any. */
  isServing(threadId: ThreadId): boolean {
    return [...this.#served, ...this.#reading].some((each) => each.threadId === threadId);
  }

  /** Resolves when the message is stored; one that is there already is so once. @throws OverloadedError, StoreIoError */
  async accept({ id, config }: LiveThread, letter: Letter): Promise<void> {
    const box = await this.#putIn(id, config, letter);
    try {
      await this.#store(box);
    } catch (error) {
      box.waiting = box.waiting.filter((one) => one !== letter);
      throw error;
    } finally {
      box.unstored.delete(letter);
    }
    this.#serve(box);
  }

  /** A thread is in memory: what waits for it is given to it. */
  noteLoaded({ id, config }: LiveThread): void {
    const place = { threadId: id };
    this.#reading.add(place);
    const reading = this.#boxOf(id, config).then((box) => this.#serve(box));
    const read = reading.finally(() => this.#reading.delete(place));
    read.catch((err: unknown) => {
      if (!this.#host.isClosing) this.#host.logger.warn({ threadId: id, err }, "a thread's mail could not be read");
    });
  }

  /** What waits, and what was set aside. */
  async of(threadId: ThreadId, config: { readonly ephemeral: boolean }): Promise<ThreadMail> {
    const box = await this.#boxOf(threadId, config);
    this.#leaveIfEmpty(box);
    return { waiting: [...box.waiting], setAside: [...box.setAside] };
  }

  /** The thread has ended for good: what it has not handled reaches nobody; or it lives elsewhere, with its mail. */
  async forget(threadId: ThreadId, fate: "ended" | "moved", error?: unknown): Promise<void> {
    const box = await this.#boxes.get(threadId)?.catch(() => undefined);
    if (box === undefined) return;
    box.isDropped = true;
    this.#boxes.delete(threadId);
    if (fate === "moved") return;
    const left = box.waiting;
    box.waiting = [];
    for (const letter of left)
      this.#host.bury(threadId, letter, new ThreadClosedError(threadId, letter.message, error));
    await this.#store(box).catch((err: unknown) =>
      this.#host.logger.warn({ threadId, err }, "the mail of a thread that has ended could not be dropped"),
    );
  }

  /** Resolves when nothing of the thread's mail is being written any more. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#writes.rest(threadId);
  }

  /** Resolves when nothing more is written. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#serving]);
    await this.#writes.settled();
  }

  #boxOf(threadId: ThreadId, config: { readonly ephemeral: boolean }): Promise<Box> {
    const known = this.#boxes.get(threadId);
    if (known !== undefined) return known;
    const opening = this.#open(threadId, this.#host.notesOf(config));
    this.#boxes.set(threadId, opening);
    opening.catch(() => this.#boxes.delete(threadId));
    return opening;
  }

  /** Puts the letter into the box that is in use once the wait for it is over: in one step, so that the box is not left meanwhile. */
  async #putIn(threadId: ThreadId, config: { readonly ephemeral: boolean }, letter: Letter): Promise<Box> {
    for (;;) {
      const opening = this.#boxOf(threadId, config);
      const box = await opening;
      if (this.#boxes.get(threadId) !== opening) continue;
      const isKnown = [...box.waiting, ...box.setAside].some((one) => one.id === letter.id);
      if (isKnown || box.handled.includes(letter.id)) return box;
      if (box.waiting.length >= this.#host.capacity) {
        throw new OverloadedError(
          `thread ${threadId} has ${box.waiting.length} durable messages waiting, and no room; try again later`,
        );
      }
      box.waiting.push(letter);
      box.unstored.add(letter);
      return box;
    }
  }

  async #open(threadId: ThreadId, notes: StandingNotes): Promise<Box> {
    // What an earlier box of the thread has left to be written comes first.
    await this.#writes.rest(threadId);
    const note = await notes.read(threadId, "mail");
    const read = mailSchema.safeParse(note ?? { waiting: [], setAside: [] });
    if (!read.success) {
      this.#host.logger.warn({ threadId, err: read.error }, "a thread's mail can't be read, and is left alone");
      throw read.error;
    }
    return { threadId, notes, ...read.data, unstored: new Set(), isDropped: false };
  }

  #store(box: Box): Promise<void> {
    const { threadId, notes } = box;
    return this.#writes.ask(threadId, async () => {
      const { waiting, setAside, handled } = box;
      const isEmpty = waiting.length + setAside.length + handled.length === 0;
      await notes.write(threadId, "mail", isEmpty ? undefined : { waiting, setAside, handled });
    });
  }

  #serve(box: Box): void {
    if (this.#served.has(box)) return;
    this.#served.add(box);
    const serving = this.#giveAll(box)
      .catch((err: unknown) => {
        const { threadId } = box;
        if (!this.#host.isClosing) this.#host.logger.warn({ threadId, err }, "a thread's mail waits for its next life");
      })
      .finally(() => {
        this.#serving.delete(serving);
        this.#leaveIfEmpty(box);
      });
    this.#serving.add(serving);
  }

  #leaveIfEmpty(box: Box): void {
    if (box.waiting.length === 0 && !this.#served.has(box)) this.#boxes.delete(box.threadId);
  }

  async #giveAll(box: Box): Promise<void> {
    try {
      for (;;) {
        const letter = box.waiting.find((one) => !box.unstored.has(one));
        if (letter === undefined || box.isDropped || this.#host.isClosing) return;
        if (letter.attempts >= MOST_ATTEMPTS) await this.#setAside(box, letter, killer(box.threadId, letter));
        else if (!(await this.#give(box, letter))) return;
      }
    } finally {
      // In the same step as the last look: what comes later begins anew.
      this.#served.delete(box);
    }
  }

  /** @returns whether the next one may be given */
  async #give(box: Box, letter: Letter): Promise<boolean> {
    letter.attempts += 1;
    await this.#store(box);
    if (box.isDropped) return false;
    const outcome = await this.#host.deliver(box.threadId, letter).catch((error: unknown) => ({ undelivered: error }));
    if (box.isDropped) return false;
    if ("undelivered" in outcome && outcome.undelivered instanceof MessageRefusedError) {
      await this.#setAside(box, letter, outcome.undelivered);
      return true;
    }
    // A life that did not end by its own failure is not the message's doing.
    const isCounted = "lost" in outcome && outcome.lost.reason === "crashed";
    if (isCounted) return true;
    if ("lost" in outcome || "undelivered" in outcome) {
      letter.attempts -= 1;
      await this.#store(box);
      if ("undelivered" in outcome) throw outcome.undelivered;
      return false;
    }
    box.waiting = box.waiting.filter((one) => one !== letter);
    if (letter.mayComeAgain) box.handled = [...box.handled, letter.id].slice(-KEPT_HANDLED);
    await this.#store(box);
    return true;
  }

  async #setAside(box: Box, letter: Letter, error: SkeinError): Promise<void> {
    box.waiting = box.waiting.filter((one) => one !== letter);
    box.setAside = [...box.setAside, { ...letter, why: textOfThrown(error) }].slice(-KEPT_ASIDE);
    await this.#store(box);
    this.#host.bury(box.threadId, letter, error);
  }
}

const killer = (threadId: ThreadId, { message, attempts }: Letter): MessageRefusedError =>
  new MessageRefusedError(
    `message \`${message.type}\` was given to thread ${threadId} ${attempts} times, and each time its life or its process ended before it was handled; it is set aside`,
    { reason: "killer", threadId, messageType: message.type },
  );
