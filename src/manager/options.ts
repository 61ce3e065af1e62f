import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { AnyActorLogic, InspectionEvent } from "xstate";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../kernel/log.ts";
import type { ModelClient } from "../model/model-client.ts";
import { scriptedClient } from "../model/scripted-client.ts";
import type { Price } from "../protocol/budget.ts";
import { InvalidRequestError, type LimitFacts, type LimitName, LimitReachedError } from "../protocol/errors.ts";
import type { Tool } from "../protocol/function-tool.ts";
import type { McpServers } from "../protocol/mcp-servers.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import {
  parseThreadConfig,
  type ResolvedThreadConfig,
  resolveThreadConfig,
  type ThreadConfig,
} from "../protocol/thread-config.ts";
import { type AuthManager, memoryAuthManager } from "../services/auth-manager.ts";
import { createModelsManager, type ModelsManager } from "../services/models-manager.ts";
import { createSkillsManager, type SkillsManager } from "../services/skills-manager.ts";
import { type FileStoreOptions, fileStore } from "../store/file/file-store.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { PersistentLogic } from "../thread/own-logic.ts";
import { checkOptions } from "./option-checks.ts";

/** Bounds that hold in every interleaving: they are checked where a thread's place is reserved, and nowhere else. */
export type Limits = {
  /** Threads in memory. Over it, the least recently used idle one is unloaded. Default 100,000. */
  readonly residentThreads: number;
  /** Turns that run at the same time; further ones wait their turn, in order. Default: no bound. */
  readonly runningTurns: number;
  /** How long a turn waits at most to come before those that began later at the next better priority. Default 30,000. */
  readonly turnAgingMs: number;
  /** How many threads may come to be (not again) in any such period: agents, and all others. Default null: any number. */
  readonly spawnRate: { readonly count: number; readonly periodMs: number } | null;
  /** How deep agents may start agents; a thread without a parent has depth 0. Default 8. */
  readonly depth: number;
  /** Living children of one thread. Default 1,000. */
  readonly childrenPerParent: number;
  /** Living threads under one root, the root included. Default 10,000. */
  readonly treeSize: number;
  /** Ops that may wait in one thread. Default 1,024. */
  readonly mailbox: number;
  /** Messages that the supervisor has taken and not answered. Further ones wait (`ask`, the facade) or are refused. Default 10,000. */
  readonly supervisorMailbox: number;
  /** Events of one thread that stay in memory for replay. Default 4,096. */
  readonly events: number;
  /** Milliseconds that a thread logic has for its first event. Default 10,000. */
  readonly bootDeadlineMs: number;
  /**
   * Milliseconds, of real time, that a caller without a signal or deadline waits for a place in memory when every
   * resident thread is at work, or for room in a mailbox out of which nothing moves. Default 5,000.
   */
  readonly roomDeadlineMs: number;
};

/** A limit that a thread was refused by is one of those that a manager can be given. */
export const limitReached = <Name extends Exclude<LimitName, "spawnRate">>(
  name: Name,
  { [name]: max }: Pick<Limits, Exclude<Name, "spawnRate">>,
  facts?: LimitFacts,
): LimitReachedError => new LimitReachedError(name, max, facts);

/** When idle threads are trimmed and leave memory. An unloaded thread comes back with the next message. */
export type Residency = {
  /** An idle thread leaves memory after so many milliseconds; it stays addressable. Default 30 minutes; Infinity for never. */
  readonly unloadAfterMs: number;
  /** An idle thread's replay is cut down to its last events after so many milliseconds. Default 60,000. */
  readonly trimAfterMs: number;
  /** Bytes of history that idle threads may keep in memory, all together. Default 64 MiB. */
  readonly historyBytes: number;
};

/** The restart strategies by name. */
export const RESTART_STRATEGIES = ["permanent", "transient", "temporary"] as const;

/** What becomes of a thread whose actor ended: OTP's words. `permanent` also restarts after an orderly end. */
export type RestartStrategy = (typeof RESTART_STRATEGIES)[number];

/**
 * What happens after a thread's actor has failed: whether it is restarted, how often (times in milliseconds), and how soon.
 */
export type Supervision = {
  /** Default `transient`: restarted after a crash, not after an orderly end. */
  readonly restart: RestartStrategy;
  /** Restart intensity: at most `maxRestarts` (default 3) within `periodMs` (default 60,000); then it is given up. */
  readonly maxRestarts: number;
  readonly periodMs: number;
  /** The first restart waits so long (default 100), each further one within the period twice as long, up to the cap (default 10,000). */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /**
   * With `recovery: "continue"`, how many lives may take a turn up after the first one (default 2): one that ends each of them
   * is given up with a TurnGivenUpError. Counted with the turn, over all processes.
   */
  readonly maxContinuations: number;
  /** Shortens each wait by up to half, so that threads that crashed together don't come back together. Default Math.random. */
  readonly random: () => number;
};

/**
 * Everything that a manager can be given; all of it has a default. `ThreadManager.create` checks it, and throws an
 * InvalidRequestError that names the wrong option.
 */
export type ThreadManagerOptions = {
  /** The folder that threads are stored in, as Codex lays it out. Default `~/.skein`. Ignored when `store` is given. */
  home?: string;
  /** When a new thread's file under `home` is made: see FileStoreOptions. Default `"at-start"`. Ignored when `store` is given. */
  newFiles?: NonNullable<FileStoreOptions["newFiles"]>;
  /** Where threads last. Default: files under `home`. The manager closes a store that it made itself. */
  store?: ThreadStore;
  /**
   * Answers the turns: one client for all threads, or one chosen by a thread's settings (its `modelProvider`). Default: the
   * scripted client, which needs no key and no network.
   */
  model?: ModelClient | ModelSource;
  /** Function tools of every thread; a thread's config may add its own. */
  tools?: readonly Tool[];
  /** Settings of threads whose own config does not say. */
  config?: ThreadConfig;
  /** MCP servers of every thread, as in Codex's `mcp_servers` table; a thread's config may add its own. */
  mcpServers?: McpServers;
  /**
   * The variables that commands and MCP servers inherit. Default `process.env`. Those whose names say that they hold
   * secrets are left out for commands; an MCP server inherits a few common ones and those that its table names.
   */
  environment?: Readonly<Record<string, string | undefined>>;
  auth?: AuthManager;
  models?: ModelsManager;
  skills?: SkillsManager;
  /**
   * The user instructions of threads whose config gives none (AGENTS.md files, skills): asked once a thread is made, for
   * its working directory. See `projectInstructions`. Default: none.
   */
  instructions?: InstructionsSource;
  /** What the threads' session_meta says started them. Default `exec`. */
  sessionSource?: SessionSource;
  /** Who the threads' session_meta names as the program. Default `skein`. */
  originator?: string;
  limits?: Partial<Limits>;
  /**
   * Whose timers fire: those of every stored thread (the default), which are loaded for it; or only those that are set by this
   * manager's own threads, as it should be for a program that looks at a home for a moment.
   */
  timers?: "all" | "own";
  /** What models cost, by their names, or by a function of name and provider: for budgets of money. Default: nothing is known. */
  prices?: Readonly<Record<string, Price>> | ((model: string, provider: string) => Price | undefined);
  residency?: Partial<Residency>;
  supervision?: Partial<Supervision>;
  /** Any logger of pino's shape. Default: silent. No content and no secret is ever logged. */
  logger?: SkeinLogger;
  /**
   * Sees what XState tells of the supervisor, of every thread and turn: actors, events and snapshots, content included. See
   * docs/debugging.md. What it throws is logged. Default: none; with one, each event costs more.
   */
  inspect?: Inspector;
  clock?: Clock;
  /**
   * The logic of threads whose config names none, in place of the built-in one: any XState logic that keeps the contract of
   * docs/thread-logic.md; or a function of the thread's settings that gives a logic, or a name out of `logics` or
   * `"built-in"`. The function is to be quick and to give the same for the same settings.
   */
  threadLogic?: AnyActorLogic | PersistentLogic | LogicSource;
  /**
   * Logics by the names that a thread's config may give (`logic`). The name is stored, so that a resumed thread has its logic. A
   * machine given as `{ logic, persist: "snapshot" }` goes on in the state that it was in.
   */
  logics?: Readonly<Record<string, AnyActorLogic | PersistentLogic>>;
};

/** As XState's `createActor` takes it: a function, or an observer, of inspection events. */
export type Inspector = ((event: InspectionEvent) => void) | { next?: (event: InspectionEvent) => void };

/** Chooses the logic for a thread's settings. */
export type LogicSource = (config: ResolvedThreadConfig) => AnyActorLogic | PersistentLogic | string;

/** Chooses the client for a thread's settings; `providerId` is the provider of threads that name none. */
export type ModelSource = { readonly providerId: string; clientFor(config: ResolvedThreadConfig): ModelClient };

/** Gives the user instructions for a working directory, by the thread's settings; undefined for none. Should be quick: cache what it reads. */
export type InstructionsSource = (cwd: string, config: ResolvedThreadConfig) => Promise<string | undefined>;

/** The options with everything filled in. */
export type ManagerSetup = {
  readonly store: ThreadStore;
  readonly ownsStore: boolean;
  readonly modelFor: (config: ResolvedThreadConfig) => ModelClient;
  readonly tools: readonly Tool[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly config: ResolvedThreadConfig;
  readonly defaults: ThreadConfig;
  readonly auth: AuthManager;
  readonly models: ModelsManager;
  readonly skills: SkillsManager;
  readonly instructions: InstructionsSource | undefined;
  readonly sessionSource: SessionSource;
  readonly originator: string;
  readonly limits: Limits;
  readonly timers: "all" | "own";
  readonly prices: (model: string, provider: string) => Price | undefined;
  readonly residency: Residency;
  readonly supervision: Supervision;
  readonly logger: SkeinLogger;
  readonly inspect: Inspector | undefined;
  readonly clock: Clock;
  readonly threadLogic: AnyActorLogic | PersistentLogic | LogicSource | undefined;
  readonly logics: Readonly<Record<string, AnyActorLogic | PersistentLogic>>;
};

const LIMITS: Limits = {
  residentThreads: 100_000,
  runningTurns: Number.POSITIVE_INFINITY,
  turnAgingMs: 30_000,
  spawnRate: null,
  depth: 8,
  childrenPerParent: 1_000,
  treeSize: 10_000,
  mailbox: 1_024,
  supervisorMailbox: 10_000,
  events: 4_096,
  bootDeadlineMs: 10_000,
  roomDeadlineMs: 5_000,
};
const RESIDENCY: Residency = { unloadAfterMs: 30 * 60_000, trimAfterMs: 60_000, historyBytes: 64 * 1024 * 1024 };
const SUPERVISION: Supervision = {
  restart: "transient",
  maxRestarts: 3,
  periodMs: 60_000,
  backoffMs: 100,
  maxBackoffMs: 10_000,
  maxContinuations: 2,
  random: Math.random,
};

/** @throws InvalidRequestError that names the option and the problem */
export function setUp(options: ThreadManagerOptions = {}): ManagerSetup {
  checkOptions(options);
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? silentLog;
  const given = parseThreadConfig(options.config);
  const { mcpServers = {} } = parseThreadConfig({ mcpServers: options.mcpServers });
  const model = options.model ?? scriptedClient();
  const auth = options.auth ?? memoryAuthManager();
  const models = options.models ?? createModelsManager({ clock, logger });
  const defaults: ThreadConfig = {
    cwd: process.cwd(),
    modelProvider: model.providerId,
    model: models.defaultModel({ provider: model.providerId }),
    ...given,
    mcpServers: { ...mcpServers, ...given.mcpServers },
    ...(given.cwd === undefined ? {} : { cwd: resolve(given.cwd) }),
  };
  const home = options.home ?? join(homedir(), ".skein");
  return {
    store: options.store ?? fileStore({ home, newFiles: options.newFiles, clock, logger }),
    ownsStore: options.store === undefined,
    modelFor: "clientFor" in model ? (config) => model.clientFor(config) : () => model,
    tools: options.tools ?? [],
    environment: options.environment ?? process.env,
    config: resolveThreadConfig(defaults),
    defaults,
    auth,
    models,
    skills: options.skills ?? createSkillsManager(),
    instructions: options.instructions,
    sessionSource: options.sessionSource ?? "exec",
    originator: options.originator ?? "skein",
    limits: withRate(bounded("limits", LIMITS, options.limits)),
    timers: options.timers ?? "all",
    prices: pricesOf(options.prices),
    residency: bounded("residency", RESIDENCY, options.residency),
    supervision: withStrategy(options.supervision),
    logger,
    inspect: options.inspect && harmless(options.inspect, logger),
    clock,
    threadLogic: options.threadLogic,
    logics: options.logics ?? {},
  };
}

/** Each value given must be a number from `least` on; an unknown name is a mistake. */
function bounded<T extends Record<string, unknown>>(what: string, defaults: T, given: Partial<T> = {}): T {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(defaults, name)) throw new InvalidRequestError(`${what}: unknown name \`${name}\``);
    if (typeof defaults[name] === "number" && !(typeof value === "number" && value >= 0)) {
      throw new InvalidRequestError(`${what}.${name}: must be a number from 0 on, not ${String(value)}`);
    }
    if (what === "limits" && Number.isFinite(value) && !Number.isInteger(value)) {
      throw new InvalidRequestError(`${what}.${name}: must be a whole number, not ${String(value)}`);
    }
    merged[name] = value;
  }
  return merged as T;
}

function withRate(limits: Limits): Limits {
  const { spawnRate } = limits;
  if (spawnRate === null) return limits;
  const { count, periodMs } = Object(spawnRate);
  if (!Number.isInteger(count) || count < 1 || typeof periodMs !== "number" || !(periodMs > 0)) {
    throw new InvalidRequestError("limits.spawnRate: must be { count, periodMs }, both above 0, or null");
  }
  return limits;
}

function pricesOf(given: ThreadManagerOptions["prices"] = {}): ManagerSetup["prices"] {
  if (typeof given === "function") return given;
  return (model) => (Object.hasOwn(given, model) ? given[model] : undefined);
}

function withStrategy(given: Partial<Supervision> = {}): Supervision {
  const supervision = bounded("supervision", SUPERVISION, given);
  if (typeof supervision.random !== "function") {
    throw new InvalidRequestError("supervision.random: must be a function that gives numbers from 0 up to 1");
  }
  if (!RESTART_STRATEGIES.includes(supervision.restart)) {
    throw new InvalidRequestError(
      `supervision.restart: must be permanent, transient or temporary, not ${String(supervision.restart)}`,
    );
  }
  return supervision;
}

/** XState calls an inspector in the midst of a transition, which what it throws would break. */
const harmless =
  (inspect: Inspector, logger: SkeinLogger) =>
  (event: InspectionEvent): void => {
    try {
      if (typeof inspect === "function") inspect(event);
      else inspect.next?.(event);
    } catch (err) {
      logger.warn({ err }, "the inspector failed");
    }
  };
