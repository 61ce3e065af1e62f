/**
 * Finds the stored threads whose turn a dead process has left open, or not begun, or for which durable mail waits, and loads them, so
 * that their turns go on and their mail is given to them.
 */
import { raceAbort } from "../kernel/cancellation.ts";
import { checkCallOptions, type OptionKinds, ofType } from "../protocol/call-options.ts";
import { ThreadBusyError } from "../protocol/errors.ts";
import { type ThreadId, type TurnId, toTurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import { everyThread } from "../store/every-thread.ts";
import { ALL_SOURCE_KINDS } from "../store/thread-query.ts";
import type { StoredThread, ThreadStore } from "../store/thread-store.ts";
import type { NewThread } from "../thread/thread.ts";
import { toldEnvironment } from "../turn/initial-context.ts";
import { hasWaitingMail } from "./mail.ts";
import type { ThreadOptions } from "./thread-options.ts";

/** Which threads to recover, how, and who hears of it. */
export type RecoverOptions = {
  /** Ends the search: nothing more is loaded, and the promise rejects with the reason. What was loaded goes on. */
  readonly signal?: AbortSignal | undefined;
  /** How many threads are loaded at once. Default 8. */
  readonly concurrency?: number | undefined;
  /** Only those of this folder. */
  readonly cwd?: string | undefined;
  /** Only those that were started by these; default: all, sub-agents among them. */
  readonly sourceKinds?: readonly string[] | undefined;
  /** Over the settings that each thread's last request ran with. */
  readonly config?: ThreadConfig | undefined;
  /** Called after each thread. */
  readonly onProgress?: ((progress: RecoverProgress) => void) | undefined;
};

/**
 * What became of one thread. `continued`: its turn goes on here. `mail`: it is here for durable messages that wait for it. `nothing`: it has no turn any more that can be gone on with.
 * `busy`: another process has it. `failed`: it could not be loaded; `error` says why.
 */
export type RecoveredThread = {
  readonly threadId: ThreadId;
  readonly outcome: "continued" | "mail" | "nothing" | "busy" | "failed";
  /** The turn that was found open; of one that had not begun, the turn that it is now. */
  readonly turnId: TurnId | null;
  readonly error?: Error | undefined;
};

/** How many threads were found and how many of those are done, so far; and the last one. */
export type RecoverProgress = { readonly found: number; readonly done: number; readonly last: RecoveredThread };

/** What became of every thread that was found, in the order in which they were done. */
export type RecoverReport = { readonly threads: readonly RecoveredThread[] };

/** Whose threads they are. */
export interface RecoveringManager {
  readonly store: ThreadStore;
  readonly config: ResolvedThreadConfig;
  loadedThread(threadId: ThreadId): { readonly activeTurn: { readonly turnId: string } | undefined } | undefined;
  resumeThread(threadId: ThreadId, config?: ThreadConfig, options?: ThreadOptions): Promise<NewThread>;
}

const DEFAULT_CONCURRENCY = 8;
/** So many lines before the open turn may hold the settings of the request before. */
const LOOK_BACK = 256;

const RECOVER = Object.keys({
  signal: 1,
  concurrency: 1,
  cwd: 1,
  sourceKinds: 1,
  config: 1,
  onProgress: 1,
} satisfies Record<keyof RecoverOptions, 1>);
const RECOVER_KINDS: OptionKinds = {
  concurrency: (value) =>
    Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= 1_000
      ? undefined
      : "must be a whole number from 1 to 1,000",
  cwd: ofType("string"),
  sourceKinds: (value) => (Array.isArray(value) ? undefined : "must be a list of texts"),
  config: ofType("object"),
  onProgress: ofType("function"),
};

/** @throws the signal's reason; what the store throws while it lists. One thread's trouble is in the report. */
export async function recoverThreads(manager: RecoveringManager, options: RecoverOptions): Promise<RecoverReport> {
  checkCallOptions("recoverThreads", options, RECOVER, RECOVER_KINDS);
  const { concurrency = DEFAULT_CONCURRENCY, onProgress } = options;
  // Whoever gives no signal waits for room all the same, as long as it takes.
  const signal = options.signal ?? new AbortController().signal;
  const threads: RecoveredThread[] = [];
  let found = 0;
  const open = openThreads(manager.store, { ...options, signal });
  const work = async () => {
    for await (const row of open) {
      found += 1;
      const last = await recover(manager, row, { ...options, signal });
      threads.push(last);
      onProgress?.({ found, done: threads.length, last });
    }
  };
  await raceAbort(Promise.all(Array.from({ length: concurrency }, work)), signal);
  signal.throwIfAborted();
  return { threads };
}

type Found = Pick<StoredThread, "threadId" | "openTurn"> & { readonly hasMail: boolean };
type Bounded = RecoverOptions & { readonly signal: AbortSignal };

/** Those that have a turn open, and those for which durable mail waits. */
async function* openThreads(
  store: ThreadStore,
  { signal, cwd, sourceKinds = ALL_SOURCE_KINDS }: Bounded,
): AsyncGenerator<Found, undefined> {
  const where = { sourceKinds, ...(cwd !== undefined && { cwd }) };
  const mail = await threadsWithMail(store);
  for await (const row of everyThread(store, { ...where, interrupted: true }, signal)) {
    signal.throwIfAborted();
    if (row.openTurn === null) continue;
    yield { ...row, hasMail: mail.delete(row.threadId) };
  }
  if (mail.size === 0) return;
  for await (const row of everyThread(store, where, signal)) {
    signal.throwIfAborted();
    if (mail.delete(row.threadId)) yield { ...row, hasMail: true };
  }
}

/** What was only set aside wakes nobody. */
async function threadsWithMail(store: ThreadStore): Promise<Set<ThreadId>> {
  const found = new Set<ThreadId>();
  for (const threadId of (await store.notes?.threads("mail")) ?? [])
    if (hasWaitingMail(await store.notes?.read(threadId, "mail"))) found.add(threadId);
  return found;
}

async function recover(
  manager: RecoveringManager,
  { threadId, openTurn, hasMail }: Found,
  { signal, config }: Bounded,
): Promise<RecoveredThread> {
  const turnId = openTurn?.turnId ?? null;
  // It runs here already.
  if (manager.loadedThread(threadId)?.activeTurn !== undefined) return { threadId, turnId, outcome: "nothing" };
  try {
    const recorded = await recordedSettings(manager, { threadId, turnId }, signal);
    const settings: ThreadConfig = { ...recorded, ...config, recovery: "continue" };
    const resumed = await manager.resumeThread(threadId, settings, { signal, initialMessages: "none" });
    const goesOn = resumed.sessionConfigured.resumed_turn_id ?? manager.loadedThread(threadId)?.activeTurn?.turnId;
    return { threadId, turnId: goesOn ? toTurnId(goesOn) : turnId, outcome: outcomeOf(goesOn, hasMail) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ThreadBusyError) return { threadId, turnId, outcome: "busy", error };
    return { threadId, turnId, outcome: "failed", error: error instanceof Error ? error : new Error(String(error)) };
  }
}

const outcomeOf = (goesOn: unknown, hasMail: boolean): RecoveredThread["outcome"] => {
  if (goesOn) return "continued";
  return hasMail ? "mail" : "nothing";
};

/** What the thread's last request ran with: a turn goes on in its own folder, and under its own policies. */
async function recordedSettings(
  { store, config }: RecoveringManager,
  { threadId, turnId }: { threadId: ThreadId; turnId: TurnId | null },
  signal: AbortSignal,
): Promise<ThreadConfig> {
  const header = await store.header(threadId);
  const start = turnId === null ? undefined : (await store.findTurn(threadId, turnId))?.start.ordinal;
  let settings: ThreadConfig = { cwd: header.cwd };
  const range = { from: { ordinal: Math.max(0, (start ?? 0) - LOOK_BACK) }, signal };
  for await (const page of store.load(threadId, range)) {
    for (const line of page) {
      if (line.type !== "turn_context") continue;
      const { model, effort } = line.payload;
      // A model's name means something to its own provider alone.
      const isSame = header.model_provider == null || header.model_provider === config.modelProvider;
      settings = {
        ...settings,
        ...toldEnvironment(line.payload),
        ...(isSame && model != null && { model, reasoningEffort: effort ?? null }),
      };
    }
  }
  return settings;
}
