/** What stays read-only in a writable folder: whether it is there, is not, is a link, or is named by a file elsewhere. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, rename, rm, rmdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { HeldFolders } from "../../src/process/sandbox/held-folders.ts";
import { holdMountPoints } from "../../src/process/sandbox/mount-points.ts";
import { pinsOf } from "../../src/process/sandbox/open-area.ts";
import { SandboxUnavailableError } from "../../src/protocol/errors.ts";
import { inSandbox, place, shIn, workspace } from "./sandboxed.ts";

const NAMES = [".git", ".codex", ".skein", ".agents"];

/** Every way that a shell has to get a file into a folder of that name. */
const attempts = (name: string): string[] => [
  `mkdir -p ${name}/hooks; echo x > ${name}/hooks/post-checkout`,
  `mv ${name} moved; mkdir -p ${name}/hooks && echo x > ${name}/hooks/post-checkout`,
  `rm -rf ${name}; mkdir -p ${name}/hooks && echo x > ${name}/hooks/post-checkout`,
  `rmdir ${name}; mkdir -p made/hooks; echo x > made/hooks/post-checkout; mv made ${name}`,
  `mkdir -p made/hooks; echo x > made/hooks/post-checkout; ln -sfn made ${name}; ln -s ../made ${name}/hooks`,
  `mkdir -p made/hooks; echo x > made/hooks/post-checkout; mv -T --exchange made ${name}; mv -T made ${name}; cp -r made/. ${name}`,
];

for (const state of ["missing", "there"] as const) {
  test(`protected names that are ${state} take no file`, inSandbox, async (t) => {
    const cwd = await place(t);
    if (state === "there") for (const name of NAMES) await mkdir(join(cwd, name, "hooks"), { recursive: true });
    const folders = new HeldFolders();
    for (const name of NAMES) {
      for (const script of attempts(name)) {
        await shIn({ cwd, folders }, script);
        assert.equal(existsSync(join(cwd, name, "hooks/post-checkout")), false, script);
      }
    }
    const { exitCode } = await shIn({ cwd, folders }, "echo fine > ordinary");
    assert.equal(exitCode, 0);
    assert.deepEqual(
      NAMES.map((name) => existsSync(join(cwd, name))),
      NAMES.map(() => state === "there"),
      "mount points are taken away again, and folders of the user's stay",
    );
  });
}

test("a protected name that is a link keeps commands from running, with the reason", inSandbox, async (t) => {
  const cwd = await place(t);
  await mkdir(join(cwd, "real/hooks"), { recursive: true });
  for (const name of NAMES) {
    for (const target of ["real", "nowhere", "/etc"]) {
      await symlink(target, join(cwd, name));
      await assert.rejects(shIn({ cwd }, "true"), (error) => {
        assert.ok(error instanceof SandboxUnavailableError);
        assert.match(error.message, new RegExp(`/\\${name} is a symbolic link, which cannot be kept read-only`));
        return true;
      });
      await rename(join(cwd, name), join(cwd, "link"));
    }
  }
});

test("the folders that a .git file names are shielded too, there or not", inSandbox, async (t) => {
  const base = await place(t);
  const cwd = join(base, "tree");
  const shared = join(base, "main/.git");
  await mkdir(join(shared, "worktrees/w"), { recursive: true });
  await mkdir(cwd);
  await writeFile(join(cwd, ".git"), `gitdir: ${shared}/worktrees/w\n`);
  await writeFile(join(shared, "worktrees/w/commondir"), "../..\n");
  const policy = workspace({ writable_roots: [base] });
  const plant = `mkdir -p ${shared}/hooks; echo x > ${shared}/hooks/y; echo x > ${shared}/worktrees/w/config; echo x > .git`;
  await shIn(
    { cwd, policy },
    `${plant}; mv ${base}/main ${base}/m; mkdir -p ${shared}/hooks; echo x > ${shared}/hooks/y`,
  );
  assert.equal(existsSync(join(shared, "hooks")), false);
  assert.equal(existsSync(join(shared, "worktrees/w/config")), false);
  assert.equal(existsSync(join(base, "m")), false);

  await writeFile(join(cwd, ".git"), "gitdir: ../later/git\n");
  await shIn({ cwd, policy }, `mkdir -p ${base}/later/git/hooks; echo x > ${base}/later/git/hooks/y`);
  assert.equal(existsSync(join(base, "later")), false);
});

test("a root below another root cannot be moved away and made anew", inSandbox, async (t) => {
  const base = await place(t);
  const cwd = join(base, "a/b/w");
  await mkdir(cwd, { recursive: true });
  const policy = workspace({ writable_roots: [base] });
  for (const folder of ["a", "a/b", "a/b/w"]) {
    await shIn(
      { cwd, policy, workdir: base },
      `mv ${folder} gone; mkdir -p a/b/w/.git/hooks; echo x > a/b/w/.git/hooks/y`,
    );
    assert.deepEqual([existsSync(cwd), existsSync(join(cwd, ".git"))], [true, false], folder);
    // A copy is all that `mv` comes to where it may.
    await rm(join(base, "gone"), { recursive: true, force: true });
  }
  const { exitCode } = await shIn(
    { cwd, policy, workdir: base },
    "echo x > a/f; mkdir a/c; mv a/f a/c/f; echo x > a/b/w/f",
  );
  assert.equal(exitCode, 0, "writing below a pinned folder goes on");
});

test("which folders are pinned", () => {
  assert.deepEqual(pinsOf(["/tmp", "/tmp/a/w"], ["/tmp/.git", "/tmp/a/w/.git"]), ["/tmp/a"]);
  assert.deepEqual(pinsOf(["/w"], ["/w/.git", "/w/x/y/gitdir"]), ["/w/x/y", "/w/x"]);
  assert.deepEqual(pinsOf(["/w", "/w/.git/a/b"], ["/w/.git"]), [], "what lies in a shield cannot be moved");
  assert.deepEqual(pinsOf(["/", "/srv/w"], []), ["/srv"]);
});

test("a root that is named itself may be written, also a protected one", inSandbox, async (t) => {
  const cwd = await place(t);
  await mkdir(join(cwd, ".git"));
  const policy = workspace({ writable_roots: [join(cwd, ".git")] });
  assert.equal((await shIn({ cwd, policy }, "echo x > .git/index")).exitCode, 0);
  assert.notEqual((await shIn({ cwd, policy }, "mv .git moved")).exitCode, 0);
});

test("mount points: the last command takes the folder away, whoever made it; what the user has filled stays", async (t) => {
  const cwd = await place(t);
  const marks = await place(t);
  const path = join(cwd, ".git");
  const hold = () => holdMountPoints([path], marks);
  const first = await hold();
  const second = await hold();
  assert.deepEqual([first.held, second.held, second.existing], [[path], [path], []]);
  first.release();
  assert.equal(existsSync(path), true);
  second.release();
  assert.deepEqual([existsSync(path), readdirSync(marks)], [false, []]);

  const filled = await hold();
  await writeFile(join(path, "HEAD"), "ref: refs/heads/main\n");
  filled.release();
  assert.equal(existsSync(join(path, "HEAD")), true);
  assert.deepEqual((await hold()).existing, [path]);
  assert.deepEqual(readdirSync(marks), []);
});

test("mount points: marks and locks of processes that have ended are swept", async (t) => {
  const cwd = await place(t);
  const marks = await place(t);
  const path = join(cwd, ".codex");
  const left = await holdMountPoints([path], marks);
  const [folder = ""] = readdirSync(marks);
  // Process ids end at 4,194,304.
  await writeFile(join(marks, folder, "4194305.1"), "");
  await symlink("4194305", join(marks, "lock"));
  const next = await holdMountPoints([path], marks);
  left.release();
  next.release();
  assert.deepEqual([existsSync(path), readdirSync(marks)], [false, []]);
});

test("where nobody can make a protected name, none is held", async (t) => {
  const cwd = await place(t);
  const marks = await place(t);
  const missing = join(cwd, "nowhere/.git");
  const points = await holdMountPoints([missing], marks);
  assert.deepEqual([points.existing, points.held, readdirSync(marks)], [[], [], []]);
});

test("a user's own rmdir of a held folder does not free the name for the next command", inSandbox, async (t) => {
  const cwd = await place(t);
  const folders = new HeldFolders();
  await shIn({ cwd, folders }, "true");
  await rmdir(join(cwd, ".git")).catch(() => undefined);
  await shIn({ cwd, folders }, "mkdir -p .git/hooks");
  assert.equal(existsSync(join(cwd, ".git")), false);
});
