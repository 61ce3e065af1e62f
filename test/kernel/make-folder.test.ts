/** Folders are made with those above them, and asking for them ends where the file system refuses one without saying why. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ThreadManager } from "../../src/index.ts";
import { makeFolder, makeFolderSync } from "../../src/kernel/make-folder.ts";

const SOURCES = join(import.meta.dirname, "../../src");

for (const [name, make] of [
  ["at once", async (path: string, mode?: number) => makeFolderSync(path, mode)],
  ["aside", makeFolder],
] as const) {
  test(`${name}: made with those above, once for all, also through links and with a mode`, async () => {
    const root = mkdtempSync(join(tmpdir(), "skein-folders-"));
    try {
      const deep = join(root, "a/b/c");
      await make(deep, 0o700);
      await make(deep, 0o700);
      assert.deepEqual(
        ["a", "a/b", "a/b/c"].map((path) => statSync(join(root, path)).mode & 0o777),
        [0o700, 0o700, 0o700],
      );
      symlinkSync(join(root, "a"), join(root, "link"));
      await make(join(root, "link/b/d"));
      assert.ok(statSync(join(root, "a/b/d")).isDirectory());
      await Promise.all([1, 2, 3].map((n) => make(join(root, `side/by/side/${n}`))));
      assert.equal(readdirSync(join(root, "side/by/side")).length, 3);
      await make("/");
      writeFileSync(join(root, "file"), "");
      symlinkSync("/nowhere/at/all", join(root, "dangling"));
      for (const [path, code] of [
        ["file", "EEXIST"],
        ["file/below", "ENOTDIR"],
        ["dangling", "EEXIST"],
        ["dangling/below", "EEXIST"],
        ["n".repeat(300), "ENAMETOOLONG"],
      ] as const)
        await assert.rejects(make(join(root, path)), { code }, path);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  test(`${name}: a folder that refuses to hold another one is no reason to ask for ever`, async () => {
    await assert.rejects(make("/proc/skein/a/b"), { code: "ENOENT" });
  });
}

test("a home that can't be made fails a start by a typed error", async () => {
  await using manager = await ThreadManager.create({ home: "/proc/skein" });
  await assert.rejects(manager.startThread(), { code: "store_io" });
});

test("no source asks Node for folders within folders: it may never answer", () => {
  const asking = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && path !== "studio/build-page.ts")
    .filter((path) => /mkdir(Sync)?\([^;]*recursive: true/.test(readFileSync(join(SOURCES, path), "utf8")));
  // The sandbox's helper is a program of its own, with a deadline.
  assert.deepEqual(asking, ["turn/tools/patch/write-confined.ts"]);
});
