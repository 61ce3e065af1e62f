/**
 * What waits to be sent to one client.
 *
 * O1  Order is kept: notifications of an item, a turn or a thread go out in the order in which it happened.
 * O2  Answers, requests and everything but deltas are never dropped.
 * O3  While the client reads slowly, deltas of one item grow together; beyond `deltaBytes` they are left out, which the
 *     client is told once by a warning. The whole text comes with item/completed.
 * O4  What waits without deltas is bounded too: beyond `maxBytes` the outbox is full, and the connection takes no more
 *     requests until it has drained.
 */
import type { OutboxLimits } from "./connection-limits.ts";
import { type Notification, type Outgoing, wireText } from "./json-rpc.ts";
import type { Wire } from "./wire.ts";

export const OUTBOX_LIMITS: OutboxLimits = { deltaBytes: 256 * 1024, maxBytes: 8 * 1024 * 1024 };

type Waiting =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "delta"; readonly message: Notification; readonly params: DeltaParams; parts: string[] };

type DeltaParams = { threadId: string; itemId: string; delta: string; [field: string]: unknown };

export class Outbox {
  readonly #wire: Pick<Wire, "send">;
  readonly #limits: OutboxLimits;
  readonly #onDeltasDropped: (threadId: string) => void;
  #queue: Waiting[] = [];
  /** The last delta that waits of each item; it grows as long as nothing else of the item follows it. */
  readonly #open = new Map<string, Extract<Waiting, { kind: "delta" }>>();
  readonly #told = new Set<string>();
  #deltaChars = 0;
  #otherChars = 0;
  #isReady = true;
  #congestion: PromiseWithResolvers<void> | undefined;

  constructor(wire: Pick<Wire, "send">, limits: OutboxLimits, onDeltasDropped: (threadId: string) => void) {
    this.#wire = wire;
    this.#limits = limits;
    this.#onDeltasDropped = onDeltasDropped;
  }

  /** O4: nothing more may be taken on for this client. */
  get isFull(): boolean {
    return this.#otherChars > this.#limits.maxBytes;
  }

  /** While more waits than a client that reads would leave: a promise that it has all been sent, or dropped. */
  congestion(): Promise<void> | undefined {
    return this.#otherChars <= this.#limits.deltaBytes ? undefined : this.whenSent();
  }

  /** Resolves when nothing waits: it has all been sent, or dropped. */
  whenSent(): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve();
    this.#congestion ??= Promise.withResolvers<void>();
    return this.#congestion.promise;
  }

  #relieve(): void {
    this.#congestion?.resolve();
    this.#congestion = undefined;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  push(message: Outgoing): void {
    if (this.#isReady) {
      this.#isReady = this.#wire.send(wireText(message));
      return;
    }
    const params = deltaParamsOf(message);
    if (params !== undefined) this.#holdDelta(message as Notification, params);
    else this.#hold(wireText(message), message);
  }

  #hold(text: string, message: Outgoing): void {
    if ("method" in message) this.#closeDeltas(message.params);
    this.#otherChars += text.length;
    this.#queue.push({ kind: "text", text });
  }

  /** Deltas that come after another message of the same item must not overtake it (O1). */
  #closeDeltas(params: unknown): void {
    if (this.#open.size === 0 || typeof params !== "object" || params === null) return;
    const { itemId, item } = params as { itemId?: unknown; item?: { id?: unknown } };
    const id = itemId ?? item?.id;
    for (const key of this.#open.keys())
      if (id === undefined || key.includes(`\n${String(id)}\n`)) this.#open.delete(key);
  }

  #holdDelta(message: Notification, params: DeltaParams): void {
    if (this.#deltaChars + params.delta.length > this.#limits.deltaBytes) {
      if (this.#told.has(params.threadId)) return;
      this.#told.add(params.threadId);
      this.#onDeltasDropped(params.threadId);
      return;
    }
    this.#deltaChars += params.delta.length;
    const key = deltaKey(message.method, params);
    const open = this.#open.get(key);
    if (open !== undefined) {
      open.parts.push(params.delta);
      return;
    }
    const waiting = { kind: "delta" as const, message, params, parts: [params.delta] };
    this.#open.set(key, waiting);
    this.#queue.push(waiting);
  }

  /** The wire takes messages again. */
  drain(): void {
    this.#isReady = true;
    let sent = 0;
    for (const waiting of this.#queue) {
      sent += 1;
      if (!this.#wire.send(this.#textOf(waiting))) {
        this.#isReady = false;
        break;
      }
    }
    this.#queue = sent === this.#queue.length ? [] : this.#queue.slice(sent);
    if (this.#queue.length > 0) return;
    this.#told.clear();
    this.#relieve();
  }

  #textOf(waiting: Waiting): string {
    if (waiting.kind === "text") {
      this.#otherChars -= waiting.text.length;
      return waiting.text;
    }
    const { message, params, parts } = waiting;
    const key = deltaKey(message.method, params);
    if (this.#open.get(key) === waiting) this.#open.delete(key);
    const delta = parts.join("");
    this.#deltaChars -= delta.length;
    return JSON.stringify({ ...message, params: { ...params, delta } });
  }

  /** The client is gone. */
  clear(): void {
    this.#queue = [];
    this.#open.clear();
    this.#deltaChars = 0;
    this.#otherChars = 0;
    this.#relieve();
  }
}

const DELTAS: ReadonlySet<string> = new Set([
  "item/agentMessage/delta",
  "item/reasoning/summaryTextDelta",
  "item/reasoning/textDelta",
  "item/commandExecution/outputDelta",
  "item/fileChange/outputDelta",
]);

function deltaParamsOf(message: Outgoing): DeltaParams | undefined {
  return "method" in message && DELTAS.has(message.method) ? (message.params as DeltaParams) : undefined;
}

const deltaKey = (method: string, { threadId, itemId, summaryIndex, contentIndex }: DeltaParams): string =>
  `${method}\n${threadId}\n${itemId}\n${String(summaryIndex ?? contentIndex ?? "")}`;
