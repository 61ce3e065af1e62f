/** Reads what a thread's stored lines come to, from as near to their end as they allow. */
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { RolloutItem, RolloutLine } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { hidesHistory, type RolloutProblem } from "../store/rollout-problem.ts";
import type { ForkBase, LoadRange, ThreadStore } from "../store/thread-store.ts";
import { initialContext } from "../turn/initial-context.ts";
import { EVENTS_OF_HISTORY, Rebuilt } from "./rebuild.ts";
import { isNoState } from "./saved-state.ts";
import type { Past, SharedPasts } from "./shared-pasts.ts";
import { StandingLines } from "./standing-lines.ts";

/** Whose lines are read. */
export interface ReadThread {
  readonly threadId: ThreadId;
  readonly store: ThreadStore;
  readonly config: ResolvedThreadConfig;
  readonly env: { readonly pasts: SharedPasts };
}

/** The lines that a fork begins with: by a name that no others have, and up to which ordinal. */
type Inherited = { readonly place: string; readonly end: number };

/** `from`: where the lines begin. `past`: what those before them come to; `after`: the last of those, which is the first one read. */
type Start = Required<Pick<LoadRange, "from">> & {
  readonly past?: Rebuilt;
  readonly after?: RolloutLine;
  readonly inherited?: Inherited | undefined;
};

/** `last`: the last line that was looked at; undefined where what it comes to is this life's alone. */
type Read = { readonly rebuilt: Rebuilt; readonly last: RolloutLine | undefined };

/** Whether a line can change what the model is told: of events, only some can. */
const isOfHistory = (type: string, event: string | undefined): boolean =>
  isNoState(type) && (event === undefined || EVENTS_OF_HISTORY.has(event));

export class HistoryReader {
  readonly #thread: ReadThread;
  readonly #inherits: ForkBase["inherits"];
  #hidden: RolloutProblem[] = [];
  #isKept = false;

  /** @param inherits which lines a fork begins with, where that is known: what they come to is shared */
  constructor(thread: ReadThread, inherits: ForkBase["inherits"]) {
    this.#thread = thread;
    this.#inherits = inherits;
  }

  /** The damage that the last read has met. */
  get hidden(): readonly RolloutProblem[] {
    return this.#hidden;
  }

  /** From now on, what is read is kept for the thread's next life in this process, which goes on from it. */
  keep(): void {
    this.#isKept = true;
  }

  /** @param next a line that is to be stored behind the others */
  async read(signal: AbortSignal, next?: RolloutItem): Promise<Rebuilt> {
    if (!this.#isKept || next !== undefined)
      return (await this.#readFromAny(await this.#starts(), signal, next)).rebuilt;
    const { threadId, store, env } = this.#thread;
    // A thread that was deleted and made anew under its id is another: its header tells.
    const place = `${threadId} ${(await store.header(threadId)).timestamp}`;
    const past = env.pasts.find(place);
    const { rebuilt, last } = await this.#readFromAny([...goingOn(past), ...(await this.#starts())], signal, next);
    if (last === undefined || this.#hidden.length > 0) env.pasts.forget(place);
    else env.pasts.share(place, { rebuilt, last });
    return rebuilt;
  }

  /** Where a read may begin, the nearest to the end first. */
  async #starts(): Promise<Start[]> {
    const inherited = await this.#inherited();
    const past = inherited && this.#thread.env.pasts.find(inherited.place)?.rebuilt;
    return [
      ...(past === undefined ? [] : [{ from: { ordinal: inherited?.end ?? 0 }, past }]),
      { from: "compaction", inherited },
      { from: "start", inherited },
    ];
  }

  async #readFromAny(starts: readonly Start[], signal: AbortSignal, next: RolloutItem | undefined): Promise<Read> {
    for (const start of starts) {
      this.#hidden = [];
      const read = await this.#readFrom(start, signal, next);
      if (read !== undefined) return read;
    }
    return { rebuilt: new Rebuilt(), last: undefined };
  }

  /** A thread that was deleted and made anew under its id is another: its header tells. */
  async #inherited(): Promise<Inherited | undefined> {
    if (this.#inherits === null) return undefined;
    const { threadId, end } = this.#inherits;
    try {
      const { timestamp } = await this.#thread.store.header(threadId);
      return { place: `${threadId} ${timestamp} ${end.ordinal}`, end: end.ordinal };
    } catch {
      // Whoever was deleted since is read as part of the fork, and shared with nobody.
      return undefined;
    }
  }

  /** undefined: what lies before these lines is needed too, or they do not begin with the line that they are to go on after. */
  async #readFrom(start: Start, signal: AbortSignal, next: RolloutItem | undefined): Promise<Read | undefined> {
    const { from, past, after, inherited } = start;
    const onProblem = (problem: RolloutProblem) => {
      if (hidesHistory(problem)) this.#hidden.push(problem);
    };
    let rebuilding: Rebuilding | undefined;
    let toShare = inherited;
    let isOnlyOurs = false;
    let last: RolloutLine | undefined;
    const range = { from, wants: isOfHistory, signal, onProblem };
    for await (const page of this.#thread.store.load(this.#thread.threadId, range)) {
      const isCut = past !== undefined || (from === "compaction" && page[0]?.type === "compacted");
      rebuilding ??= new Rebuilding(this.#thread, { past, isWhole: !isCut });
      for (const line of page) {
        const isFirst = last === undefined;
        if (isFirst && after !== undefined) {
          // Another line is there now, as in a database that was put back.
          if (JSON.stringify(line) !== JSON.stringify(after)) return undefined;
          last = line;
          continue;
        }
        if (toShare !== undefined && (line.ordinal ?? 0) >= toShare.end) {
          if (last !== undefined && this.#hidden.length === 0)
            this.#thread.env.pasts.share(toShare.place, { rebuilt: await rebuilding.fold(), last });
          toShare = undefined;
        }
        if (!rebuilding.add(line)) return undefined;
        last = line;
        // What it comes to depends on this thread's own settings.
        if (line.type === "compacted" && !line.payload.replacement_history) {
          toShare = undefined;
          isOnlyOurs = true;
        }
      }
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
    }
    if (after !== undefined && last === undefined) return undefined;
    rebuilding ??= new Rebuilding(this.#thread, { past, isWhole: past === undefined });
    if (next !== undefined && !rebuilding.add(next)) return undefined;
    const rebuilt = await rebuilding.fold();
    signal.throwIfAborted();
    // After a compaction, nothing but the lines before it may say what the model was told of its settings.
    if (from === "compaction" && !rebuilding.isWhole && rebuilt.told === undefined) return undefined;
    return { rebuilt, last: isOnlyOurs ? undefined : last };
  }
}

const goingOn = (past: Past | undefined): Start[] =>
  past === undefined ? [] : [{ from: { ordinal: past.last.ordinal ?? 0 }, past: past.rebuilt, after: past.last }];

/** Lines, folded as far as they stand. */
class Rebuilding {
  readonly isWhole: boolean;
  readonly #lines: StandingLines;
  readonly #thread: ReadThread;
  /** What the lines before these come to. */
  readonly #past: Rebuilt | undefined;
  #rebuilt: Rebuilt;
  #folded = 0;

  constructor(thread: ReadThread, { past, isWhole }: { past: Rebuilt | undefined; isWhole: boolean }) {
    this.#thread = thread;
    this.#lines = new StandingLines(isWhole);
    this.isWhole = isWhole;
    this.#past = past;
    this.#rebuilt = past?.copy() ?? new Rebuilt();
  }

  get isEmpty(): boolean {
    return this.#lines.items.length === 0;
  }

  /** false: the lines given are not enough. */
  add(line: RolloutItem): boolean {
    const needsOthers = line.type === "compacted" && !line.payload.replacement_history;
    if (needsOthers && this.isEmpty && !this.isWhole && this.#past === undefined) return false;
    const standing = this.#lines.add(line);
    if (standing === "changed") {
      this.#rebuilt = this.#past?.copy() ?? new Rebuilt();
      this.#folded = 0;
    }
    return standing !== "beyond";
  }

  async fold(): Promise<Rebuilt> {
    const context = () => initialContext(this.#thread.config);
    const { items } = this.#lines;
    for (; this.#folded < items.length; this.#folded += 1) {
      const item = items[this.#folded];
      if (item !== undefined) this.#rebuilt.add(item, context);
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
    }
    return this.#rebuilt;
  }
}
