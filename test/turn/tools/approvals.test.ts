/** When commands and patches are asked about, and what each answer leads to. */
import assert from "node:assert/strict";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { InvalidRequestError } from "../../../src/protocol/errors.ts";
import type { SandboxPolicy } from "../../../src/protocol/policy.ts";
import { answering, bench, folder, kinds, nextOf } from "./tool-turn.ts";

const sh = (command: string, rest: object = {}) => call("shell_command", { command, login: false, ...rest });
const patch = (...lines: string[]) =>
  call("apply_patch", { input: ["*** Begin Patch", ...lines, "*** End Patch"].join("\n") });

const toolEvents = (names: readonly string[]): string[] => names.filter((name) => /exec_|patch|turn_diff/.test(name));

const UNTRUSTED = { approvalPolicy: "untrusted" } as const;

test("untrusted: a command is asked about after its begin, and runs once approved (0.80 approval_accept_decline)", async (t) => {
  const { thread, events, ofType, outputs, cwd } = await bench(
    t,
    [[call("shell_command", { command: "touch f0.txt" }, { callId: "call_ap0" })], "after accept"],
    UNTRUSTED,
  );
  answering(thread, "approved");
  await thread.run("ask 0");
  assert.deepEqual(toolEvents(kinds(events)), ["exec_command_begin", "exec_approval_request", "exec_command_end"]);
  const [request] = ofType("exec_approval_request");
  assert.deepEqual(request, {
    type: "exec_approval_request",
    call_id: "call_ap0",
    turn_id: request?.turn_id,
    command: ["/bin/bash", "-lc", "touch f0.txt"],
    cwd,
    parsed_cmd: [{ type: "unknown", cmd: "touch f0.txt" }],
    proposed_execpolicy_amendment: ["touch", "f0.txt"],
  });
  assert.match(outputs()[0] ?? "", /^Exit code: 0\n/);
});

test("denied: the command does not run, and the model is told", async (t) => {
  const { thread, ofType, outputs, cwd } = await bench(t, [[sh("touch f1.txt")], "after decline"], UNTRUSTED);
  answering(thread, "denied");
  const result = await thread.run("ask 1");
  assert.equal(result.lastAgentMessage, "after decline");
  assert.deepEqual(outputs(), ["exec command rejected by user"]);
  const [end] = ofType("exec_command_end");
  assert.deepEqual(
    [end?.stderr, end?.aggregated_output, end?.formatted_output, end?.exit_code, end?.duration],
    [...Array(3).fill("exec command rejected by user"), -1, { secs: 0, nanos: 0 }],
  );
  const items = ofType("item_completed").map(({ item }) => item);
  assert.ok(items.some((item) => item.type === "CommandExecution" && "status" in item && item.status === "declined"));
  await assert.rejects(readFile(join(cwd, "f1.txt")));
});

test("abort: the command is rejected and the turn interrupted", async (t) => {
  const { thread, events, outputs } = await bench(t, [[sh("touch f2.txt")], "never"], UNTRUSTED);
  answering(thread, "abort");
  const aborted = nextOf(thread, "turn_aborted");
  await thread.run("ask 2").catch(() => undefined);
  assert.equal((await aborted).reason, "interrupted");
  assert.deepEqual(outputs(), ["exec command rejected by user"]);
  assert.equal(kinds(events).at(-1), "turn_aborted");
  assert.deepEqual(thread.pendingApprovals, []);
});

test("approved_for_session: the same command is not asked about again, another one is", async (t) => {
  const { thread, ofType } = await bench(t, [[sh("touch a")], [sh("touch a")], [sh("touch b")], "done"], UNTRUSTED);
  answering(thread, "approved_for_session", "approved");
  await thread.run("go");
  assert.deepEqual(
    ofType("exec_approval_request").map(({ command }) => command[2]),
    ["touch a", "touch b"],
  );
});

test("an approved amendment allows every command that begins so, alone or among safe ones", async (t) => {
  const { thread, ofType } = await bench(
    t,
    [[sh("touch a")], [sh("touch b && ls")], [sh("touch c; rm c")], "done"],
    UNTRUSTED,
  );
  answering(thread, { approved_execpolicy_amendment: { proposed_execpolicy_amendment: ["touch"] } }, "denied");
  await thread.run("go");
  assert.deepEqual(
    ofType("exec_approval_request").map(({ command }) => command[2]),
    ["touch a", "touch c; rm c"],
  );
});

test("untrusted: what only reads runs without asking", async (t) => {
  const { thread, ofType, outputs } = await bench(
    t,
    [[sh("ls -la && cat /dev/null | wc -l"), sh("pwd")], "done"],
    UNTRUSTED,
  );
  await thread.run("go");
  assert.deepEqual(ofType("exec_approval_request"), []);
  assert.equal(outputs().length, 2);
});

test("on-request: only what the model asks to run outside of the sandbox is asked about", async (t) => {
  const { thread, ofType } = await bench(
    t,
    [[sh("touch a"), sh("touch b", { sandbox_permissions: "require_escalated", justification: "to make b" })], "done"],
    { approvalPolicy: "on-request" },
  );
  answering(thread, "approved");
  await thread.run("go");
  assert.deepEqual(
    ofType("exec_approval_request").map(({ command, reason }) => [command[2], reason]),
    [["touch b", "to make b"]],
  );
});

test("never: nothing is asked, and an escalation is refused", async (t) => {
  const { thread, ofType, outputs } = await bench(t, [
    [sh("touch a", { sandbox_permissions: "require_escalated" }), sh("rm -rf a")],
    "done",
  ]);
  await thread.run("go");
  assert.deepEqual(ofType("exec_approval_request"), []);
  assert.match(outputs()[0] ?? "", /^approval policy is Never; reject command/);
  assert.match(outputs()[1] ?? "", /needs an approval, and the approval policy is never$/);
});

test("an interrupt withdraws the question, and the call is answered", async (t) => {
  const { thread, outputs, events } = await bench(t, [[sh("touch a")], "never"], UNTRUSTED);
  const asked = nextOf(thread, "exec_approval_request");
  const turn = thread.run("go").catch(() => undefined);
  const { call_id } = await asked;
  assert.deepEqual(
    thread.pendingApprovals.map(({ callId, msg }) => [callId, msg.type]),
    [[call_id, "exec_approval_request"]],
  );
  await thread.interrupt();
  await turn;
  assert.deepEqual(thread.pendingApprovals, []);
  assert.match(outputs()[0] ?? "", /^Wall time: [\d.]+ seconds\naborted by user$/);
  assert.equal(kinds(events).at(-1), "turn_aborted");
  await assert.rejects(
    thread.submit({ type: "exec_approval", id: call_id, decision: "approved" }),
    /nobody has asked, or its turn has ended/,
  );
  assert.equal((await thread.run("again")).lastAgentMessage, "never");
});

test("the first answer wins", async (t) => {
  const { thread, outputs } = await bench(t, [[sh("touch a")], "done"], UNTRUSTED);
  answering(thread, "denied");
  answering(thread, "approved");
  await thread.run("go");
  assert.deepEqual(outputs(), ["exec command rejected by user"]);
});

test("a sub-agent's approval is shown and answered at its root", async (t) => {
  const { manager, thread: root, cwd } = await bench(t, [[sh("touch a")], "child done"], UNTRUSTED);
  const config = {
    cwd,
    approvalPolicy: "untrusted",
    sandboxMode: "danger-full-access",
    builtInTools: ["shell"],
  } as const;
  const { thread: child } = await manager.startThread(config, { parentThreadId: root.id });
  const { thread: grandchild } = await manager.startThread(config, { parentThreadId: child.id });
  const { thread: stranger } = await manager.startThread(config);
  const asked = nextOf(grandchild, "exec_approval_request");
  const turn = grandchild.run("go");
  const { call_id } = await asked;
  const at = (id: string) => manager.pendingApprovals(id).map(({ threadId, callId }) => [threadId, callId]);
  const pending = [[grandchild.id, call_id]];
  assert.deepEqual([at(root.id), at(child.id), at(grandchild.id), at(stranger.id)], [pending, pending, pending, []]);
  await assert.rejects(
    stranger.submit({ type: "exec_approval", id: call_id, decision: "denied" }),
    InvalidRequestError,
  );
  assert.deepEqual(at(root.id), pending);
  await root.submit({ type: "exec_approval", id: call_id, decision: "approved" });
  assert.equal((await turn).lastAgentMessage, "child done");
  assert.deepEqual(at(root.id), []);
});

test("a patch is asked about and applied (0.80 approval_accept_decline)", async (t) => {
  const { thread, events, ofType, outputs, cwd } = await bench(
    t,
    [[patch("*** Add File: hello.txt", "+hi there")], "patched"],
    UNTRUSTED,
  );
  answering(thread, "approved");
  await thread.run("patch");
  assert.deepEqual(toolEvents(kinds(events)), [
    "patch_apply_begin",
    "apply_patch_approval_request",
    "exec_command_output_delta",
    "exec_command_output_delta",
    "patch_apply_end",
    "turn_diff",
  ]);
  const path = join(cwd, "hello.txt");
  const changes = { [path]: { type: "add", content: "hi there\n" } };
  assert.deepEqual(
    [ofType("patch_apply_begin")[0]?.auto_approved, ofType("patch_apply_begin")[0]?.changes],
    [false, changes],
  );
  const [end] = ofType("patch_apply_end");
  assert.deepEqual([end?.success, end?.stdout], [true, "Success. Updated the following files:\nA hello.txt\n"]);
  assert.deepEqual(ofType("turn_diff"), [
    {
      type: "turn_diff",
      unified_diff: `diff --git a/hello.txt b/hello.txt\nnew file mode 100644\nindex ${"0".repeat(40)}..37d4e6c5c48ba0d245164c4e10d5f41140cab980\n--- /dev/null\n+++ b/hello.txt\n@@ -0,0 +1 @@\n+hi there\n`,
    },
  ]);
  assert.match(
    outputs()[0] ?? "",
    /^Exit code: 0\nWall time: [\d.]+ seconds\nOutput:\nSuccess\. Updated the following files:\nA hello\.txt\n$/,
  );
});

test("a patch that is denied writes nothing", async (t) => {
  const { thread, outputs, ofType, cwd } = await bench(t, [[patch("*** Add File: no.txt", "+x")], "done"], UNTRUSTED);
  answering(thread, "denied");
  await thread.run("patch");
  assert.deepEqual(outputs(), ["patch rejected by user"]);
  assert.deepEqual([ofType("patch_apply_end")[0]?.success, ofType("turn_diff")], [false, []]);
  await assert.rejects(readFile(join(cwd, "no.txt")));
});

test("workspace-write: a patch inside runs, one outside is asked about or refused, whatever links say", async (t) => {
  const outside = await folder(t);
  const cwd = await folder(t);
  await symlink(outside, join(cwd, "link"));
  await symlink(join(outside, "dangling"), join(cwd, "dangling"));
  await mkdir(join(cwd, ".git"));
  const sandboxPolicy: SandboxPolicy = {
    type: "workspace-write",
    writable_roots: [],
    network_access: false,
    exclude_tmpdir_env_var: true,
    exclude_slash_tmp: true,
  };
  const plays = [
    [
      patch("*** Add File: in.txt", "+in"),
      patch("*** Add File: ../out.txt", "+out"),
      patch("*** Add File: link/out.txt", "+out"),
      patch("*** Add File: dangling", "+out"),
      patch("*** Add File: .git/hooks/pre-commit", "+out"),
    ],
    "done",
  ];
  const never = await bench(t, plays, { cwd, approvalPolicy: "never", sandboxPolicy });
  await never.thread.run("go");
  const refusal = "patch rejected: writing outside of the project; rejected by user approval settings";
  assert.match(never.outputs()[0] ?? "", /^Exit code: 0\n/);
  assert.deepEqual(never.outputs().slice(1), Array(4).fill(refusal));

  const readOnly = await bench(t, plays, { cwd, approvalPolicy: "never", sandboxPolicy: { type: "read-only" } });
  await readOnly.thread.run("go");
  const blocked = "patch rejected: writing is blocked by read-only sandbox; rejected by user approval settings";
  assert.deepEqual(readOnly.outputs(), Array(5).fill(blocked));

  const asking = await bench(t, plays, { cwd, approvalPolicy: "on-request", sandboxPolicy });
  answering(asking.thread, "denied", "denied", "denied", "denied");
  await asking.thread.run("go");
  assert.deepEqual(
    asking.ofType("apply_patch_approval_request").map(({ reason }) => reason),
    Array(4).fill("writing outside of the project"),
  );
});

/** A stand-in for bubblewrap: passes the probe, tells what it was asked by its handle 3, and runs the command. */
async function fakeSandbox(t: TestContext, { fails = false } = {}): Promise<NodeJS.ProcessEnv> {
  const bin = await folder(t);
  const script = [
    "#!/bin/bash",
    'case "$*" in --help|*--version) echo --bind-fd; exit 0;; esac',
    fails
      ? 'echo "touch: cannot touch: Read-only file system" >&2; exit 1'
      : `tr '\\0' '\\n' <&3 > ${bin}/asked; while [ "$1" != -- ]; do shift; done; shift; exec "$@"`,
  ];
  const program = join(bin, "bwrap");
  await writeFile(program, `${script.join("\n")}\n`);
  await chmod(program, 0o755);
  return { ...process.env, SKEIN_BWRAP: program, BIN: bin };
}

test("a closed sandbox mode runs commands in bubblewrap", async (t) => {
  const environment = await fakeSandbox(t);
  const { thread, outputs, cwd } = await bench(
    t,
    [[sh("echo sandboxed")], "done"],
    {
      approvalPolicy: "never",
      sandboxPolicy: {
        type: "workspace-write",
        writable_roots: [],
        network_access: false,
        exclude_tmpdir_env_var: true,
        exclude_slash_tmp: true,
      },
    },
    { environment },
  );
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /Output:\nsandboxed\n$/);
  const asked = (await readFile(join(environment.BIN ?? "", "asked"), "utf8")).split("\n");
  const starts = (...words: string[]) => assert.ok(asked.join("\n").includes(words.join("\n")), words.join(" "));
  starts("--clearenv", "--die-with-parent");
  starts("--unshare-net");
  starts("--ro-bind", "/", "/");
  starts("--bind-fd", "5", cwd, "--tmpfs", `${cwd}/.git`, "--remount-ro", `${cwd}/.git`);
  starts("--chdir", cwd);
});

const BARE = { SKEIN_BWRAP: "/nowhere/bwrap" };

test("a repository's own folder stays protected where roots overlap, unless it is a root itself", async (t) => {
  const plays = [[patch("*** Add File: .git/config", "+x")], "done"];
  const inTmp = await bench(t, plays, { approvalPolicy: "never", sandboxMode: "workspace-write" });
  await inTmp.thread.run("go");
  assert.match(inTmp.outputs()[0] ?? "", /^patch rejected: /);
  const cwd = await folder(t);
  const sandboxPolicy: SandboxPolicy = {
    type: "workspace-write",
    writable_roots: [".git"],
    network_access: false,
    exclude_tmpdir_env_var: true,
    exclude_slash_tmp: true,
  };
  const granted = await bench(t, plays, { cwd, approvalPolicy: "never", sandboxPolicy });
  await granted.thread.run("go");
  assert.match(granted.outputs()[0] ?? "", /^Exit code: 0\n/);
});

test("without bubblewrap a command is refused, never run unsandboxed", async (t) => {
  for (const approvalPolicy of ["never", "on-request"] as const) {
    for (const sandboxMode of ["read-only", "workspace-write"] as const) {
      const run = await bench(
        t,
        [[sh("echo x > made")], "done"],
        { approvalPolicy, sandboxMode },
        { environment: BARE },
      );
      await run.thread.run("go");
      assert.match(
        run.outputs()[0] ?? "",
        new RegExp(`^command refused: the sandbox mode is ${sandboxMode}, and there is no sandbox here: bubblewrap`),
      );
      assert.deepEqual(run.ofType("exec_command_begin"), []);
      await assert.rejects(readFile(join(run.cwd, "made")));
    }
  }
});

test("without bubblewrap, policies that may ask do ask, and say why", async (t) => {
  const { thread, ofType, outputs } = await bench(
    t,
    [[sh("echo yes")], [sh("echo no")], "done"],
    { approvalPolicy: "on-failure", sandboxMode: "read-only" },
    { environment: BARE },
  );
  answering(thread, "approved", "denied");
  await thread.run("go");
  assert.match(ofType("exec_approval_request")[0]?.reason ?? "", /no sandbox here.*run the command without one\?/);
  assert.match(outputs()[0] ?? "", /Output:\nyes\n$/);
  assert.equal(outputs()[1], "exec command rejected by user");
});

test("on-failure: what the sandbox kept from its work may be tried again without", async (t) => {
  const { thread, events, ofType, outputs } = await bench(
    t,
    [[sh("echo made it")], "done"],
    { approvalPolicy: "on-failure", sandboxMode: "read-only" },
    { environment: await fakeSandbox(t, { fails: true }) },
  );
  answering(thread, "approved");
  await thread.run("go");
  assert.equal(ofType("exec_approval_request")[0]?.reason, "command failed; retry without sandbox?");
  assert.match(outputs()[0] ?? "", /^Exit code: 0\n[\s\S]*Output:\nmade it\n$/);
  assert.equal(kinds(events).filter((kind) => kind === "exec_command_end").length, 1);
});
