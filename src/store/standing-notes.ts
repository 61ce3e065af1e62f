/**
 * What the runtime keeps of a thread beside its lines: one small JSON value of each kind, replaced as a whole and gone with the
 * thread. Its budgets' use, its timers, what it watches and mail that has not been handled stand here and not in the rollout, since they have to
 * be found without loading the thread, change while another thread runs (a tree's use), and are no part of a fork.
 */
import type { ThreadId } from "../protocol/ids.ts";
import { jsonForm } from "../protocol/json-form.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";

/** What is kept of a thread beside its lines. */
export const NOTE_KINDS = ["budget", "timers", "mail", "notice", "watches", "cluster", "steps"] as const;
/** One kind of it. */
export type NoteKind = (typeof NOTE_KINDS)[number];

/** A part of the ThreadStore port: it goes by thread ids alone, and asks for no lease. */
export interface StandingNotes {
  /** What was written last; undefined when there is none. It is outside data: read it by a schema. */
  read(threadId: ThreadId, kind: NoteKind): Promise<unknown>;
  /**
   * Replaces it whole; undefined takes it away. What was written before this resolves outlives the process. A value with a `fence`, a number, never
   * replaces one with a higher `fence`, nor comes to stand beside a thread that is not stored (any more): what stands there stays, and nobody is
   * told. @throws StoreIoError
   */
  write(threadId: ThreadId, kind: NoteKind, value: unknown): Promise<void>;
  /** The threads that have one of this kind. */
  threads(kind: NoteKind): Promise<readonly ThreadId[]>;
}

/** A note as stores keep it. @throws InvalidRequestError for what is no JSON */
export const noteText = (kind: NoteKind, value: unknown): string => JSON.stringify(jsonForm(value, `a note (${kind})`));

/** What fences a note, if anything does: who stands still and writes late changes nothing of what a later life has written. */
export function fenceOf(value: unknown): number | undefined {
  return isJsonObject(value) && typeof value.fence === "number" ? value.fence : undefined;
}

/** Whether the note that stands there has a higher fence. */
export const isFenced = (noted: unknown, value: unknown): boolean =>
  (fenceOf(noted) ?? -Infinity) > (fenceOf(value) ?? Infinity);

/** Notes that live as long as this process does. */
export class MemoryNotes implements StandingNotes {
  readonly #isStored: (threadId: ThreadId) => boolean;
  readonly #notes = new Map<string, { readonly threadId: ThreadId; readonly kind: NoteKind; readonly json: string }>();

  /** @param isStored whose fenced notes are kept */
  constructor(isStored: (threadId: ThreadId) => boolean = () => true) {
    this.#isStored = isStored;
  }

  async read(threadId: ThreadId, kind: NoteKind): Promise<unknown> {
    const note = this.#notes.get(`${kind} ${threadId}`);
    return note === undefined ? undefined : JSON.parse(note.json);
  }

  async write(threadId: ThreadId, kind: NoteKind, value: unknown): Promise<void> {
    const key = `${kind} ${threadId}`;
    const noted = this.#notes.get(key);
    if (value === undefined) this.#notes.delete(key);
    else if (fenceOf(value) !== undefined && !this.#isStored(threadId)) return;
    else if (noted === undefined || !isFenced(JSON.parse(noted.json), value))
      this.#notes.set(key, { threadId, kind, json: noteText(kind, value) });
  }

  async threads(kind: NoteKind): Promise<readonly ThreadId[]> {
    return [...this.#notes.values()].filter((note) => note.kind === kind).map(({ threadId }) => threadId);
  }

  /** The thread is gone. */
  forget(threadId: ThreadId): void {
    for (const kind of NOTE_KINDS) this.#notes.delete(`${kind} ${threadId}`);
  }

  clear(): void {
    this.#notes.clear();
  }
}
