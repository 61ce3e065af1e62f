import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { hidesHistory, type RolloutProblem } from "../store/rollout-problem.ts";
import type { ForkBase, LoadRange, ThreadStore } from "../store/thread-store.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import type { History } from "../turn/history.ts";
import { initialContext } from "../turn/initial-context.ts";
import { messageOf } from "../turn/user-message.ts";
import { EVENTS_OF_HISTORY, Rebuilt } from "./rebuild.ts";
import { isNoState } from "./saved-state.ts";
import type { Past, SharedPasts } from "./shared-pasts.ts";
import type { SubmissionLedger } from "./submission-ledger.ts";

/** Whose history is loaded. */
export interface LoadingThread {
  readonly threadId: ThreadId;
  readonly store: ThreadStore;
  readonly config: ResolvedThreadConfig;
  readonly intake: { readonly ledger: SubmissionLedger };
  /** The running turn, which sees by itself to the calls that it has left open in an earlier life. */
  readonly turn: { owesOutput(callId: string): boolean } | undefined;
  readonly storage: { flush(): Promise<void> };
  readonly env: { readonly pasts: SharedPasts };
  publish(id: SubmissionId, msg: EventMsg): void;
  /** The stored lines were read. */
  recall(rebuilt: Rebuilt): void;
}

/** The lines that a fork begins with: by a name that no others have, and up to which ordinal. */
type Inherited = { readonly place: string; readonly end: number };

/** How a thread's history is read: of a fork that was just made, which lines it inherits; and whether its next life in this process goes on from it. */
export type Reading = { readonly inherits: ForkBase["inherits"]; readonly isKept: boolean };

/** What its owner is told: the history, as soon as it is read, and when everything is done or has failed. */
export type LoaderOutcomes = { readonly onRead: (history: History) => void; readonly onEnd: () => void };

/** Whether a line can change what the model is told: of events, only those that Rebuilt looks at can. */
const isOfHistory = (type: string, event: string | undefined): boolean =>
  isNoState(type) && (event === undefined || EVENTS_OF_HISTORY.has(event));

/** undefined for what this version can't read. */
function readOp(stored: unknown): Op | undefined {
  try {
    return parseOp(stored);
  } catch {
    return undefined;
  }
}

/**
 * Brings one thread's history into memory, once, and repairs what a crash or a fork left half-finished (T6): every call
 * without an output gets one, which is stored, so that no later load repairs it again and no tool runs again.
 *
 * It belongs to the thread and to no turn: a turn that gives up waiting leaves it to the next one.
 */
export class HistoryLoader {
  /** Resolves when the thread has its history. */
  readonly loaded: Promise<void>;
  readonly #thread: LoadingThread;
  readonly #onRead: LoaderOutcomes["onRead"];
  readonly #controller = new AbortController();
  /** What the thread recorded while the lines were being read; those lines may or may not have been among them. */
  #stale = false;
  #hidden: RolloutProblem[] = [];
  readonly #reading: Reading;
  /** The last line that was looked at; undefined where what it comes to is this life's alone. */
  #last: RolloutLine | undefined;

  constructor(thread: LoadingThread, reading: Reading, { onRead, onEnd }: LoaderOutcomes) {
    this.#thread = thread;
    this.#reading = reading;
    this.#onRead = onRead;
    this.loaded = this.#load(this.#controller.signal).finally(onEnd);
    this.loaded.catch(() => undefined);
  }

  /** The thread recorded an item meanwhile: what was read has to be read again. */
  noteRecorded(): void {
    this.#stale = true;
  }

  /** The thread has ended. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  #hiddenText(): string {
    const [first] = this.#hidden;
    return `The stored history of this thread is damaged, and the model does not see what was there: ${first?.path}: ${first?.kind}: ${first?.detail}. \`skein verify\` lists all of it.`;
  }

  async #load(signal: AbortSignal): Promise<void> {
    const thread = this.#thread;
    let rebuilt: Rebuilt;
    do {
      this.#stale = false;
      await thread.storage.flush();
      rebuilt = await this.#read(signal);
      signal.throwIfAborted();
    } while (this.#stale);
    this.#onRead(rebuilt.history);
    thread.recall(rebuilt);
    if (this.#hidden.length > 0) thread.publish(INTERNAL_SUBMISSION, { type: "warning", message: this.#hiddenText() });
    for (const item of rebuilt.history.missingOutputs()) {
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
      signal.throwIfAborted();
      if ("call_id" in item && thread.turn?.owesOutput(String(item.call_id))) continue;
      thread.publish(INTERNAL_SUBMISSION, { type: "raw_response_item", item });
    }
    for (const item of rebuilt.waiting.all()) {
      // A fork inherits the lines of the thread that has taken it, and this life's own ops still wait for their turn.
      if (item.thread_id !== thread.threadId || thread.intake.ledger.isOwn(item)) continue;
      await this.#takeUp(item.op, signal);
      thread.intake.ledger.noteTakenBefore(item);
    }
  }

  /** A process died before the input was in the history: the model hears of it with the next turn, as of one that was cut. */
  async #takeUp(stored: unknown, signal: AbortSignal): Promise<void> {
    const op = readOp(stored);
    const items =
      op?.type === "inject_items"
        ? op.items
        : op?.type === "user_input" || op?.type === "user_turn"
          ? [await messageOf(op.items, { cwd: this.#thread.config.cwd, signal })]
          : [];
    for (const item of items) this.#thread.publish(INTERNAL_SUBMISSION, { type: "raw_response_item", item });
  }

  async #read(signal: AbortSignal): Promise<Rebuilt> {
    if (!this.#reading.isKept) return this.#readWhole(signal);
    const { threadId, store, env } = this.#thread;
    // A thread that was deleted and made anew under its id is another: its header tells.
    const place = `${threadId} ${(await store.header(threadId)).timestamp}`;
    const past = env.pasts.find(place);
    const rebuilt = (past && (await this.#goOn(past, signal))) ?? (await this.#readWhole(signal));
    const last = this.#last;
    if (last === undefined || this.#hidden.length > 0) env.pasts.forget(place);
    else env.pasts.share(place, { rebuilt, last });
    return rebuilt;
  }

  /** What has been said since; undefined where the line that it ends with is another one now, as in a database that was put back. */
  async #goOn({ rebuilt, last }: Past, signal: AbortSignal): Promise<Rebuilt | undefined> {
    this.#hidden = [];
    const isStill = await this.#readInto(rebuilt, { from: { ordinal: last.ordinal ?? 0 } }, signal, { after: last });
    return isStill ? rebuilt : undefined;
  }

  async #readWhole(signal: AbortSignal): Promise<Rebuilt> {
    const inherited = await this.#inherited();
    const shared = inherited && this.#thread.env.pasts.find(inherited.place);
    if (shared !== undefined) {
      this.#hidden = [];
      await this.#readInto(shared.rebuilt, { from: { ordinal: inherited?.end ?? 0 } }, signal);
      return shared.rebuilt;
    }
    return (
      (await this.#readFrom("compaction", inherited, signal)) ??
      (await this.#readFrom("start", inherited, signal)) ??
      new Rebuilt()
    );
  }

  /** A thread that was deleted and made anew under its id is another: its header tells. */
  async #inherited(): Promise<Inherited | undefined> {
    const { inherits } = this.#reading;
    if (inherits === null) return undefined;
    const { threadId, end } = inherits;
    try {
      const { timestamp } = await this.#thread.store.header(threadId);
      return { place: `${threadId} ${timestamp} ${end.ordinal}`, end: end.ordinal };
    } catch {
      // Whoever was deleted since is read as part of the fork, and shared with nobody.
      return undefined;
    }
  }

  /** undefined when the last compaction kept its user messages in the lines before it, so that those are needed too. */
  async #readFrom(
    from: "compaction" | "start",
    inherited: Inherited | undefined,
    signal: AbortSignal,
  ): Promise<Rebuilt | undefined> {
    const rebuilt = new Rebuilt();
    this.#hidden = [];
    const isWhole = await this.#readInto(rebuilt, { from }, signal, { inherited });
    return isWhole ? rebuilt : undefined;
  }

  /** false: it begins with a compaction that needs what lies before it, or not with the line that it is to go on after. */
  async #readInto(
    rebuilt: Rebuilt,
    { from }: Required<Pick<LoadRange, "from">>,
    signal: AbortSignal,
    { inherited, after }: { readonly inherited?: Inherited | undefined; readonly after?: RolloutLine } = {},
  ): Promise<boolean> {
    const onProblem = (problem: RolloutProblem) => {
      if (hidesHistory(problem)) this.#hidden.push(problem);
    };
    const context = () => initialContext(this.#thread.config);
    let toShare = inherited;
    let isEmpty = true;
    let isOnlyOurs = false;
    this.#last = after;
    const range = { from, wants: isOfHistory, signal, onProblem };
    for await (const page of this.#thread.store.load(this.#thread.threadId, range)) {
      const first = isEmpty ? page[0] : undefined;
      if (from === "compaction" && first?.type === "compacted" && !first.payload.replacement_history) return false;
      if (after !== undefined && first !== undefined && JSON.stringify(first) !== JSON.stringify(after)) return false;
      for (const line of page) {
        if (line === first && after !== undefined) {
          isEmpty = false;
          continue;
        }
        if (toShare !== undefined && (line.ordinal ?? 0) >= toShare.end) {
          const last = this.#last;
          if (last !== undefined && this.#hidden.length === 0)
            this.#thread.env.pasts.share(toShare.place, { rebuilt, last });
          toShare = undefined;
        }
        // What it comes to depends on this thread's own settings.
        if (line.type === "compacted" && !line.payload.replacement_history) {
          toShare = undefined;
          isOnlyOurs = true;
        }
        rebuilt.add(line, context);
        isEmpty = false;
        this.#last = line;
      }
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
    }
    if (isOnlyOurs) this.#last = undefined;
    return after === undefined || !isEmpty;
  }
}
