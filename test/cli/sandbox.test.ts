/** `skein sandbox`: one command, confined as an agent's. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inSandbox, place } from "../process/sandboxed.ts";
import { skein } from "./skein.ts";

const sh = (script: string) => ["--", "/bin/sh", "-c", script];

test("the command's output and exit status are its own", inSandbox, async (t) => {
  const cwd = await place(t);
  const run = (...args: string[]) => skein(["sandbox", "--cwd", cwd, ...args]);
  assert.deepEqual(await run(...sh("echo out; echo err >&2; exit 7")), { code: 7, stdout: "out\n", stderr: "err\n" });
  assert.deepEqual(await run("--", "pwd"), { code: 0, stdout: `${cwd}\n`, stderr: "" });
  assert.equal((await run(...sh("kill -9 $$"))).code, 137);
});

test("what it may write follows from its options", inSandbox, async (t) => {
  const cwd = await place(t);
  const other = await place(t);
  const write = sh(`echo x > ${cwd}/a; echo x > ${other}/b; mkdir -p .git/hooks`);
  await skein(["sandbox", "--cwd", cwd, "--mode", "read-only", ...write]);
  assert.deepEqual([existsSync(join(cwd, "a")), existsSync(join(other, "b"))], [false, false]);
  await skein(["sandbox", "--cwd", cwd, ...write]);
  assert.deepEqual([existsSync(join(cwd, "a")), existsSync(join(other, "b"))], [true, false]);
  await skein(["sandbox", "--cwd", cwd, "--root", other, ...write]);
  assert.equal(readFileSync(join(other, "b"), "utf8"), "x\n");
  assert.equal(existsSync(join(cwd, ".git")), false);
});

test("what cannot be confined is not run, and says why", async (t) => {
  const cwd = await place(t);
  const run = (args: string[], env = {}) =>
    skein(["sandbox", "--cwd", cwd, ...args, ...sh(`touch ${cwd}/ran`)], { env });
  const { code, stderr } = await run([], { SKEIN_BWRAP: "/nowhere/bwrap" });
  assert.equal(code, 1);
  assert.match(stderr, /^error: there is no sandbox here: bubblewrap .*\(sandbox_unavailable\)\n$/);
  const wrong = await run(["--mode", "read-only", "--network"]);
  assert.deepEqual([wrong.code, wrong.stderr], [2, "error: --network and --root need --mode workspace-write\n"]);
  assert.equal((await skein(["sandbox", "--cwd", join(cwd, "nope"), "--", "true"])).code, 2);
  assert.equal(existsSync(join(cwd, "ran")), false);
});
