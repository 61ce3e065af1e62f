import { DEFAULT_TOOLS } from "../../app-server/default-tools.ts";
import { createWorker } from "../../cluster/worker.ts";
import { openHome, scriptedClient, ThreadManager } from "../../index.ts";
import { untilAborted } from "../../kernel/abort-listeners.ts";
import { capYoungGeneration } from "../../kernel/young-generation.ts";
import { definedFields } from "../../protocol/defined-fields.ts";
import { parseOverride } from "../../services/config-overrides.ts";
import { ServerSignals } from "../app-server/signals.ts";
import { adminOf, register, untilInvoked } from "../cluster/registration.ts";
import { openDatabase, storeUrlOf } from "../database.ts";
import { driveMinutes } from "../demo/drive-minutes.ts";
import { demoScript } from "../demo/scenes.ts";
import { UsageError } from "../failure.ts";
import { homeOf } from "../home-folder.ts";
import { configSwitches, type SessionOptions, settingsOfOptions, workFolder } from "../session-options.ts";
import { type LogLevel, stderrLog } from "../stderr-log.ts";
import type { Io } from "../terminal/io.ts";

export type WorkerCommandOptions = SessionOptions & {
  readonly port: number;
  readonly host: string;
  readonly ingress?: string;
  readonly register: boolean;
  readonly admin?: string;
  readonly uri?: string;
  readonly advertise?: string;
  readonly identityKey?: readonly string[];
  readonly drain: number;
  readonly scripted?: boolean;
  readonly logLevel: LogLevel;
};

/** Between the words of a scripted answer: so that there is something to see, to steer and to interrupt. */
const SCRIPTED_WORD_MS = 5;

/** Runs threads until a signal says otherwise. @throws UsageError, InvalidRequestError, StoreIoError, EngineError */
export async function runWorker(options: WorkerCommandOptions, io: Io): Promise<void> {
  const address = addressesOf(options, io);
  using signals = new ServerSignals();
  const logger = stderrLog(options.logLevel, io.stderr);
  const cwd = workFolder(options, io);
  const home = await openHome({
    home: homeOf(options, io),
    env: io.env,
    cwd,
    profile: options.profile,
    ...configSwitches(options),
    overrides: settingsOfOptions(options).map(parseOverride),
    typed: { builtInTools: [...(options.tools ?? DEFAULT_TOOLS)] },
    sessionSource: "exec",
    logger,
  });
  try {
    await using store = closing(await openDatabase(address));
    using _cap = capYoungGeneration();
    const scripted = { model: scriptedClient(demoScript(SCRIPTED_WORD_MS)), tools: [driveMinutes] };
    await using manager = await ThreadManager.create({
      ...home.options,
      ...(options.scripted === true && scripted),
      store: store.value,
      // The engine keeps those of the cluster's threads.
      timers: "own",
      logger,
    });
    const { identityKey, ingress, advertise } = options;
    const worker = createWorker({
      manager,
      logger,
      ...(identityKey !== undefined && { identityKeys: identityKey }),
      ...definedFields({ ingress, advertise }),
    });
    try {
      const { url } = await worker.listen({ port: options.port, host: options.host });
      io.stderr.write(`listening on ${url}\n`);
      await introduce(url, options, signals.asked, io);
      await untilAborted(signals.asked);
    } finally {
      const { completed, handedOver } = await worker.close({
        deadlineMs: options.drain * 1_000,
        signal: signals.insisted,
      });
      io.stderr.write(`drained: ${completed} ended here, ${handedOver} left to other workers\n`);
    }
  } finally {
    await home.close();
  }
}

/** Registers the worker, where there is an engine to register with; an interruption meanwhile is the end's to see to. */
async function introduce(
  url: string,
  { ingress, admin, register: isToRegister, uri = url }: WorkerCommandOptions,
  signal: AbortSignal,
  io: Io,
): Promise<void> {
  if (ingress === undefined || !isToRegister) return;
  try {
    await register({ admin: adminOf(ingress, admin), uri, signal });
    await untilInvoked({ ingress, signal });
    io.stderr.write(`registered ${uri}: the engine's invocations come through\n`);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** @throws UsageError */
function addressesOf(options: WorkerCommandOptions, io: Io): string {
  const store = storeUrlOf(options, io);
  if (store === undefined)
    throw new UsageError("a worker needs the database that all workers share: --store postgres://...");
  for (const name of ["ingress", "admin", "uri", "advertise"] as const) {
    const given = options[name];
    if (given !== undefined && !/^https?:\/\/./.test(given)) throw new UsageError(`--${name} takes http://HOST:PORT`);
  }
  if (options.ingress === undefined && (options.admin ?? options.uri) !== undefined)
    throw new UsageError("--admin and --uri go together with --ingress: without it nothing is registered");
  return store;
}

const closing = <T extends { close(): Promise<void> }>(value: T): { readonly value: T } & AsyncDisposable => ({
  value,
  [Symbol.asyncDispose]: () => value.close(),
});
