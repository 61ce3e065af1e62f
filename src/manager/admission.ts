/**
 * The supervisor's own mailbox: how many messages it has taken and not answered. A message beyond the bound waits for its turn,
 * in order of asking, or is refused. What frees places (`thread.remove`) or needs none (`thread.list`) always gets in.
 */
import { linkSignals } from "../kernel/cancellation.ts";
import { systemClock } from "../kernel/clock.ts";
import { type Release, Slots } from "../kernel/slots.ts";
import { OverloadedError } from "../protocol/errors.ts";
import type { WhenFull } from "../thread/thread.ts";
import type { Limits } from "./options.ts";

const ALWAYS: ReadonlySet<string> = new Set(["thread.remove", "thread.list"]);
const free: Release = () => undefined;

type Asked = {
  readonly type: string;
  readonly signal?: AbortSignal | undefined;
  readonly whenFull?: WhenFull | undefined;
};

export class Admission {
  readonly #slots: Slots;
  readonly #patienceMs: number;
  /** Messages that were answered so far. */
  #answered = 0;

  constructor({ supervisorMailbox, roomDeadlineMs }: Pick<Limits, "supervisorMailbox" | "roomDeadlineMs">) {
    this.#slots = new Slots(Math.max(1, supervisorMailbox));
    this.#patienceMs = roomDeadlineMs;
  }

  /** A place, given back with the answer. @throws OverloadedError; or the signal's reason */
  enter({ type, signal, whenFull = "reject" }: Asked): Release | Promise<Release> {
    if (ALWAYS.has(type)) return free;
    const place = this.#slots.tryAcquire();
    if (place !== undefined) return this.#counted(place);
    // Nothing that a supervisor is asked may be dropped.
    if (whenFull !== "wait") throw this.#overloaded();
    return this.#wait(signal);
  }

  #counted(place: Release): Release {
    return () => {
      this.#answered += 1;
      place();
    };
  }

  /** A caller without a signal or deadline is refused once nothing was answered for a while. */
  async #wait(signal: AbortSignal | undefined): Promise<Release> {
    const link = linkSignals(signal);
    let seen = this.#answered;
    let timer: unknown;
    const look = () => {
      if (this.#answered === seen) link.abort(this.#overloaded());
      seen = this.#answered;
      timer = systemClock.setTimeout(look, this.#patienceMs);
    };
    if (signal === undefined) timer = systemClock.setTimeout(look, this.#patienceMs);
    try {
      return this.#counted(await this.#slots.acquire({ signal: link.signal }));
    } finally {
      systemClock.clearTimeout(timer);
      link[Symbol.dispose]();
    }
  }

  #overloaded(): OverloadedError {
    return new OverloadedError(
      `the supervisor has ${this.#slots.limit} messages to answer; wait for answers, or raise limits.supervisorMailbox`,
    );
  }
}
