/** Skein's own git: the system's, and none of the repository's programs is run. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askGit, filtersOf, foldersUpToRepository, type GitOptions } from "../../src/services/git.ts";
import { place } from "../process/sandboxed.ts";

/** A repository whose every program leaves a trace. */
async function trapped(t: TestContext) {
  const folder = await place(t);
  const traces = await place(t);
  const bin = join(folder, "node_modules/.bin");
  await mkdir(bin, { recursive: true });
  const trace = join(bin, "git");
  await writeFile(trace, `#!/bin/sh\necho "$0 $*" >> ${traces}/ran\ncat\n`);
  await chmod(trace, 0o755);
  const git = (...args: string[]) =>
    spawnSync("git", ["-c", "user.name=a", "-c", "user.email=b", ...args], { cwd: folder });
  git("init", "-q");
  await writeFile(join(folder, "file"), "one\n");
  git("add", "file");
  git("commit", "-qm", "x");
  const programs = [
    ["filter.x.clean", "filter.x.smudge", "filter.x.process", "filter.a=b.clean", "diff.x.command", "diff.x.textconv"],
    [
      "diff.external",
      "core.fsmonitor",
      "core.pager",
      "core.sshCommand",
      "core.askPass",
      "credential.helper",
      "pager.diff",
    ],
  ].flat();
  for (const key of programs) git("config", key, trace);
  git("config", "filter.x.required", "true");
  git("config", "core.hooksPath", bin);
  await writeFile(join(folder, ".gitattributes"), "file filter=x diff=x\nother filter=a=b\n");
  await appendFile(join(folder, ".git/info/attributes"), "* filter=x diff=x\n");
  await writeFile(join(folder, "file"), "two\n");
  await writeFile(join(folder, "other"), "other\n");
  return { folder, traces, bin };
}

for (const [name, more] of [
  ["in the sandbox", {}],
  ["without one", { SKEIN_BWRAP: "/nowhere/bwrap" }],
] as const) {
  test(`a repository's programs are not run, ${name}`, async (t) => {
    const { folder, traces, bin } = await trapped(t);
    const environment = {
      ...process.env,
      PATH: `${bin}:${process.env.PATH}`,
      GIT_EXTERNAL_DIFF: join(bin, "git"),
      ...more,
    };
    const options: GitOptions = { folder, environment, signal: new AbortController().signal };
    const filters = (await filtersOf(options)) ?? [];
    assert.deepEqual([...filters].sort(), ["a=b", "x"]);
    const all = { ...options, filters, codes: [0, 1] };
    const diff = (await askGit(["diff", "--no-textconv", "--no-ext-diff", "HEAD"], all)) ?? "";
    assert.match(diff, /-one\n\+two/);
    for (const file of ["other", "file"]) {
      await askGit(["diff", "--no-textconv", "--no-ext-diff", "--no-index", "--", "/dev/null", file], all);
    }
    await askGit(["ls-files", "-z", "--cached", "--others", "--exclude-standard"], all);
    assert.equal(existsSync(join(traces, "ran")), false);
  });
}

test("an empty .git, as a sandbox may hold one, makes no repository", async (t) => {
  const base = await place(t);
  const cwd = join(base, "a/b");
  await mkdir(join(cwd, ".git"), { recursive: true });
  assert.deepEqual(await foldersUpToRepository(cwd), [cwd]);
  await mkdir(join(base, ".git/objects"), { recursive: true });
  assert.deepEqual(await foldersUpToRepository(cwd), [cwd, join(base, "a"), base]);
});
