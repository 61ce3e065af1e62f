/** The commands where threads lie in a database: what is refused, and what is never shown. A real one: test/postgres. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { jsonLines, skein, start } from "./skein.ts";
import { storedThread, tempFolder } from "./temp-home.ts";

const PASSWORD = "opensesame-77";
const UNREACHABLE = `postgres://skein:${PASSWORD}@127.0.0.1:1/postgres`;
const ID = "01234567-89ab-7def-8123-456789abcdef";

const silent = ({ stdout, stderr }: { stdout: string; stderr: string }) => {
  assert.ok(!`${stdout}${stderr}`.includes(PASSWORD), stderr);
};

for (const args of [
  ["list"],
  ["show", ID],
  ["fork", ID],
  ["exec", "hello"],
  ["exec", "resume", ID, "hello"],
  ["resume", ID, "hello"],
  ["archive", ID],
  ["unarchive", ID],
  ["delete", "--yes", ID],
  ["export", ID],
  ["verify"],
  ["copy", "--to", "elsewhere"],
  ["app-server"],
]) {
  test(`${args.join(" ")}: a database that does not answer is told in one line, with what to do`, async (t) => {
    const home = await tempFolder(t);
    const ended = await skein([...args, "--home", home, "--store", UNREACHABLE], { cwd: home });
    assert.equal(ended.code, 1, ended.stderr);
    const told = ended.stderr.split("\n").filter((line) => line.startsWith("error: "));
    assert.equal(told.length, 1, ended.stderr);
    assert.match(told[0] ?? "", /PostgreSQL cannot be reached \(ECONNREFUSED\): see that it runs.*\(store_io\)$/);
    silent(ended);
  });
}

test("an address of another kind is refused with a hint, and never repeated", async (t) => {
  const home = await tempFolder(t);
  const secret = `skein:${PASSWORD}@host/db`;
  for (const [store, message] of [
    [`postgress://${secret}`, /--store: `postgress:\/\/` is no store that Skein knows; did you mean `postgres`\?/],
    [`mysql://${secret}`, /`mysql:\/\/` is no store that Skein knows; postgres:\/\/USER@HOST:PORT\/DATABASE is/],
    [secret, /--store takes the address of a database.*a folder is named by --home/],
    ["postgres://[::bad/x", /--store cannot be read as postgres:\/\//],
  ] as const) {
    const ended = await skein(["list", "--home", home, "--store", store]);
    assert.equal(ended.code, 2, ended.stderr);
    assert.match(ended.stderr, message);
    silent(ended);
  }
  const ended = await skein(["list", "--home", home], { env: { SKEIN_STORE: `mongodb://${secret}` } });
  assert.match(ended.stderr, /SKEIN_STORE: `mongodb:\/\/`/);
  silent(ended);
  silent(await skein(["list", `--stor=${UNREACHABLE}`]));
  silent(await skein([UNREACHABLE]));
  silent(await skein(["list", UNREACHABLE]));
  silent(await skein(["list", "--help"], { env: { SKEIN_STORE: UNREACHABLE } }));
});

test("--store wins over SKEIN_STORE; an empty one means the home's files", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["hello"]);
  const env = { SKEIN_STORE: UNREACHABLE };
  assert.equal((await skein(["list", "--home", home], { env })).code, 1);
  const files = await skein(["list", "--home", home, "--store", ""], { env });
  assert.deepEqual([files.code, files.stdout.split("\t")[0]], [0, threadId]);
  const other = await skein(["list", "--home", home, "--store", "mysql://x"], { env: { SKEIN_STORE: "" } });
  assert.equal(other.code, 2);
});

test("what works on files alone says so", async (t) => {
  const home = await tempFolder(t);
  const ended = await skein(["repair", "--home", home], { env: { SKEIN_STORE: UNREACHABLE } });
  assert.equal(ended.code, 1);
  assert.match(
    ended.stderr,
    /^error: `skein repair` mends rollout files, and threads lie in a database.*\(invalid_request\)\n$/,
  );
});

test("an address with a password does not stay in the list of processes", {
  skip: process.platform !== "linux",
}, async (t) => {
  const home = await tempFolder(t);
  const sockets: { destroy: () => void }[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const child = start(["app-server", "--home", home, "--store", `postgres://skein:${PASSWORD}@127.0.0.1:${port}/x`]);
  t.after(() => {
    child.kill("SIGKILL");
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise((resolve) => server.once("connection", resolve));
  const line = readFileSync(`/proc/${child.pid}/cmdline`, "utf8");
  assert.ok(!line.includes(PASSWORD), line);
});

test("copy: from home to home, again, and what is refused", async (t) => {
  const [a, b] = [await tempFolder(t), join(await tempFolder(t), "new")];
  const { threadId } = await storedThread(a, ["one", "two"]);
  const { threadId: other } = await storedThread(a, ["three"]);
  const first = await skein(["copy", "--from", a, "--to", b, threadId.slice(0, 20), "--json"]);
  assert.deepEqual([first.code, first.stderr], [0, ""]);
  const [thread, sum] = jsonLines(first.stdout);
  assert.deepEqual([thread?.type, thread?.threadId, thread?.status], ["thread", threadId, "copied"]);
  assert.equal(sum?.copied, 1);
  const all = await skein(["copy", "--home", a, "--to", b]);
  assert.match(all.stdout, new RegExp(`^copied ${other}\n1 copied \\(\\d+ lines\\), 1 there already\n$`));
  assert.equal((await skein(["show", threadId, "--home", b])).stdout.includes("> two"), true);
  await skein(["exec", "resume", threadId, "more", "--home", b, "--store", ""], { cwd: a });
  const differs = await skein(["copy", "--from", a, "--to", b]);
  assert.equal(differs.code, 1);
  assert.match(differs.stderr, new RegExp(`^differs: ${threadId}: its lines differ from line \\d+ on\n$`));
  for (const [args, message] of [
    [["--from", a, "--to", a], /the same place/],
    [["--from", join(a, "nowhere"), "--to", b], /there is no folder/],
    [["--from", a], /required option '--to/],
    [["--from", a, "--to", "mysql://x"], /--to: `mysql:\/\/` is no store/],
    [["--from", a, "--to", ""], /--to names nothing/],
  ] as const) {
    const refused = await skein(["copy", ...args]);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, message);
  }
  const missing = await skein(["copy", "--from", a, "--to", b, "no-such-thread"]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^error: no-such-thread: no thread has the id or the name/);
});
