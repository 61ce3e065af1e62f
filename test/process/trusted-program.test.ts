/** Where the programs are found that run with more rights than a command. */
import assert from "node:assert/strict";
import { chmod, chown, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { trustedProgram } from "../../src/process/trusted-program.ts";
import { place } from "./sandboxed.ts";

const reasonOf = async (explicit: string, roots: readonly string[] = [], shields: readonly string[] = []) => {
  const found = await trustedProgram("tool", { explicit, area: { roots, shields } });
  return "reason" in found ? found.reason : undefined;
};

async function planted(folder: string, mode = 0o755): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "tool");
  await writeFile(file, "#!/bin/sh\n");
  await chmod(file, mode);
  return file;
}

test("PATH is never asked", async (t) => {
  const bin = join(await place(t), "node_modules/.bin");
  await planted(bin);
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before}`;
  try {
    assert.match(JSON.stringify(await trustedProgram("tool")), /`tool` is not installed/);
    assert.match(JSON.stringify(await trustedProgram("sh")), /"path":"\/(?:usr\/)?bin\//);
  } finally {
    process.env.PATH = before;
  }
});

test("an explicit path counts where nobody else can change it", async (t) => {
  const base = await place(t);
  const file = await planted(join(base, "bin"));
  assert.equal(await reasonOf(file), undefined);
  assert.match((await reasonOf("bin/tool")) ?? "", /is not an absolute path/);
  assert.match((await reasonOf(join(base, "nope"))) ?? "", /is not installed/);
  assert.match((await reasonOf(base)) ?? "", /it is no executable file/);
  assert.match((await reasonOf(await planted(join(base, "plain"), 0o644))) ?? "", /it is no executable file/);
  assert.match((await reasonOf(await planted(join(base, "shared"), 0o777))) ?? "", /others may write .*shared\/tool/);
  await chmod(await planted(join(base, "open/deep")).then(() => join(base, "open")), 0o777);
  assert.match((await reasonOf(join(base, "open/deep/tool"))) ?? "", /others may write .*open/);
  await chmod(join(base, "open"), 0o1777);
  assert.equal(
    await reasonOf(join(base, "open/deep/tool")),
    undefined,
    "in a sticky folder nobody replaces what is ours",
  );
});

test("what commands may write is no place for it, by whatever way it is named", async (t) => {
  const base = await place(t);
  const root = join(base, "root");
  const file = await planted(join(root, "bin"));
  await symlink(file, join(base, "link"));
  assert.match((await reasonOf(file, [root])) ?? "", /commands may write in .*root/);
  assert.match((await reasonOf(join(base, "link"), [root])) ?? "", /commands may write in .*root/);
  assert.match((await reasonOf(file, ["/"])) ?? "", /commands may write in \//);
  assert.equal(await reasonOf(file, [root], [join(root, "bin")]), undefined, "unless it is shielded there");
  assert.match((await reasonOf(file, [root, join(root, "bin")], [root])) ?? "", /commands may write/);
});

const asRoot = { skip: process.geteuid?.() === 0 ? false : "only root can give files away" };

test("what belongs to another user is not trusted", asRoot, async (t) => {
  const base = await place(t);
  const file = join(base, "tool");
  await copyFile(await planted(join(base, "bin")), file);
  await chown(file, 65534, 65534);
  assert.match((await reasonOf(file)) ?? "", /belongs to another user/);
});
