/** A real PostgreSQL server for tests, with what only they need: a replica, and an administrator's connection. */
import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { engineCache } from "../../src/cli/engines/engine-package.ts";
import { freePort } from "../../src/cli/engines/free-port.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";

export class PostgresServer {
  readonly connectionString: string;
  readonly #engine: PostgresEngine;

  private constructor(engine: PostgresEngine) {
    this.#engine = engine;
    this.connectionString = engine.url;
  }

  static async start(): Promise<PostgresServer> {
    return new PostgresServer(await PostgresEngine.create({ cache: engineCache(process.env) }));
  }

  /** Starts it, after {@link kill}. */
  start(): Promise<void> {
    return this.#engine.start();
  }

  /** A replica that follows this server, which is stopped for the moment that the copy of its data takes. */
  async standby(): Promise<PostgresServer> {
    await this.#engine.stop();
    const { programs, port } = this.#engine.place;
    const folder = mkdtempSync(join(tmpdir(), "skein-postgres-"));
    const replica = new PostgresEngine({ folder, programs, port: await freePort() });
    cpSync(this.#engine.data, replica.data, { recursive: true });
    rmSync(join(replica.data, "postmaster.pid"), { force: true });
    writeFileSync(join(replica.data, "standby.signal"), "");
    const primary = `host=127.0.0.1 port=${port} user=skein`;
    appendFileSync(join(replica.data, "postgresql.auto.conf"), `primary_conninfo = '${primary}'\n`);
    chmodSync(replica.data, 0o700);
    replica.own(folder);
    if (process.getuid?.() === 0)
      execFileSync("chown", ["-R", "--reference", folder, replica.data], { timeout: 60_000 });
    await this.start();
    await replica.start();
    return new PostgresServer(replica);
  }

  /** As a machine that loses its power, but for what the system has in its hands. */
  kill(): Promise<void> {
    return this.#engine.kill();
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.#engine[Symbol.asyncDispose]();
  }
}
