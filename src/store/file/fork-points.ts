/**
 * Where forks begin. The catalog's anchors answer without the history being read; they are brought up to the end of the
 * file first, from where they end. Without a catalog the history is read once, which gives the same answers slowly.
 */

import { yieldToLoop } from "../../kernel/yield-to-loop.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import { AnchorIndex } from "../anchor-index.ts";
import type { ForkBase, OpenTurn, ThreadLocator, TurnPlace } from "../thread-store.ts";
import type { FilePosition } from "./file-position.ts";
import type { RolloutHead } from "./rollout/head.ts";
import { fileIdOf } from "./rollout/history-reader.ts";
import { withFile } from "./rollout/line-reader.ts";
import { type Segment, segmentAt } from "./rollout/segment.ts";
import { readTail } from "./rollout/tail.ts";
import type { StoreCore } from "./store-core.ts";
import { baseOf, type ThreadOpener } from "./thread-opener.ts";

type Place = { readonly fileId: ThreadId; readonly end: FilePosition; readonly openTurn: OpenTurn | null };

/** Files whose line of ancestors was found to come to an end. */
type Sound = Set<ThreadId>;

const ROUNDS = 8;

export class ForkPoints {
  readonly #core: StoreCore;
  readonly #opener: ThreadOpener;

  constructor(core: StoreCore, opener: ThreadOpener) {
    this.#core = core;
    this.#opener = opener;
  }

  async forkBase(locator: ThreadLocator, at: ForkAnchor): Promise<ForkBase | undefined> {
    const path = await this.#core.pathOf(locator);
    const head = this.#core.reader.head(path);
    const place = await this.#resolve(path, head, at);
    if (place === undefined) return undefined;
    const { fileId, end, openTurn } = place;
    // Lines of a file that its id does not lead to cannot be shared, but copied.
    const isFound = this.#core.isInHome(path) && (await this.#core.locator.findFile(fileIdOf(head))) === path;
    const outside = fileId === fileIdOf(head) && !isFound ? { rolloutPath: path } : {};
    const inherits = { threadId: fileId, end: this.#core.own(end), ...outside };
    return { source: head.meta.id, inherits, historyMode: head.meta.history_mode, openTurn };
  }

  async #resolve(path: string, head: RolloutHead, at: ForkAnchor): Promise<Place | undefined> {
    const fileId = fileIdOf(head);
    if (await this.#bringUp(path, head)) {
      const found = this.#core.index.peek((catalog) => ({ place: catalog.anchors.resolve(fileId, at) }));
      if (found !== undefined) {
        const { place } = found;
        return place && { fileId: place.threadId, end: place.end, openTurn: place.openTurn };
      }
    }
    const { anchors, segments, end } = await this.#readAnchors(path);
    const place = anchors.resolve(at, end);
    if (place === undefined) return undefined;
    const where = segmentAt(segments, place.end);
    return where && { fileId: where.segment.fileId, end: where.end, openTurn: place.openTurn };
  }

  async findTurn(threadId: ThreadId, turnId: TurnId): Promise<TurnPlace<FilePosition> | undefined> {
    const path = await this.#core.pathOf(threadId);
    const head = this.#core.reader.head(path);
    if (await this.#bringUp(path, head)) {
      const found = this.#core.index.peek((catalog) => ({ turn: catalog.anchors.findTurn(fileIdOf(head), turnId) }));
      if (found !== undefined) return found.turn;
    }
    return (await this.#readAnchors(path)).anchors.findTurn(turnId);
  }

  /** Takes in what the file has beyond the index. false: there is no index that could. */
  async #bringUp(path: string, head: RolloutHead, sound: Sound = new Set()): Promise<boolean> {
    const { live, group, index, fs } = this.#core;
    const fileId = fileIdOf(head);
    const writing = live.ofFile(fileId);
    if (writing !== undefined) {
      if (!group.commit(writing.writer.file)) throw writing.writer.file.failure;
      if (live.saveFold(writing)) return true;
    }
    for (let round = 0; round < ROUNDS; round += 1) {
      const size = fs.infoOf(path)?.size ?? 0;
      const through = index.peek((catalog) => ({ at: catalog.anchors.indexedThrough(fileId)?.byteOffset ?? -1 }));
      if (through === undefined) return false;
      if (through.at === size) {
        this.#keepInStep(head, fileId);
        return true;
      }
      if (through.at > size) index.peek((catalog) => catalog.anchors.forget(fileId));
      if (!(await this.#endLine(path, head))) return false;
      if (!(await this.#takeIn(head, fileId, sound))) return false;
      if (live.ofFile(fileId) === undefined) return true;
    }
    return false;
  }

  /** From now on the live thread's appends go into the index directly. */
  #keepInStep(head: RolloutHead, fileId: ThreadId): void {
    const { live, index } = this.#core;
    const writing = live.ofFile(fileId);
    if (writing === undefined || writing.fold !== undefined || writing.writer.file.pending) return;
    writing.fold = index.peek((catalog) => catalog.anchors.fold(fileId, baseOf(head)));
    if (writing.fold?.through.byteOffset !== writing.writer.position().byteOffset) writing.fold = undefined;
  }

  /** A last line that only lacks its line feed gets it, so that it counts. */
  async #endLine(path: string, head: RolloutHead): Promise<boolean> {
    const { live, fs } = this.#core;
    if (live.get(head.meta.id) !== undefined) return true;
    if (!withFile(fs, path, (fd) => readTail(fs, fd, head).missingFeed)) return true;
    const writer = await this.#opener.open({ rolloutPath: path });
    await writer.close();
    return true;
  }

  async #takeIn(head: RolloutHead, fileId: ThreadId, sound: Sound): Promise<boolean> {
    const { index, locator, reader } = this.#core;
    if (!sound.has(fileId) && !(await this.#isSound(head, fileId, sound))) return false;
    let base = baseOf(head);
    if (base !== null) {
      await yieldToLoop();
      const basePath = await locator.findFile(base.threadId);
      if (basePath === undefined) base = null;
      else if (!(await this.#bringUp(basePath, reader.head(basePath), sound))) return false;
    }
    const fold = index.peek((catalog) => catalog.anchors.fold(fileId, base));
    if (fold === undefined) return false;
    const segment: Segment = { fileId, head, firstOrdinal: head.firstOrdinal, end: undefined };
    let start = fold.through;
    for (const page of reader.linesOf(segment, { start })) {
      for (const { line, ordinal, raw } of page) {
        if (!raw.complete) continue;
        const end = { ordinal: ordinal + 1, byteOffset: raw.end };
        fold.observe(line, { ordinal, byteOffset: raw.start }, end);
        start = end;
      }
      await yieldToLoop();
    }
    return index.peek(() => fold.save()) !== undefined;
  }

  /** false: its ancestors lead to each other or cannot be read. What is read then is not what an index could hold. */
  async #isSound(head: RolloutHead, fileId: ThreadId, sound: Set<ThreadId>): Promise<boolean> {
    const { locator, reader } = this.#core;
    const line = new Set([fileId]);
    for (let { base } = head; base !== null; ) {
      if (line.has(base.fileId)) return false;
      line.add(base.fileId);
      const path = await locator.findFile(base.fileId);
      if (path === undefined) break;
      try {
        base = reader.head(path).base;
      } catch {
        return false; // reading stops there too, and says why
      }
      await yieldToLoop();
    }
    for (const each of line) sound.add(each);
    return true;
  }

  async #readAnchors(
    path: string,
  ): Promise<{ anchors: AnchorIndex<FilePosition>; segments: Segment[]; end: FilePosition }> {
    const { reader } = this.#core;
    const anchors = new AnchorIndex<FilePosition>();
    const segments = await reader.segments(path);
    let end: FilePosition = { ordinal: 0, byteOffset: 0 };
    for (const segment of segments) {
      for (const page of reader.linesOf(segment)) {
        for (const { line, ordinal, raw } of page) {
          end = { ordinal: ordinal + 1, byteOffset: raw.end };
          anchors.observe(line, { ordinal, byteOffset: raw.start }, end);
        }
        await yieldToLoop();
      }
    }
    return { anchors, segments, end };
  }
}
