/** A server that ends a connection with the very words that it is ready, as one does that an administrator ends just then. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { after, before, test } from "node:test";
import pg from "pg";
import { StoreIoError } from "../../../src/protocol/errors.ts";
import { type PostgresStoreOptions, postgresStore } from "../../../src/store/postgres/postgres-store.ts";

const message = (type: string, body: string): Buffer => {
  const bytes = Buffer.from(body, "latin1");
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
};
const ENDED = Buffer.concat([
  message("R", "\0\0\0\0"),
  message("Z", "I"),
  message("E", "SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"),
]);

const server = createServer((socket) => {
  socket.on("error", () => undefined);
  socket.once("data", () => socket.end(ENDED));
});
let connectionString = "";
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  connectionString = `postgres://skein@127.0.0.1:${(server.address() as AddressInfo).port}/skein`;
});
after(() => server.close());

const pools: Record<string, () => PostgresStoreOptions> = {
  "the store's own pool": () => ({ connectionString }),
  "a pool of the embedder's": () => {
    const pool = new pg.Pool({ connectionString, max: 2 });
    pool.on("error", () => undefined);
    return { pool };
  },
};
for (const [whose, options] of Object.entries(pools)) {
  test(`${whose}: a typed error tells of it, and the process lives on`, async () => {
    const store = postgresStore(options());
    await assert.rejects(
      store.list(),
      (error) => error instanceof StoreIoError && /57P01|cannot be reached/.test(error.message),
    );
    await store.close();
  });
}
