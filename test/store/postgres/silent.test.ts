/** A server that takes the call and says nothing more, as one that the network has lost: it is told in time, and keeps no process. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { LEASH } from "../../leash.ts";

const READY = Buffer.from("R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", "latin1");
const STORE = new URL("../../../src/store/postgres/postgres-store.ts", import.meta.url).href;
const PROGRAM = `
const { postgresStore } = await import(${JSON.stringify(STORE)});
const store = postgresStore({ connectionString: process.argv[1], statementMs: 100 });
console.log(await store.connect().then(() => "connected", (error) => error.code + " " + error.message));
await store.close();
`;

for (const [where, greet] of [
  ["before it is ready", () => undefined],
  ["once it is ready", (socket: Socket) => void socket.write(READY)],
] as const) {
  test(`silent ${where}`, { timeout: 30_000 }, async (t) => {
    const sockets: Socket[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket.on("error", () => undefined));
      socket.once("data", () => greet(socket)).resume();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const args = [...LEASH, "--input-type=module", "-e", PROGRAM, `postgres://skein@127.0.0.1:${port}/skein`];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(child, "close");
    assert.equal(said, "store_io PostgreSQL has not answered within 100 ms\n");
  });
}
