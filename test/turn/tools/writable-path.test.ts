/** Which files a patch may write without a question: by where links really lead. */
import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isWritable } from "../../../src/turn/tools/patch/writable-path.ts";

test("a file to come lies where its folder does; a link that leads nowhere, or to itself, lies in no area", async (t) => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "skein-writable-")));
  t.after(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, "there"), "");
  symlinkSync(join(root, "nowhere"), join(root, "dangling"));
  symlinkSync("loop", join(root, "loop"));
  symlinkSync("there", join(root, "link"));
  const area = { roots: [root], shields: [] };
  const answers = async (names: readonly string[]) =>
    Promise.all(names.map((name) => isWritable(join(root, name), area)));
  assert.deepEqual(await answers(["there", "link", "new", "new/deep"]), [true, true, true, true]);
  assert.deepEqual(await answers(["dangling", "loop", "loop/deep", "../beside"]), [false, false, false, false]);
});
