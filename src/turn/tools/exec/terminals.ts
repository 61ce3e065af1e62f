/**
 * The terminals of one thread: commands of exec_command that go on, or whose end nobody has read yet. Commands of the
 * user's are kept beside them.
 *
 * V1  There are never more than {@link MOST}: for a new one the oldest that has ended goes, else the least recently used.
 * V2  A terminal that has ended stays until its end is read, or it has to make room.
 * V3  None outlives its thread.
 */

import { randomInt } from "node:crypto";
import type { BackgroundTerminals, TerminalView } from "./background-terminals.ts";
import type { Terminal } from "./terminal.ts";

/** Codex's. */
const MOST = 64;

const ID_RANGE = [1_000, 100_000] as const;

export class Terminals implements BackgroundTerminals {
  readonly #onRest: () => void;
  #all: Map<number, Terminal> | undefined;
  /** Those that were told to end, and have not yet. */
  #ending: Set<Terminal> | undefined;

  /** Commands of the user's that go on, and what ends them. */
  #attended: Set<Promise<void>> | undefined;
  #attendance: AbortController | undefined;

  /** @param onRest called whenever a command has ended */
  constructor(onRest: () => void) {
    this.#onRest = onRest;
  }

  /** Whether a command goes on, or is just being ended. */
  get areBusy(): boolean {
    return this.#running().length > 0 || (this.#ending?.size ?? 0) > 0 || this.areAttended;
  }

  /** Whether a command of the user's goes on. */
  get areAttended(): boolean {
    return (this.#attended?.size ?? 0) > 0;
  }

  /** Keeps a command of the user's with the thread. @param work heeds the signal, and never rejects */
  attend(work: (ended: AbortSignal) => Promise<void>): Promise<void> {
    this.#attendance ??= new AbortController();
    this.#attended ??= new Set();
    const attended = this.#attended;
    const done = work(this.#attendance.signal).finally(() => {
      attended.delete(done);
      this.#onRest();
    });
    attended.add(done);
    return done;
  }

  /** Ends the user's commands, those too that have outlived their turn. */
  interrupt(): void {
    this.#attendance?.abort(new DOMException("the thread was interrupted", "AbortError"));
    this.#attendance = undefined;
  }

  get(id: number): Terminal | undefined {
    return this.#all?.get(id);
  }

  /** Makes a terminal under a new id, and keeps it. */
  open(make: (id: number) => Terminal): Terminal {
    this.#all ??= new Map();
    if (this.#all.size >= MOST) this.#makeRoom(this.#all);
    let id = randomInt(...ID_RANGE);
    while (this.#all.has(id)) id = randomInt(...ID_RANGE);
    const terminal = make(id);
    this.#all.set(id, terminal);
    terminal.ended.then(this.#onRest, this.#onRest);
    return terminal;
  }

  /** Its end has been read. */
  forget(terminal: Terminal): void {
    if (this.#all?.get(terminal.id) === terminal) this.#all.delete(terminal.id);
  }

  list(): TerminalView[] {
    return this.#running().map(({ callId, id, script, cwd }) => ({
      callId,
      processId: String(id),
      command: script,
      cwd,
    }));
  }

  terminate(processId: string): boolean {
    const terminal = this.#running().find(({ id }) => String(id) === processId);
    if (terminal !== undefined) this.#end(terminal);
    return terminal !== undefined;
  }

  async clean(): Promise<void> {
    for (const terminal of this.#all?.values() ?? []) this.#end(terminal);
    await Promise.allSettled([...(this.#ending ?? [])].map(({ ended }) => ended));
  }

  /** The thread is about to end: ends all, and resolves when their ends are told (V3). */
  async close(): Promise<void> {
    this.interrupt();
    await Promise.all([this.clean(), ...(this.#attended ?? [])]);
  }

  /** Ends all now (V3). */
  kill(): void {
    this.interrupt();
    for (const terminal of this.#all?.values() ?? []) terminal.kill();
    for (const terminal of this.#ending ?? []) terminal.kill();
    this.#all = undefined;
  }

  #running(): Terminal[] {
    return [...(this.#all?.values() ?? [])].filter(({ exitCode }) => exitCode === undefined);
  }

  #end(terminal: Terminal): void {
    this.forget(terminal);
    if (terminal.exitCode !== undefined) return;
    this.#ending ??= new Set();
    const ending = this.#ending;
    ending.add(terminal);
    const done = () => {
      ending.delete(terminal);
      this.#onRest();
    };
    terminal.ended.then(done, done);
    terminal.terminate();
  }

  /** V1. */
  #makeRoom(all: ReadonlyMap<number, Terminal>): void {
    const [oldest, ...others] = all.values();
    if (oldest === undefined) return;
    this.#end(
      [oldest, ...others].find(({ exitCode }) => exitCode !== undefined) ??
        others.reduce((least, each) => (each.usedAt < least.usedAt ? each : least), oldest),
    );
  }
}
