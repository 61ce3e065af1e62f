/**
 * A program in a process group of its own, so that it can be ended with everything that it started.
 *
 * G1  The group is ended when its leader has ended and its output is read, when it is told to, when this process exits,
 *     and when it dies, of a signal that it cannot handle too (group-warden.ts): none outlives its call. A program that leaves the group
 *     by itself (`setsid`) is out of reach, save in a sandbox.
 * G2  No signal is sent to a group after its leader has been waited for and its last sweep is done: its id may be taken.
 *     Until then, a process that still holds the leader's pipes keeps the id.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { Clock } from "../kernel/clock.ts";
import { endedBy, numberOfSignal } from "./exit-code.ts";
import { unwatchGroup, watchGroup } from "./group-warden.ts";
import type { Launch } from "./launch.ts";
import { handlesFor } from "./leaked-handles.ts";

/** Between the polite signal and the last one; well within the grace of an interrupted tool. */
const TERM_GRACE_MS = 50;

/** How long what the leader has left behind may go on writing (`exec > >(tee log)`). Codex's. */
export const LINGER_MS = 2_000;

/** How long the pipes may stay open after the last sweep: their holder has left the group. */
const DRAIN_MS = 100;

const living = new Set<GroupLeash>();

const killAll = () => {
  for (const leash of living) {
    leash.kill();
    leash.letGo();
  }
};

/** Those that end a process that does not handle them; Node keeps SIGUSR1 and SIGPROF for itself. */
const DEADLY = [
  ...(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGABRT", "SIGALRM", "SIGVTALRM", "SIGUSR2"] as const),
  ...(["SIGIO", "SIGPWR", "SIGSTKFLT", "SIGXCPU", "SIGXFSZ"] as const),
];

/** A signal that nobody else handles ends this process as ever, and the groups before it. */
const onDeadlySignal = (signal: NodeJS.Signals) => {
  if (process.listenerCount(signal) > 1) return;
  killAll();
  process.off(signal, onDeadlySignal);
  process.kill(process.pid, signal);
};

function hold(leash: GroupLeash): void {
  if (living.size === 0) {
    process.on("exit", killAll);
    for (const signal of DEADLY) process.on(signal, onDeadlySignal);
  }
  living.add(leash);
}

function forget(leash: GroupLeash): void {
  if (!living.delete(leash) || living.size > 0) return;
  process.off("exit", killAll);
  for (const signal of DEADLY) process.off(signal, onDeadlySignal);
}

/** What a group is ended by, however its leader was started. */
export class GroupLeash {
  readonly #leader: number | undefined;
  readonly #clock: Clock;
  #release: (() => void) | undefined;
  #timer: unknown;
  #isOver = false;

  /**
   * @param leader its process id, which is the group's; undefined when it could not be started
   * @param release called once, when the group is over or this process is about to be
   */
  constructor(leader: number | undefined, clock: Clock, release?: () => void) {
    this.#leader = leader;
    this.#clock = clock;
    this.#release = release;
    hold(this);
    if (leader !== undefined) watchGroup(leader);
  }

  /** Whether the last sweep is done. */
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
    if (this.#leader !== undefined) unwatchGroup(this.#leader);
    forget(this);
    this.letGo();
  }

  /** Nothing of what the launch holds is needed any more. */
  letGo(): void {
    this.#release?.();
    this.#release = undefined;
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
  readonly clock: Clock;
  /** Default `ignore`. */
  readonly stdin?: "pipe" | "ignore";
};

export class ProcessGroup {
  readonly child: ChildProcess;
  /**
   * Resolves with the leader's exit code when its output is read and nothing of the group is left. What it left behind
   * may hold its pipes, and so go on writing, for LINGER_MS more. Rejects when the leader cannot be started.
   */
  readonly exit: Promise<number>;
  readonly #leash: GroupLeash;
  readonly #clock: Clock;
  readonly #killed = Promise.withResolvers<void>();

  /** @throws what `spawn` throws at once; a program that cannot be started is told by the child's `error` event */
  constructor(launch: Launch, { clock, stdin = "ignore" }: ProcessGroupOptions) {
    this.child = spawned(launch, stdin);
    // A pipe that breaks is followed by its close; of a program that cannot be started or ended `exit` tells.
    for (const emitter of [this.child, ...this.child.stdio]) emitter?.on("error", () => undefined);
    this.#clock = clock;
    this.#leash = new GroupLeash(this.child.pid, clock, launch.release);
    this.exit = this.#ended();
    // A caller that needs to know waits for it.
    this.exit.catch(() => undefined);
  }

  /** Whether the leader has ended. */
  get hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Whether nothing of the group is left. */
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
    this.#killed.resolve();
  }

  async #ended(): Promise<number> {
    try {
      const code = await leaderEnd(this.child);
      await this.#closed(LINGER_MS, this.#killed.promise);
      return code;
    } finally {
      this.#leash.finish();
      // A reader that has paused holds up nothing any more: what the pipes still have is little.
      for (const stream of this.#open) stream.resume();
      await this.#closed(DRAIN_MS);
      for (const stream of this.#open) stream.destroy();
    }
  }

  get #open(): Readable[] {
    return [this.child.stdout, this.child.stderr].filter((stream) => stream !== null && !stream.closed) as Readable[];
  }

  /** Resolves when both pipes have closed, or after so long. */
  async #closed(ms: number, cut?: Promise<void>): Promise<void> {
    const closing = this.#open.map((stream) => new Promise<void>((resolve) => stream.once("close", resolve)));
    if (closing.length === 0) return;
    const late = Promise.withResolvers<void>();
    const timer = this.#clock.setTimeout(late.resolve, ms);
    await Promise.race([Promise.all(closing), late.promise, ...(cut === undefined ? [] : [cut])]);
    this.#clock.clearTimeout(timer);
  }
}

function leaderEnd(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? endedBy(numberOfSignal(signal))));
  });
}

function spawned({ argv: [program = "", ...args], cwd, env, handles = [], release }: Launch, stdin: "pipe" | "ignore") {
  try {
    const stdio = [stdin, "pipe" as const, "pipe" as const, ...handlesFor(handles)];
    return spawn(program, args, { cwd, env, detached: true, stdio });
  } catch (error) {
    release?.();
    throw error;
  }
}
