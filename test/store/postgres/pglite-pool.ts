/** PGlite, PostgreSQL in this process, as a pool: all its connections are one, so it is no proof of concurrency. */
import { PGlite } from "@electric-sql/pglite";
import type { PostgresClient, PostgresPool } from "../../../src/store/postgres/postgres-store.ts";

export function pglitePool(db: PGlite): PostgresPool {
  const client = (): PostgresClient => {
    const unlisten: (() => Promise<void>)[] = [];
    return {
      query: async ({ text, values }) => ({ rows: (await db.query(text, values)).rows }),
      on: (event: string, listener: (message: never) => void) => {
        if (event !== "notification") return;
        const hear = (payload: string) => listener({ channel: "skein_threads", payload } as never);
        void db.listen("skein_threads", hear).then((stop) => unlisten.push(stop));
      },
      release: () => void Promise.all(unlisten.map((stop) => stop())),
    };
  };
  return { connect: async () => client(), end: () => db.close() };
}

export const newPglite = (): Promise<PGlite> => PGlite.create();
