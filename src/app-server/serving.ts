/** What `skein app-server` serves its clients with; loaded once the first of them can come in. */
import { AsyncStack } from "../kernel/async-stack.ts";
import { capYoungGeneration } from "../kernel/young-generation.ts";
import { type OpenedHome, openHome } from "../manager/home.ts";
import { setUp } from "../manager/options.ts";
import { ThreadManager } from "../manager/thread-manager.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { parseOverride } from "../services/config-overrides.ts";
import type { AppServerCommand } from "./app-server-command.ts";
import { ClusterThreads } from "./cluster-threads.ts";
import { DEFAULT_TOOLS } from "./default-tools.ts";
import { createGoalTools } from "./memos/goal-tools.ts";
import type { Reception } from "./reception.ts";
import { RunningTurns } from "./running-turns.ts";
import { Server } from "./server.ts";

type Serving = AsyncDisposable & {
  /** What goes on beside the clients, from their coming in on. */
  begin(): void;
  /** Resolves as soon as no turn runs that the server's end would interrupt; one that waits for an answer that nobody is there to give is interrupted. */
  drained(): Promise<void>;
};

/** @throws InvalidRequestError for a config.toml that is wrong */
export const openHomeOf = (command: AppServerCommand): Promise<OpenedHome> =>
  openHome({
    home: command.home,
    env: command.env,
    cwd: command.cwd,
    profile: command.profile,
    unknownSettings: command.unknownSettings,
    overrides: (command.config ?? []).map(parseOverride),
    typed: { builtInTools: command.tools ?? DEFAULT_TOOLS },
    sessionSource: "vscode",
    logger: command.logger,
  });

/** Over the threads of a manager of this process. */
export async function overManager(command: AppServerCommand, home: OpenedHome, reception: Reception): Promise<Serving> {
  const { store, newFiles, cwd, logger } = command;
  await using stack = new AsyncStack();
  stack.use(capYoungGeneration());
  const goalTools = createGoalTools();
  const kept = { ...(store !== undefined && { store }), ...(newFiles !== undefined && { newFiles }) };
  const options = { ...home.options, ...kept, tools: goalTools.tools };
  const manager = stack.use(await ThreadManager.create(options));
  const turns = stack.use(new RunningTurns(manager));
  const server = stack.use(new Server({ threads: manager, manager }, { home, cwd, logger, goalTools }, reception));
  const made = stack.move();
  return {
    begin() {
      if (manager.config.recovery === "continue") void recover(manager, command);
    },
    drained: () => {
      server.drain();
      return turns.whenNone();
    },
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  };
}

/** Over those of a cluster. */
export async function overCluster(
  { cluster: ingress = "", store, cwd, logger }: AppServerCommand,
  home: OpenedHome,
  reception: Reception,
): Promise<Serving> {
  if (store === undefined)
    throw new InvalidRequestError("a server over a cluster needs the store that its workers share");
  const { connect } = await import("../cluster/connect.ts");
  await using stack = new AsyncStack();
  const cluster = stack.use(connect({ ingress, store }));
  const threads = stack.use(new ClusterThreads(cluster, setUp({ ...home.options, store })));
  stack.use(new Server({ threads, manager: undefined }, { home, cwd, logger }, reception));
  const made = stack.move();
  return {
    begin: () => undefined,
    drained: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  };
}

/** Turns that an earlier process has left open go on while clients come in. */
async function recover(manager: ThreadManager, { drain, signal: end, logger }: AppServerCommand): Promise<void> {
  const signal = drain ?? end;
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
