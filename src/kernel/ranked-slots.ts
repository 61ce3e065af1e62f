/**
 * A counted number of permits, given out by rank, and fairly: for places that different trees of work ask for.
 *
 * - `inUse` never exceeds `limit`, and a released permit goes straight to the next waiter.
 * - Ranks are 1 (first) to 5. Those of one rank go round by tree, each tree's own in order of asking.
 * - Whoever has had a permit before goes before all others. Nobody who has one loses it.
 * - Waiting counts: a tree's turn at a rank comes before every turn that begins to wait `agingMs` later for each rank that lies
 *    between, so that none waits for ever behind better ones.
 * - Whoever waits for another lends it its rank, and so on along those that wait for each other. A rank that changes meanwhile takes the
 *    waiter to its place there: it has waited since it asked.
 */
import { onceAborted } from "./abort-listeners.ts";
import { type Clock, elapsedBy } from "./clock.ts";
import { Fifo, type Place } from "./fifo.ts";
import { checkedLimit, type Release } from "./slots.ts";

const RANKS = [1, 2, 3, 4, 5] as const;
export type Rank = (typeof RANKS)[number];

/** Where a waiter stands by itself. */
export type Standing = { readonly rank: Rank; readonly tree: string };

/** How a wait is done by whoever watches it; what it resolves with is the wait's own. `isAgain`: it had a permit before. */
export type SlotWait = (
  about: { readonly id: string; readonly isAgain: boolean },
  wait: () => Promise<Release>,
) => Promise<Release>;

type Waiter = {
  readonly id: string;
  /** In order of asking. */
  readonly number: number;
  readonly since: number;
  readonly admit: (release: Release) => void;
  /** undefined for one that had a permit before. */
  line: Line | undefined;
  place: Place<Waiter> | undefined;
};

/** Those of one tree and rank that wait. */
type Line = {
  readonly key: string;
  readonly rank: Rank;
  readonly waiting: Fifo<Waiter>;
  /** Since when it is its turn to wait. */
  since: number;
  place: Place<Line> | undefined;
};

export type RankedSlotsOptions = {
  readonly clock: Clock;
  readonly agingMs: number;
  readonly standingOf: (id: string) => Standing;
  /** A permit was given back, or on. */
  readonly onFreed?: (() => void) | undefined;
  /** Does each wait. */
  readonly watchWait?: SlotWait;
};

export class RankedSlots {
  readonly limit: number;
  readonly #clock: Clock;
  readonly #agingMs: number;
  readonly #onFreed: () => void;
  readonly #watchWait: SlotWait;
  readonly #returning = new Fifo<Waiter>();
  /** By rank, the lines in the order of their turns. */
  readonly #turns: Readonly<Record<Rank, Fifo<Line>>> = {
    1: new Fifo(),
    2: new Fifo(),
    3: new Fifo(),
    4: new Fifo(),
    5: new Fifo(),
  };
  readonly #lines = new Map<string, Line>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** Who waits for whom, and how many times over; and the same from behind. */
  readonly #lends = new Map<string, Map<string, number>>();
  readonly #borrows = new Map<string, Map<string, number>>();
  readonly #standingOf: (id: string) => Standing;
  #inUse = 0;
  #waiting = 0;
  #asked = 0;

  /** @param limit a whole number from 1 on, or Infinity */
  constructor(limit: number, { clock, agingMs, standingOf, onFreed = () => undefined, watchWait }: RankedSlotsOptions) {
    this.limit = checkedLimit(limit);
    this.#onFreed = onFreed;
    this.#clock = clock;
    this.#agingMs = agingMs;
    this.#standingOf = standingOf;
    this.#watchWait = watchWait ?? ((_, wait) => wait());
  }

  get inUse(): number {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#waiting + this.#returning.size;
  }

  /** A permit, or undefined when all are in use. */
  tryAcquire(): Release | undefined {
    if (this.#inUse >= this.limit) return undefined;
    this.#inUse += 1;
    return this.#permit();
  }

  /** A permit: directly when one is free, else by promise. An abort gives the wait up with `signal.reason`. */
  acquire(signal: AbortSignal, id: string): Release | Promise<Release> {
    signal.throwIfAborted();
    return this.tryAcquire() ?? this.#watchWait({ id, isAgain: false }, () => this.#wait(id, signal, "first"));
  }

  /** As {@link acquire}, for whoever had a permit before. */
  reacquire(signal: AbortSignal, id: string): Release | Promise<Release> {
    signal.throwIfAborted();
    return this.tryAcquire() ?? this.#watchWait({ id, isAgain: true }, () => this.#wait(id, signal, "again"));
  }

  #wait(id: string, signal: AbortSignal, which: "first" | "again"): Promise<Release> {
    return new Promise((resolve, reject) => {
      const admit = (release: Release) => {
        stopListening();
        resolve(release);
      };
      this.#asked += 1;
      const since = elapsedBy(this.#clock);
      const waiter: Waiter = { id, number: this.#asked, since, admit, line: undefined, place: undefined };
      if (which === "again") waiter.place = this.#returning.push(waiter);
      else this.#enter(waiter, since);
      const stopListening = onceAborted(signal, () => {
        this.#leave(waiter);
        reject(signal.reason);
      });
    });
  }

  /** Where it stands now: by itself, or as whoever waits for it does. */
  rankOf(id: string): Rank {
    let rank = this.#standingOf(id).rank;
    const seen = new Set([id]);
    const open = [...(this.#borrows.get(id)?.keys() ?? [])];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      rank = Math.min(rank, this.#standingOf(at).rank) as Rank;
      open.push(...(this.#borrows.get(at)?.keys() ?? []));
    }
    return rank;
  }

  /** One waits for the other from now on, until that is taken back. */
  lend(from: string, to: string): () => void {
    this.#count(from, to, 1);
    this.rerank(to);
    return () => {
      this.#count(from, to, -1);
      this.rerank(to);
    };
  }

  #count(from: string, to: string, change: number): void {
    countIn(this.#lends, from, to, change);
    countIn(this.#borrows, to, from, change);
  }

  /** The rank of one may have changed: it moves, and whoever it waits for. Each has waited as long as it has. */
  rerank(id: string): void {
    const seen = new Set<string>();
    const open = [id];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      for (const waiter of this.#waiters.get(at) ?? []) this.#move(waiter);
      open.push(...(this.#lends.get(at)?.keys() ?? []));
    }
  }

  #move(waiter: Waiter): void {
    const { line } = waiter;
    if (line === undefined || line.rank === this.rankOf(waiter.id)) return;
    this.#leave(waiter);
    this.#enter(waiter, Math.max(waiter.since, line.since));
  }

  #enter(waiter: Waiter, since: number): void {
    const { id } = waiter;
    const line = this.#lineOf(this.rankOf(id), this.#standingOf(id).tree, since);
    waiter.line = line;
    waiter.place = line.waiting.insert(waiter, ({ number }) => number > waiter.number);
    const known = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, known.add(waiter));
    this.#waiting += 1;
  }

  #leave(waiter: Waiter): void {
    const { id, line, place } = waiter;
    if (line === undefined) {
      if (place !== undefined) this.#returning.remove(place);
      return;
    }
    if (place !== undefined) line.waiting.remove(place);
    this.#forget(id, waiter);
    if (line.waiting.size === 0) this.#drop(line);
  }

  #forget(id: string, waiter: Waiter): void {
    const known = this.#waiters.get(id);
    known?.delete(waiter);
    if (known?.size === 0) this.#waiters.delete(id);
    this.#waiting -= 1;
  }

  /** How many would get a permit before this one, if nobody else came; undefined for one that does not wait. */
  ahead(id: string): number | undefined {
    const order = this.order();
    const at = order.indexOf(id);
    return at === -1 ? undefined : at;
  }

  /** All that wait, in the order in which they would be served from now on. O(n). */
  order(): string[] {
    const order: string[] = [];
    this.#returning.forEach(({ id }) => {
      order.push(id);
    });
    const now = elapsedBy(this.#clock);
    const ranks = RANKS.map((rank) => {
      const lines: { since: number; readonly ids: string[] }[] = [];
      this.#turns[rank].forEach(({ since, waiting }) => {
        const ids: string[] = [];
        waiting.forEach(({ id }) => {
          ids.push(id);
        });
        lines.push({ since, ids: ids.reverse() });
      });
      return { rank, lines: lines.reverse() };
    });
    for (;;) {
      const turns = ranks.flatMap(({ rank, lines }) => {
        const line = lines.at(-1);
        return line === undefined ? [] : [{ lines, line, due: this.#due(line.since, rank) }];
      });
      const next = turns.reduce((a, b) => (b.due < a.due ? b : a), turns[0] ?? { due: 0, lines: [], line: undefined });
      const id = next.line?.ids.pop();
      if (next.line === undefined || id === undefined) return order;
      order.push(id);
      next.lines.pop();
      if (next.line.ids.length > 0) next.lines.unshift({ since: now, ids: next.line.ids });
    }
  }

  #due(since: number, rank: Rank): number {
    return since + rank * this.#agingMs;
  }

  /** @param since its turn is to wait since then at the latest */
  #lineOf(rank: Rank, tree: string, since: number): Line {
    const key = `${rank} ${tree}`;
    const known = this.#lines.get(key);
    if (known !== undefined && known.since <= since) return known;
    const line: Line = known ?? { key, rank, waiting: new Fifo(), since, place: undefined };
    if (line.place !== undefined) this.#turns[rank].remove(line.place);
    line.since = since;
    line.place = this.#turns[rank].insert(line, (other) => other.since > since);
    this.#lines.set(key, line);
    return line;
  }

  #drop(line: Line): void {
    if (line.place !== undefined) this.#turns[line.rank].remove(line.place);
    if (this.#lines.get(line.key) === line) this.#lines.delete(line.key);
  }

  #next(): Waiter | undefined {
    const returning = this.#returning.shift();
    if (returning !== undefined) return returning;
    let line: Line | undefined;
    for (const rank of RANKS) {
      const first = this.#turns[rank].first;
      if (first === undefined) continue;
      if (line === undefined || this.#due(first.since, rank) < this.#due(line.since, line.rank)) line = first;
    }
    const waiter = line?.waiting.shift();
    if (line === undefined || waiter === undefined) return undefined;
    this.#forget(waiter.id, waiter);
    this.#turns[line.rank].shift();
    if (line.waiting.size === 0) this.#drop(line);
    else {
      line.since = elapsedBy(this.#clock);
      line.place = this.#turns[line.rank].push(line);
    }
    return waiter;
  }

  #permit(): Release {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#next();
      if (next === undefined) this.#inUse -= 1;
      else next.admit(this.#permit());
      this.#onFreed();
    };
  }
}

function countIn(counts: Map<string, Map<string, number>>, of: string, by: string, change: number): void {
  const own = counts.get(of) ?? new Map<string, number>();
  const now = (own.get(by) ?? 0) + change;
  if (now === 0) own.delete(by);
  else own.set(by, now);
  if (own.size === 0) counts.delete(of);
  else counts.set(of, own);
}
