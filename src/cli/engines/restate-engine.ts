/** A restate-server of its own: its program comes from npm, its data lie in a folder, and it listens on the loopback alone. */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolderSync } from "../../kernel/make-folder.ts";
import { EngineError, type EngineHost, enginePackage } from "./engine-package.ts";
import { freePort } from "./free-port.ts";
import { answerOf, LeashedProcess } from "./leashed-process.ts";

const PACKAGE = {
  title: "restate-server",
  name: (system: string) => `@restatedev/restate-server-${system}`,
  version: "1.7.12",
  unpackedMb: 215,
};
const READY_MS = 60_000;
const GRACE_MS = 10_000;

export type RestatePlace = {
  /** Its data and log; removed at the end. */
  readonly folder: string;
  readonly program: string;
  /** What runs the program elsewhere, as in a network namespace. */
  readonly prefix?: readonly string[];
  readonly ip: string;
  readonly ports: { readonly ingress: number; readonly admin: number; readonly node: number };
  readonly nodeName: string;
  /** Further settings, by the names of Restate's environment variables. */
  readonly env?: Readonly<Record<string, string>>;
};

export class RestateEngine {
  readonly ingress: string;
  readonly admin: string;
  readonly place: RestatePlace;
  #process: LeashedProcess | undefined;

  /** A server over data that are there; {@link RestateEngine.create} makes new ones. */
  constructor(place: RestatePlace) {
    this.place = place;
    this.ingress = `http://${place.ip}:${place.ports.ingress}`;
    this.admin = `http://${place.ip}:${place.ports.admin}`;
  }

  /** Where the program lies, fetched if need be. @throws EngineError, the signal's reason */
  static async program(host: EngineHost): Promise<string> {
    return join(await enginePackage(PACKAGE, host), "bin/restate-server");
  }

  /**
   * A new server, which runs. It answers invocations once somebody has registered a worker with it, and a moment has passed.
   *
   * @throws EngineError (see {@link enginePackage}; it did not start), the signal's reason; nothing is left behind then
   */
  static async create(host: EngineHost): Promise<RestateEngine> {
    const program = await RestateEngine.program(host);
    host.onProgress?.("starting restate-server");
    const folder = mkdtempSync(join(tmpdir(), "skein-restate-"));
    const ports = { ingress: await freePort(), admin: await freePort(), node: await freePort() };
    const engine = new RestateEngine({ folder, program, ip: "127.0.0.1", ports, nodeName: "n1" });
    try {
      await engine.start(host.signal);
      return engine;
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Starts it, for the first time or after {@link stop} and {@link kill}. @throws EngineError, the signal's reason */
  async start(signal?: AbortSignal): Promise<void> {
    this.launch();
    await this.untilHealthy(signal);
  }

  /** Starts it without waiting: nodes of a cluster wait for each other. */
  launch(): void {
    const { folder, program, prefix = [], ip, ports, nodeName, env } = this.place;
    makeFolderSync(folder);
    const args = ["--base-dir", join(folder, "data"), "--bind-ip", ip, "--bind-port", String(ports.node)];
    this.#process = new LeashedProcess({
      argv: [...prefix, program, ...args, "--listen-mode", "tcp", "--node-name", nodeName, "--no-logo"],
      env: {
        RESTATE_DISABLE_TELEMETRY: "true",
        // It makes folders there for what does not fit into its memory, and leaves them.
        TMPDIR: folder,
        RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE: "256MB",
        RESTATE_INGRESS__BIND_PORT: String(ports.ingress),
        RESTATE_ADMIN__BIND_PORT: String(ports.admin),
        RESTATE_LOG_FILTER: "warn",
        RESTATE_LOG_DISABLE_ANSI_CODES: "true",
        ...env,
      },
      log: join(folder, "restate.log"),
      folder,
      ending: "SIGTERM",
      graceMs: GRACE_MS,
    });
  }

  /** @throws EngineError, the signal's reason */
  async untilHealthy(signal?: AbortSignal): Promise<void> {
    const server = this.#process;
    try {
      const healthy = async () => {
        await ok(`${this.admin}/health`);
        await ok(`${this.ingress}/restate/health`);
      };
      await answerOf(healthy, { ...(server !== undefined && { server }), deadlineMs: READY_MS, signal });
    } catch (error) {
      await this.kill();
      signal?.throwIfAborted();
      throw new EngineError(`restate-server did not start:\n${server?.lastWords ?? ""}`, { cause: error });
    }
  }

  /** Resolves when the server that runs now has ended, for whatever reason. */
  get exited(): Promise<unknown> {
    return this.#process?.exited ?? Promise.resolve();
  }

  /** The end of what it has said. */
  get lastWords(): string {
    return this.#process?.lastWords ?? "";
  }

  /** Ends it in order; its data stay. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** As a machine that loses its power, but for what the system has in its hands. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.end();
    await rm(this.place.folder, { recursive: true, force: true });
  }
}

async function ok(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
}
