/** An embedder's tool that asks for the user's word, as the tools of the house do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { ApprovalDeniedError, InvalidRequestError, tool } from "../../src/index.ts";
import { call } from "../../src/model/script.ts";
import { observe } from "../kernel/settled.ts";
import { next, rig, until } from "../rig.ts";

const input = z.object({ path: z.string() });
const outputs = (requests: readonly { input: readonly unknown[] }[]) =>
  requests.flatMap(({ input: items }) => items).filter((item) => Object(item).type === "function_call_output");

async function played(
  decisions: readonly (string | undefined)[],
  config: object = {},
  approval: Parameters<typeof tool<{ path: string }>>[0]["approval"] = ({ path }) => `remove ${path}?`,
) {
  const removed: string[] = [];
  const remove = tool({
    name: "remove",
    description: "",
    input,
    approval,
    execute: ({ path }) => {
      removed.push(path);
      return "removed";
    },
  });
  const script = [...decisions.map(() => [call("remove", { path: "/x" })]), "done"];
  await using r = await rig({ script, tools: [remove], config: { approvalPolicy: "on-request", ...config } });
  const { thread } = await r.manager.startThread();
  const asked: unknown[] = [];
  const run = observe(thread.run("go"));
  thread.events$.subscribe(({ msg }) => {
    if (msg.type !== "exec_approval_request") return;
    asked.push([msg.command, msg.reason]);
    assert.equal(thread.pendingApprovals.length, 1);
    const decision = decisions[asked.length - 1];
    if (decision !== undefined) {
      queueMicrotask(() => void thread.submit({ type: "exec_approval", id: msg.call_id, decision: decision as never }));
    }
  });
  await until(() => run.outcome !== "pending");
  const { status } = (run.outcome as { value: { status: string } }).value;
  const last = outputs(r.model.requests).at(-1);
  return { asked, removed, status, output: Object(last).output };
}

test("allowed, denied, aborted, and allowed for the session", async () => {
  const yes = await played(["approved"]);
  assert.deepEqual(yes.asked, [[["remove", '{"path":"/x"}'], "remove /x?"]]);
  assert.deepEqual([yes.removed, yes.status, yes.output], [["/x"], "completed", "removed"]);
  const no = await played(["denied"]);
  assert.deepEqual([no.removed, no.status, no.output], [[], "completed", "`remove` was rejected by the user"]);
  const abort = await played(["abort"]);
  assert.deepEqual([abort.removed, abort.status], [[], "interrupted"]);
  const session = await played(["approved_for_session", undefined]);
  assert.deepEqual([session.asked.length, session.removed], [1, ["/x", "/x"]]);
});

test("under the policy never nobody is asked: refused in a sandbox, allowed where all is open", async () => {
  const refused = await played([undefined], { approvalPolicy: "never" });
  assert.deepEqual([refused.asked, refused.removed], [[], []]);
  assert.match(refused.output, /needs the user's approval, and the approval policy is never/);
  const flags = { rules: true, mcp_elicitations: true, skill_approval: true, request_permissions: true };
  const granular = { sandbox_approval: false, ...flags };
  const quiet = await played([undefined], { approvalPolicy: { granular } });
  assert.deepEqual([quiet.asked, quiet.removed], [[], []]);
  assert.match(quiet.output, /the approval policy is granular without sandbox_approval$/);
  const asking = await played(["approved"], { approvalPolicy: { granular: { ...granular, sandbox_approval: true } } });
  assert.deepEqual([asking.asked.length, asking.removed], [1, ["/x"]]);
  const open = await played([undefined], { approvalPolicy: "never", sandboxMode: "danger-full-access" });
  assert.deepEqual([open.asked, open.removed], [[], ["/x"]]);
});

test("a definition asks always, by a whole question, or not at all; what is none is refused", async () => {
  assert.equal((await played(["approved"], {}, "always")).asked.length, 1);
  const command = ["rm", "/x"];
  assert.deepEqual((await played(["approved"], {}, () => ({ command, reason: "why" }))).asked, [[command, "why"]]);
  for (const nothing of [undefined, false]) {
    assert.deepEqual((await played([undefined], {}, () => nothing)).removed, ["/x"]);
  }
  assert.throws(
    () => tool({ name: "x", description: "", approval: "sometimes" as never, execute: () => 1 }),
    InvalidRequestError,
  );
});

test("a tool asks in the middle of its work, and may go on when it is denied; an interrupt withdraws the question", async () => {
  const seen: unknown[] = [];
  const careful = tool({
    name: "careful",
    description: "",
    execute: async (_input, { askApproval }) => {
      await askApproval({ reason: "all of it?" }).catch((error: unknown) => seen.push(error));
      return "half of it";
    },
  });
  await using r = await rig({
    script: () => [call("careful")],
    tools: [careful],
    config: { approvalPolicy: "untrusted" },
  });
  const { thread } = await r.manager.startThread();
  const first = next(thread, "exec_approval_request");
  const run = observe(thread.run("go"));
  const { msg } = await first;
  const second = next(thread, "exec_approval_request");
  await thread.submit({ type: "exec_approval", id: String(Object(msg).call_id), decision: "denied" });
  await second;
  assert.ok(seen[0] instanceof ApprovalDeniedError);
  await thread.interrupt();
  await until(() => run.outcome !== "pending");
  assert.deepEqual(thread.pendingApprovals, []);
});
