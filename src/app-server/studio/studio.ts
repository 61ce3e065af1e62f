/** Who looks at a manager: its one collector lives as long as there are watchers. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import type { ThreadManager } from "../../manager/thread-manager.ts";
import { Collector } from "./collector.ts";
import { Histories } from "./history.ts";
import { Meter } from "./meter.ts";
import { Rows } from "./rows.ts";

export type StudioOptions = { readonly manager: ThreadManager; readonly clock: Clock; readonly logger: SkeinLogger };

export class Studio {
  /** Another one for each manager: what a client knows of another is not to be mixed with this. */
  readonly instanceId = randomUUID();
  readonly startedAt: number;
  readonly meter: Meter;
  readonly histories: Histories;
  readonly #options: StudioOptions;
  readonly #rows: Rows;
  #collector: Collector | undefined;
  #users = 0;
  #seq = 0;

  constructor(options: StudioOptions) {
    this.#options = options;
    this.startedAt = options.clock.now();
    this.meter = new Meter(options.clock);
    this.histories = new Histories(options.manager.store);
    this.#rows = new Rows(options.manager, () => undefined);
  }

  get collector(): Collector | undefined {
    return this.#collector;
  }

  get seq(): number {
    return this.#collector?.seq ?? this.#seq;
  }

  get rows(): Rows {
    return this.#collector?.rows ?? this.#rows;
  }

  /** Begins to look; the returned function ends it. */
  use(): { readonly collector: Collector; readonly release: () => void } {
    this.#collector ??= new Collector({ ...this.#options, meter: this.meter, seq: this.#seq });
    const collector = this.#collector;
    this.#users += 1;
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#users -= 1;
      if (this.#users > 0) return;
      // One more than was told: nothing that comes unseen is taken for seen.
      this.#seq = collector.seq + 1;
      collector[Symbol.dispose]();
      this.#collector = undefined;
    };
    return { collector, release };
  }
}

const studios = new WeakMap<ThreadManager, Studio>();

/** The one of this manager, whichever server asks. */
export function studioOf(options: StudioOptions): Studio {
  const known = studios.get(options.manager);
  if (known !== undefined) return known;
  const studio = new Studio(options);
  studios.set(options.manager, studio);
  return studio;
}
