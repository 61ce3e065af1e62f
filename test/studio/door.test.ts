/** Who gets what of the studio's listener: requests as no browser would send them, over real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
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

/** A port that nobody listens on, a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
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
    const local = `ws://127.0.0.1:${await freePort()}`;
    await using studio = await createStudio(manager, { origin: "https://studio.example", listen: local });
    assert.match(studio.invite(), /^https:\/\/studio\.example\/studio\/#token=/);
    const { port } = new URL(local);
    const host = "studio.example";
    const asked = (headers: Record<string, string>) =>
      ask({ ...studio, url: `http://127.0.0.1:${port}/studio/` }, { headers }).then(({ status }) => status);
    assert.equal(await asked({ host }), 200);
    assert.equal(await asked({ host, origin: "https://studio.example" }), 200);
    for (const headers of [
      { host, origin: "http://studio.example" },
      { host, origin: "https://studio.example.evil.test" },
      { host, origin: "https://evil.test" },
      { host, origin: "null" },
      { host: "studio.example.evil.test" },
      { host: "studio.example:1" },
      { host: `127.0.0.1:${port}`, origin: "https://studio.example" },
    ]) {
      assert.equal(await asked(headers as Record<string, string>), 403, JSON.stringify(headers));
    }
  });

  test("no spelling of a name or a path opens anything, and what is refused tells nothing and has the policy too", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    const { port } = new URL(studio.url);
    for (const host of [
      `127.0.0.1.:${port}`,
      `2130706433:${port}`,
      `0:${port}`,
      `0.0.0.0:${port}`,
      `127.1:${port}`,
      `localhost.evil.test:${port}`,
      `127.0.0.1.nip.io:${port}`,
      `evil.test@127.0.0.1:${port}`,
      `127.0.0.1:${port}, evil.test`,
    ]) {
      const { status, headers, body } = await ask(studio, { headers: { host } });
      assert.deepEqual([status, body], [403, ""], host);
      assert.match(String(headers["content-security-policy"]), /^default-src 'none'/);
    }
    for (const path of [
      "/studio/..%2f..%2fpackage.json",
      "/studio/%252e%252e/package.json",
      "/studio/..\\package.json",
      "/studio//etc/passwd",
      "/studio/studio.js/../../package.json",
      "/studio/studio.js%00.html",
      "/studio/__proto__",
      "/studio/constructor",
      "/studio/index.html?token=x",
      "http://evil.test/studio/",
      "//evil.test/studio/",
      "/STUDIO/",
    ]) {
      const { status, headers, body } = await ask(studio, { path });
      assert.deepEqual([status, body], [404, ""], path);
      assert.equal(headers["x-content-type-options"], "nosniff");
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const { status, headers } = await ask(studio, { method });
      assert.equal(status, 405, method);
      assert.equal(headers["access-control-allow-origin"], undefined);
    }
    assert.deepEqual((await ask(studio, { method: "HEAD" })).body, "");
  });

  test("of invitations the newest are good, each for one of many that come at once", async () => {
    await using manager = await managerOf();
    await using studio = await createStudio(manager);
    const path = "/studio/session";
    const redeem = (address: string) =>
      ask(studio, { path, method: "POST", headers: { authorization: `Bearer ${tokenOf(address)}` } });
    const oldest = studio.invite();
    const all = Array.from({ length: 64 }, () => studio.invite());
    assert.equal((await redeem(oldest)).status, 401);
    const [first = ""] = all;
    const answers = await Promise.all(Array.from({ length: 8 }, () => redeem(first)));
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, ...Array(7).fill(401)]);
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
