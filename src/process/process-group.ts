/**
 * A program in a process group of its own, so that it can be ended with everything that it started.
 *
 * G1  The group is ended when its leader ends, when it is told to, and when this process exits: none outlives its call.
 *     A program that leaves the group by itself (`setsid`) is out of reach, save in a sandbox.
 * G2  No signal is sent to a group after its leader has been waited for and its last sweep is done: its id may be taken.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "../kernel/clock.ts";

/** Between the polite signal and the last one; well within the grace of an interrupted tool. */
const TERM_GRACE_MS = 50;

const living = new Set<GroupLeash>();

const killAll = () => {
  for (const leash of living) leash.kill();
};

/** What a group is ended by, however its leader was started. */
export class GroupLeash {
  readonly #leader: number | undefined;
  readonly #clock: Clock;
  #timer: unknown;
  #isOver = false;

  /** @param leader its process id, which is the group's; undefined when it could not be started */
  constructor(leader: number | undefined, clock: Clock) {
    this.#leader = leader;
    this.#clock = clock;
    if (living.size === 0) process.on("exit", killAll);
    living.add(this);
  }

  /** Whether the leader has ended. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Asks the group to end, and ends it by force soon after. */
  terminate(): void {
    if (this.#isOver || this.#timer !== undefined) return;
    this.#end("SIGTERM");
    this.#timer = this.#clock.setTimeout(() => this.kill(), TERM_GRACE_MS);
  }

  /** Ends the group now. */
  kill(): void {
    if (!this.#isOver) this.#end("SIGKILL");
  }

  /** In a terminal, a leader that has only just been forked has no group yet. */
  #end(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.#leader !== undefined && !this.#signal(signal, -this.#leader)) this.#signal(signal, this.#leader);
  }

  /** The leader is gone: what it left behind goes too (G1). */
  finish(): void {
    if (this.#isOver) return;
    if (this.#leader !== undefined) this.#signal("SIGKILL", -this.#leader);
    this.#isOver = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    living.delete(this);
    if (living.size === 0) process.off("exit", killAll);
  }

  /** false: there is nobody of that id. */
  #signal(signal: "SIGTERM" | "SIGKILL", id: number): boolean {
    try {
      return process.kill(id, signal);
    } catch {
      return false;
    }
  }
}

export type ProcessGroupOptions = {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly clock: Clock;
  /** Default `ignore`. */
  readonly stdin?: "pipe" | "ignore";
};

export class ProcessGroup {
  readonly child: ChildProcess;
  readonly #leash: GroupLeash;

  /** @throws what `spawn` throws at once; a program that cannot be started is told by the child's `error` event */
  constructor([program, ...args]: readonly string[], { cwd, env, clock, stdin = "ignore" }: ProcessGroupOptions) {
    this.child = spawn(program ?? "", args, { cwd, env, detached: true, stdio: [stdin, "pipe", "pipe"] });
    this.#leash = new GroupLeash(this.child.pid, clock);
    this.child.once("exit", () => this.#leash.finish());
    this.child.once("error", () => this.#leash.finish());
  }

  /** Whether the leader has ended. */
  get isOver(): boolean {
    return this.#leash.isOver;
  }

  /** Asks the group to end, and ends it by force soon after. */
  terminate(): void {
    this.#leash.terminate();
  }

  /** Ends the group now. */
  kill(): void {
    this.#leash.kill();
  }
}
