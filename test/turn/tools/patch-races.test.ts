/** Patches while a sandboxed command swaps folders for links: nothing is written outside, whatever comes between check and write. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { call } from "../../../src/model/script.ts";
import { targetOf, writeByHandles } from "../../../src/turn/tools/patch/write-by-handles.ts";
import { inSandbox, place, workspace } from "../../process/sandboxed.ts";
import { answering, bench } from "./tool-turn.ts";

const PATCHES = Number(process.env.SKEIN_RACE_PATCHES ?? 40);

const exec = (cmd: string, yield_time_ms = 250) => call("exec_command", { cmd, login: false, yield_time_ms });
const patch = (...lines: string[]) =>
  call("apply_patch", { input: `*** Begin Patch\n${lines.join("\n")}\n*** End Patch` });

/** Exchanges a folder and a link as fast as it can. */
const swapper = (outside: string, seconds: number): string => `python3 -c "
import ctypes, os, time
libc = ctypes.CDLL(None)
os.symlink('${outside}', 'lnk')
end = time.time() + ${seconds}
while time.time() < end: libc.renameat2(-100, b'd', -100, b'lnk', 2)
"`;

test("a folder that is exchanged with a link meanwhile: nothing lands outside", inSandbox, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  await mkdir(join(cwd, "d"));
  await writeFile(join(outside, "kept"), "kept\n");
  // One file a patch: each file more that must be inside when it is judged halves the patches that are tried at all.
  const add = (index: number) => patch(`*** Add File: d/f${index}`, "+x");
  const plays = [
    [exec(swapper(outside, Math.max(30, PATCHES / 10)))],
    // The first patch comes when the exchanges have begun.
    [exec("until [ -L lnk ] || [ -L d ]; do sleep 0.05; done", 20_000)],
    ...Array.from({ length: PATCHES }, (_, index) => [add(index)]),
    [patch("*** Delete File: d/kept"), patch("*** Update File: d/kept", "*** Move to: d/moved", "@@", "-kept", "+x")],
    "done",
  ];
  const config = { cwd, sandboxPolicy: workspace(), builtInTools: ["unified_exec", "apply_patch"] as const };
  const { thread, outputs } = await bench(t, plays, { ...config, approvalPolicy: "never" });
  await thread.run("go");
  // The exchanges end before the folders are removed.
  await thread.terminals.clean();
  assert.deepEqual(readdirSync(outside), ["kept"]);
  assert.equal(readFileSync(join(outside, "kept"), "utf8"), "kept\n");
  assert.equal(outputs().length, PATCHES + 4);
});

test("what a user has approved goes where it led when it was asked, or nowhere", async (t) => {
  const base = await place(t);
  const outside = await place(t);
  const cwd = join(base, "w");
  await mkdir(join(base, "far"), { recursive: true });
  await mkdir(cwd);
  const plays = [[patch("*** Add File: ../far/new", "+x")], [patch("*** Add File: ../far/deep/new", "+x")], "done"];
  const config = { cwd, sandboxPolicy: workspace(), approvalPolicy: "on-request" as const };
  const { thread, outputs } = await bench(t, plays, config);
  let asked = 0;
  thread.events$.subscribe(({ msg }) => {
    if (msg.type !== "apply_patch_approval_request") return;
    asked += 1;
    const swap =
      asked === 1
        ? Promise.resolve()
        : rename(join(base, "far"), join(base, "gone")).then(() => symlink(outside, join(base, "far")));
    void swap.then(() => thread.submit({ type: "patch_approval", id: msg.call_id, decision: "approved" }));
  });
  await thread.run("go");
  assert.equal(readFileSync(join(base, "gone/new"), "utf8"), "x\n");
  assert.match(outputs()[1] ?? "", /^Exit code: 1\n[\s\S]*Failed to write file .*(?:ELOOP|ENOTDIR)/);
  assert.deepEqual(readdirSync(outside), []);
});

test("a file outside that a user has approved is written, changed, moved and removed", async (t) => {
  const base = await place(t);
  const cwd = join(base, "w");
  await mkdir(join(base, "real"), { recursive: true });
  await mkdir(cwd);
  await symlink("real", join(base, "linked"));
  await writeFile(join(base, "real/run.sh"), "old\r\n", { mode: 0o750 });
  await writeFile(join(base, "real/gone"), "x\n");
  const plays = [
    [
      patch("*** Add File: ../linked/a/b", "+x"),
      patch("*** Update File: ../linked/run.sh", "*** Move to: ../linked/bin/run.sh", "@@", "-old", "+new"),
      patch("*** Delete File: ../linked/gone"),
    ],
    "done",
  ];
  const { thread, outputs } = await bench(t, plays, { cwd, sandboxPolicy: workspace(), approvalPolicy: "on-request" });
  answering(thread, "approved", "approved", "approved");
  await thread.run("go");
  assert.deepEqual(
    outputs().map((output) => /^Exit code: (\d)/.exec(output)?.[1]),
    ["0", "0", "0"],
    outputs().join("\n"),
  );
  assert.deepEqual(readdirSync(join(base, "real")).sort(), ["a", "bin"]);
  assert.equal(readFileSync(join(base, "real/bin/run.sh"), "utf8"), "new\r\n");
});

/** Ways to name a file, some of which lead out of the workspace, by links and dots. */
const part = fc.constantFrom("..", ".", "a", "b", "link", "dangling", ".git", ".codex", "hooks", "up", "a/..");
const paths = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => [...parts, "f"].join("/"));

test("whatever path a patch names, it is written in the workspace or refused", inSandbox, async (t) => {
  const base = await place(t);
  const cwd = join(base, "w");
  const outside = join(base, "outside");
  for (const folder of ["w/a/b", "w/b", "outside"]) await mkdir(join(base, folder), { recursive: true });
  await symlink(outside, join(cwd, "link"));
  await symlink("../outside/nowhere", join(cwd, "dangling"));
  await symlink("..", join(cwd, "a/up"));
  await symlink("../..", join(cwd, "b/up"));
  const tried = fc.sample(paths, { numRuns: Number(process.env.SKEIN_RACE_PATCHES ?? 24) });
  const plays = [...tried.map((path) => [patch(`*** Add File: ${path}`, "+x")]), "done"];
  const { thread } = await bench(t, plays, { cwd, sandboxPolicy: workspace(), approvalPolicy: "never" });
  await thread.run("go");
  assert.deepEqual(readdirSync(base).sort(), ["outside", "w"]);
  assert.deepEqual(readdirSync(outside), []);
  for (const name of [".git", ".codex"]) assert.equal(readdirSync(cwd).includes(name), false, name);
});

test("handles follow no link that takes a folder's place at any depth", async (t) => {
  const base = await place(t);
  const outside = await place(t);
  await mkdir(join(outside, "c"));
  for (const [index, swapped] of ["a", "a/b", "a/b/c"].entries()) {
    const root = join(base, String(index));
    await mkdir(join(root, "a/b/c"), { recursive: true });
    const step = { path: join(root, "a/b/c/f"), before: null, after: "x" };
    const target = await targetOf(step);
    await rename(join(root, swapped), join(root, "moved"));
    await symlink(outside, join(root, swapped));
    await assert.rejects(writeByHandles(target, step), { code: /ELOOP|ENOTDIR/ });
    await assert.rejects(writeByHandles(target, { ...step, after: null }), { code: /ELOOP|ENOTDIR/ });
  }
  assert.deepEqual([readdirSync(outside), readdirSync(join(outside, "c"))], [["c"], []]);
});
