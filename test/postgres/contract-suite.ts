import { after, before } from "node:test";
import { storeContract } from "../../src/store/contract/store-contract.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { PostgresServer } from "./server.ts";

let server: PostgresServer;
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());

storeContract(
  "the PostgreSQL store on a server",
  async () => {
    schemas += 1;
    const schema = `skein_${schemas}`;
    const stores: ThreadStore[] = [];
    const make = async () => {
      const store = postgresStore({ connectionString: server.connectionString, schema, maxConnections: 4 });
      stores.push(store);
      return store;
    };
    const dispose = async () => {
      for (const store of stores) await store.close();
    };
    return { store: await make(), reopen: make, dispose };
  },
  { modelRuns: 60 },
);
