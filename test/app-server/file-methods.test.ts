/** fs/*: what clients do with files, as stock 0.171 answers them, and where it would hang or lose something. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmod,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, RpcFailure, serve, type TestClient } from "./test-client.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const NONE = "-32603 No such file or directory (os error 2)";
const RELATIVE = "-32600 Invalid request: AbsolutePathBuf deserialized without a base path";

async function bench(t: TestContext) {
  const at = await realpath(await folder(t));
  const served = await serve();
  t.after(() => served[Symbol.asyncDispose]());
  await writeFile(join(at, "a.txt"), "hello");
  await mkdir(join(at, "sub"));
  await writeFile(join(at, "sub/b"), "b");
  await symlink(join(at, "a.txt"), join(at, "link"));
  await symlink(join(at, "gone"), join(at, "dangling"));
  const given = (params: Json) =>
    Object.fromEntries(
      Object.entries(params).map(([key, value]) => [key, /[pP]ath$/.test(key) ? join(at, String(value)) : value]),
    );
  const ask = (method: string, params: Json) => served.client.request(`fs/${method}`, given(params));
  const said = async (method: string, params: Json): Promise<string> => {
    try {
      return JSON.stringify(await ask(method, params));
    } catch (error) {
      return error instanceof RpcFailure ? `${error.code} ${error.message.replaceAll(at, "")}` : String(error);
    }
  };
  return { ...served, at, ask, said };
}

test("files are read, written, made, listed, copied and removed, and refused in stock's words", async (t) => {
  const { said, at } = await bench(t);
  const rows: [method: string, params: Json, answer: string][] = [
    ["readFile", { path: "a.txt" }, `{"dataBase64":"${base64("hello")}"}`],
    ["readFile", { path: "sub/../link" }, `{"dataBase64":"${base64("hello")}"}`],
    ["readFile", { path: "sub" }, "-32600 path `/sub` is not a file"],
    ["readFile", { path: "gone" }, NONE],
    ["readFile", { path: "a\0b" }, "-32600 file name contained an unexpected NUL byte"],
    ["writeFile", { path: "w", dataBase64: base64("hi") }, "{}"],
    ["writeFile", { path: "w", dataBase64: "%%%" }, wrongBase64("Invalid symbol 37, offset 0.")],
    ["writeFile", { path: "w", dataBase64: "aGk" }, wrongBase64("Invalid padding")],
    ["writeFile", { path: "no/w", dataBase64: "" }, NONE],
    ["writeFile", { path: "sub", dataBase64: "" }, "-32603 Is a directory (os error 21)"],
    ["createDirectory", { path: "x/y" }, "{}"],
    ["createDirectory", { path: "x/y" }, "{}"],
    ["createDirectory", { path: "x", recursive: false }, "-32603 File exists (os error 17)"],
    ["createDirectory", { path: "q/y", recursive: false }, NONE],
    ["createDirectory", { path: "a.txt" }, "-32603 File exists (os error 17)"],
    ["getMetadata", { path: "dangling" }, NONE],
    ["getMetadata", { path: "a.txt/x" }, "-32603 Not a directory (os error 20)"],
    ["readDirectory", { path: "a.txt" }, "-32603 Not a directory (os error 20)"],
    ["copy", { sourcePath: "a.txt", destinationPath: "c.txt" }, "{}"],
    ["copy", { sourcePath: "a.txt", destinationPath: "sub" }, "-32603 Is a directory (os error 21)"],
    [
      "copy",
      { sourcePath: "sub", destinationPath: "s" },
      "-32600 fs/copy requires recursive: true when sourcePath is a directory",
    ],
    ["copy", { sourcePath: "sub", destinationPath: "s", recursive: true }, "{}"],
    ["copy", { sourcePath: "sub", destinationPath: "s", recursive: true }, "{}"],
    ["copy", { sourcePath: "sub", destinationPath: "sub/in", recursive: true }, INTO_ITSELF],
    ["copy", { sourcePath: "sub", destinationPath: "sub", recursive: true }, INTO_ITSELF],
    ["copy", { sourcePath: "gone", destinationPath: "z" }, NONE],
    ["copy", { sourcePath: "dangling", destinationPath: "d" }, "{}"],
    ["remove", { path: "gone" }, "{}"],
    ["remove", { path: "gone", force: false }, NONE],
    ["remove", { path: "gone", recursive: false }, "{}"],
    ["remove", { path: "s", recursive: false }, "-32603 Directory not empty (os error 39)"],
    ["remove", { path: "s" }, "{}"],
    ["remove", { path: "link" }, "{}"],
    ["remove", { path: "x/y", recursive: false }, "{}"],
  ];
  for (const [method, params, answer] of rows) assert.equal(await said(method, params), answer, JSON.stringify(params));
  assert.equal(await readFile(join(at, "w"), "utf8"), "hi");
  assert.equal(await readFile(join(at, "a.txt"), "utf8"), "hello", "what the removed link led to");
  assert.ok((await lstat(join(at, "d"))).isSymbolicLink());
});

const wrongBase64 = (why: string): string => `-32600 fs/writeFile requires valid base64 dataBase64: ${why}`;
const INTO_ITSELF = "-32600 fs/copy cannot copy a directory to itself or one of its descendants";

test("a path that is not absolute is refused, wherever it stands", async (t) => {
  const { client } = await bench(t);
  for (const path of ["rel", "", "~/x", "file:///etc/hosts"]) {
    for (const method of ["readFile", "readDirectory", "getMetadata", "createDirectory", "remove"]) {
      const { code, message } = await client.failure(`fs/${method}`, { path });
      assert.equal(`${code} ${message}`, RELATIVE, `${method} ${path}`);
    }
    assert.match(
      String(await client.failure("fs/copy", { sourcePath: "/x", destinationPath: path })),
      /AbsolutePathBuf/,
    );
    assert.match(String(await client.failure("fs/watch", { watchId: "w", path })), /AbsolutePathBuf/);
  }
});

test("metadata and entries are of what a link leads to", async (t) => {
  const { ask, at } = await bench(t);
  const { mtimeMs } = await stat(join(at, "a.txt"));
  const { createdAtMs, ...link } = await ask("getMetadata", { path: "link" });
  assert.deepEqual(link, { isDirectory: false, isFile: true, isSymlink: true, modifiedAtMs: Math.trunc(mtimeMs) });
  assert.ok(Number.isInteger(createdAtMs));
  assert.deepEqual((await ask("getMetadata", { path: "sub" })).isDirectory, true);
  const { entries } = await ask("readDirectory", { path: "." });
  assert.deepEqual(
    entries.toSorted((a: Json, b: Json) => (a.fileName < b.fileName ? -1 : 1)),
    [
      { fileName: "a.txt", isDirectory: false, isFile: true },
      { fileName: "link", isDirectory: false, isFile: true },
      { fileName: "sub", isDirectory: true, isFile: false },
    ],
  );
});

test("nothing waits for a pipe or a device, a huge file is refused, and a file copied onto itself stays", async (t) => {
  const { said, client, at } = await bench(t);
  spawnSync("mkfifo", [join(at, "pipe")]);
  await writeFile(join(at, "huge"), "");
  await truncate(join(at, "huge"), 600 * 1024 * 1024);
  assert.equal(await said("readFile", { path: "pipe" }), "-32600 path `/pipe` is not a file");
  assert.equal(await said("writeFile", { path: "pipe", dataBase64: "" }), "-32600 path `/pipe` is not a file");
  const special = "-32600 fs/copy only supports regular files, directories, and symlinks";
  assert.equal(await said("copy", { sourcePath: "pipe", destinationPath: "p" }), special);
  await mkdir(join(at, "tree"));
  spawnSync("mkfifo", [join(at, "tree/pipe")]);
  assert.equal(await said("copy", { sourcePath: "tree", destinationPath: "t", recursive: true }), special);
  assert.equal(await said("readFile", { path: "huge" }), "-32600 file is too large to read: limit is 50331648 bytes");
  assert.match(String(await client.failure("fs/readFile", { path: "/dev/zero" })), /path `\/dev\/zero` is not a file/);
  for (const sourcePath of ["a.txt", "sub/../a.txt"]) {
    assert.equal(await said("copy", { sourcePath, destinationPath: "a.txt" }), "{}");
  }
  assert.equal(await said("copy", { sourcePath: "a.txt", destinationPath: "link" }), "{}");
  assert.equal(await readFile(join(at, "a.txt"), "utf8"), "hello");
  await chmod(join(at, "a.txt"), 0o750);
  assert.equal(await said("copy", { sourcePath: "a.txt", destinationPath: "mode" }), "{}");
  assert.equal((await stat(join(at, "mode"))).mode & 0o777, 0o750);
});

const changed = (client: TestClient, watchId: string, at: string): string[] =>
  client.log.flatMap(({ method, params }) =>
    method === "fs/changed" && params.watchId === watchId
      ? params.changedPaths.map((p: string) => p.slice(at.length))
      : [],
  );

test("a watch tells of a folder's entries, or of one file that comes, is replaced or goes, until it ends", async (t) => {
  const { ask, said, client, at } = await bench(t);
  assert.deepEqual(await ask("watch", { watchId: "folder", path: "." }), { path: at });
  assert.deepEqual(await ask("watch", { watchId: "file", path: "later" }), { path: join(at, "later") });
  assert.deepEqual(await ask("watch", { watchId: "other", path: "a.txt" }), { path: join(at, "a.txt") });
  assert.equal(await said("watch", { watchId: "file", path: "." }), "-32600 watchId already exists: file");
  await writeFile(join(at, "sub/deep"), "not told: it lies deeper");
  await writeFile(join(at, "draft"), "x");
  await rename(join(at, "draft"), join(at, "later"));
  await client.until(() => changed(client, "file", at).includes("/later"));
  await client.until(() => ["/draft", "/later"].every((name) => changed(client, "folder", at).includes(name)));
  assert.deepEqual(new Set(changed(client, "file", at)), new Set(["/later"]));
  assert.deepEqual(changed(client, "other", at), []);
  assert.ok(!changed(client, "folder", at).includes("/deep"));
  assert.deepEqual(await ask("unwatch", { watchId: "file" }), {});
  assert.deepEqual(await ask("unwatch", { watchId: "file" }), {});
  const before = changed(client, "file", at).length;
  await rm(join(at, "later"));
  await writeFile(join(at, "last"), "");
  await client.until(() => changed(client, "folder", at).includes("/last"));
  assert.equal(changed(client, "file", at).length, before);
});

test("a watch's id is its client's own, a watch ends with its client, and one client has a bounded number", async (t) => {
  const { ask, client, connect, at } = await bench(t);
  const other = connect();
  await other.initialize();
  await ask("watch", { watchId: "w", path: "." });
  await other.request("fs/watch", { watchId: "w", path: at });
  await other.request("fs/unwatch", { watchId: "w" });
  await writeFile(join(at, "new"), "");
  await client.until(() => changed(client, "w", at).includes("/new"));
  assert.deepEqual(changed(other, "w", at), []);
  for (let n = 1; n < 256; n++) await client.request("fs/watch", { watchId: `${n}`, path: at });
  const { message } = await client.failure("fs/watch", { watchId: "one more", path: at });
  assert.equal(message, "fs/watch: a client has at most 256 watches");
  client.close();
  const third = connect();
  await third.initialize();
  for (let n = 0; n < 256; n++) await third.request("fs/watch", { watchId: `${n}`, path: at });
});
