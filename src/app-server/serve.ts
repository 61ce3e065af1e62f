/** What `skein app-server` does. */
import { untilAborted } from "../kernel/abort-listeners.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { capYoungGeneration } from "../kernel/young-generation.ts";
import { type OpenedHome, openHome } from "../manager/home.ts";
import { setUp, type ThreadManagerOptions } from "../manager/options.ts";
import { ThreadManager } from "../manager/thread-manager.ts";
import { type BuiltInToolName, CODEX_TOOLS } from "../protocol/built-in-tool-names.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { parseOverride } from "../services/config-overrides.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import { type AppServer, createAppServer } from "./app-server.ts";
import { ClusterThreads } from "./cluster-threads.ts";
import { createGoalTools } from "./memos/goal-tools.ts";
import { RunningTurns } from "./running-turns.ts";
import { Server } from "./server.ts";
import { readListenUrl } from "./transports/listen.ts";
import type { ListenAuth } from "./transports/listener.ts";

/** As clients of Codex expect. */
export const DEFAULT_TOOLS: readonly BuiltInToolName[] = [...CODEX_TOOLS, "request_user_input", "multi_agent"];

export type AppServerCommand = {
  readonly home: string;
  /** Where threads lie, in place of the home's files; the caller closes it. */
  readonly store?: ThreadStore | undefined;
  /** When the file of a new thread is made in the home; as the manager takes it. */
  readonly newFiles?: ThreadManagerOptions["newFiles"] | undefined;
  /** The ingress of a cluster that runs the threads; its workers share `store`, which is needed then. */
  readonly cluster?: string | undefined;
  readonly listen: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** `key=value`, each. */
  readonly config?: readonly string[] | undefined;
  readonly profile?: string | undefined;
  /** As a home is opened with it. */
  readonly unknownSettings?: "kept" | "refused" | undefined;
  /** What agents get; default: {@link DEFAULT_TOOLS}, since clients cannot name them. What those may do is for the sandbox and approvals. */
  readonly tools?: readonly BuiltInToolName[] | undefined;
  readonly wsAuth?: string | undefined;
  readonly wsTokenFile?: string | undefined;
  readonly wsTokenSha256?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  /** Ends the server; turns that run are interrupted, and stored as that. Those of a cluster go on. */
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
    unknownSettings: command.unknownSettings,
    overrides: (command.config ?? []).map(parseOverride),
    typed: { builtInTools: command.tools ?? DEFAULT_TOOLS },
    sessionSource: "vscode",
    logger,
  });
  try {
    const serve = command.cluster === undefined ? overManager : overCluster;
    await using serving = await serve(command, home);
    const { server } = serving;
    const listener = await server.listen(listen, auth);
    serving.begin();
    if (address.kind === "stdio") {
      await Promise.race([server.whenIdle(), untilAborted(drain), untilAborted(signal)]);
    } else {
      command.onListening?.(listener.url);
      await Promise.race([untilAborted(drain), untilAborted(signal)]);
      await Promise.race([serving.whenNoTurn(), untilAborted(signal)]);
      // The end of the last turn is to reach its clients: what they are told goes out with the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await home.close();
  }
}

type Serving = AsyncDisposable & {
  readonly server: AppServer;
  /** What goes on beside the clients, from their coming in on. */
  begin(): void;
  /** Resolves as soon as no turn runs that the server's end would interrupt. */
  whenNoTurn(): Promise<void>;
};

async function overManager(command: AppServerCommand, home: OpenedHome): Promise<Serving> {
  const { store, newFiles, cwd, logger } = command;
  await using stack = new AsyncDisposableStack();
  stack.use(capYoungGeneration());
  const goalTools = createGoalTools();
  const kept = { ...(store !== undefined && { store }), ...(newFiles !== undefined && { newFiles }) };
  const options = { ...home.options, ...kept, tools: goalTools.tools };
  const manager = stack.use(await ThreadManager.create(options));
  const turns = stack.use(new RunningTurns(manager));
  const server = stack.use(createAppServer(manager, { home, cwd, logger, goalTools }));
  const made = stack.move();
  return {
    server,
    begin() {
      if (manager.config.recovery === "continue") void recover(manager, command);
    },
    whenNoTurn: () => turns.whenNone(),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

async function overCluster(
  { cluster: ingress = "", store, cwd, logger }: AppServerCommand,
  home: OpenedHome,
): Promise<Serving> {
  if (store === undefined)
    throw new InvalidRequestError("a server over a cluster needs the store that its workers share");
  const { connect } = await import("../cluster/connect.ts");
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(connect({ ingress, store }));
  const threads = stack.use(new ClusterThreads(cluster, setUp({ ...home.options, store })));
  const server = stack.use(new Server({ threads, manager: undefined }, { home, cwd, logger }));
  const made = stack.move();
  return {
    server,
    begin: () => undefined,
    whenNoTurn: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
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
