/** A pool of real connections whose statements somebody is told of, once each has been answered and before whoever gave it hears so. */
import pg from "pg";
import type { PostgresClient, PostgresPool } from "../../src/store/postgres/postgres-store.ts";

export function watchedPool(connectionString: string, told: (text: string) => void): PostgresPool {
  const pool = new pg.Pool({ connectionString });
  const clients = new WeakMap<object, PostgresClient>();
  pool.on("error", () => undefined);
  return {
    connect: async () => {
      const client = await pool.connect();
      const known = clients.get(client);
      if (known !== undefined) return known;
      const watched: PostgresClient = {
        query: async (given) => {
          const answer = await client.query({ ...given });
          told(given.text);
          return answer;
        },
        release: (broken) => client.release(broken),
        on: (event: string, listener: (...said: never[]) => void) => client.on(event as "end", listener as () => void),
      };
      clients.set(client, watched);
      return watched;
    },
    end: () => pool.end(),
  };
}
