import { after, before } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import { storeContract } from "../../../src/store/contract/store-contract.ts";
import { postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import type { ThreadStore } from "../../../src/store/thread-store.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

let db: PGlite;
let schemas = 0;
before(async () => {
  db = await newPglite();
});
after(() => db.close());

storeContract(
  "the PostgreSQL store",
  async () => {
    schemas += 1;
    const schema = `skein_${schemas}`;
    const stores: ThreadStore[] = [];
    const make = async () => {
      const store = postgresStore({ pool: pglitePool(db), schema });
      stores.push(store);
      return store;
    };
    return {
      store: await make(),
      reopen: make,
      dispose: async () => {
        for (const store of stores) await store.close();
        await db.exec(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      },
    };
  },
  { modelRuns: 10 },
);
