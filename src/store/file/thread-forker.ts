/** Makes forks: by reference, which stores one line, or as copies. */

import { yieldToLoop } from "../../kernel/yield-to-loop.ts";
import { InvalidForkPointError, RolloutNotFoundError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { RolloutItem, SessionMeta } from "../../protocol/rollout.ts";
import { unknownKind } from "../../protocol/unknown-kind.ts";
import { forkHeader } from "../fork-header.ts";
import { storable, timestampOf } from "../rollout/codec.ts";
import { flatMeta, flatRawLines } from "../rollout/flatten.ts";
import type { ForkBase, OpenOptions } from "../thread-store.ts";
import { readSaid } from "./catalog/said.ts";
import { type FilePosition, type InheritedFile, inheritedFileOf } from "./file-position.ts";
import type { FileThreadWriter } from "./file-writer.ts";
import type { RolloutHead } from "./rollout/head.ts";
import { withFile } from "./rollout/line-reader.ts";
import { checkEnd, type Segment } from "./rollout/segment.ts";
import type { StoreCore } from "./store-core.ts";
import { threadNotStored } from "./store-error.ts";
import type { ThreadOpener } from "./thread-opener.ts";

/** What a line that cannot be read is for the indexes. */
const UNREAD = unknownKind("unread") as unknown as RolloutItem;

/** The last ancestor's file that is needed, and how far. */
type Inherited = { readonly fileId: ThreadId; readonly head: RolloutHead; readonly end: FilePosition };

export class ThreadForker {
  readonly #core: StoreCore;
  readonly #opener: ThreadOpener;

  constructor(core: StoreCore, opener: ThreadOpener) {
    this.#core = core;
    this.#opener = opener;
  }

  async fork(meta: SessionMeta, from: ForkBase, options: OpenOptions = {}): Promise<FileThreadWriter> {
    const core = this.#core;
    core.check(options.signal);
    const copied = forkHeader(meta, from);
    if (from.inherits === null) return this.#opener.create(copied, options);
    const source = inheritedFileOf(from.inherits);
    const inherited = await this.inherited(source);
    // Codex reads what a fork shares of paginated threads alone: a legacy file has to hold all of its lines.
    if (core.forkStorage === "copy" || copied.history_mode === "legacy" || source.rolloutPath !== undefined) {
      return this.#copy(copied, inherited, options);
    }
    const { fileId, end } = inherited;
    const forked = forkHeader(meta, from, { threadId: fileId, end });
    const preview = await this.#previewOf(from.source, inherited);
    core.forkMarks.set(fileId, meta.id);
    const writer = await this.#opener.create(forked, options, { base: { fileId, end }, preview }).catch((error) => {
      core.forkMarks.clear(fileId, meta.id);
      throw error;
    });
    await this.#confirm(writer, { source: from.source, fileId, path: inherited.head.path });
    return writer;
  }

  /** Somebody may have deleted the source meanwhile, who did not see the mark: then the fork was never made. */
  async #confirm(writer: FileThreadWriter, from: { source: ThreadId; fileId: ThreadId; path: string }): Promise<void> {
    const { live, index, locator, fs, forkMarks } = this.#core;
    const { threadId } = writer;
    const isWhole = fs.infoOf(from.path) !== undefined || (await locator.findFile(from.fileId)) !== undefined;
    if (isWhole && !locator.isDeleted(from.source)) {
      const row = live.get(threadId)?.row;
      const noted = row === undefined ? Promise.resolve(false) : index.put(row);
      void noted.then((isNoted) => isNoted && forkMarks.clear(from.fileId, threadId));
      return;
    }
    await this.#unmake(writer, threadNotStored(from.source));
    forkMarks.clear(from.fileId, threadId);
    throw threadNotStored(from.source);
  }

  /** Whose file holds the last line that is inherited, and where that ends. @throws RolloutNotFoundError, InvalidForkPointError */
  async inherited(inherits: InheritedFile): Promise<Inherited> {
    const { live, locator, reader } = this.#core;
    let fileId = inherits.threadId;
    let end = inherits.end;
    const writing = live.ofFile(fileId)?.writer;
    const written = writing && this.#core.livePath(writing.threadId);
    let path = inherits.rolloutPath ?? written ?? (await locator.findFile(fileId));
    if (!Number.isSafeInteger(end.ordinal) || end.ordinal < 1) {
      throw new InvalidForkPointError(`a fork cannot begin at line ${end.ordinal}`);
    }
    for (const seen = new Set<ThreadId>(); ; seen.add(fileId)) {
      if (path === undefined) throw new RolloutNotFoundError(`no rollout found for thread id ${fileId}`);
      const head = reader.head(path);
      const leadsBack = head.base !== null && (head.base.fileId === fileId || seen.has(head.base.fileId));
      if (head.base === null || leadsBack || end.ordinal > head.base.end.ordinal)
        return this.#checked({ fileId, head, end });
      fileId = head.base.fileId;
      if (end.ordinal === head.base.end.ordinal) end = head.base.end;
      path = await locator.findFile(fileId);
    }
  }

  /** With the byte offset that the ordinal has. @throws InvalidForkPointError when the file is not that long */
  #checked(inherited: Inherited): Inherited {
    const { fs, live, group, reader } = this.#core;
    const { fileId, head, end } = inherited;
    const writing = live.ofFile(fileId);
    if (writing !== undefined && !group.commit(writing.writer.file)) throw writing.writer.file.failure;
    const check = this.#core.isOwnPlace(end) ? "good" : withFile(fs, head.path, (fd) => checkEnd(fs, fd, head, end));
    if (check === "good") return inherited;
    const segment: Segment = { fileId, head, firstOrdinal: head.firstOrdinal, end: undefined };
    for (const page of reader.linesOf(segment, { from: end.ordinal - 1, to: end.ordinal })) {
      const last = page.at(-1);
      if (last?.ordinal === end.ordinal - 1 && last.raw.complete) {
        return { ...inherited, end: { ordinal: end.ordinal, byteOffset: last.raw.end } };
      }
    }
    throw new InvalidForkPointError(`thread ${fileId} has no line ${end.ordinal - 1}; a fork cannot begin behind it`);
  }

  /** The first user message is the source's where the fork has it too. */
  async #previewOf(source: ThreadId, { fileId, head, end }: Inherited): Promise<string> {
    const { index, live, reader } = this.#core;
    const first = index.peek(({ anchors }) => anchors.nthUserMessage(fileId, 0));
    const through = index.peek(({ anchors }) => anchors.indexedThrough(fileId))?.ordinal ?? 0;
    const hasFirst = first !== undefined && first.ordinal < end.ordinal;
    if (through >= end.ordinal && !hasFirst) return "";
    const known = live.get(source)?.row ?? index.row(source);
    if (hasFirst && known !== undefined && known.preview !== "") return known.preview;
    return (await readSaid(reader, await this.#segmentsUpTo(head, end))).preview;
  }

  async #segmentsUpTo(head: RolloutHead, end: FilePosition): Promise<Segment[]> {
    const segments = await this.#core.reader.segments(head.path);
    const last = segments.pop();
    return last === undefined ? [] : [...segments, { ...last, end }];
  }

  async #copy(meta: SessionMeta, { head, end }: Inherited, options: OpenOptions): Promise<FileThreadWriter> {
    const { reader, forkStorage, clock } = this.#core;
    const mode = forkStorage === "copy" ? "legacy" : (meta.history_mode ?? "paginated");
    const segments = await this.#segmentsUpTo(head, end);
    const writer = await this.#opener.create(flatMeta(meta, mode), options);
    try {
      for (const segment of segments) {
        for (const page of reader.rawLinesOf(segment)) {
          const now = timestampOf(clock.now());
          for (const placed of page) {
            for (const { item = UNREAD, text } of flatRawLines(placed, mode, writer.position().ordinal, now)) {
              writer.appendText(text, item);
            }
          }
          options.signal?.throwIfAborted();
          await yieldToLoop();
        }
      }
      await writer.flush();
      return writer;
    } catch (error) {
      await this.#unmake(writer, error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** The fork was never made. */
  async #unmake(writer: FileThreadWriter, why: Error): Promise<void> {
    const { group, fs, index } = this.#core;
    group.end(writer.file, why);
    fs.remove(writer.file.path);
    index.use((catalog) => catalog.remove(writer.threadId));
    await writer.close();
  }

  async adopt(meta: SessionMeta, items: readonly RolloutItem[], options: OpenOptions = {}): Promise<FileThreadWriter> {
    const lines = items.map(storable);
    const writer = await this.#opener.create(meta, options);
    let count = 0;
    for (const line of lines) {
      writer.append(line);
      count += 1;
      if (count % 1_000 === 0) await yieldToLoop();
    }
    return writer;
  }
}
