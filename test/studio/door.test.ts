/** Who gets what of the studio's listener: requests as no browser would send them, over real sockets. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { suite, test } from "node:test";
import { WebSocket } from "ws";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { bridgeStudio } from "../../src/studio/bridge.ts";
import { createStudio, type StudioServer } from "../../src/studio/index.ts";
import { clientOver } from "../app-server/test-client.ts";

const managerOf = () => ThreadManager.create({ store: memoryStore() });

type Asked = { readonly path?: string; readonly method?: string; readonly headers?: Record<string, string> };
type Answer = { readonly status: number; readonly headers: Record<string, unknown>; readonly body: string };

function ask(studio: StudioServer, { path = "/studio/", method = "GET", headers = {} }: Asked = {}): Promise<Answer> {
  const { hostname, port } = new URL(studio.url);
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, headers: { host: `${hostname}:${port}`, ...headers } }, (got) => {
      let body = "";
      got.on("data", (chunk: Buffer) => {
        body += chunk;
      });
      got.on("end", () => resolve({ status: got.statusCode ?? 0, headers: got.headers, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

const tokenOf = (address: string): string => new URL(address).hash.replace("#token=", "");

async function sessionOf(studio: StudioServer): Promise<string> {
  const headers = { authorization: `Bearer ${tokenOf(studio.invite())}` };
  const { body } = await ask(studio, { path: "/studio/session", method: "POST", headers });
  return JSON.parse(body).session;
}

type Line = { readonly protocols?: readonly string[]; readonly headers?: Record<string, string> };

/** The status of an upgrade, and the protocol that was chosen. */
function upgrade(
  studio: StudioServer,
  { protocols = [], headers = {} }: Line,
): Promise<{ status: number; chosen: string }> {
  const { host } = new URL(studio.url);
  const socket = new WebSocket(`ws://${host}/studio/line`, [...protocols], { headers: { host, ...headers } });
  return new Promise((resolve) => {
    socket.on("open", () => {
      resolve({ status: 101, chosen: socket.protocol });
      socket.terminate();
    });
    socket.on("unexpected-response", (_, got) => {
      resolve({ status: got.statusCode ?? 0, chosen: "" });
      socket.terminate();
    });
    socket.on("error", () => undefined);
  });
}

suite("the studio's door", () => {
  test("the page comes to its own name alone, with a policy that lets nothing in", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    const { status, headers, body } = await ask(studio);
    assert.equal(status, 200);
    assert.match(body, /studio\.js/);
    assert.match(String(headers["content-security-policy"]), /^default-src 'none'.*require-trusted-types-for 'script'/);
    assert.equal(headers["cache-control"], "no-store");
    for (const path of ["/studio/studio.js", "/studio/studio.css", "/studio/icon.svg", "/studio/machines.json"]) {
      assert.equal((await ask(studio, { path })).status, 200, path);
    }
    for (const path of [
      "/studio/../package.json",
      "/studio/%2e%2e/package.json",
      "/etc/passwd",
      "/studio/session/x",
      "/healthz",
    ]) {
      assert.equal((await ask(studio, { path })).status, 404, path);
    }
    assert.equal((await ask(studio, { path: "/studio" })).status, 302);
    assert.equal((await ask(studio, { method: "PUT" })).status, 405);
    const { port } = new URL(studio.url);
    const foreign = [
      { host: "evil.test" },
      { host: `evil.test:${port}` },
      { host: "127.0.0.1" },
      { host: "127.0.0.1:1" },
      { origin: "http://evil.test" },
      { origin: "null" },
      { origin: `http://localhost:${Number(port) + 1}` },
      { host: `evil.test:${port}`, origin: `http://evil.test:${port}` },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ];
    for (const given of foreign) {
      assert.equal(
        (await ask(studio, { headers: given as Record<string, string> })).status,
        403,
        JSON.stringify(given),
      );
    }
  });

  test("an invitation buys one session, and a used, wrong or missing token nothing", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    const path = "/studio/session";
    const token = tokenOf(studio.invite());
    const redeem = (authorization?: string, more = {}) =>
      ask(studio, { path, method: "POST", headers: { ...(authorization && { authorization }), ...more } });
    assert.equal((await redeem()).status, 401);
    assert.equal((await redeem("Bearer wrong")).status, 401);
    assert.equal((await redeem(`Bearer ${token}`, { origin: "http://evil.test" })).status, 403);
    const { status, body } = await redeem(`Bearer ${token}`);
    const { session } = JSON.parse(body);
    assert.equal(status, 200);
    assert.notEqual(session, token);
    assert.equal((await redeem(`Bearer ${token}`)).status, 401, "it was good once");
    const known = (given: string) => ask(studio, { path, headers: { authorization: `Bearer ${given}` } });
    assert.equal((await known(session)).status, 204);
    assert.equal((await known(token)).status, 401);
    assert.ok(!(await ask(studio)).body.includes(session));
  });

  test("a line is for a session, from the page's own origin or from none", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    const session = await sessionOf(studio);
    const { origin, port } = new URL(studio.url);
    const protocols = ["skein.v2", `skein.token.${session}`];
    assert.deepEqual(await upgrade(studio, { protocols, headers: { origin } }), { status: 101, chosen: "skein.v2" });
    assert.deepEqual(await upgrade(studio, { protocols: protocols.toReversed() }), { status: 101, chosen: "skein.v2" });
    const refused: [Line, number][] = [
      [{ headers: { origin } }, 401],
      [{}, 401],
      [{ protocols: ["skein.v2"], headers: { origin } }, 401],
      [{ protocols: [`skein.token.${session}`], headers: { origin } }, 401],
      [{ protocols: ["skein.v2", "skein.token.wrong"], headers: { origin } }, 401],
      [{ protocols: ["skein.v2", `skein.token.${tokenOf(studio.invite())}`], headers: { origin } }, 401],
      [{ headers: { authorization: `Bearer ${session}` } }, 401],
      [{ protocols, headers: { origin: "http://evil.test" } }, 403],
      [{ protocols, headers: { origin: "null" } }, 403],
      [{ protocols, headers: { origin: `http://127.0.0.1:${Number(port) + 1}` } }, 403],
      [{ protocols, headers: { host: `evil.test:${port}`, origin: `http://evil.test:${port}` } }, 403],
      [{ protocols, headers: { host: `evil.test:${port}` } }, 403],
    ];
    for (const [line, status] of refused)
      assert.equal((await upgrade(studio, line)).status, status, JSON.stringify(line));
  });

  test("over IPv6 as over IPv4; off loopback not at all", async (t) => {
    await using manager = await managerOf();
    await assert.rejects(createStudio(manager, { listen: "ws://0.0.0.0:0" }), /whoever has the page has a shell/);
    await assert.rejects(createStudio(manager, { listen: "unix:///tmp/x.sock" }), /must be ws:/);
    const studio = await createStudio(manager, { listen: "ws://[::1]:0" }).catch(() => undefined);
    if (studio === undefined) return t.skip("no IPv6 here");
    await using _closed = studio;
    assert.equal((await ask(studio)).status, 200);
    const protocols = ["skein.v2", `skein.token.${await sessionOf(studio)}`];
    assert.equal((await upgrade(studio, { protocols })).status, 101);
  });

  test("behind a proxy of its own the page has that origin, and no other", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager, { origin: "https://studio.example" });
    assert.match(studio.invite(), /^https:\/\/studio\.example\/studio\/#token=/);
  });

  test("nobody can serve a page that is not there", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    await assert.rejects(createStudio(manager, { listen: `ws://127.0.0.1:${new URL(studio.url).port}` }), {
      code: "store_io",
    });
  });

  test("a bridge shows a running app-server, and holds its page to what it may do", async () => {
    await using manager = await managerOf();
    await using server = createAppServer(manager, { cwd: "/w" });
    const listener = await server.listen("ws://127.0.0.1:0");
    const { threadId } = await manager.startThread();
    for (const access of ["look", "act"] as const) {
      await using studio = await bridgeStudio({ connect: listener.url, access });
      const { host } = new URL(studio.url);
      const protocols = ["skein.v2", `skein.token.${await sessionOf(studio)}`];
      const client = await clientOver(new WebSocket(`ws://${host}/studio/line`, protocols));
      await client.initialize();
      assert.equal((await client.request("skein/info/read", {})).access, access);
      assert.equal((await client.request("skein/tree/read", {})).rows[0][0], threadId);
      if (access === "act") assert.ok((await client.request("thread/start", {})).thread.id);
      else assert.match((await client.failure("thread/start", {})).message, /may only look/);
      client.close();
    }
    await assert.rejects(bridgeStudio({ connect: "http://nowhere" }), /--connect: .* must be/);
  });
});
