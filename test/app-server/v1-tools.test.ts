/** v1's small methods about the machine: one command, a diff, the saved config. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, realpath, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { folder } from "../turn/tools/tool-turn.ts";
import { serve } from "./test-client.ts";

const open = { sandboxMode: "danger-full-access" } as const;

test("execOneOffCommand runs a command to its end", async (t) => {
  const cwd = await realpath(await folder(t));
  await using served = await serve({ manager: { config: { cwd, ...open } }, server: { cwd } });
  const { client } = served;
  const command = ["/bin/sh", "-c", "pwd; echo err >&2; exit 3"];
  assert.deepEqual(await client.request("execOneOffCommand", { command }), {
    exitCode: 3,
    stdout: `${cwd}\n`,
    stderr: "err\n",
  });
  const failures = [
    await client.failure("execOneOffCommand", { command: [] }),
    await client.failure("execOneOffCommand", { command: ["/nope"] }),
    await client.failure("execOneOffCommand", { command: ["sleep", "30"], timeoutMs: 0 }),
  ].map(({ code, message }) => [code, message]);
  assert.deepEqual(failures, [
    [-32600, "command must not be empty"],
    [-32603, "exec failed: No such file or directory (os error 2)"],
    [-32603, "exec failed: sandbox error: command timed out"],
  ]);
});

async function repository(t: TestContext) {
  const root = await realpath(await folder(t));
  const remote = await realpath(await folder(t));
  const git = (...args: string[]) => execFileSync("git", ["-C", root, ...args], { encoding: "utf8" }).trim();
  execFileSync("git", ["init", "-q", "--bare", remote]);
  git("init", "-q", "-b", "main");
  git("config", "user.email", "a@example.com");
  git("config", "user.name", "A");
  await writeFile(join(root, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "one");
  return { root, remote, git };
}

test("gitDiffToRemote shows what no remote has: commits, changes and untracked files", async (t) => {
  await using served = await serve();
  const { client } = served;
  const { root, remote, git } = await repository(t);
  const diff = (cwd = root) => client.request("gitDiffToRemote", { cwd });
  const failure = await client.failure("gitDiffToRemote", { cwd: root });
  assert.deepEqual(
    [failure.code, failure.message],
    [-32600, `failed to compute git diff to remote for cwd: ${JSON.stringify(root)}`],
  );
  git("remote", "add", "origin", remote);
  git("push", "-q", "origin", "main");
  const sha = git("rev-parse", "HEAD");
  assert.deepEqual(await diff(), { sha, diff: "" });
  await writeFile(join(root, "a.txt"), "two\n");
  git("commit", "-qam", "two");
  await mkdir(join(root, "d"));
  await writeFile(join(root, "d/new file.txt"), "fresh\n");
  const changed = {
    sha,
    diff: `diff --git a/a.txt b/a.txt
index 5626abf..f719efd 100644
--- a/a.txt
+++ b/a.txt
@@ -1 +1 @@
-one
+two
diff --git a/d/new file.txt b/d/new file.txt
new file mode 100644
index 0000000..92d5444
--- /dev/null
+++ b/d/new file.txt\t
@@ -0,0 +1 @@
+fresh
`,
  };
  assert.deepEqual(await diff(), changed);
  git("checkout", "-qb", "feature");
  assert.deepEqual(await diff(join(root, "d")), changed);
  git("push", "-q", "origin", "feature");
  assert.equal((await diff()).sha, git("rev-parse", "HEAD"));
});

test("getUserSavedConfig gives what config.toml says, and null for the rest", async (t) => {
  const home = await folder(t);
  await using served = await serve({ server: { home } });
  const { client } = served;
  const nothing = {
    approvalPolicy: null,
    sandboxMode: null,
    sandboxSettings: null,
    forcedChatgptWorkspaceId: null,
    forcedLoginMethod: null,
    model: null,
    modelReasoningEffort: null,
    modelReasoningSummary: null,
    modelVerbosity: null,
    tools: null,
    profile: null,
    profiles: {},
  };
  assert.deepEqual(await client.request("getUserSavedConfig"), { config: nothing });
  await writeFile(
    join(home, "config.toml"),
    `model = "m"
approval_policy = "never"
[tools]
web_search = true
[sandbox_workspace_write]
writable_roots = ["/a"]
[profiles.p]
model = "n"
approval_policy = "untrusted"
`,
  );
  assert.deepEqual(await client.request("getUserSavedConfig"), {
    config: {
      ...nothing,
      model: "m",
      approvalPolicy: "never",
      tools: { webSearch: true, viewImage: null },
      sandboxSettings: {
        writableRoots: ["/a"],
        networkAccess: false,
        excludeTmpdirEnvVar: false,
        excludeSlashTmp: false,
      },
      profiles: {
        p: {
          model: "n",
          modelProvider: null,
          approvalPolicy: "untrusted",
          modelReasoningEffort: null,
          modelReasoningSummary: null,
          modelVerbosity: null,
          chatgptBaseUrl: null,
        },
      },
    },
  });
});
