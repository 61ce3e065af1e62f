import { resolve } from "node:path";
import type { RecoveredThread, RecoverReport, ThreadConfig, ThreadEvent } from "../../index.ts";
import { ThreadManager } from "../../index.ts";
import { ChosenStore, type StoreOption } from "../database.ts";
import { openedHome } from "../exec/session.ts";
import { describe, EXIT, Exit } from "../failure.ts";
import { Interruption } from "../interruption.ts";
import type { SessionOptions } from "../session-options.ts";
import { drained, type Io } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Progress } from "../terminal/progress.ts";

export type RecoverCommandOptions = SessionOptions &
  StoreOption & {
    readonly concurrency: number;
    readonly onlyCwd?: string;
    readonly json?: boolean;
  };

/** How a turn that went on has ended. */
type TurnEnd = "completed" | "interrupted" | "failed";
type Told = RecoveredThread & { readonly turn: TurnEnd | null };

export async function recover(options: RecoverCommandOptions, io: Io): Promise<void> {
  const home = await openedHome(options, io);
  using interruption = new Interruption();
  const { signal } = interruption;
  try {
    await using store = await ChosenStore.of(options, io);
    await using manager = await ThreadManager.create({ ...home.options, ...store.options });
    const ends = new Ends(manager);
    const report = await load(manager, options, { io, signal });
    const threads: Told[] = [];
    for (const thread of report.threads) threads.push({ ...thread, turn: await ends.of(thread, signal) });
    await print(threads, options, io);
    if (threads.some(({ outcome, turn }) => outcome === "failed" || turn === "failed")) throw new Exit(EXIT.failed);
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  } finally {
    await home.close();
  }
}

async function load(
  manager: ThreadManager,
  { concurrency, onlyCwd, askForApproval = "never", sandbox, model }: RecoverCommandOptions,
  { io, signal }: { io: Io; signal: AbortSignal },
): Promise<RecoverReport> {
  using progress = new Progress(io);
  const config: ThreadConfig = {
    approvalPolicy: askForApproval,
    ...(sandbox !== undefined && { sandboxMode: sandbox, sandboxPolicy: undefined }),
    ...(model !== undefined && { model }),
  };
  return await manager.recoverThreads({
    signal,
    concurrency,
    config,
    ...(onlyCwd !== undefined && { cwd: resolve(io.cwd(), onlyCwd) }),
    onProgress: ({ found, done }) => progress.show(() => `${done} of ${found} threads with an open turn`),
  });
}

/** How the turns of a manager end, from now on. */
class Ends {
  readonly #ends = new Map<string, PromiseWithResolvers<TurnEnd>>();

  constructor({ events$ }: ThreadManager) {
    events$.subscribe(({ msg }: ThreadEvent) => {
      if (msg.type === "turn_aborted" && msg.turn_id) this.#endOf(msg.turn_id).resolve("interrupted");
      if (msg.type !== "task_complete" || !msg.turn_id) return;
      this.#endOf(msg.turn_id).resolve(msg.error ? "failed" : "completed");
    });
  }

  #endOf(turnId: string): PromiseWithResolvers<TurnEnd> {
    const known = this.#ends.get(turnId) ?? Promise.withResolvers<TurnEnd>();
    this.#ends.set(turnId, known);
    return known;
  }

  /** null for a turn that did not go on. */
  async of({ outcome, turnId }: RecoveredThread, signal: AbortSignal): Promise<TurnEnd | null> {
    if (outcome !== "continued" || turnId === null) return null;
    const aborted = new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    return await Promise.race([this.#endOf(turnId).promise, aborted]);
  }
}

const NOTES = {
  mail: "has durable mail",
  nothing: "nothing to go on with",
  busy: "another process has it",
  failed: "could not be loaded",
};

async function print(threads: readonly Told[], { json }: RecoverCommandOptions, io: Io): Promise<void> {
  const out = new LineWriter(io.stdout);
  if (json) {
    const rows = threads.map(({ error, ...row }) => ({ ...row, ...(error && { error: describe(error) }) }));
    out.json({ threads: rows });
  } else {
    for (const { threadId, outcome, turn, error } of threads) {
      const what = outcome === "continued" ? `went on: ${turn}` : NOTES[outcome];
      out.line(`${threadId}  ${what}${error === undefined ? "" : `: ${describe(error)}`}`);
    }
    out.line(
      threads.length === 0
        ? "no thread has an open turn or mail"
        : `${threads.length} threads had an open turn or mail`,
    );
  }
  out.flush();
  await drained(io.stdout);
}
