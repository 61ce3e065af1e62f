import type { RestartStrategy } from "./options.ts";

/** How a thread stands with its restarts. */
export type RestartStanding = {
  /** `backingOff`: it is down, and lives again in `dueInMs`. `gaveUp`: it stays down until it is resumed by hand. */
  readonly state: "up" | "backingOff" | "gaveUp";
  readonly strategy: RestartStrategy;
  /** Within the period that ends now. */
  readonly crashes: number;
  /** How often it may still crash within the period, and live again. */
  readonly left: number;
  readonly maxRestarts: number;
  readonly periodMs: number;
  /** Milliseconds; null unless it is backing off. */
  readonly dueInMs: number | null;
  /** What it failed by, while it is down. */
  readonly error: string | null;
  /** The group that decides on its restarts by rules of its own; null: none does. */
  readonly group: string | null;
};
