/** Standing notes in files: `standing/<kind>/<thread id>.json`, replaced by a rename, so that a reader finds one whole. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { StoreIoError } from "../../protocol/errors.ts";
import { isUuid, type ThreadId } from "../../protocol/ids.ts";
import { fenceOf, isFenced, NOTE_KINDS, type NoteKind, noteText, type StandingNotes } from "../standing-notes.ts";
import { type FileSystem, isMissing, namesIn, removeIfThere, writeNew } from "./file-system.ts";

const SUFFIX = ".json";

export class FileNotes implements StandingNotes {
  readonly #fs: FileSystem;
  readonly #folder: string;
  readonly #keepThread: (threadId: ThreadId) => void;
  readonly #isStored: (threadId: ThreadId) => Promise<boolean>;

  /**
   * @param home the store's; nothing is made in it before something is noted
   * @param thread.keep stores a thread whose file is still put off: what is noted of it outlives the process, and so has it to
   */
  constructor(
    fs: FileSystem,
    home: string,
    thread: { keep: (threadId: ThreadId) => void; isStored: (threadId: ThreadId) => Promise<boolean> },
  ) {
    this.#fs = fs;
    this.#folder = join(home, "standing");
    this.#keepThread = thread.keep;
    this.#isStored = thread.isStored;
  }

  #path(threadId: ThreadId, kind: NoteKind): string {
    return join(this.#folder, kind, `${threadId}${SUFFIX}`);
  }

  async read(threadId: ThreadId, kind: NoteKind): Promise<unknown> {
    return this.#read(this.#path(threadId, kind));
  }

  #read(path: string): unknown {
    let text: string;
    try {
      text = this.#fs.readText(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw new StoreIoError(`failed to read ${path}`, { cause: error });
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new StoreIoError(`${path} holds no JSON; remove it to go on without what it says`, { cause: error });
    }
  }

  async write(threadId: ThreadId, kind: NoteKind, value: unknown): Promise<void> {
    const path = this.#path(threadId, kind);
    const text = value === undefined ? undefined : noteText(kind, value);
    if (value !== undefined) this.#keepThread(threadId);
    // Between processes nothing keeps another from writing right behind this.
    if (fenceOf(value) !== undefined && (!(await this.#isStored(threadId)) || isFenced(this.#read(path), value)))
      return;
    try {
      if (text === undefined) removeIfThere(this.#fs, path);
      else this.#replace(path, Buffer.from(text));
    } catch (error) {
      throw new StoreIoError(`failed to write ${path}`, { cause: error });
    }
  }

  #replace(path: string, bytes: Uint8Array): void {
    const draft = `${path}.${randomUUID()}.tmp`;
    this.#fs.makeFolder(join(path, ".."));
    writeNew(this.#fs, draft, bytes);
    try {
      this.#fs.rename(draft, path);
    } catch (error) {
      removeIfThere(this.#fs, draft);
      throw error;
    }
  }

  async threads(kind: NoteKind): Promise<readonly ThreadId[]> {
    try {
      return namesIn(this.#fs, join(this.#folder, kind))
        .map((name) => name.slice(0, -SUFFIX.length))
        .filter((name) => isUuid(name)) as ThreadId[];
    } catch (error) {
      throw new StoreIoError(`failed to list ${this.#folder}`, { cause: error });
    }
  }

  /** The thread is gone. */
  async forget(threadId: ThreadId): Promise<void> {
    for (const kind of NOTE_KINDS) await this.write(threadId, kind, undefined);
  }
}
