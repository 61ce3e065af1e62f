/** What `skein app-server` does. */
import { untilAborted } from "../kernel/abort-listeners.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { openHome } from "../manager/home.ts";
import { ThreadManager } from "../manager/thread-manager.ts";
import { type BuiltInToolName, CODEX_TOOLS } from "../protocol/built-in-tool-names.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { parseOverride } from "../services/config-overrides.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import { createAppServer } from "./app-server.ts";
import { createGoalTools } from "./memos/goal-tools.ts";
import { RunningTurns } from "./running-turns.ts";
import { readListenUrl } from "./transports/listen.ts";
import type { ListenAuth } from "./transports/listener.ts";

/** As clients of Codex expect. */
export const DEFAULT_TOOLS: readonly BuiltInToolName[] = [...CODEX_TOOLS, "request_user_input", "multi_agent"];

export type AppServerCommand = {
  readonly home: string;
  /** Where threads lie, in place of the home's files; the caller closes it. */
  readonly store?: ThreadStore | undefined;
  readonly listen: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** `key=value`, each. */
  readonly config?: readonly string[] | undefined;
  readonly profile?: string | undefined;
  /** What agents get; default: {@link DEFAULT_TOOLS}, since clients cannot name them. What those may do is for the sandbox and approvals. */
  readonly tools?: readonly BuiltInToolName[] | undefined;
  readonly wsAuth?: string | undefined;
  readonly wsTokenFile?: string | undefined;
  readonly wsTokenSha256?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  /** Ends the server; turns that run are interrupted, and stored as that. */
  readonly signal: AbortSignal;
  /** Ends it as soon as no turn runs; over stdio at once. */
  readonly drain?: AbortSignal | undefined;
  /** Told where clients can come in, once they can; not for stdio. */
  readonly onListening?: ((url: string) => void) | undefined;
};

/**
 * Serves until a signal fires; over stdio, until the client ends its input and everything is answered.
 * @throws InvalidRequestError
 */
export async function runAppServer(command: AppServerCommand): Promise<void> {
  const { listen, signal, drain = signal, logger } = command;
  const address = readListenUrl(listen);
  const auth = authOf(command);
  const home = await openHome({
    home: command.home,
    env: command.env,
    cwd: command.cwd,
    profile: command.profile,
    overrides: (command.config ?? []).map(parseOverride),
    typed: { builtInTools: command.tools ?? DEFAULT_TOOLS },
    sessionSource: "vscode",
    logger,
  });
  try {
    const goalTools = createGoalTools();
    await using manager = await ThreadManager.create({
      ...home.options,
      ...(command.store !== undefined && { store: command.store }),
      tools: goalTools.tools,
    });
    using turns = new RunningTurns(manager);
    await using server = createAppServer(manager, { home, cwd: command.cwd, logger, goalTools });
    const listener = await server.listen(listen, auth);
    if (manager.config.recovery === "continue") void recover(manager, command);
    if (address.kind === "stdio") {
      await Promise.race([server.whenIdle(), untilAborted(drain), untilAborted(signal)]);
    } else {
      command.onListening?.(listener.url);
      await Promise.race([untilAborted(drain), untilAborted(signal)]);
      await Promise.race([turns.whenNone(), untilAborted(signal)]);
      // The end of the last turn is to reach its clients: what they are told goes out with the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await home.close();
  }
}

/** Turns that an earlier process has left open go on while clients come in. */
async function recover(manager: ThreadManager, { signal, logger }: AppServerCommand): Promise<void> {
  try {
    const { threads } = await manager.recoverThreads({
      signal,
      onProgress: ({ last: { threadId, turnId, outcome, error } }) => {
        const level = outcome === "failed" ? "warn" : "info";
        logger?.[level]({ threadId, turnId, outcome, ...(error && { err: error }) }, "an open turn was found");
      },
    });
    logger?.info({ threads: threads.length }, "recovered");
  } catch (err) {
    if (!signal.aborted) logger?.error({ err }, "threads could not be recovered");
  }
}

function authOf({ wsAuth, wsTokenFile, wsTokenSha256 }: AppServerCommand): ListenAuth {
  if (wsAuth !== undefined && wsAuth !== "capability-token") {
    throw new InvalidRequestError(`--ws-auth: \`${wsAuth}\` is not known; capability-token is`);
  }
  const hasToken = wsTokenFile !== undefined || wsTokenSha256 !== undefined;
  if (hasToken !== (wsAuth !== undefined)) {
    throw new InvalidRequestError("--ws-auth capability-token goes together with --ws-token-file or --ws-token-sha256");
  }
  return { tokenFile: wsTokenFile, tokenSha256: wsTokenSha256 };
}
