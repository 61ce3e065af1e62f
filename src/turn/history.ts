/**
 * The conversation as the model sees it.
 *
 * H1  A call is always followed by its output in what goes to the model; an output without a call never goes (T6).
 * H2  Items are immutable and shared: with the store, with forks and with requests in flight.
 * H3  No picture that is broken, nothing that the model's server has refused, and no half of a character goes to the model.
 */
import { noToolsFound, type ResponseItem, textOf, userMessage } from "../protocol/response-item.ts";
import { isOwnNote, isUserBoundary } from "../protocol/user-boundary.ts";
import { wellFormed } from "../protocol/well-formed.ts";
import {
  hasPicture,
  isRefusedPicturesNote,
  isRefusedReasoningNote,
  isSealed,
  withoutBrokenPictures,
  withoutPictures,
} from "./picture-content.ts";

const CALLS: ReadonlySet<string> = new Set([
  "function_call",
  "custom_tool_call",
  "local_shell_call",
  "tool_search_call",
]);
const OUTPUTS: ReadonlySet<string> = new Set(["function_call_output", "custom_tool_call_output", "tool_search_output"]);

/** What stands in for the output of a call that was never answered. */
const ABORTED_OUTPUT = "aborted";

/** About four bytes a token: Codex's own estimate. */
const BYTES_PER_TOKEN = 4;

/** A compaction keeps the newest user messages up to this estimate, as Codex does. */
const KEPT_USER_TOKENS = 20_000;

const callIdOf = (item: ResponseItem): string | undefined =>
  "call_id" in item && typeof item.call_id === "string" ? item.call_id : undefined;

/** The id of a call that waits for an output; undefined for what is no such call. */
export const callOf = (item: ResponseItem): string | undefined => (CALLS.has(item.type) ? callIdOf(item) : undefined);

/** The id of the call that an output is for. */
export const outputFor = (item: ResponseItem): string | undefined =>
  OUTPUTS.has(item.type) ? callIdOf(item) : undefined;

const isSendable = (item: ResponseItem): boolean =>
  item.type !== "ghost_snapshot" && !(item.type === "message" && item.role === "system");

/** What only a model says: it has taken everything before it. */
const isAnswer = (item: ResponseItem): boolean =>
  item.type === "message" ? item.role === "assistant" : !OUTPUTS.has(item.type);

export class History {
  #items: ResponseItem[];
  /** Calls that wait for their output, by call id: a list, since a model may give one id twice. */
  readonly #open = new Map<string, ResponseItem[]>();
  /** The texts of past compactions, which are user messages that no further compaction keeps. */
  readonly #summaries = new Set<string>();
  #bytes = 0;

  constructor(items: readonly ResponseItem[] = []) {
    this.#items = [];
    for (const item of items) this.append(item);
  }

  /** The same items, which nothing changes; what is done to either does not touch the other. */
  copy(): History {
    const copy = new History();
    copy.#items = this.#items.slice();
    copy.#bytes = this.#bytes;
    for (const [callId, calls] of this.#open) copy.#open.set(callId, calls);
    for (const summary of this.#summaries) copy.#summaries.add(summary);
    return copy;
  }

  get length(): number {
    return this.#items.length;
  }

  /** A rough size in bytes, for bounding caches and estimating tokens. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many there are that a rollback counts, summaries among them. */
  get userMessages(): number {
    return this.#items.filter((item) => isUserBoundary(item)).length;
  }

  get estimatedTokens(): number {
    return Math.ceil(this.#bytes / BYTES_PER_TOKEN);
  }

  /** Adds an item. An output whose call is not there is dropped, and so is an output too many. */
  append(given: ResponseItem): void {
    if (!isSendable(given)) return;
    const item = wellFormed(withoutBrokenPictures(given));
    if (isRefusedPicturesNote(item)) this.#dropPictures();
    if (isRefusedReasoningNote(item)) this.#dropSealed();
    const answered = outputFor(item);
    const call = callOf(item);
    if (answered !== undefined) {
      if (!this.#answer(answered)) return;
      this.#insertAfterCall(item, answered);
    } else {
      if (call !== undefined) this.#open.set(call, [...(this.#open.get(call) ?? []), item]);
      this.#items.push(item);
    }
    this.#bytes += sizeOf(item);
  }

  /** Where what the model has not answered yet begins. */
  get #unanswered(): number {
    return this.#items.findLastIndex((item) => isAnswer(item)) + 1;
  }

  /**
   * Whether a request that was refused may have been so for what can be left out: for a new picture, or, where the reason was not told, for
   * one that an earlier refused request held too.
   */
  mayBeRefusedFor(refusal: "pictures" | "reasoning" | "something"): boolean {
    if (refusal === "reasoning") return this.#items.some(isSealed);
    if (refusal === "pictures") return this.#items.some(hasPicture);
    const fresh = this.#items.slice(this.#unanswered);
    const newest = fresh.findLastIndex((item) => isUserBoundary(item));
    return fresh
      .slice(0, Math.max(newest, 0))
      .some((item) => hasPicture(item) && (isUserBoundary(item) || OUTPUTS.has(item.type)));
  }

  /** Takes the pictures out that were sent since the model last answered; where there are none, all of them (H3). */
  #dropPictures(): void {
    const fresh = this.#unanswered;
    const from = this.#items.some((item, at) => at >= fresh && hasPicture(item)) ? fresh : 0;
    this.#items = this.#items.map((item, at) => {
      if (at < from || !hasPicture(item)) return item;
      const without = withoutPictures(item);
      this.#bytes += sizeOf(without) - sizeOf(item);
      return without;
    });
  }

  /** Takes out the reasoning that nobody but its maker can read. */
  #dropSealed(): void {
    for (const item of this.#items) if (isSealed(item)) this.#bytes -= sizeOf(item);
    this.#items = this.#items.filter((item) => !isSealed(item));
  }

  /** Takes one call of this id off the open ones; false when there is none. */
  #answer(callId: string): boolean {
    const [call, ...others] = this.#open.get(callId) ?? [];
    if (call === undefined) return false;
    if (others.length === 0) this.#open.delete(callId);
    else this.#open.set(callId, others);
    return true;
  }

  /** Outputs of one answer's calls follow those calls in order; a late one goes directly behind its own call. */
  #insertAfterCall(output: ResponseItem, callId: string): void {
    let at = this.#items.length - 1;
    let isLate = false;
    for (; at >= 0; at -= 1) {
      const item = this.#items[at];
      if (item === undefined) break;
      if (callOf(item) === callId) break;
      isLate ||= callIdOf(item) === undefined;
    }
    this.#items.splice(isLate ? at + 1 : this.#items.length, 0, output);
  }

  /** The calls whose outputs are still owed, in no order. */
  openCalls(): readonly ResponseItem[] {
    return [...this.#open.values()].flat();
  }

  /** The outputs that are still owed, each saying that the call was aborted. */
  missingOutputs(): ResponseItem[] {
    return [...this.#open].flatMap(([callId, calls]) => calls.map((call) => abortedOutput(call, callId)));
  }

  /** What goes to the model now: a snapshot that later appends do not change (H1). */
  forModel(): readonly ResponseItem[] {
    if (this.#open.size === 0) return this.#items.slice();
    const whole: ResponseItem[] = [];
    for (const item of this.#items) {
      whole.push(item);
      const callId = callIdOf(item);
      if (callId !== undefined && this.#open.get(callId)?.includes(item)) whole.push(abortedOutput(item, callId));
    }
    return whole;
  }

  /** Drops everything from the n-th last user message on; with fewer of them, from the first one on (SPEC 6.4). */
  rollBack(turns: number): void {
    let cut = this.#items.length;
    let left = turns;
    for (let at = this.#items.length - 1; at >= 0 && left > 0; at -= 1) {
      const item = this.#items[at];
      if (item === undefined || !isUserBoundary(item)) continue;
      cut = at;
      left -= 1;
    }
    this.#restart(this.#items.slice(0, this.#beforeNotes(cut)));
  }

  /** Codex takes the notes before a message that goes with it, but for those before the first message of all. */
  #beforeNotes(cut: number): number {
    const first = this.#items.findIndex((item) => isUserBoundary(item));
    const kept = this.#items.findLastIndex((item, at) => at < cut && (at <= first || !isOwnNote(item)));
    return first === -1 || cut <= first || cut === this.#items.length ? cut : kept + 1;
  }

  /** What it goes on from: the context, the newest user messages that fit, and the summary (SPEC 5.4). */
  compacted(summary: string, initialContext: readonly ResponseItem[]): readonly ResponseItem[] {
    const kept: ResponseItem[] = [];
    let left = KEPT_USER_TOKENS * BYTES_PER_TOKEN;
    for (const item of this.#items.toReversed()) {
      const text = textOf(item);
      if (isRetained(item) ? text.length >= left : !isUserBoundary(item) || this.#summaries.has(text)) continue;
      if (text.length >= left) {
        if (left > 0) kept.push(userMessage(text.slice(0, left)));
        break;
      }
      left -= text.length;
      kept.push(item);
    }
    return [...initialContext, ...kept.toReversed(), userMessage(summary)];
  }

  /** Goes on from what a stored compaction comes to that says its summary alone. */
  compact(summary: string, initialContext: readonly ResponseItem[]): void {
    this.#restart(this.compacted(summary, initialContext));
    this.#summaries.add(summary);
  }

  /** Goes on from what a compaction has stored whole, its summary among it. */
  replaceWith(items: readonly ResponseItem[], summary: string): void {
    this.#summaries.add(summary);
    this.#restart(items);
  }

  #restart(items: readonly ResponseItem[]): void {
    this.#items = [];
    this.#open.clear();
    this.#bytes = 0;
    for (const item of items) this.append(item);
  }
}

const isRetained = (item: ResponseItem): boolean =>
  item.type === "function_call_output" && item.call_id === undefined && item.retain === true;

function abortedOutput(call: ResponseItem, callId: string): ResponseItem {
  if (call.type === "tool_search_call") return noToolsFound(callId);
  return call.type === "custom_tool_call"
    ? { type: "custom_tool_call_output", call_id: callId, output: ABORTED_OUTPUT }
    : { type: "function_call_output", call_id: callId, output: ABORTED_OUTPUT };
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 4;
  let size = 2;
  for (const part of Object.values(value)) size += sizeOf(part);
  return size;
}
