/**
 * A counted number of permits, given out by rank, and fairly: for places that different trees of work ask for.
 *
 * - `inUse` never exceeds `limit`, and a released permit goes straight to the next waiter.
 * - Ranks are 1 (first) to 5. Those of one rank go round by tree, each tree's own in order of asking.
 * - Whoever has had a permit before goes before all others. Nobody who has one loses it.
 * - Waiting counts: a tree's turn at a rank comes before every turn that begins to wait `agingMs` later for each rank that lies
 *    between, so that none waits for ever behind better ones.
 */
import { onceAborted } from "./abort-listeners.ts";
import { type Clock, elapsedBy } from "./clock.ts";
import { Fifo, type Place } from "./fifo.ts";
import { checkedLimit, type Release } from "./slots.ts";

const RANKS = [1, 2, 3, 4, 5] as const;
export type Rank = (typeof RANKS)[number];

/** Where a waiter stands. */
export type Standing = { readonly id: string; readonly rank: Rank; readonly tree: string };

/** How a wait is done by whoever watches it; what it resolves with is the wait's own. `isAgain`: it had a permit before. */
export type SlotWait = (
  about: { readonly id: string; readonly isAgain: boolean },
  wait: () => Promise<Release>,
) => Promise<Release>;

type Waiter = { readonly id: string; readonly admit: (release: Release) => void };

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
  #inUse = 0;
  #waiting = 0;

  /** @param limit a whole number from 1 on, or Infinity */
  constructor(limit: number, { clock, agingMs, onFreed = () => undefined, watchWait }: RankedSlotsOptions) {
    this.limit = checkedLimit(limit);
    this.#onFreed = onFreed;
    this.#clock = clock;
    this.#agingMs = agingMs;
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
  acquire(signal: AbortSignal, standing: () => Standing): Release | Promise<Release> {
    signal.throwIfAborted();
    const free = this.tryAcquire();
    if (free !== undefined) return free;
    const { id, rank, tree } = standing();
    const line = this.#lineOf(rank, tree);
    this.#waiting += 1;
    const onLeft = () => {
      this.#waiting -= 1;
      if (line.waiting.size === 0) this.#drop(line);
    };
    return this.#watchWait({ id, isAgain: false }, () => wait(line.waiting, id, signal, onLeft));
  }

  /** As {@link acquire}, for whoever had a permit before. */
  reacquire(signal: AbortSignal, id: string): Release | Promise<Release> {
    signal.throwIfAborted();
    return (
      this.tryAcquire() ??
      this.#watchWait({ id, isAgain: true }, () => wait(this.#returning, id, signal, () => undefined))
    );
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

  #lineOf(rank: Rank, tree: string): Line {
    const key = `${rank} ${tree}`;
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const line: Line = { key, rank, waiting: new Fifo(), since: elapsedBy(this.#clock), place: undefined };
    line.place = this.#turns[rank].push(line);
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
    this.#waiting -= 1;
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

function wait(queue: Fifo<Waiter>, id: string, signal: AbortSignal, onLeft: () => void): Promise<Release> {
  return new Promise((resolve, reject) => {
    const place = queue.push({
      id,
      admit: (release) => {
        stopListening();
        resolve(release);
      },
    });
    const stopListening = onceAborted(signal, () => {
      queue.remove(place);
      onLeft();
      reject(signal.reason);
    });
  });
}
