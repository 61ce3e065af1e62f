/** fuzzyFileSearch over real folders. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { FuzzyQuery } from "../../src/app-server/file-search/fuzzy-query.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve } from "./test-client.ts";

const score = (query: string, text: string) => new FuzzyQuery(query).match(text);

/** Of stock Codex, for the same files. */
const SCORES: [string, string, number, number[]][] = [
  ["main", "sub/main.ts", 109, [4, 5, 6, 7]],
  ["mn", "main/other.txt", 46, [0, 3]],
  ["min", "src-main/q.c", 65, [4, 6, 7]],
  ["main.ts", "ma_in.ts", 176, [0, 1, 3, 4, 5, 6, 7]],
  ["sub/main", "sub/main.ts", 209, [0, 1, 2, 3, 4, 5, 6, 7]],
  ["/main", "x/ma_in.ts", 111, [1, 2, 3, 5, 6]],
  ["s/m", "docs/ReadMe.txt", 51, [3, 4, 9]],
  ["ts main", "sub/main.ts", 165, [4, 5, 6, 7, 9, 10]],
  ["rtr", "router/one/x.txt", 59, [0, 3, 5]],
  ["hidden", ".hidden", 152, [1, 2, 3, 4, 5, 6]],
  ["uni", "ünï.txt", 84, [0, 1, 2]],
  ["ün", "ünï.txt", 59, [0, 1]],
  ["MAIN", "x/domain.ts", 76, [4, 5, 6, 7]],
];

test("a path's score and the letters that match are those of stock Codex", () => {
  for (const [query, text, expected, indices] of SCORES) {
    assert.deepEqual(score(query, text), { score: expected, indices }, `${query} in ${text}`);
  }
  assert.equal(score("ün", "uni.txt"), undefined);
  assert.equal(score("main zz", "sub/main.ts"), undefined);
  assert.equal(score("niam", "sub/main.ts"), undefined);
});

async function files(t: TestContext, paths: readonly string[]): Promise<string> {
  const root = await folder(t);
  for (const path of paths) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), "");
  }
  return root;
}

const paths = ({ files }: Json): string[] => files.map(({ path, match_type }: Json) => `${match_type} ${path}`);

test("names that are the query come first, then files whose name matches, then the rest; the best alone are told", async (t) => {
  await using served = await serve();
  const { client } = served;
  const root = await files(t, ["router/one/x.txt", "src/router.ts", "sub/router", "other.txt"]);
  const found = await client.request("fuzzyFileSearch", { query: "router", roots: [root] });
  assert.deepEqual(found.files[0], {
    root,
    path: "sub/router",
    match_type: "file",
    file_name: "router",
    score: 3 * 65536 + 159,
    indices: [4, 5, 6, 7, 8, 9],
  });
  assert.deepEqual(paths(found), [
    "file sub/router",
    "directory router",
    "file src/router.ts",
    "directory router/one",
    "file router/one/x.txt",
  ]);
  const many = await files(
    t,
    Array.from({ length: 60 }, (_, index) => `many-${index}`),
  );
  assert.equal((await client.request("fuzzyFileSearch", { query: "many", roots: [many] })).files.length, 50);
});

test("what git ignores is not found in a working tree, and the repository itself never", async (t) => {
  await using served = await serve();
  const { client } = served;
  const root = await files(t, ["node_modules/main.ts", "sub/main.ts", "sub/ig/main.ts"]);
  await writeFile(join(root, ".gitignore"), "node_modules\n");
  await writeFile(join(root, "sub/.gitignore"), "ig\n");
  const search = async (query: string, at = root) =>
    paths(await client.request("fuzzyFileSearch", { query, roots: [at] }));
  assert.deepEqual(await search("main"), ["file node_modules/main.ts", "file sub/ig/main.ts", "file sub/main.ts"]);
  execFileSync("git", ["init", "-q", root]);
  assert.deepEqual(await search("main"), ["file sub/main.ts"]);
  assert.deepEqual(await search("main", join(root, "sub")), ["file main.ts"]);
  assert.deepEqual(await search("config"), []);
});

test("nothing is found for an empty query, or in what is no folder; links are not followed", async (t) => {
  await using served = await serve();
  const { client } = served;
  const root = await files(t, ["main.ts"]);
  await symlink(root, join(root, "loop"));
  const search = async (query: string, roots: string[]) =>
    paths(await client.request("fuzzyFileSearch", { query, roots }));
  assert.deepEqual(await search("", [root]), []);
  assert.deepEqual(await search("main", []), []);
  assert.deepEqual(await search("main", ["/nope", join(root, "main.ts")]), []);
  assert.deepEqual(await search("main", [root]), ["file main.ts"]);
});

test("a search with the token of one that runs ends that one", async (t) => {
  await using served = await serve();
  const { client } = served;
  const root = await files(t, ["main.ts"]);
  const search = (query: string, token: string) =>
    client.request("fuzzyFileSearch", { query, roots: [root], cancellationToken: token });
  const [first, other, second] = await Promise.all([search("main", "a"), search("main", "b"), search("mai", "a")]);
  assert.deepEqual([paths(first), paths(other), paths(second)], [[], ["file main.ts"], ["file main.ts"]]);
});

test("folders that change while they are read, and a term of 30 MB, are answered as any other", {
  timeout: 60_000,
}, async (t) => {
  await using served = await serve();
  const { client } = served;
  const root = await files(t, ["main.ts"]);
  const query = "a".repeat(30_000_000);
  assert.deepEqual(await client.request("fuzzyFileSearch", { query, roots: [root] }), { files: [] });
  const search = client.request("fuzzyFileSearch", { query: "cmdline", roots: ["/proc"], cancellationToken: "proc" });
  // The second search ends the first one: all of /proc takes long.
  const next = client.request("fuzzyFileSearch", { query: "main", roots: [root], cancellationToken: "proc" });
  assert.ok(Array.isArray((await search).files));
  assert.deepEqual(paths(await next), ["file main.ts"]);
  if (existsSync("/proc/self/task")) {
    const own = await client.request("fuzzyFileSearch", { query: "cmdline", roots: ["/proc/self"] });
    assert.ok(paths(own).includes("file cmdline"), paths(own).join("\n"));
  }
});
