/** A client names a file that is none: it is told so at once, and nobody else waits. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileStore } from "../../src/store/file/file-store.ts";
import { type Fixture, type Json, serve } from "./test-client.ts";

const GIB = 1024 ** 3;
const THREAD = "01990000-0000-7000-8000-0000000000cc";
const META = {
  id: THREAD,
  timestamp: "2026-01-05T10:00:00.000Z",
  cwd: "/w",
  originator: "codex_cli_rs",
  cli_version: "0.80.0",
  source: "cli",
  model_provider: "scripted",
};
const line = (payload: Json): string =>
  `${JSON.stringify({ timestamp: META.timestamp, type: "session_meta", payload })}\n`;

/** Everything that may stand at a path and is no rollout, by what it is. */
async function hostilePaths(t: TestContext, folder: string): Promise<Record<string, string>> {
  const at = (name: string) => join(folder, name);
  execFileSync("mkfifo", [at("fifo")]);
  const socket = createServer().listen(at("socket"));
  t.after(() => new Promise((resolve) => socket.close(resolve)));
  await mkdir(at("folder"));
  await writeFile(at("empty"), "");
  await writeFile(at("hole"), "");
  await truncate(at("hole"), 8 * GIB);
  await writeFile(at("head-and-hole"), line(META));
  await truncate(at("head-and-hole"), 8 * GIB);
  await writeFile(at("many-lines"), "{}\n".repeat(2_000_000));
  await writeFile(at("deep"), `${"[".repeat(4_000_000)}\n`);
  await symlink(at("fifo"), at("link-to-fifo"));
  await symlink(at("loop"), at("loop"));
  const ofSystem = ["/dev/zero", "/dev/tty", "/dev/stdin", "/proc/self/mem", "/proc/self/environ", "/proc/kmsg"];
  const made = [
    "fifo",
    "socket",
    "folder",
    "empty",
    "hole",
    "head-and-hole",
    "many-lines",
    "deep",
    "link-to-fifo",
    "loop",
  ];
  return Object.fromEntries([
    ...[...ofSystem, "/proc/self/fd", "/proc/self/task/1/nothing"].map((path) => [path, path]),
    ...made.map((name) => [name, at(name)]),
    ["a NUL", at("x\0y")],
    ["too long", at("x".repeat(5_000))],
  ]);
}

async function fixture(t: TestContext): Promise<{ served: Fixture; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "skein-hostile-"));
  const home = join(folder, "home");
  await mkdir(home);
  const served = await serve({ manager: { store: fileStore({ home }) }, server: { home } });
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  return { served, folder };
}

test("a path that is no rollout gets a typed error, whatever stands there", async (t) => {
  const { served, folder } = await fixture(t);
  const { client } = served;
  const asked: Record<string, (path: string) => Json> = {
    "thread/resume": (path) => ({ threadId: THREAD, path }),
    "thread/fork": (path) => ({ threadId: THREAD, path }),
    resumeConversation: (path) => ({ path }),
    forkConversation: (path) => ({ path }),
    getConversationSummary: (rolloutPath) => ({ rolloutPath }),
    archiveConversation: (rolloutPath) => ({ conversationId: THREAD, rolloutPath }),
  };
  const before = process.memoryUsage().rss;
  for (const [what, path] of Object.entries(await hostilePaths(t, folder))) {
    for (const [method, params] of Object.entries(asked)) {
      // The summary wants the header alone, and that one is whole.
      if (what === "head-and-hole" && method === "getConversationSummary") continue;
      const { code, data, message } = await client.failure(method, params(path));
      assert.notEqual(data.code, "internal_defect", `${method} ${what}: ${message}`);
      assert.ok(code === -32600 || code === -32603, `${method} ${what}: ${code} ${message}`);
    }
  }
  assert.ok(process.memoryUsage().rss - before < GIB);
});

test("an image or a mention that is no file becomes words, and the turn goes on", async (t) => {
  const { served, folder } = await fixture(t);
  const { client } = served;
  const { thread } = await client.request("thread/start", { cwd: folder });
  const { fifo = "", hole = "", socket = "" } = await hostilePaths(t, folder);
  const input = [fifo, hole, socket, "/dev/zero", `${folder}/x\0y`].flatMap((path, index) => {
    const image = join(folder, `${index}.png`);
    return [
      { type: "localImage", path: path.includes("\0") ? `${path}.png` : image, target: path },
      { type: "mention", name: "m", path },
      { type: "skill", name: "s", path },
    ];
  });
  for (const item of input) {
    if ("target" in item && !item.path.includes("\0")) await symlink(String(item.target), item.path);
  }
  await client.request("turn/start", {
    threadId: thread.id,
    input: input.map(({ type, path }) => ({ type, name: "n", path })),
  });
  const { params } = await client.next("turn/completed");
  assert.equal(params.turn.status, "completed");
  const stored = await readFile(thread.path, "utf8");
  assert.equal(new Set(stored.match(/could not read the local image at `[^`]+`/g)).size, 5);
});

test("a search below what is no folder, or with what is no path, finds nothing", async (t) => {
  const { served, folder } = await fixture(t);
  const { client } = served;
  const paths = Object.values(await hostilePaths(t, folder));
  const { files } = await client.request("fuzzyFileSearch", { query: "nothing-like-this", roots: paths });
  assert.deepEqual(files, []);
  const roots = [folder];
  assert.deepEqual((await client.request("fuzzyFileSearch", { query: "x".repeat(1_000_000), roots })).files, []);
  const many = Array.from({ length: 100 }, (_, index) => join(folder, `none-${index}`));
  assert.deepEqual((await client.request("fuzzyFileSearch", { query: "x", roots: many })).files, []);
});

test("a working directory that is none does not break a request", async (t) => {
  const { served, folder } = await fixture(t);
  const { client } = served;
  for (const cwd of Object.values(await hostilePaths(t, folder))) {
    for (const [method, params] of [
      ["gitDiffToRemote", { cwd }],
      ["skills/list", { cwds: [cwd] }],
      ["config/read", { cwd }],
      ["thread/list", { cwd }],
      ["thread/start", { cwd }],
    ] as const) {
      const failure = await client.request(method, params).then(
        () => undefined,
        (error: Json) => error,
      );
      assert.notEqual(failure?.data.code, "internal_defect", `${method} ${JSON.stringify(cwd)}`);
    }
  }
});
