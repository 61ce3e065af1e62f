/** Threads as they lie in files, for other stores to take over, and those of other stores as files. */
import { yieldToLoop } from "../../kernel/yield-to-loop.ts";
import { DuplicateThreadError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { ImageRead, StoredImage, StoredLine, ThreadImage } from "../movable-store.ts";
import { lineAt, timestampOf, withBaseBytes } from "../rollout/codec.ts";
import type { ProblemSink } from "../rollout-problem.ts";
import type { StoredThread } from "../thread-store.ts";
import { startTimeOf } from "../thread-summary.ts";
import { readRow } from "./catalog/thread-row.ts";
import type { FilePosition } from "./file-position.ts";
import { writeAll } from "./file-system.ts";
import type { Segment } from "./rollout/segment.ts";
import type { StoreCore } from "./store-core.ts";
import { asStoreError, threadNotStored } from "./store-error.ts";
import type { ThreadForker } from "./thread-forker.ts";
import { appendGit, appendName } from "./thread-notes.ts";
import type { ThreadOpener } from "./thread-opener.ts";

/** What is not there to be read, and so cannot come along. */
const LOST = new Set(["torn", "garbage", "reused", "base_missing", "base_short", "base_loop"]);

export class ThreadImages {
  readonly #core: StoreCore;
  readonly #opener: ThreadOpener;
  readonly #forker: ThreadForker;

  constructor(core: StoreCore, opener: ThreadOpener, forker: ThreadForker) {
    this.#core = core;
    this.#opener = opener;
    this.#forker = forker;
  }

  async image({ threadId, updatedAt, name, archived }: StoredThread): Promise<StoredImage> {
    const { fs, group, live, notes, reader, leases } = this.#core;
    const path = await this.#core.pathOf(threadId);
    group.writeAll();
    const { meta, stored, base } = reader.head(path);
    const { size = 0 } = fs.infoOf(path) ?? {};
    const isOurs = live.get(threadId) !== undefined;
    const segments = await reader.segments(path, () => undefined); // told by whoever reads the lines
    const own = segments.pop();
    const whole = own && { ...own, end: { ordinal: Number.POSITIVE_INFINITY, byteOffset: size } };
    const parts = whole === undefined ? [] : [whole];
    return {
      threadId,
      meta: stored,
      historyMode: meta.history_mode,
      updatedAt,
      archived,
      name,
      git: notes.now().git.get(threadId),
      base: base && { threadId: base.fileId, end: base.end.ordinal },
      size,
      owner: isOurs ? leases.self : (this.#core.leasesOf(path).holderOf(threadId) ?? null),
      lines: (read) => this.#lines(parts, read),
      history: (read) => this.#history(path, [...segments, ...parts], read),
    };
  }

  /** What of the ancestors is not there is told as well. */
  async *#history(path: string, segments: readonly Segment[], read: ImageRead = {}): AsyncGenerator<StoredLine[]> {
    await this.#core.reader.segments(path, ({ kind, detail }) => LOST.has(kind) && read.onLeft?.(detail));
    yield* this.#lines(segments, read);
  }

  async *#lines(
    segments: readonly Segment[],
    { onLeft = () => {}, signal }: ImageRead = {},
  ): AsyncGenerator<StoredLine[]> {
    const report: ProblemSink = ({ kind, offset, detail }) => {
      if (LOST.has(kind)) onLeft(`${kind} at byte ${offset}: ${detail}`);
    };
    let last = -1;
    for (const segment of segments) {
      for (const page of this.#core.reader.rawLinesOf(segment, {}, report)) {
        signal?.throwIfAborted();
        const lines: StoredLine[] = [];
        for (const { ordinal, raw } of page) {
          // One without a place of its own was reported by the reader.
          if (ordinal === undefined || ordinal <= last) continue;
          last = ordinal;
          lines.push({ ordinal, text: raw.text });
        }
        if (lines.length > 0) yield lines;
        await yieldToLoop();
      }
    }
  }

  async place(thread: ThreadImage, signal: AbortSignal | undefined): Promise<void> {
    const core = this.#core;
    const { threadId } = thread;
    core.check(signal);
    if (await this.#opener.exists(threadId)) throw new DuplicateThreadError(threadId);
    const base = thread.base === null ? null : await this.#baseOf(thread.base, thread);
    const lease = this.#opener.acquireNew(threadId);
    if (base !== null) core.forkMarks.set(base.fileId, threadId);
    try {
      const path = await this.#write(thread, base, signal);
      if (base !== null && (await core.locator.findFile(base.fileId)) === undefined) {
        core.fs.remove(path);
        throw threadNotStored(base.fileId);
      }
      core.locator.remember(threadId, path);
      const noted = core.index.put(await readRow(core, path, core.notes.now()));
      // Until then the mark alone tells other processes that the base is needed.
      if (base !== null) void noted.then((isNoted) => isNoted && core.forkMarks.clear(base.fileId, threadId));
    } catch (error) {
      if (base !== null) core.forkMarks.clear(base.fileId, threadId);
      throw signal?.aborted ? signal.reason : asStoreError(`cannot store thread ${threadId}`, error);
    } finally {
      core.leases.release(lease);
    }
  }

  /** The base's end as bytes of the file that it lies in here. */
  async #baseOf(
    { threadId, end }: NonNullable<ThreadImage["base"]>,
    { meta }: ThreadImage,
  ): Promise<{ readonly fileId: ThreadId; readonly end: FilePosition }> {
    const byteOffset = meta.history_base?.end_byte_offset ?? 0;
    const { fileId, end: found } = await this.#forker.inherited({ threadId, end: { ordinal: end, byteOffset } });
    return { fileId, end: found };
  }

  /** The file comes to its place when it is whole, with everything that is noted of the thread. */
  async #write(
    thread: ThreadImage,
    base: { readonly end: FilePosition } | null,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { fs, layout, clock, fsync } = this.#core;
    const { threadId, meta, updatedAt, name, git } = thread;
    const place = layout.rolloutPath(threadId, new Date(startTimeOf(meta) || updatedAt));
    const path = thread.archived ? layout.archivedPath(place) : place;
    fs.makeFolder(path.slice(0, path.lastIndexOf("/")));
    // Nobody else makes this thread now (the lease), so what lies there was left by a process that died.
    const draft = `${path}.placed.tmp`;
    if (fs.infoOf(draft) !== undefined) fs.remove(draft);
    try {
      const fd = fs.open(draft, "create");
      try {
        for await (const text of this.#texts(thread, base, signal)) writeAll(fs, fd, Buffer.from(text), draft);
        if (fsync !== "never") await fs.sync(fd);
      } finally {
        fs.close(fd);
      }
      fs.touch(draft, updatedAt);
      const now = timestampOf(clock.now());
      if (name !== null) appendName(fs, layout, threadId, name, now);
      if (git !== undefined) appendGit(fs, layout, threadId, git, now);
      if (fs.infoOf(path) !== undefined) throw new DuplicateThreadError(threadId);
      fs.rename(draft, path);
      return path;
    } catch (error) {
      if (fs.infoOf(draft) !== undefined) fs.remove(draft);
      throw error;
    }
  }

  async *#texts(
    { historyMode, lines }: ThreadImage,
    base: { readonly end: FilePosition } | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<string> {
    const isNumbered = historyMode !== "legacy" || base !== null;
    let isHeader = true;
    for await (const page of lines({ signal })) {
      const texts = page.map(({ ordinal, text }) => {
        const line = lineAt(text, isNumbered ? ordinal : undefined);
        const placed = isHeader && base !== null ? withBaseBytes(line, base.end.byteOffset) : line;
        isHeader = false;
        return `${placed}\n`;
      });
      yield texts.join("");
    }
  }
}
