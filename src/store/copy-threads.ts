/**
 * Threads from one store to another, as they lie there.
 *
 * - A thread comes whole or not at all, with its name, its place among the archived and what was noted of it. Bases come
 *   before their forks, so a copy that broke off is gone on with by doing it again.
 * - A fork stays a fork where what it inherits is the same over there, line for line; else its lines are written out.
 * - What is there already is compared and never changed.
 */
import { SkeinError, StoreIoError, ThreadBusyError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { everyThread } from "./every-thread.ts";
import { ifStored } from "./is-stored.ts";
import type { MovableStore, StoredImage, StoredLine, ThreadImage } from "./movable-store.ts";
import { lineAt, peekType, withBaseBytes } from "./rollout/codec.ts";
import { flatHistory } from "./rollout/flat-history.ts";
import { flatMeta } from "./rollout/flatten.ts";
import { NOTE_KINDS } from "./standing-notes.ts";
import { ALL_SOURCE_KINDS } from "./thread-query.ts";

/**
 * What became of a thread. `present`: it is there already, the same. `differs`: another one of this id is there, or one that
 * went on; nothing of it was changed. `busy`: somebody writes it. `failed`: `detail` says why.
 */
export type CopyStatus = "copied" | "present" | "differs" | "busy" | "failed";

export type CopyOutcome = {
  readonly threadId: ThreadId;
  readonly status: CopyStatus;
  /** Its lines were written out, since what it inherits is not there. */
  readonly flattened: boolean;
  readonly lines: number;
  /** What of a copied thread was not there to be read, such as garbage between its lines; the first hundred. */
  readonly left: readonly string[];
  readonly detail: string | null;
};

export type CopyOptions = {
  readonly from: MovableStore;
  readonly to: MovableStore;
  /** Default: all. */
  readonly ids?: readonly ThreadId[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?:
    | ((progress: { readonly done: number; readonly total: number; readonly lines: number }) => void)
    | undefined;
};

/**
 * Copies threads, and tells of each what became of it.
 *
 * @throws StoreIoError when one of the stores does not answer any more: doing it again goes on; the signal's reason
 */
export async function* copyThreads(options: CopyOptions): AsyncGenerator<CopyOutcome> {
  const { from, ids, signal } = options;
  const wanted = new Set(ids ?? (await everyId(from, signal)));
  const copy = new Copy(options, wanted.size);
  for (const id of wanted) yield* copy.withBases(id, wanted);
}

async function everyId(store: MovableStore, signal: AbortSignal | undefined): Promise<ThreadId[]> {
  const ids: ThreadId[] = [];
  for (const archived of [false, true]) {
    const query = { archived, sourceKinds: ALL_SOURCE_KINDS };
    for await (const { threadId } of everyThread(store, query, signal)) ids.push(threadId);
  }
  return ids;
}

const MAX_LEFT = 100;
/** The whole thread is the same over there. */
const ALL = Number.POSITIVE_INFINITY;

class Copy {
  readonly #options: CopyOptions;
  readonly #total: number;
  /** How many lines of a thread are the same over there, inherited ones included. */
  readonly #same = new Map<ThreadId, number>();
  readonly #done = new Set<ThreadId>();
  #lines = 0;

  constructor(options: CopyOptions, total: number) {
    this.#options = options;
    this.#total = total;
  }

  /** The thread, after those that it inherits from and that are wanted too. */
  async *withBases(id: ThreadId, wanted: ReadonlySet<ThreadId>): AsyncGenerator<CopyOutcome> {
    const line: ThreadId[] = [id];
    const inLine = new Set(line);
    for (let at = line.at(-1); at !== undefined; at = line.at(-1)) {
      const image = this.#done.has(at) ? undefined : await this.#look(at);
      const base = image instanceof Error ? undefined : image?.base?.threadId;
      if (base !== undefined && wanted.has(base) && !this.#done.has(base) && !inLine.has(base)) {
        line.push(base);
        inLine.add(base);
        continue;
      }
      line.pop();
      if (image === undefined) continue;
      const outcome = image instanceof Error ? failed(at, image) : await this.#one(image);
      this.#done.add(at);
      this.#lines += outcome.lines;
      this.#tell();
      yield outcome;
    }
  }

  #tell(): void {
    this.#options.onProgress?.({ done: this.#done.size, total: this.#total, lines: this.#lines });
  }

  async #look(id: ThreadId): Promise<StoredImage | Error> {
    this.#options.signal?.throwIfAborted();
    try {
      return await this.#options.from.image(id);
    } catch (error) {
      return await this.#reasonOf(error);
    }
  }

  /** Of one thread; a store that does not answer any more ends the copy. */
  async #reasonOf(error: unknown): Promise<Error> {
    const { from, to, signal } = this.#options;
    if (signal?.aborted) throw signal.reason;
    if (!(error instanceof SkeinError)) throw error;
    if (error instanceof StoreIoError) for (const store of [from, to]) await store.list({ limit: 1 });
    return error;
  }

  async #one(image: StoredImage): Promise<CopyOutcome> {
    const { threadId, owner } = image;
    if (owner !== null) return failed(threadId, new ThreadBusyError(threadId, owner));
    try {
      const there = await ifStored(this.#options.to.image(threadId));
      return there === undefined ? await this.#place(image) : await this.#compared(image, there);
    } catch (error) {
      return failed(threadId, await this.#reasonOf(error));
    }
  }

  async #place(image: StoredImage): Promise<CopyOutcome> {
    const { to, signal } = this.#options;
    const { threadId } = image;
    const isShared = image.base === null || (await this.#hasBase(image, to.sharesLegacyLines));
    const left: string[] = [];
    let lines = 0;
    const onLeft = (why: string) => left.length < MAX_LEFT && left.push(why);
    const form: ThreadImage = isShared ? image : flattened(image);
    const watched: ThreadImage = {
      ...form,
      lines: async function* (this: void, read = {}) {
        for await (const page of form.lines({ ...read, onLeft })) {
          lines += page.length;
          yield page;
        }
      },
    };
    await to.place(
      { ...watched, lines: (read) => this.#unlessWritten(image, watched.lines(read)) },
      signal === undefined ? {} : { signal },
    );
    await this.#takeNotes(threadId);
    this.#same.set(threadId, isShared ? ALL : 0);
    return { threadId, status: "copied", flattened: !isShared, lines, left, detail: null };
  }

  /** What is kept of the thread beside its lines; what stands there already stays. */
  async #takeNotes(threadId: ThreadId): Promise<void> {
    const { notes: here } = this.#options.from;
    const { notes: there } = this.#options.to;
    if (here === undefined || there === undefined) return;
    for (const kind of NOTE_KINDS) {
      const note = await here.read(threadId, kind);
      if (note !== undefined && (await there.read(threadId, kind)) === undefined)
        await there.write(threadId, kind, note);
    }
  }

  /** Somebody may begin to write it meanwhile: then what came is not the whole, and nothing is stored. */
  async *#unlessWritten(image: StoredImage, pages: AsyncIterable<readonly StoredLine[]>) {
    yield* pages;
    const now = await this.#options.from.image(image.threadId);
    if (now.owner !== null || now.size !== image.size)
      throw new ThreadBusyError(image.threadId, now.owner ?? undefined);
  }

  /** Whether what the thread inherits is the same over there. */
  async #hasBase({ base, historyMode }: ThreadImage, sharesLegacyLines: boolean): Promise<boolean> {
    if (base === null || (historyMode === "legacy" && !sharesLegacyLines)) return false;
    const known = this.#same.get(base.threadId) ?? (await this.#compareHistories(base.threadId));
    return known >= base.end;
  }

  async #compareHistories(threadId: ThreadId): Promise<number> {
    const here = await this.#look(threadId);
    const there = here instanceof Error ? undefined : await ifStored(this.#options.to.image(threadId));
    const same =
      here instanceof Error || there === undefined ? 0 : await this.#sameLines(here, here.history(), there.history());
    this.#same.set(threadId, same);
    return same;
  }

  async #compared(image: StoredImage, there: StoredImage): Promise<CopyOutcome> {
    const { threadId } = image;
    const isFlat = image.base !== null && there.base === null;
    const isSameBase = image.base?.threadId === there.base?.threadId && image.base?.end === there.base?.end;
    const form = isFlat ? flattened(image) : image;
    let why = noteThatDiffers(image, there);
    let same = 0;
    if (!isFlat && !isSameBase) why = "it inherits other lines there";
    else if (!isFlat && image.base !== null && !(await this.#hasBase(image, true)))
      why = "what it inherits is not the same there";
    else {
      same = await this.#sameLines(image, form.lines(), there.lines());
      if (same !== ALL) why = `its lines differ from line ${same} on`;
    }
    this.#same.set(threadId, isFlat ? 0 : same);
    if (why === undefined) await this.#takeNotes(threadId);
    const status = why === undefined ? "present" : "differs";
    return { threadId, status, flattened: isFlat, lines: 0, left: [], detail: why ?? null };
  }

  /** The ordinal of the first line that differs; infinite where none does. */
  async #sameLines(
    { historyMode }: ThreadImage,
    here: AsyncIterable<readonly StoredLine[]>,
    there: AsyncIterable<readonly StoredLine[]>,
  ): Promise<number> {
    const lines = oneByOne(there);
    let next = 0;
    for await (const page of here) {
      this.#options.signal?.throwIfAborted();
      for (const line of page) {
        const other = await lines.next();
        if (other.done || !isSameLine(line, other.value, historyMode === "legacy")) {
          await lines.return(undefined);
          return line.ordinal;
        }
        next = line.ordinal + 1;
      }
    }
    return (await lines.next()).done ? ALL : next;
  }
}

async function* oneByOne(pages: AsyncIterable<readonly StoredLine[]>): AsyncGenerator<StoredLine, undefined> {
  for await (const page of pages) yield* page;
}

/** Legacy lines have no ordinal in files; the bytes of a base are of its file. */
function isSameLine(a: StoredLine, b: StoredLine, isLegacy: boolean): boolean {
  if (a.ordinal !== b.ordinal) return false;
  if (a.text === b.text) return true;
  const plain = ({ ordinal, text }: StoredLine) => {
    const line = lineAt(text, isLegacy ? undefined : ordinal);
    return peekType(line) === "session_meta" ? withBaseBytes(line, 0) : line;
  };
  return plain(a) === plain(b);
}

const flattened = (image: StoredImage): ThreadImage => ({
  ...image,
  meta: flatMeta(image.meta, image.historyMode),
  base: null,
  lines: (read) => flatHistory(image, image.historyMode, read),
});

function noteThatDiffers(here: ThreadImage, there: ThreadImage): string | undefined {
  if (here.name !== there.name) return "its name is another one there";
  if (here.archived !== there.archived) return there.archived ? "it is archived there" : "it is not archived there";
  return undefined;
}

function failed(threadId: ThreadId, error: Error): CopyOutcome {
  const status = error instanceof ThreadBusyError ? "busy" : "failed";
  return { threadId, status, flattened: false, lines: 0, left: [], detail: error.message };
}
