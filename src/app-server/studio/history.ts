/**
 * What a thread's own stored lines tell of the time before somebody looked: how long each thing took, by the times of the
 * lines, and what each turn used. Lines that it inherits are its source's to tell.
 *
 * - Read once, and then only what has come since.
 * - Bounded: the newest spans and turns are kept, of the threads that were asked for last.
 */
import { LRUCache } from "lru-cache";
import type { ThreadId } from "../../protocol/ids.ts";
import type { RolloutLine } from "../../protocol/rollout.ts";
import { addUsage, type TokenUsage, zeroUsage } from "../../protocol/token-usage.ts";
import type { ThreadStore } from "../../store/thread-store.ts";
import { isWork } from "./doing.ts";
import { Spans } from "./spans.ts";
import { UsageNews } from "./usage-news.ts";

const KEPT_THREADS = 200;
const KEPT_TURNS = 1_000;
const KEPT_SPANS = 5_000;

/** One turn, as the thread's lines tell it. Times are Unix milliseconds. */
type StoredTurn = {
  readonly turnId: string;
  readonly startedAt: number;
  readonly provider: string;
  model: string | null;
  status: "running" | "completed" | "failed" | "interrupted";
  durationMs: number | null;
  firstWordMs: number | null;
  requests: number;
  usage: TokenUsage;
};

class History {
  readonly spans = new Spans(KEPT_SPANS);
  readonly turns: StoredTurn[] = [];
  readonly #threadId: ThreadId;
  readonly #provider: string;
  readonly #usage = new UsageNews();
  /** The first line that was not read. */
  next: number;
  /** Of the last line that was read, in Unix milliseconds. */
  lastAt = 0;

  constructor(threadId: ThreadId, { next, provider }: { readonly next: number; readonly provider: string }) {
    this.#threadId = threadId;
    this.next = next;
    this.#provider = provider;
  }

  take(line: RolloutLine): void {
    const time = Date.parse(line.timestamp);
    // A life that ended in the middle of a turn had come as far as its last line.
    if (line.type === "event_msg" && line.payload.type === "task_started")
      this.spans.forget(this.#threadId, this.lastAt);
    if (!Number.isNaN(time)) this.lastAt = time;
    if (line.type === "turn_context") {
      const turn = this.turns.at(-1);
      if (turn?.status === "running") turn.model = line.payload.model ?? turn.model;
      return;
    }
    if (line.type !== "event_msg" || Number.isNaN(time)) return;
    const { payload: msg } = line;
    const used = this.#usage.heed(this.#threadId, msg);
    const event = (told: typeof msg, at: number) => ({ threadId: this.#threadId, time: at, msg: told, used });
    // The beginning of a call is not stored, but how long it took.
    if (msg.type === "item_completed" && isWork(msg.item)) {
      const took = "duration_ms" in msg.item && typeof msg.item.duration_ms === "number" ? msg.item.duration_ms : 0;
      const { item, thread_id, turn_id } = msg;
      this.spans.take(event({ type: "item_started", item, thread_id, turn_id }, time - took));
    }
    this.spans.take(event(msg, time));
    this.#takeTurn(event(msg, time));
  }

  #takeTurn({ msg, time, used }: Parameters<Spans["take"]>[0]): void {
    if (msg.type === "task_started") {
      const cut = this.turns.at(-1);
      if (cut?.status === "running") cut.status = "interrupted";
      this.turns.push({
        turnId: msg.turn_id ?? `at ${time}`,
        startedAt: time,
        provider: this.#provider,
        model: null,
        status: "running",
        durationMs: null,
        firstWordMs: null,
        requests: 0,
        usage: zeroUsage,
      });
      if (this.turns.length > 2 * KEPT_TURNS) this.turns.splice(0, KEPT_TURNS);
      return;
    }
    const turn = this.turns.at(-1);
    if (turn?.status !== "running") return;
    if (used !== undefined) {
      turn.requests += 1;
      turn.usage = addUsage(turn.usage, used);
    } else if (msg.type === "task_complete" || msg.type === "turn_aborted") {
      const isFailed = msg.type === "task_complete" && msg.error != null;
      turn.status = msg.type === "turn_aborted" ? "interrupted" : isFailed ? "failed" : "completed";
      turn.durationMs = msg.duration_ms ?? time - turn.startedAt;
      turn.firstWordMs = msg.type === "task_complete" ? (msg.time_to_first_token_ms ?? null) : null;
      turn.usage = msg.turn_token_usage ?? turn.usage;
    }
  }
}

export class Histories {
  readonly #store: ThreadStore;
  readonly #of = new LRUCache<ThreadId, History>({ max: KEPT_THREADS });
  readonly #reading = new Map<ThreadId, Promise<History>>();

  constructor(store: ThreadStore) {
    this.#store = store;
  }

  /** Up to what is stored now. Those who ask at once share the reading. @throws RolloutNotFoundError */
  read(threadId: ThreadId): Promise<Pick<History, "spans" | "turns" | "lastAt">> {
    const known = this.#reading.get(threadId);
    if (known !== undefined) return known;
    const reading = this.#read(threadId).finally(() => this.#reading.delete(threadId));
    this.#reading.set(threadId, reading);
    return reading;
  }

  async #read(threadId: ThreadId): Promise<History> {
    const history = this.#of.get(threadId) ?? (await this.#begin(threadId));
    for await (const page of this.#store.load(threadId, { from: { ordinal: history.next } })) {
      for (const line of page) {
        history.take(line);
        history.next = (line.ordinal ?? history.next) + 1;
      }
    }
    this.#of.set(threadId, history);
    return history;
  }

  async #begin(threadId: ThreadId): Promise<History> {
    const { history_base: base, model_provider } = await this.#store.header(threadId);
    return new History(threadId, { next: base?.end_ordinal_exclusive ?? 0, provider: model_provider ?? "" });
  }
}
