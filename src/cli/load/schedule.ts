/** When what is to happen: fixed before anything runs, so that a slow answer does not put off what comes after it. */

export type Kind = "turn" | "fork" | "remove";

/** One arrival, so many milliseconds after the start. */
export type Arrival = { readonly kind: Kind; readonly at: number };

/** Per second; a kind of rate 0 never comes. */
export type Rates = Readonly<Record<Kind, number>>;

/** Arrivals in order, evenly spaced by kind: a turn at once, forks and removals first after their own interval. */
export function* schedule(
  rates: Rates,
  bounds: { readonly seconds: number; readonly turns: number },
): Generator<Arrival> {
  const next: Record<Kind, number> = { turn: 0, fork: 1, remove: 1 };
  let turnsLeft = bounds.turns;
  const timeOf = (kind: Kind): number => {
    if (rates[kind] <= 0 || (kind === "turn" && turnsLeft === 0)) return Number.POSITIVE_INFINITY;
    return (next[kind] * 1000) / rates[kind];
  };
  for (;;) {
    const kind = KINDS.reduce((first, other) => (timeOf(other) < timeOf(first) ? other : first));
    const at = timeOf(kind);
    if (at >= bounds.seconds * 1000) return;
    // When the last turn has come, nobody is left to fork for.
    if (turnsLeft === 0) return;
    next[kind] += 1;
    if (kind === "turn") turnsLeft -= 1;
    yield { kind, at };
  }
}

const KINDS: readonly Kind[] = ["turn", "fork", "remove"];
