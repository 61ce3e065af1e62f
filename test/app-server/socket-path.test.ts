/** A Unix socket's place: what is there stays, nobody gets in before the mode is set, and nothing is left behind. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync } from "node:fs";
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { placeSocket } from "../../src/app-server/transports/socket-path.ts";
import { InvalidRequestError, StoreIoError } from "../../src/protocol/errors.ts";
import { rawSocket, received, upgradeRequest } from "./raw-client.ts";
import { serve } from "./test-client.ts";

async function fixture(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "skein-sock-"));
  const served = await serve();
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const path = join(folder, "s.sock");
  const listen = (at = path) => served.server.listen(`unix://${at}`);
  return { folder, path, listen };
}

const MODULE = new URL("../../src/app-server/transports/socket-path.ts", import.meta.url).href;
const AS_OTHER = { uid: 65_534, gid: 65_534, encoding: "utf8" } as const;

function canRunAsOther(): boolean {
  const script = `await import(${JSON.stringify(MODULE)})`;
  return spawnSync(process.execPath, ["--input-type=module", "-e", script], AS_OTHER).status === 0;
}

/** A socket that nobody answers, as a server that was killed leaves it. */
async function deadSocket(path: string): Promise<void> {
  const server = createServer().listen(`${path}.live`);
  await once(server, "listening");
  await link(`${path}.live`, path);
  server.close();
  await once(server, "close");
}

async function answers(path: string): Promise<string> {
  const socket = await rawSocket({ path });
  const answer = received(socket);
  socket.write("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
  return (await answer).slice(0, 12);
}

test("what is no socket stays, and is an error", async (t) => {
  const { folder, path, listen } = await fixture(t);
  const dead = join(folder, "dead");
  await deadSocket(dead);
  const put: Record<string, () => Promise<unknown>> = {
    "a file": () => writeFile(path, "precious"),
    "an empty file": () => writeFile(path, ""),
    "a folder": () => mkdir(path),
    "a link to nothing": () => symlink(join(folder, "none"), path),
    "a link to a dead socket": () => symlink(dead, path),
    "a pipe": async () => execFileSync("mkfifo", [path]),
  };
  for (const [what, make] of Object.entries(put)) {
    await make();
    const before = await lstat(path, { bigint: true });
    await assert.rejects(listen(), InvalidRequestError, what);
    assert.equal((await lstat(path, { bigint: true })).ino, before.ino, what);
    if (what === "a file") assert.equal(await readFile(path, "utf8"), "precious");
    if (what.startsWith("a link")) await readlink(path);
    await rm(path, { recursive: true });
  }
  assert.deepEqual(await readdir(folder), ["dead"]);
});

test("a dead socket is replaced; one that somebody answers is not", async (t) => {
  const { folder, path, listen } = await fixture(t);
  await deadSocket(path);
  const listener = await listen();
  assert.equal(await answers(path), "HTTP/1.1 200");
  await assert.rejects(listen(), (error: Error) => error instanceof StoreIoError && /EADDRINUSE/.test(error.message));
  assert.equal(await answers(path), "HTTP/1.1 200");
  await listener.close();
  assert.deepEqual(await readdir(folder), []);
});

test("of several that want one dead socket's place, one gets it, and it stays reachable", async (t) => {
  for (let round = 0; round < 30; round += 1) {
    const { folder, path, listen } = await fixture(t);
    await deadSocket(path);
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => listen()));
    const won = outcomes.filter((outcome) => outcome.status === "fulfilled");
    assert.equal(won.length, 1);
    assert.equal(await answers(path), "HTTP/1.1 200");
    await won[0]?.value.close();
    assert.deepEqual(await readdir(folder), []);
  }
});

test("it is born in a folder of its own beside its place: all that its owner has to be allowed to write is that folder", async (t) => {
  const { folder, path } = await fixture(t);
  for (const at of [path, join(folder, "by a longer name than its place in the folder needs")]) {
    let born = "";
    const server = createServer();
    const place = await placeSocket(at, async (address) => {
      born = address;
      await once(server.listen(address), "listening");
    });
    assert.equal(dirname(dirname(born)), folder);
    place.remove();
    server.close();
  }
  assert.deepEqual(await readdir(folder), []);
});

test("over another user's socket, dead or alive, the words say whose it is", {
  skip: canRunAsOther() ? false : "no process of another user can be begun here, or it may not read this folder",
}, async (t) => {
  const { folder, path } = await fixture(t);
  await deadSocket(path);
  await chmod(path, 0o600);
  await chmod(folder, 0o777);
  const script = `import { placeSocket } from ${JSON.stringify(MODULE)};
    import { createServer } from "node:net";
    const server = createServer();
    const listen = (address) => new Promise((resolve) => server.listen(address, resolve));
    await placeSocket(process.argv[1], listen).catch((error) => console.log(error.code, error.message));
    server.close();`;
  const run = (at: string) => execFileSync(process.execPath, ["--input-type=module", "-e", script, at], AS_OTHER);
  assert.match(run(path), /store_io .*EACCES.* is another user's; choose another path/);
  assert.equal((await lstat(path)).isSocket(), true);
  // Anybody may connect to this one, and in such a folder only its owner may take it away.
  await chmod(path, 0o777);
  await chmod(folder, 0o1777);
  assert.match(run(path), /store_io .*no socket can be made at .*EPERM/);
  assert.equal((await lstat(path)).isSocket(), true);
  assert.equal(run(join(folder, "other.sock")), "");
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith(".")),
    [],
  );
});

test("the socket is never there with another mode", async (t) => {
  const { path, listen } = await fixture(t);
  const seen = new Set<number>();
  let isWatching = true;
  const watch = () => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found !== undefined) seen.add(found.mode & 0o777);
    if (isWatching) setImmediate(watch);
  };
  watch();
  const before = process.umask(0);
  try {
    await listen();
  } finally {
    process.umask(before);
    isWatching = false;
  }
  watch();
  assert.deepEqual([...seen], [0o600]);
});

test("the end of a listener takes away its own socket alone", async (t) => {
  const { path, listen } = await fixture(t);
  const first = await listen();
  await rename(path, `${path}.moved`);
  const second = await listen();
  await first.close();
  assert.equal(await answers(path), "HTTP/1.1 200");
  await rm(path);
  await writeFile(path, "mine");
  await second.close();
  assert.equal(await readFile(path, "utf8"), "mine");
  await rm(path);
  const third = await listen();
  await rm(path);
  await third.close();
});

test("a place that cannot be is a typed error", async (t) => {
  const { folder, listen } = await fixture(t);
  await assert.rejects(listen(join(folder, "none", "s")), StoreIoError);
  await assert.rejects(listen(join(folder, "x".repeat(120))), InvalidRequestError);
  await writeFile(join(folder, "file"), "");
  await assert.rejects(listen(join(folder, "file", "s")), StoreIoError);
});

test("who is refused over a Unix socket and resets ends nothing", async (t) => {
  const { path, listen } = await fixture(t);
  await listen();
  for (let round = 0; round < 20; round += 1) {
    const socket = await rawSocket({ path });
    socket.write(upgradeRequest("Origin: http://evil"));
    if (round % 2 === 0) await received(socket);
    socket.destroy();
  }
  assert.equal(await answers(path), "HTTP/1.1 200");
});
