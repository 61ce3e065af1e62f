/** A home, a manager and one thread, for as long as a command works with them. */
import { resolve } from "node:path";
import type { ReviewTarget, RunOptions, TurnResult, UserInput } from "../../index.ts";
import { type NewThread, type OpenedHome, openHome, ThreadManager, type ThreadManagerOptions } from "../../index.ts";
import { parseOverride } from "../../services/config-overrides.ts";
import { ChosenStore } from "../database.ts";
import { homeOf } from "../home-folder.ts";
import { configSwitches, type SessionOptions, workFolder } from "../session-options.ts";
import type { Io } from "../terminal/io.ts";
import { findThread } from "../thread-locator.ts";
import { Approver } from "./approver.ts";
import type { TurnView } from "./view.ts";
import type { ThreadWanted } from "./words.ts";

export type Session = NewThread & { readonly manager: ThreadManager };

type Wanted = {
  /** The thread to go on with; a new one without it. */
  readonly thread: ThreadWanted | undefined;
  readonly view: TurnView;
  readonly signal: AbortSignal;
};

/** Opens what the options name, lets it be used, and closes it whatever happens. */
export async function withSession<T>(
  options: SessionOptions,
  wanted: Wanted,
  io: Io,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const { view } = wanted;
  const home = await openedHome(options, io);
  try {
    for (const warning of home.loaded.warnings) view.note(`warning: ${warning}`);
    if (home.isScripted) view.note(scriptedNote(home.home));
    await using chosen = await ChosenStore.of(options, io);
    const made = { ...withWritable(home.options, options, io), ...chosen.options };
    await using manager = await ThreadManager.create({ timers: "own", ...made });
    const subscription = manager.events$.subscribe((event) => view.event(event));
    try {
      const opened = await openThread(manager, options, wanted, io);
      return await use({ ...opened, manager });
    } finally {
      subscription.unsubscribe();
    }
  } finally {
    await home.close();
  }
}

/** The home of a session, with what the command line says of its settings. */
export function openedHome(options: SessionOptions, io: Io): Promise<OpenedHome> {
  const { model, cd, sandbox, askForApproval, tools, profile, config = [] } = options;
  // Who cannot be asked is not: without a terminal nothing waits for an approval, unless the policy is named.
  const approvalPolicy = askForApproval ?? (io.stdin.isTTY ? undefined : "never");
  return openHome({
    home: homeOf(options, io),
    env: io.env,
    cwd: io.cwd(),
    profile,
    ...configSwitches(options),
    overrides: config.map(parseOverride),
    typed: {
      ...(model !== undefined && { model }),
      ...(cd !== undefined && { cwd: workFolder(options, io) }),
      ...(sandbox !== undefined && { sandboxMode: sandbox }),
      ...(approvalPolicy !== undefined && { approvalPolicy }),
      ...(tools !== undefined && { builtInTools: [...tools] }),
    },
    sessionSource: "exec",
    originator: io.env.CODEX_INTERNAL_ORIGINATOR_OVERRIDE?.trim() || undefined,
    apiKey: io.env.CODEX_API_KEY?.trim() || undefined,
  });
}

/** `--add-dir`: further folders that a workspace-write sandbox may write to. */
function withWritable(options: ThreadManagerOptions, { addDir = [] }: SessionOptions, io: Io): ThreadManagerOptions {
  const sandboxPolicy = options.config?.sandboxPolicy;
  if (addDir.length === 0 || sandboxPolicy?.type !== "workspace-write") return options;
  const writable_roots = [...sandboxPolicy.writable_roots, ...addDir.map((folder) => resolve(io.cwd(), folder))];
  return { ...options, config: { ...options.config, sandboxPolicy: { ...sandboxPolicy, writable_roots } } };
}

const scriptedNote = (home: string): string =>
  `no model provider and no key: the scripted model answers. Set OPENAI_API_KEY, or model_provider in ${home}/config.toml.`;

async function openThread(
  manager: ThreadManager,
  { ephemeral = false }: SessionOptions,
  { thread, signal }: Wanted,
  io: Io,
): Promise<NewThread> {
  if (thread === undefined) return await manager.startThread({ ephemeral }, { signal });
  const locator = await findThread(thread, manager.store, io);
  if (thread.isForked === true) {
    return await manager.forkThread({ from: locator, ...(ephemeral && { config: { ephemeral } }) }, { signal });
  }
  if (typeof locator === "string") return await manager.resumeThread(locator, {}, { signal });
  return await manager.resumeThreadFromRollout({}, locator.rolloutPath, { signal });
}

type Turn = {
  /** What is said, or what is to be reviewed. */
  readonly input: readonly UserInput[] | ReviewTarget;
  readonly outputSchema?: RunOptions["outputSchema"];
  readonly view: TurnView;
  /** Interrupts the turn, which then ends as it should. */
  readonly signal: AbortSignal;
};

export async function runTurn(
  session: Session,
  { input, outputSchema, view, signal }: Turn,
  io: Io,
): Promise<TurnResult> {
  const { thread, manager } = session;
  using _approver = new Approver(manager, { view, io, signal });
  const interrupt = () => void thread.interrupt().catch(() => undefined);
  const running =
    "type" in input ? thread.review(input) : thread.run(input, outputSchema === undefined ? {} : { outputSchema });
  signal.addEventListener("abort", interrupt, { once: true });
  if (signal.aborted) interrupt();
  try {
    const result = await running;
    view.result(session, result);
    return result;
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
}
