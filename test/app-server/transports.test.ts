import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { readListenUrl } from "../../src/app-server/transports/listen.ts";
import { LineSplitter } from "../../src/app-server/transports/stdio.ts";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { clientOver, serve, TestClient } from "./test-client.ts";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "skein-ws-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

const statusOf = (url: string, headers: Record<string, string> = {}): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request(url.replace("ws:", "http:"), { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    sent.on("error", reject);
    sent.end();
  });

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test("over a WebSocket: a thread, a turn, two clients, no compression, binary frames ignored", async (t) => {
  await using served = await serve();
  const listener = await served.server.listen("ws://127.0.0.1:0");
  const socket = new WebSocket(listener.url, { headers: { "x-codex-app-server-compression": "zstd-stream-v1" } });
  socket.once("upgrade", ({ headers }) => {
    assert.equal(headers["sec-websocket-extensions"], undefined);
    assert.equal(headers["x-codex-app-server-compression"], undefined);
  });
  const client = await clientOver(socket);
  socket.send(Buffer.from([1, 2, 3]));
  socket.send("[1]");
  await client.initialize();
  const second = await clientOver(new WebSocket(listener.url));
  await second.initialize();
  const { thread } = await client.request("thread/start", {});
  await second.next("thread/started", ({ thread: each }) => each.id === thread.id);
  assert.equal((await client.turn(thread.id, "over ws")).status, "completed");
  await t.test("readyz and healthz", async () => {
    assert.equal(await statusOf(`${listener.url}/readyz`), 200);
    assert.equal(await statusOf(`${listener.url}/healthz`), 200);
    assert.equal(await statusOf(`${listener.url}/other`), 404);
  });
  await t.test("a browser is refused", async () => {
    assert.equal(await statusOf(`${listener.url}/healthz`, { origin: "http://evil" }), 403);
    assert.equal(await statusOf(`${listener.url}/`, { ...UPGRADE, origin: "http://evil" }), 403);
    assert.equal(await statusOf(`${listener.url}/`, UPGRADE), 101);
  });
});

test("the server closes its clients' lines; their threads go on", async () => {
  await using served = await serve();
  const listener = await served.server.listen("ws://127.0.0.1:0");
  const socket = new WebSocket(listener.url);
  const client = await clientOver(socket);
  await client.initialize();
  const { thread } = await client.request("thread/start", {});
  const closed = once(socket, "close");
  await listener.close();
  await closed;
  assert.ok(served.manager.loadedThread(thread.id) !== undefined);
});

test("a token lets in, from a file or by its digest; nothing else does", async (t) => {
  const dir = await folder(t);
  const tokenFile = join(dir, "token");
  await writeFile(tokenFile, "s3cret\n");
  const tokenSha256 = createHash("sha256").update("s3cret").digest("hex");
  for (const auth of [{ tokenFile }, { tokenSha256 }]) {
    await using served = await serve();
    const { url } = await served.server.listen("ws://127.0.0.1:0", auth);
    const status = (authorization?: string) =>
      statusOf(url, authorization === undefined ? UPGRADE : { ...UPGRADE, authorization });
    assert.equal(await status("Bearer s3cret"), 101);
    for (const wrong of [undefined, "Bearer", "Bearer x", "Basic s3cret", "s3cret", `Bearer ${"s3cret".repeat(9)}`]) {
      assert.equal(await status(wrong), 401, String(wrong));
    }
  }
});

test("what can be reached from other machines needs a token", async (t) => {
  await using served = await serve();
  await assert.rejects(served.server.listen("ws://0.0.0.0:0"), InvalidRequestError);
  const dir = await folder(t);
  await writeFile(join(dir, "empty"), " \n");
  await assert.rejects(served.server.listen("ws://127.0.0.1:0", { tokenFile: join(dir, "empty") }), /is empty/);
  await assert.rejects(served.server.listen("ws://127.0.0.1:0", { tokenFile: join(dir, "none") }), /can't be read/);
  await assert.rejects(served.server.listen("ws://127.0.0.1:0", { tokenSha256: "12" }), /64 hexadecimal digits/);
});

test("over a Unix socket, which only its owner may open", async (t) => {
  const path = join(await folder(t), "s.sock");
  await using served = await serve();
  const listener = await served.server.listen(`unix://${path}`);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const client = await clientOver(new WebSocket(`ws+unix://${path}:/`));
  await client.initialize();
  await client.request("thread/list", {});
  await listener.close();
  await assert.rejects(stat(path), /ENOENT/);
});

test("addresses", () => {
  assert.deepEqual(readListenUrl("ws://[::1]:80"), { kind: "ws", host: "::1", port: 80 });
  for (const url of [
    "",
    "ws://localhost:1",
    "ws://127.0.0.1",
    "ws://127.0.0.1:70000",
    "http://127.0.0.1:1",
    "unix://rel",
  ]) {
    assert.throws(() => readListenUrl(url), InvalidRequestError, url);
  }
});

test("lines: cut anywhere, also within a letter; one that is too long is passed over", () => {
  const lines: string[] = [];
  let tooLong = 0;
  const splitter = new LineSplitter(
    (line) => lines.push(line),
    () => tooLong++,
    8,
  );
  for (const byte of Buffer.from('{"ü":1}\n\n0123456789\nlast\r\npart')) splitter.push(Buffer.from([byte]));
  assert.deepEqual([lines, tooLong], [['{"ü":1}', "", "last"], 1]);
});

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;

/** The process, and a client of it over its standard input and output. */
function overStdio(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const child = spawn(process.execPath, [MAIN, "app-server", ...args], { stdio: ["pipe", "pipe", "pipe"], env });
  const client = new TestClient({
    send: (text) => child.stdin.write(`${text}\n`),
    close: () => child.stdin.end(),
    onText: undefined,
    onClosed: undefined,
  });
  const splitter = new LineSplitter(
    (line) => client.take(line),
    () => undefined,
  );
  child.stdout.on("data", (chunk: Buffer) => splitter.push(chunk));
  return { child, client };
}

test("as a process over stdio: answers everything, then ends with its input", async (t) => {
  const home = await folder(t);
  const { child, client } = overStdio(["--home", home]);
  client.raw("{broken");
  await client.initialize();
  const { thread } = await client.request("thread/start", { cwd: home });
  assert.equal((await client.turn(thread.id, "over stdio")).status, "completed");
  const { thread: fork } = await client.request("thread/fork", { threadId: thread.id });
  assert.equal(fork.turns.length, 1);
  const last = client.request("thread/read", { threadId: fork.id, includeTurns: true });
  client.close();
  assert.equal((await last).thread.turns.length, 1);
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
});

test("settings that are wrong are told to the client that waits, and by the process: in words, with the place", async (t) => {
  const home = await folder(t);
  await writeFile(join(home, "config.toml"), "model = [\n");
  const { child, client } = overStdio(["--home", home]);
  const said = once(child.stderr, "data");
  const ended = once(child, "exit");
  await client.initialize();
  const { message, data } = await client.failure("thread/start", { cwd: home });
  assert.match(message, /config\.toml:2:1: invalid value/);
  assert.equal(data.code, "invalid_request");
  assert.match(String(await said), /^error: .*config\.toml:2:1: invalid value/);
  assert.deepEqual(await ended, [1, null]);
});

test("what Node has compiled is kept before anybody kills the server", async (t) => {
  const home = await folder(t);
  const cache = join(home, "compiled");
  const { child, client } = overStdio(["--home", home], { ...process.env, NODE_COMPILE_CACHE: cache });
  await client.initialize();
  await client.request("thread/loaded/list", {});
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.ok((await readdir(cache, { recursive: true })).length > 10);
});

test("as a process over ws: says where, serves, and ends by a signal with everything stored", async (t) => {
  const home = await folder(t);
  const start = async () => {
    const child = spawn(process.execPath, [MAIN, "app-server", "--home", home, "--listen", "ws://127.0.0.1:0"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [said] = await once(child.stderr, "data");
    const url = /ws:\/\/\S+/.exec(String(said))?.[0] ?? "";
    const client = await clientOver(new WebSocket(url));
    await client.initialize();
    return { child, client };
  };
  const first = await start();
  const { thread } = await first.client.request("thread/start", { cwd: home });
  await first.client.turn(thread.id, "remember");
  const ended = once(first.child, "exit");
  first.child.kill("SIGTERM");
  await ended;
  const second = await start();
  const resumed = await second.client.request("thread/resume", { threadId: thread.id });
  assert.equal(resumed.thread.turns[0].items[0].content[0].text, "remember");
  assert.equal((await second.client.turn(thread.id, "again")).status, "completed");
  second.child.kill("SIGTERM");
  await once(second.child, "exit");
});

test("a first signal waits for the turn that runs, a second one interrupts it; a hangup waits for nobody", async (t) => {
  const home = await folder(t);
  const start = async () => {
    const args = [MAIN, "app-server", "--home", home, "--listen", "ws://127.0.0.1:0"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    const [said] = await once(child.stderr, "data");
    const client = await clientOver(new WebSocket(/ws:\/\/\S+/.exec(String(said))?.[0] ?? ""));
    await client.initialize();
    const { thread } = await client.request("thread/start", { cwd: home });
    return { child, client, threadId: thread.id as string, ended: once(child, "exit") };
  };
  const command = async ({ client, threadId }: Awaited<ReturnType<typeof start>>, line: string) => {
    await client.request("thread/shellCommand", { threadId, command: line });
    await client.next("item/commandExecution/outputDelta");
  };
  const patient = await start();
  await command(patient, "mkfifo go; echo begun; read -r go < go; echo done");
  patient.child.kill("SIGTERM");
  // The pipe is opened by whoever comes second: had the first signal ended the command, this would wait for ever.
  execFileSync("sh", ["-c", "echo on > go"], { cwd: home, timeout: 30_000 });
  assert.equal((await patient.client.next("turn/completed")).params.turn.status, "completed");
  assert.deepEqual(await patient.ended, [0, null]);

  for (const signals of [["SIGTERM", "SIGINT"], ["SIGHUP"]] as const) {
    const hurried = await start();
    await command(hurried, "echo $$; exec sleep 300");
    const pid = Number(hurried.client.log.findLast(({ params }) => params?.delta)?.params.delta);
    for (const signal of signals) hurried.child.kill(signal);
    assert.deepEqual(await hurried.ended, [0, null]);
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  }
});
