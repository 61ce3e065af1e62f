/**
 * Submissions over many threads at a steady pace, whatever becomes of them (open loop), one in ten sent twice; then what the store
 * holds of them, read by SQL, and what the clients were told.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type Cluster, connect } from "../../src/cluster/index.ts";
import { newTurnId } from "../../src/protocol/ids.ts";
import type { Op } from "../../src/protocol/op.ts";

export type LoadOptions = {
  readonly ingress: string;
  readonly threads: number;
  readonly submissions: number;
  readonly perSecond: number;
};

export type LoadReport = {
  readonly submissions: number;
  readonly resent: number;
  /** From the moment that a submission was due to its acknowledgement. */
  readonly longestAckMs: number;
  /** Between two events of one thread while something of it was under way. */
  readonly longestGapMs: number;
  /** Tries that failed and were made again under the same id. */
  readonly retried: number;
};

type Lane = {
  readonly threadId: string;
  readonly inputs: string[];
  readonly ends: Map<string, number>;
  queue: Promise<void>;
  heardAt: number;
};

let loads = 0;
const inputOf = (load: number, lane: number, n: number): string => `input ${load}-${lane}-${n}.`;
const TWICE_EVERY = 10;
const RETRY_MS = 250;
const MOST_TRIES = 200;

export class Load implements AsyncDisposable {
  readonly #options: LoadOptions;
  readonly #first: Cluster;
  readonly #second: Cluster;
  readonly #lanes: Lane[] = [];
  readonly #load = loads++;
  #longestAckMs = 0;
  #longestGapMs = 0;
  #resent = 0;
  #retried = 0;
  #open = 0;
  /** What tries failed with, and how often. */
  readonly failures = new Map<string, number>();

  private constructor(options: LoadOptions) {
    this.#options = options;
    this.#first = connect({ ingress: options.ingress });
    this.#second = connect({ ingress: options.ingress });
  }

  /** The threads are there when this resolves. */
  static async prepare(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    await Promise.all(Array.from({ length: options.threads }, () => load.#prepareLane()));
    return load;
  }

  async #prepareLane(): Promise<void> {
    const { thread, threadId } = await this.#first.startThread();
    const lane: Lane = { threadId, inputs: [], ends: new Map(), queue: Promise.resolve(), heardAt: performance.now() };
    thread.events$.subscribe(({ msg }) => {
      this.#hear(lane);
      if (msg.type !== "task_complete" && msg.type !== "turn_aborted") return;
      const turn = msg.turn_id ?? "";
      lane.ends.set(turn, (lane.ends.get(turn) ?? 0) + 1);
    });
    this.#lanes.push(lane);
  }

  #hear(lane: Lane): void {
    const now = performance.now();
    if (lane.inputs.length > lane.ends.size) this.#longestGapMs = Math.max(this.#longestGapMs, now - lane.heardAt);
    lane.heardAt = now;
  }

  /** Resolves when every submission is acknowledged. */
  async run(): Promise<void> {
    const { submissions, perSecond } = this.#options;
    const beganAt = performance.now();
    for (let n = 0; n < submissions; n += 1) {
      const dueAt = beganAt + (n * 1_000) / perSecond;
      await delay(Math.max(0, dueAt - performance.now()));
      this.#submit(n, dueAt);
    }
    await Promise.all(this.#lanes.map(({ queue }) => queue));
  }

  /** How many are sent and not acknowledged. */
  get open(): number {
    return this.#open;
  }

  #submit(n: number, dueAt: number): void {
    const index = n % this.#lanes.length;
    const lane = this.#lanes[index];
    assert.ok(lane !== undefined);
    const text = inputOf(this.#load, index, lane.inputs.length);
    if (lane.inputs.length === lane.ends.size) lane.heardAt = performance.now();
    lane.inputs.push(text);
    const isTwice = n % TWICE_EVERY === 0;
    if (isTwice) this.#resent += 1;
    this.#open += 1;
    // A thread's own submissions follow each other, as one client's do.
    lane.queue = lane.queue.then(async () => {
      const id = newTurnId();
      const sending = [this.#send(this.#first, lane.threadId, id, text)];
      if (isTwice) sending.push(this.#send(this.#second, lane.threadId, id, text));
      await Promise.all(sending);
      this.#longestAckMs = Math.max(this.#longestAckMs, performance.now() - dueAt);
      this.#open -= 1;
    });
  }

  async #send(cluster: Cluster, threadId: string, id: string, text: string): Promise<void> {
    const op: Op = { type: "user_input", items: [{ type: "text", text }] };
    for (let tries = 1; ; tries += 1) {
      try {
        await cluster.sendOp(threadId, op, { id });
        return;
      } catch (error) {
        if (tries >= MOST_TRIES) throw error;
        this.#retried += 1;
        this.failures.set(String(error), (this.failures.get(String(error)) ?? 0) + 1);
        await delay(RETRY_MS);
      }
    }
  }

  /** Reads the store until every turn has ended; then nothing is lost, doubled or out of order. @throws AssertionError */
  async check(connectionString: string, deadlineMs: number): Promise<LoadReport> {
    const until = performance.now() + deadlineMs;
    let stored = await storedOf(connectionString);
    while (!this.#lanes.every((lane) => isSettled(stored.get(lane.threadId), lane))) {
      if (performance.now() > until) break;
      await delay(500);
      stored = await storedOf(connectionString);
    }
    for (const lane of this.#lanes) {
      const lines = stored.get(lane.threadId) ?? [];
      assert.deepEqual(
        lines.map(({ ordinal }) => ordinal),
        lines.map((_, n) => n + 1),
        "no two writers interleave; the header is line 0",
      );
      assert.deepEqual(inputsIn(lines), lane.inputs, "each input once, in order");
      for (const [turn, ends] of turnsIn(lines)) assert.equal(ends, 1, `turn ${turn} has one end`);
      for (const [turn, ends] of lane.ends) assert.equal(ends, 1, `the client was told once that turn ${turn} ended`);
    }
    return {
      submissions: this.#options.submissions,
      resent: this.#resent,
      longestAckMs: Math.round(this.#longestAckMs),
      longestGapMs: Math.round(this.#longestGapMs),
      retried: this.#retried,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#first.close(), this.#second.close()]);
  }
}

type StoredLine = { readonly ordinal: number; readonly type: string; readonly payload: Record<string, unknown> };

async function storedOf(connectionString: string): Promise<Map<string, StoredLine[]>> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  try {
    const text =
      "SELECT h.id, l.ordinal, l.line FROM skein.lines l JOIN skein.threads h ON h.t = l.t ORDER BY h.id, l.ordinal";
    const { rows } = await client.query<{ id: string; ordinal: string; line: string }>(text);
    const threads = new Map<string, StoredLine[]>();
    for (const { id, ordinal, line } of rows) {
      const lines = threads.get(id) ?? [];
      threads.set(id, lines);
      lines.push({ ...(JSON.parse(line) as StoredLine), ordinal: Number(ordinal) });
    }
    return threads;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const inputsIn = (lines: readonly StoredLine[]): string[] =>
  lines.flatMap(({ type, payload }) =>
    type === "response_item" && payload.role === "user"
      ? (/input \d+-\d+-\d+\./.exec(JSON.stringify(payload)) ?? [])
      : [],
  );

/** How many ends each turn has that has begun. */
function turnsIn(lines: readonly StoredLine[]): Map<unknown, number> {
  const turns = new Map<unknown, number>();
  for (const { type, payload } of lines) {
    if (type !== "event_msg") continue;
    if (payload.type === "task_started") turns.set(payload.turn_id, turns.get(payload.turn_id) ?? 0);
    if (payload.type === "task_complete" || payload.type === "turn_aborted")
      turns.set(payload.turn_id, (turns.get(payload.turn_id) ?? 0) + 1);
  }
  return turns;
}

const isSettled = (lines: readonly StoredLine[] | undefined, { inputs }: Lane): boolean =>
  lines !== undefined &&
  inputsIn(lines).length >= inputs.length &&
  [...turnsIn(lines).values()].every((ends) => ends > 0);
