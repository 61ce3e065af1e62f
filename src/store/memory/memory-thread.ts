/**
 * A thread in the heap: its own lines, and by reference the thread whose lines come before them.
 *
 * - `lines[i]` has the ordinal `start + i`. A base holds the last line that is inherited, so chains are never longer
 *   than the forks whose lines they need.
 * - Lines are only ever appended, so a prefix never changes under those who share it.
 * - What is known beyond the lines (anchors, preview) is folded from them when asked for, and never ahead of time.
 */

import { type ThreadId, type TurnId, toTurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import type { HistoryMode, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { parseSessionSource, type SessionSource } from "../../protocol/session-source.ts";
import { isUserBoundary } from "../../protocol/user-boundary.ts";
import { AnchorIndex, type AnchorPlace } from "../anchor-index.ts";
import { type LastTurn, lastTurnAfter, NO_TURN } from "../last-turn.ts";
import { SEARCHED_CHARS } from "../thread-query.ts";
import type { OpenTurn, StoredThread, ThreadGit, TurnPlace } from "../thread-store.ts";
import { factsOf, type ModelUse, parentThreadOf, previewOf, startTimeOf, userTextOf } from "../thread-summary.ts";
import type { LeasedThread, MemoryLease, Stamp } from "./memory-lease.ts";

export type MemoryBase = { readonly thread: MemoryThread; readonly end: number };

/** The lines of one thread from the ordinal `from` up to `to`. */
export type Run = { readonly thread: MemoryThread; readonly from: number; readonly to: number };

export class MemoryThread implements LeasedThread {
  readonly meta: SessionMeta;
  readonly base: MemoryBase | undefined;
  /** The first one is the header. */
  readonly lines: RolloutLine[];
  readonly createdAt: number;
  updatedAt: number;
  name: string | null = null;
  /** What was said of its repository in place of the header. */
  gitInfo: ThreadGit | null | undefined = undefined;
  modelUse: ModelUse | undefined = undefined;
  archived = false;
  /** How many writers it has had. */
  epoch = 0;
  lease: MemoryLease | undefined = undefined;
  #anchors: { readonly index: AnchorIndex; through: number } | undefined = undefined;
  #firstMessage: { readonly ordinal: number; readonly text: string } | undefined = undefined;
  /** How many of the own lines were looked at for the first message. */
  #looked = 0;
  #lastTurn = NO_TURN;
  #lastTurnThrough = 0;

  constructor(meta: SessionMeta, base: MemoryBase | undefined, now: Stamp) {
    this.meta = meta;
    this.base = base;
    this.createdAt = startTimeOf(meta);
    this.updatedAt = now.at;
    this.lines = [{ timestamp: now.text, ordinal: base?.end ?? 0, type: "session_meta", payload: meta }];
  }

  rename(name: string | null): void {
    this.name = name;
  }

  setGitInfo(gitInfo: ThreadGit | null): void {
    this.gitInfo = gitInfo;
  }

  setArchived({ archived }: { readonly archived: boolean }): void {
    this.archived = archived;
  }

  get id(): ThreadId {
    return this.meta.id;
  }

  get historyMode(): HistoryMode {
    return this.meta.history_mode ?? "paginated";
  }

  get source(): SessionSource {
    return parseSessionSource(this.meta.source);
  }

  get cwd(): string {
    return this.meta.cwd;
  }

  get modelProvider(): string | null {
    return this.meta.model_provider ?? null;
  }

  get parentThreadId(): ThreadId | null {
    return parentThreadOf(this.meta);
  }

  get forkedFromId(): ThreadId | null {
    return this.meta.forked_from_id ?? null;
  }

  /** The ordinal of the first own line. */
  get start(): number {
    return this.base?.end ?? 0;
  }

  /** The ordinal that the next line will have. */
  get end(): number {
    return this.start + this.lines.length;
  }

  /** On the way up, the thread that holds the line before `ordinal`. */
  holder(ordinal: number): MemoryThread {
    let thread: MemoryThread = this;
    while (thread.base !== undefined && ordinal <= thread.base.end) thread = thread.base.thread;
    return thread;
  }

  /** This thread or one whose lines it inherits. */
  find(id: ThreadId): MemoryThread | undefined {
    let thread: MemoryThread | undefined = this;
    while (thread !== undefined && thread.id !== id) thread = thread.base?.thread;
    return thread;
  }

  /** The history from `from` up to `to`, the newest lines first. */
  runsBack(from: number, to: number): Run[] {
    const runs: Run[] = [];
    let thread: MemoryThread = this;
    let end = Math.min(to, this.end);
    for (;;) {
      if (end > thread.start && end > from) runs.push({ thread, from: Math.max(from, thread.start), to: end });
      if (thread.base === undefined || from >= thread.start) return runs;
      end = Math.min(end, thread.base.end);
      thread = thread.base.thread;
    }
  }

  /** The history from `from` up to `to`, in order. */
  runs(from: number, to: number): Run[] {
    return this.runsBack(from, to).reverse();
  }

  /** The ordinal of the last line below `to` that passes. */
  findLast(to: number, passes: (line: RolloutLine) => boolean): number | undefined {
    for (const run of this.runsBack(0, to)) {
      for (let ordinal = run.to - 1; ordinal >= run.from; ordinal -= 1) {
        const line = run.thread.lines[ordinal - run.thread.start];
        if (line !== undefined && passes(line)) return ordinal;
      }
    }
    return undefined;
  }

  #index(): AnchorIndex {
    this.#anchors ??= { index: new AnchorIndex(), through: 0 };
    const folded = this.#anchors;
    for (const run of this.runs(folded.through, this.end)) {
      for (let ordinal = run.from; ordinal < run.to; ordinal += 1) {
        const line = run.thread.lines[ordinal - run.thread.start];
        if (line !== undefined) folded.index.observe(line, { ordinal }, { ordinal: ordinal + 1 });
      }
    }
    folded.through = this.end;
    return folded.index;
  }

  /** @throws InvalidForkPointError */
  resolve(at: ForkAnchor): AnchorPlace | undefined {
    const end = { ordinal: this.end };
    if (at === "full" || at === "interrupted") return { end, openTurn: this.#openTurn() };
    return this.#index().resolve(at, end);
  }

  findTurn(turnId: TurnId): TurnPlace | undefined {
    return this.#index().findTurn(turnId);
  }

  /** As the index has it; without one, most histories tell it within one turn from the end. */
  #openTurn(): OpenTurn | null {
    if (this.#anchors !== undefined) return this.#index().openTurn;
    let unanswered: boolean | undefined;
    let found: OpenTurn | null | undefined;
    this.findLast(this.end, (line) => {
      if (line.type === "response_item") {
        if (isUserBoundary(line.payload)) unanswered ??= true;
        else if (line.payload.type === "message" && line.payload.role === "assistant") unanswered ??= false;
        return false;
      }
      if (line.type !== "event_msg") return false;
      switch (line.payload.type) {
        case "task_started":
          if (typeof line.payload.turn_id !== "string") return true;
          found = { turnId: toTurnId(line.payload.turn_id) };
          return true;
        case "task_complete":
        case "turn_aborted":
          if (unanswered !== true) found = null;
          return true;
        case "thread_rolled_back":
          return true;
        default:
          return false;
      }
    });
    return found === undefined ? this.#index().openTurn : found;
  }

  /** Of the first user message, inherited ones included, even when it was rolled back since. */
  get preview(): string {
    for (const run of this.runs(0, this.end)) {
      const message = run.thread.#ownFirstMessage();
      if (message !== undefined && message.ordinal < run.to) return message.text;
    }
    return "";
  }

  #ownFirstMessage() {
    for (; this.#firstMessage === undefined && this.#looked < this.lines.length; this.#looked += 1) {
      const line = this.lines[this.#looked];
      const text = line === undefined ? undefined : userTextOf(line);
      if (text !== undefined) this.#firstMessage = { ordinal: this.start + this.#looked, text: previewOf(text) };
    }
    return this.#firstMessage;
  }

  /** What a search looks at: the name, the preview and the first user messages. */
  searchedText(): string {
    const texts = [this.name ?? "", this.preview];
    let room = SEARCHED_CHARS;
    for (const run of this.runs(0, this.end)) {
      for (let ordinal = run.from; ordinal < run.to; ordinal += 1) {
        if (room <= 0) return texts.join("\n");
        const line = run.thread.lines[ordinal - run.thread.start];
        const text = line === undefined ? undefined : userTextOf(line);
        if (text === undefined) continue;
        texts.push(text.slice(0, room));
        room -= text.length;
      }
    }
    return texts.join("\n");
  }

  get lastTurn(): LastTurn {
    for (; this.#lastTurnThrough < this.lines.length; this.#lastTurnThrough += 1) {
      const line = this.lines[this.#lastTurnThrough];
      if (line !== undefined) this.#lastTurn = lastTurnAfter(this.#lastTurn, line, this.historyMode);
    }
    return this.#lastTurn;
  }

  get interrupted(): boolean {
    return this.lastTurn.interrupted;
  }

  summary(): StoredThread {
    const { interrupted, openTurn } = this.lastTurn;
    return {
      ...factsOf(this.meta),
      ...this.modelUse,
      ...(this.gitInfo === undefined ? {} : { gitInfo: this.gitInfo }),
      rolloutPath: null,
      updatedAt: this.updatedAt,
      preview: this.preview,
      name: this.name,
      archived: this.archived,
      interrupted,
      openTurn,
    };
  }
}
