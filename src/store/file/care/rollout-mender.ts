import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { RolloutItem } from "../../../protocol/rollout.ts";
import { unknownKind } from "../../../protocol/unknown-kind.ts";
import { decodeLine, encodeLine, ordinalOf, reordinal, timestampOf } from "../../rollout/codec.ts";
import { writeAll } from "../file-system.ts";
import type { Lease } from "../lease/lease.ts";
import type { RolloutHead } from "../rollout/head.ts";
import { fileIdOf } from "../rollout/history-reader.ts";
import { LineReader, type RawLine } from "../rollout/line-reader.ts";
import type { Segment } from "../rollout/segment.ts";
import type { StoreCore } from "../store-core.ts";
import type { Fault, FaultKind } from "./verify.ts";

const IN_FILE: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "torn",
  "unterminated",
  "garbage",
  "unreadable",
  "gap",
  "duplicate",
  "reused",
  "base_offset",
]);
const ORDERING: ReadonlySet<FaultKind> = new Set<FaultKind>(["gap", "reused"]);
const LINE_FEED_BYTES = 1;

/** Mends one rollout at a time; see repair.ts for the rules. */
export class RolloutMender {
  readonly #core: StoreCore;
  /** For each file the files that inherit from it. */
  #heirs: Promise<Map<ThreadId, string[]>> | undefined;

  constructor(core: StoreCore) {
    this.#core = core;
  }

  /** Gives the path of the original, if anything was changed. */
  async mend(path: string, faults: readonly Fault[]): Promise<string | undefined> {
    const kinds = new Set(faults.map((fault) => fault.kind).filter((kind) => IN_FILE.has(kind)));
    if (kinds.size === 0) return undefined;
    const { reader } = this.#core;
    const head = reader.head(path);
    const lease = this.#take(path, head.meta.id);
    if (lease === undefined) return undefined;
    try {
      const heirs = (await this.#gatherHeirs()).get(fileIdOf(head)) ?? [];
      const text = await this.#mended(head, kinds, heirs.length > 0);
      return text === undefined ? undefined : this.#exchange(path, text);
    } finally {
      lease.keeper.release(lease);
    }
  }

  #take(path: string, threadId: ThreadId): Lease | undefined {
    const acquired = this.#core.leasesOf(path).acquire(threadId, "known", { takeOver: false });
    return "busy" in acquired ? undefined : acquired.lease;
  }

  #gatherHeirs(): Promise<Map<ThreadId, string[]>> {
    this.#heirs ??= (async () => {
      const heirs = new Map<ThreadId, string[]>();
      for await (const { files } of this.#core.locator.walk()) {
        for (const { path } of files) {
          await yieldToLoop();
          const base = this.#baseOf(path);
          if (base !== undefined) heirs.set(base, [...(heirs.get(base) ?? []), path]);
        }
      }
      return heirs;
    })();
    return this.#heirs;
  }

  #baseOf(path: string): ThreadId | undefined {
    try {
      return this.#core.reader.head(path).base?.fileId;
    } catch {
      return undefined; // a file without a header inherits nothing
    }
  }

  /** The file's new content; undefined when it stays as it is. */
  async #mended(head: RolloutHead, kinds: ReadonlySet<FaultKind>, hasHeirs: boolean): Promise<string[] | undefined> {
    const renumber = !hasHeirs && head.numbered && [...kinds].some((kind) => ORDERING.has(kind));
    const header = kinds.has("base_offset") ? await this.#headerWithBase(head, hasHeirs) : undefined;
    const pieces: string[] = [];
    let changed = renumber || header !== undefined;
    let next = head.firstOrdinal;
    let previous: string | undefined;
    for (const raw of this.#rawLines(head.path)) {
      const decoded = decodeLine(raw.text);
      const readable = !("problem" in decoded);
      const isHeader = readable && pieces.length === 0 && decoded.line.type === "session_meta";
      const repeated = readable && head.numbered && raw.text === previous && ordinalOf(decoded.line) === next - 1;
      if (readable && !repeated) {
        const text = isHeader && header !== undefined ? header : raw.text;
        pieces.push(`${renumber ? reordinal(text, next) : text}\n`);
        changed ||= !raw.complete;
        next = (renumber ? next : (ordinalOf(decoded.line) ?? next)) + 1;
        previous = raw.text;
        continue;
      }
      if (!readable && decoded.problem === "blank" && raw.complete) {
        pieces.push(`${raw.text}\n`);
        continue;
      }
      changed = true;
      if (!raw.complete || (!hasHeirs && head.numbered)) continue;
      pieces.push(repeated ? blank(raw) : this.#filler(raw, head, next));
      next += repeated || !head.numbered ? 0 : 1;
    }
    return changed ? pieces : undefined;
  }

  /** A line that says nothing, as long as the one whose place it takes; its ordinal closes the gap. */
  #filler(raw: RawLine, head: RolloutHead, ordinal: number): string {
    const length = raw.end - raw.start;
    const place = head.numbered ? ordinal : undefined;
    const nothing: readonly RolloutItem[] = [
      { type: "event_msg", payload: { type: "warning", message: "an unreadable line was here" } },
      unknownKind("gap") as unknown as RolloutItem,
    ];
    for (const item of nothing) {
      const text = encodeLine(item, timestampOf(0), place).trimEnd();
      if (text.length < length) return `${text.padEnd(length - LINE_FEED_BYTES)}\n`;
    }
    return blank(raw);
  }

  *#rawLines(path: string): Generator<RawLine> {
    const { fs } = this.#core;
    const fd = fs.open(path, "read");
    try {
      const reader = new LineReader(fs, fd, { start: 0 });
      for (let page = reader.next(); page !== undefined; page = reader.next()) yield* page;
    } finally {
      fs.close(fd);
    }
  }

  /** The header with the ordinal that the file begins at, and the offset that this has in the base; undefined where its length may not change but would. */
  async #headerWithBase(head: RolloutHead, hasHeirs: boolean): Promise<string | undefined> {
    const { locator, reader } = this.#core;
    const { base } = head;
    const basePath = base === null ? undefined : await locator.findFile(base.fileId);
    if (base === null || basePath === undefined) return undefined;
    const baseHead = reader.head(basePath);
    const { ordinal } = base.end;
    const segment: Segment = {
      fileId: base.fileId,
      head: baseHead,
      firstOrdinal: baseHead.firstOrdinal,
      end: undefined,
    };
    let offset: number | undefined;
    for (const page of reader.linesOf(segment, { from: ordinal - 1, to: ordinal })) offset = page.at(-1)?.raw.end;
    if (offset === undefined) return undefined;
    const first = this.#rawLines(head.path).next().value;
    if (first === undefined) return undefined;
    const text = first.text
      .replace(/("end_ordinal_exclusive":)\s*[^,}\s]+/, `$1${ordinal}`)
      .replace(/("end_byte_offset":)\s*[^,}\s]+/, `$1${offset}`);
    const missing = Buffer.byteLength(first.text) - Buffer.byteLength(text);
    if (missing >= 0) return text.replace(/("end_byte_offset":)/, `$1${" ".repeat(missing)}`);
    return hasHeirs ? undefined : text;
  }

  #exchange(path: string, pieces: readonly string[]): string {
    const { fs } = this.#core;
    let original = `${path}.orig`;
    for (let n = 1; fs.infoOf(original) !== undefined; n += 1) original = `${path}.orig.${n}`;
    fs.copy(path, original);
    const next = `${path}.mended.tmp`;
    if (fs.infoOf(next) !== undefined) fs.remove(next);
    const fd = fs.open(next, "create");
    try {
      for (const piece of pieces) writeAll(fs, fd, Buffer.from(piece), next);
    } finally {
      fs.close(fd);
    }
    fs.rename(next, path);
    return original;
  }
}

const blank = (raw: RawLine): string => `${" ".repeat(raw.end - raw.start - LINE_FEED_BYTES)}\n`;
