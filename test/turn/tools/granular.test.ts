/** A granular approval policy: each of its flags decides on its own kind of question, and on no other. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { type GranularApproval, plainApprovalOf, type SandboxPolicy } from "../../../src/protocol/policy.ts";
import type { ThreadConfig } from "../../../src/protocol/thread-config.ts";
import { fixture } from "./mcp-servers.ts";
import { answering, bench, folder, nextOf } from "./tool-turn.ts";

const FLAGS = ["sandbox_approval", "rules", "skill_approval", "request_permissions", "mcp_elicitations"] as const;
const granular = (isOn: (flag: string) => boolean) => ({
  granular: Object.fromEntries(FLAGS.map((flag) => [flag, isOn(flag)])) as GranularApproval,
});
const only = (flag: string) => granular((each) => each === flag);
const allBut = (flag: string) => granular((each) => each !== flag);

const sh = (command: string, rest: object = {}) => call("shell_command", { command, login: false, ...rest });
const ESCALATED = { sandbox_permissions: "require_escalated", justification: "must" };
const OUTSIDE = ["*** Begin Patch", "*** Add File: ../out.txt", "+out", "*** End Patch"].join("\n");
const WORKSPACE: SandboxPolicy = {
  ...{ type: "workspace-write", writable_roots: [], network_access: false },
  ...{ exclude_tmpdir_env_var: true, exclude_slash_tmp: true },
};
const BOLD = [[sh("touch up", ESCALATED)], [sh("rm -rf nothing")], [call("apply_patch", { input: OUTSIDE })], "done"];

async function bold(t: TestContext, approvalPolicy: ThreadConfig["approvalPolicy"]) {
  const cwd = await folder(t);
  const run = await bench(t, BOLD, { cwd, approvalPolicy, sandboxPolicy: WORKSPACE });
  answering(run.thread, "denied", "denied", "denied");
  await run.thread.run("go");
  assert.deepEqual(await readdir(cwd), []);
  const asked = [...run.ofType("exec_approval_request"), ...run.ofType("apply_patch_approval_request")];
  return { asked: asked.map(({ type }) => type), outputs: run.outputs() };
}

test("sandbox_approval: what leaves the sandbox, is dangerous or writes outside is asked about as on-request", async (t) => {
  const asked = ["exec_approval_request", "exec_approval_request", "apply_patch_approval_request"];
  const given = await bold(t, only("sandbox_approval"));
  assert.deepEqual(given.asked, asked);
  assert.deepEqual(given, await bold(t, "on-request"));
});

test("without sandbox_approval nobody is asked about it, whatever the other flags say, and the model hears why", async (t) => {
  const { asked, outputs } = await bold(t, allBut("sandbox_approval"));
  assert.deepEqual(asked, []);
  const policy = "granular without sandbox_approval";
  assert.deepEqual(outputs, [
    `approval policy is ${policy}; reject command — you should not ask for escalated permissions if the approval policy is ${policy}`,
    `\`rm -rf nothing\` rejected: it needs an approval, and the approval policy is ${policy}`,
    "patch rejected: writing outside of the project; rejected by user approval settings",
  ]);
});

test("what runs inside of the sandbox is not asked about under either", async (t) => {
  for (const approvalPolicy of [only("sandbox_approval"), allBut("sandbox_approval")]) {
    const run = await bench(t, [[sh("echo x > in.txt")], "done"], { approvalPolicy, sandboxMode: "workspace-write" });
    await run.thread.run("go");
    assert.deepEqual(run.ofType("exec_approval_request"), []);
    assert.match(run.outputs()[0] ?? "", /^Exit code: 0\n/);
  }
});

test("mcp_elicitations: an MCP server's question is asked; without it, it is declined at once", async (t) => {
  const ask = async (approvalPolicy: ThreadConfig["approvalPolicy"]) => {
    const cwd = await folder(t);
    const form = { message: "Who?", requestedSchema: { type: "object", properties: {} } };
    return bench(t, [[call("mcp__fix__asks", form)], "done"], {
      ...{ cwd, approvalPolicy, mcpServers: { fix: fixture("asks", cwd) } },
    });
  };
  const silent = await ask(allBut("mcp_elicitations"));
  await silent.thread.run("go");
  assert.deepEqual(silent.ofType("elicitation_request"), []);
  assert.deepEqual(JSON.parse(silent.outputs()[0] ?? ""), { action: "decline" });
  const { thread, outputs } = await ask(only("mcp_elicitations"));
  const turn = thread.run("go");
  const { id } = await nextOf(thread, "elicitation_request");
  await thread.submit({ type: "resolve_elicitation", server_name: "fix", request_id: id, decision: "cancel" });
  await turn;
  assert.deepEqual(JSON.parse(outputs()[0] ?? ""), { action: "cancel" });
});

test("rules, skill_approval and request_permissions change nothing of what commands mean", () => {
  for (const flag of FLAGS) {
    const is = flag === "sandbox_approval";
    assert.equal(plainApprovalOf(only(flag)), is ? "on-request" : "never");
    assert.equal(plainApprovalOf(allBut(flag)), is ? "never" : "on-request");
  }
});

test("the model is told what it means for commands", async (t) => {
  for (const [policy, word] of [
    [only("sandbox_approval"), "on-request"],
    [allBut("sandbox_approval"), "never"],
  ] as const) {
    const { thread, model } = await bench(t, ["done"], { approvalPolicy: policy });
    await thread.run("go");
    assert.match(JSON.stringify(model.requests[0]?.input), new RegExp(`<approval_policy>${word}</approval_policy>`));
  }
});
