/**
 * What is seen of a manager while somebody looks: one subscriber of its events. It is made with the first watcher and
 * dropped with the last; then nothing of it runs. It loads no thread, and keeps none in memory.
 *
 * - A delta costs a count. Any other event marks its thread; what is told of a thread is read when it is told.
 * - Its state is bounded by the threads that are in memory, and by the newest that have changed.
 */
import { tracingChannel } from "node:diagnostics_channel";
import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import { scopeOf } from "../../manager/spawn-trace.ts";
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { ThreadEvent } from "../../protocol/event.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { SlotTrace } from "../../turn/traces.ts";
import { doingAfter } from "./doing.ts";
import type { Meter } from "./meter.ts";
import { Questions } from "./questions.ts";
import { type Heard, labelOf, Rows } from "./rows.ts";
import { Spans } from "./spans.ts";
import { UsageNews } from "./usage-news.ts";
import type { MetricsSample, QuestionChanges } from "./wire.ts";

export type CollectorOptions = {
  readonly manager: ThreadManager;
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly meter: Meter;
  /** The number of the last change that an earlier collector has told of. */
  readonly seq: number;
};

/** What changed of a thread: all of its row, or what its work changes. */
type Change = "row" | "patch";

const SECOND_MS = 1_000;
const QUESTIONS_MS = 30;
const REMEMBERED = 50_000;
const DELTAS: ReadonlySet<string> = new Set([
  "agent_message_delta",
  "agent_message_content_delta",
  "agent_reasoning_delta",
  "agent_reasoning_raw_content_delta",
  "reasoning_content_delta",
  "reasoning_raw_content_delta",
  "exec_command_output_delta",
  "raw_response_item",
]);

export class Collector implements Disposable {
  readonly spans = new Spans();
  /** Unix milliseconds: what was before is in the threads' lines. */
  readonly since: number;
  readonly rows: Rows;
  readonly questions: Questions;
  readonly #options: CollectorOptions;
  readonly #heard = new Map<ThreadId, Heard>();
  readonly #usage = new UsageNews();
  readonly #loaded = new Set<ThreadId>();
  /** Which thread a fork was made of, of those that have been in memory meanwhile. */
  readonly #sources = new Map<ThreadId, ThreadId>();
  /** The number of each thread's last change; those that changed before `floor` are forgotten. */
  readonly #changedAt = new Map<ThreadId, number>();
  #floor: number;
  #seq: number;
  readonly #onChange = new Set<(threadId: ThreadId, change: Change) => void>();
  readonly #onSample = new Set<(sample: MetricsSample) => void>();
  readonly #onQuestions = new Set<(changes: QuestionChanges) => void>();
  readonly #asking = new Set<ThreadId>();
  readonly #observers: { unsubscribe(): void }[];
  #second: unknown;
  #askingTimer: unknown;
  #isOver = false;
  /** Resolves when the threads that were there before have been looked at. */
  readonly ready: Promise<void>;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#seq = options.seq;
    this.since = options.clock.now();
    this.#floor = options.seq;
    const { manager, meter } = options;
    this.rows = new Rows(manager, (threadId) => this.#heard.get(threadId));
    this.questions = new Questions(manager);
    meter.restart();
    this.#observers = [
      manager.events$.subscribe((event) => this.#onEvent(event)),
      manager.threadCreated$.subscribe(({ id }) => this.#arrived(id)),
      manager.threadClosed$.subscribe(({ threadId }) => this.#left(threadId, "row")),
      this.#watchSlots(),
    ];
    this.#tick();
    this.ready = this.#lookAround();
  }

  async #lookAround(): Promise<void> {
    const ids = await this.#options.manager.listThreadIds();
    for (const id of ids) this.#noteLoaded(id);
    this.#reconcile(ids);
  }

  #noteLoaded(threadId: ThreadId): void {
    const thread = this.#options.manager.loadedThread(threadId);
    const source = thread?.sessionConfigured.forked_from_id;
    this.#loaded.add(threadId);
    this.#usage.begin(threadId, thread?.tokenUsage?.total_token_usage);
    if (source == null) return;
    if (this.#sources.size >= REMEMBERED) this.#sources.clear();
    this.#sources.set(threadId, source);
  }

  /** The thread that this one was forked from, as far as it has been in memory since somebody looks. */
  sourceOf(threadId: ThreadId): ThreadId | undefined {
    return this.#sources.get(threadId);
  }

  #watchSlots(): { unsubscribe(): void } {
    const { manager, clock } = this.#options;
    const scope = scopeOf(manager);
    const channel = tracingChannel<SlotTrace>("skein:slot");
    const nothing = () => undefined;
    const told = (tell: (threadId: ThreadId) => void) => (message: object) => {
      const { scope: whose, threadId } = message as SlotTrace;
      if (whose === scope) tell(threadId);
    };
    const subscribers = {
      start: told((threadId) => {
        this.spans.waitsForSlot(threadId, clock.now());
        this.#heardOf(threadId).doing = "waits for a place";
        this.#changed(threadId, "patch");
      }),
      asyncEnd: told((threadId) => {
        this.spans.hasSlot(threadId, clock.now());
        this.#heardOf(threadId).doing = "sampling";
        this.#changed(threadId, "patch");
      }),
      end: nothing,
      asyncStart: nothing,
      error: nothing,
    };
    channel.subscribe(subscribers);
    return { unsubscribe: () => void channel.unsubscribe(subscribers) };
  }

  get seq(): number {
    return this.#seq;
  }

  /** The threads that changed after this number; undefined when that is no longer known. */
  changedSince(seq: number): ThreadId[] | undefined {
    if (seq < this.#floor || seq > this.#seq) return undefined;
    return [...this.#changedAt].filter(([, at]) => at > seq).map(([id]) => id);
  }

  onChange(listener: (threadId: ThreadId, change: Change) => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  onSample(listener: (sample: MetricsSample) => void): () => void {
    this.#onSample.add(listener);
    return () => this.#onSample.delete(listener);
  }

  onQuestions(listener: (changes: QuestionChanges) => void): () => void {
    this.#onQuestions.add(listener);
    return () => this.#onQuestions.delete(listener);
  }

  #onEvent(event: ThreadEvent): void {
    const { meter } = this.#options;
    const { threadId, msg, time } = event;
    if (DELTAS.has(msg.type)) {
      meter.tick();
      return;
    }
    const used = this.#usage.heed(threadId, msg);
    meter.count(msg, used);
    this.spans.take({ threadId, time, msg, used });
    const heard = this.#heardOf(threadId);
    heard.lastAt = time;
    heard.doing = doingAfter(msg) ?? heard.doing;
    const isNamed = msg.type === "user_message" && heard.label === "";
    if (isNamed) heard.label = labelOf(msg.message);
    this.#changed(threadId, isNamed ? "row" : "patch");
    const asks = msg.type === "exec_approval_request" || msg.type === "apply_patch_approval_request";
    if (asks || this.questions.isAsking(threadId)) this.#lookAtQuestions(threadId);
  }

  #heardOf(threadId: ThreadId): Heard {
    const known = this.#heard.get(threadId);
    if (known !== undefined) return known;
    const heard: Heard = { doing: "", lastAt: this.#options.clock.now(), label: "" };
    this.#heard.set(threadId, heard);
    return heard;
  }

  #changed(threadId: ThreadId, change: Change): void {
    this.#seq += 1;
    if (this.#changedAt.size >= REMEMBERED && !this.#changedAt.has(threadId)) {
      this.#changedAt.clear();
      this.#floor = this.#seq;
    }
    this.#changedAt.set(threadId, this.#seq);
    for (const listener of this.#onChange) listener(threadId, change);
  }

  #arrived(threadId: ThreadId): void {
    this.#noteLoaded(threadId);
    this.#changed(threadId, "row");
    this.#lookAtQuestions(threadId);
  }

  /** It is in memory no more. */
  #left(threadId: ThreadId, change: Change): void {
    this.#loaded.delete(threadId);
    this.#heard.delete(threadId);
    this.#usage.forget(threadId);
    this.spans.forget(threadId, this.#options.clock.now());
    this.#changed(threadId, change);
    if (this.questions.isAsking(threadId)) this.#lookAtQuestions(threadId);
  }

  /** Soon: a question is there when its event has been told, and gone a moment after its answer. */
  #lookAtQuestions(threadId: ThreadId): void {
    this.#asking.add(threadId);
    this.#askingTimer ??= this.#options.clock.background(() => {
      this.#askingTimer = undefined;
      const ids = [...this.#asking];
      this.#asking.clear();
      this.#reconcile(ids);
    }, QUESTIONS_MS);
  }

  /** Somebody has answered through here: it need not wait for the thread's next word. */
  answered(threadId: ThreadId): void {
    this.#reconcile([threadId]);
  }

  #reconcile(threadIds: Iterable<ThreadId>): void {
    if (this.#isOver) return;
    const changes = this.questions.reconcile(threadIds, this.#options.clock.now());
    if (changes.opened.length + changes.resolved.length === 0) return;
    for (const { threadId } of [...changes.opened, ...changes.resolved]) this.#changed(threadId as ThreadId, "patch");
    for (const listener of this.#onQuestions) listener(changes);
  }

  /** Once a second: the figures, and what no event tells, as that a thread has left memory. */
  #tick(): void {
    const { clock, manager, meter } = this.#options;
    this.#second = clock.background(() => {
      for (const id of this.#loaded) if (manager.loadedThread(id) === undefined) this.#left(id, "patch");
      this.#reconcile(this.questions.threads);
      const sample = meter.sample({ pending: this.questions.size, capacity: manager.capacity() });
      for (const listener of this.#onSample) listener(sample);
      this.#tick();
    }, SECOND_MS);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#options.meter.stop();
    for (const observer of this.#observers) observer.unsubscribe();
    this.#options.clock.clearTimeout(this.#second);
    this.#options.clock.clearTimeout(this.#askingTimer);
  }
}
