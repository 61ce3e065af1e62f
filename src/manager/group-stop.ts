import type { StopReason } from "../../machines/roster.ts";
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { MemberLives } from "./member-lives.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

const OUTCOMES = ["completed", "failed", "timedOut"] as const;
const nothing = () => ({ completed: [] as ThreadId[], failed: [] as ThreadId[], timedOut: [] as ThreadId[] });

/** For which the members of a group are ended, where nobody has said another. */
export const DEFAULT_STOP_MS = 10_000;

type How = "suspend" | "end";

/** How members of a group are stopped, until when, and what each of them came to. Nobody writes its fields but these methods. */
export class GroupStop {
  readonly #lives: MemberLives;
  readonly #clock: Clock;
  #ending: { readonly how: How; readonly deadlineAt: number } | undefined;
  #report = nothing();

  constructor({ lives, clock }: { readonly lives: MemberLives; readonly clock: Clock }) {
    this.#lives = lives;
    this.#clock = clock;
  }

  /** The whole group stops. @param deadlineAt as {@link elapsedBy} measures */
  begin(how: How, deadlineAt: number): void {
    this.#ending = { how, deadlineAt };
    this.#report = nothing();
  }

  get report(): ShutdownReport {
    return this.#report;
  }

  get deadlineAt(): number {
    return this.#ending?.deadlineAt ?? elapsedBy(this.#clock) + DEFAULT_STOP_MS;
  }

  /** What the group above suspends comes back with it. */
  howFor(why: StopReason): How {
    return why === "sibling" || (why === "group" && this.#ending?.how === "suspend") ? "suspend" : "end";
  }

  async stopThread(id: ThreadId, why: StopReason, suspendMs: number): Promise<void> {
    if (this.howFor(why) === "suspend") return this.#lives.suspend(id, suspendMs);
    const deadlineMs = Math.max(0, this.deadlineAt - elapsedBy(this.#clock));
    const outcome = await this.#lives.endMember(id, { deadlineMs, hasFailed: why === "intensity" });
    this.#report[outcome].push(id);
  }

  noteFailed(id: ThreadId): void {
    this.#report.failed.push(id);
  }

  /** A group in it has stopped. */
  add(inner: ShutdownReport): void {
    for (const outcome of OUTCOMES) for (const id of inner[outcome]) this.#report[outcome].push(id);
  }
}
