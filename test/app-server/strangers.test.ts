/** What somebody can do who has no token, or has not initialized: hold little, for a short time, and end nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { WebSocket } from "ws";
import type { AppServerOptions } from "../../src/app-server/app-server-options.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { portOf, rawSocket, received, upgradeRequest } from "./raw-client.ts";
import { clientOver, serve, type TestClient } from "./test-client.ts";

const TOKEN_SHA256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"; // of "secret"
const BEARER = "Authorization: Bearer secret";

async function listening(t: TestContext, limits: AppServerOptions["limits"] = {}, auth = {}) {
  const clock = new ManualClock({ startMs: 1_000_000 });
  const served = await serve({ server: { clock, limits } });
  t.after(() => served[Symbol.asyncDispose]());
  const { url } = await served.server.listen("ws://127.0.0.1:0", auth);
  const target = { host: "127.0.0.1", port: portOf(url) };
  return { ...served, clock, url, target };
}

async function clientAt(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ client: TestClient; socket: WebSocket }> {
  const socket = new WebSocket(url, { headers });
  const client = await clientOver(socket);
  socket.on("error", () => undefined);
  return { client, socket };
}

async function initialized(url: string, headers?: Record<string, string>): Promise<TestClient> {
  const { client } = await clientAt(url, headers);
  await client.initialize();
  return client;
}

/** Waits for the sockets' own turns, with no time going by on the server's clock. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

test("a refused upgrade that is reset ends nothing, whenever the reset comes", async (t) => {
  for (const [auth, further] of [
    [{}, "Origin: http://evil"],
    [{ tokenSha256: TOKEN_SHA256 }, "Authorization: Bearer wrong"],
  ] as const) {
    const { target, url } = await listening(t, {}, auth);
    for (const turns of [0, 1, 2, 5, 20]) {
      const socket = await rawSocket(target);
      socket.write(upgradeRequest(further));
      for (let left = turns; left > 0; left -= 1) await turn();
      socket.resetAndDestroy();
    }
    const socket = await rawSocket(target);
    const answer = received(socket);
    socket.write(upgradeRequest(further));
    assert.match(await answer, /^HTTP\/1\.1 40[13] /);
    await initialized(url, { authorization: "Bearer secret" });
  }
});

test("resets in every other state end nothing", async (t) => {
  const { target, url } = await listening(t);
  const sent = [
    "",
    "GET / HT",
    upgradeRequest(),
    `${upgradeRequest()}\x81\xfe`,
    "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nx",
  ];
  for (const text of [...sent, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01"]) {
    for (const isAnswered of [false, true]) {
      const socket = await rawSocket(target);
      socket.write(text, "latin1");
      if (isAnswered) for (let left = 10; left > 0; left -= 1) await turn();
      socket.resetAndDestroy();
    }
  }
  await initialized(url);
});

test("who is refused and keeps his half open, or says nothing, leaves room for whoever has the token", async (t) => {
  const { target, url } = await listening(t, { connections: 8, strangers: 3 }, { tokenSha256: TOKEN_SHA256 });
  for (let left = 40; left > 0; left -= 1) {
    const refused = await rawSocket(target);
    refused.write(upgradeRequest());
    await rawSocket(target);
    (await rawSocket(target)).write("GET / HTTP/1.1\r\nX-Slow: ");
  }
  const client = await initialized(url, { authorization: "Bearer secret" });
  await client.request("thread/list", {});
});

test("a refused connection is destroyed, not half closed", async (t) => {
  const { target } = await listening(t, {}, { tokenSha256: TOKEN_SHA256 });
  const socket = await rawSocket(target);
  socket.write(upgradeRequest());
  assert.match(await received(socket), /401/);
  // Writing to what is gone is answered by a reset; to a half that is kept it is not.
  while (!socket.destroyed) {
    socket.write("x");
    await turn();
  }
});

test("the deadline: before the upgrade, before initialize, and never after", async (t) => {
  const { clock, target, url } = await listening(t);
  const silent = await rawSocket(target);
  const slow = await rawSocket(target);
  slow.write("GET / HTTP/1.1\r\nHost: 127");
  const { client: late, socket } = await clientAt(url);
  const greeted = await initialized(url);
  const closed = once(socket, "close");
  await assert.rejects(late.request("thread/list", {}), /Not initialized/);
  clock.advance(9_999);
  assert.equal(socket.readyState, WebSocket.OPEN);
  clock.advance(1);
  const [code, why] = await closed;
  assert.deepEqual([code, String(why)], [1008, "initialize did not come in time"]);
  for (const each of [silent, slow]) await received(each);
  clock.advance(1_000_000);
  await greeted.request("thread/list", {});
});

test("strangers cut off the one of them that has been there longest; clients keep their places", async (t) => {
  const { target, url } = await listening(t, { connections: 5, strangers: 2 });
  const clients = [await initialized(url), await initialized(url)];
  const first = await rawSocket(target);
  const second = await rawSocket(target);
  const third = await rawSocket(target);
  await received(first);
  assert.deepEqual([second.readableEnded, third.readableEnded], [false, false]);
  for (let left = 3; left > 0; left -= 1) clients.push(await initialized(url));
  // All places are clients' now.
  for (const each of [second, third]) await received(each);
  await received(await rawSocket(target));
  for (const client of clients) await client.request("thread/list", {});
  clients[0]?.close();
  clients[1]?.close();
});

test("before initialize little may be sent, in one message or in many; afterwards much", async (t) => {
  const { url } = await listening(t, { strangerBytes: 100_000 });
  for (const send of [
    (socket: WebSocket) => socket.send(`{"id":1,"method":"x","params":"${"x".repeat(100_000)}"}`),
    (socket: WebSocket) => {
      for (let left = 4_000; left > 0; left -= 1) socket.send('{"id":1,"method":"thread/list"}');
    },
    (socket: WebSocket) => {
      for (let left = 2_000; left > 0; left -= 1) socket.ping("x".repeat(100));
    },
  ]) {
    const { socket } = await clientAt(url);
    const closed = once(socket, "close");
    send(socket);
    const [code] = await closed;
    assert.ok(code === 1008 || code === 1006);
  }
  const { client } = await clientAt(url);
  // Nobody has to wait for the answer before going on.
  const answer = client.initialize();
  const failure = client.failure("thread/read", { threadId: "x".repeat(1_000_000) });
  await answer;
  await failure;
});

test("a stranger's answers do not pile up when he does not read them", async (t) => {
  const { server, target } = await listening(t, { strangerBytes: 1024 * 1024 * 1024 });
  const socket = await rawSocket(target);
  socket.write(upgradeRequest());
  socket.pause();
  const text = Buffer.from('{"id":1,"method":"no/such"}');
  const { frame } = await import("./raw-client.ts");
  const many = Buffer.concat(Array.from({ length: 1_000 }, () => frame(text)));
  await until(() => server.connections === 2);
  while (!socket.destroyed && server.connections === 2) {
    socket.write(many);
    await turn();
  }
  assert.equal(server.connections, 1);
});

test("a name that a page may have lead here is refused, unless a token is asked for", async (t) => {
  const { target } = await listening(t);
  const status = async (at: typeof target, host: string, ...further: string[]) => {
    const socket = await rawSocket(at);
    socket.write(upgradeRequest(...further).replace("Host: 127.0.0.1", `Host: ${host}`));
    let head = "";
    for await (const chunk of socket) {
      head += String(chunk);
      if (head.includes("\r\n")) break;
    }
    return Number(head.split(" ")[1]);
  };
  for (const host of ["127.0.0.1", "127.0.0.1:80", "localhost:4500", "LOCALHOST", "[::1]:80", "10.0.0.1"]) {
    assert.equal(await status(target, host), 101, host);
  }
  for (const host of ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", ""]) {
    assert.equal(await status(target, host), 403, host);
  }
  const guarded = await listening(t, {}, { tokenSha256: TOKEN_SHA256 });
  assert.equal(await status(guarded.target, "my.host", BEARER), 101);
});

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;

test("more connections than the process may have files: it goes on", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "skein-strangers-"));
  const run = `ulimit -n 64; exec ${JSON.stringify(process.execPath)} --no-warnings ${MAIN} app-server --home ${home} --listen ws://127.0.0.1:0`;
  const child = spawn("sh", ["-c", run], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await rm(home, { recursive: true, force: true });
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  await until(() => /ws:\/\/\S+/.test(said));
  const url = /ws:\/\/\S+/.exec(said)?.[0] ?? "";
  const sockets = await Promise.all(
    Array.from({ length: 100 }, () => rawSocket({ host: "127.0.0.1", port: portOf(url) })),
  );
  for (const socket of sockets) socket.destroy();
  // Whoever comes before these are closed over there is turned away.
  let client: TestClient | undefined;
  for (let tries = 0; client === undefined && tries < 200; tries += 1)
    client = await initialized(url).catch(() => undefined);
  assert.ok(client !== undefined);
  assert.equal(child.exitCode, null);
});
