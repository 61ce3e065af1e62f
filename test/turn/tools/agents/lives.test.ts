/** Agents beside their parents: notices of their ends, interrupts, approvals, and what a restart leaves. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { runtimeOf } from "../../../../src/manager/runtime-of.ts";
import type { ModelRequest } from "../../../../src/model/model-client.ts";
import { call, hang, type Play, say, wait } from "../../../../src/model/script.ts";
import type { ThreadId } from "../../../../src/protocol/ids.ts";
import { textOf, userMessage } from "../../../../src/protocol/response-item.ts";
import type { CollabAgentToolCallTurnItem } from "../../../../src/protocol/turn-item.ts";
import { memoryStore } from "../../../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../../../src/store/thread-store.ts";
import { settled } from "../../../kernel/settled.ts";
import { assertPaired, latch, next, overlaid, rig, textsOf, until, watch } from "../../../rig.ts";
import { TempHome } from "../../../store/file/temp-home.ts";
import { noticesIn, team, v1 } from "./team.ts";

const spawn = (message: string) => v1("spawn_agent", { message });

suite("notices", () => {
  test("an end joins the turn that runs, which goes on for it; later ends of the same agent are not told", async () => {
    const asked = latch();
    const done = latch();
    const waits = (): Play => {
      asked.open();
      return [wait(done.opened), say("first")];
    };
    await using t = await team({
      lead: [[spawn("a")], waits, "second"],
      agent: () => [wait(asked.opened), say("did it")],
    });
    const run = t.lead.run("go");
    await asked.opened;
    const [id] = t.agents() as [ThreadId];
    const agent = await t.manager.getThread(id);
    await until(() => typeof agent.status === "object");
    await settled();
    done.open();
    assert.equal((await run).lastAgentMessage, "second");
    assert.match(JSON.stringify(t.requestsOf(t.lead.id)[2]?.input), /"first"/, "the request that ran was not cut");
    await agent.run("more");
    await t.lead.run("again");
    const notice = { agent_path: id, status: { completed: "did it" } };
    const told = t.requestsOf(t.lead.id).map(noticesIn);
    assert.deepEqual(told, [[], [], [notice], [notice]]);
    for (const { input } of t.requestsOf(t.lead.id)) assertPaired(input);
  });

  test("an end that comes later waits in the history: no turn is started for it", async () => {
    const done = latch();
    await using t = await team({ lead: [[spawn("a")]], agent: () => [wait(done.opened)] });
    await t.lead.run("go");
    const [id] = t.agents() as [ThreadId];
    const noted = next(t.lead, "raw_response_item");
    done.open();
    await noted;
    assert.equal(t.lead.activeTurn, undefined);
    await t.lead.run("again");
    const [last] = t.requestsOf(t.lead.id).slice(-1);
    assert.ok(last);
    assert.deepEqual(noticesIn(last), [{ agent_path: id, status: { completed: null } }]);
    assert.deepEqual(textsOf(last).slice(-1), ["again"]);
  });

  test("an agent that is closed at work is told of as shut down", async () => {
    await using t = await team({
      lead: [[spawn("a")], ([id]) => [v1("close_agent", { target: id })]],
      agent: () => [hang()],
    });
    await t.lead.run("go");
    const [id] = t.agents() as [ThreadId];
    assert.deepEqual(t.results()[1], { previous_status: "running" });
    await t.lead.run("again");
    const [last] = t.requestsOf(t.lead.id).slice(-1);
    assert.deepEqual(last && noticesIn(last), [{ agent_path: id, status: "shutdown" }]);
  });

  test("items that are given to a running turn stand between its steps, never between a call and its output", async () => {
    const gate = latch();
    const tools = [{ ...slow, call: () => gate.opened.then(() => "ok") }];
    await using t = await team({ lead: [[call("slow")]], tools });
    const run = t.lead.run("go");
    await until(() => t.model.requests.length === 1);
    await settled();
    await t.lead.submit({ type: "inject_items", items: [userMessage("by the way")] });
    gate.open();
    await run;
    const types = t.requestsOf(t.lead.id)[1]?.input.map(({ type }) => type);
    assert.deepEqual(types?.slice(-3), ["function_call", "function_call_output", "message"]);
  });
});

suite("beside the parent's turn", () => {
  test("an interrupt ends the wait at once, and the agent goes on", async () => {
    const done = latch();
    await using t = await team({
      lead: [[spawn("a")], ([id]) => [v1("wait_agent", { targets: [id] }, "wait")]],
      agent: () => [wait(done.opened), say("made it")],
    });
    const run = t.lead.run("go");
    const waiting = next(t.lead, "collab_waiting_begin");
    await waiting;
    await t.lead.interrupt();
    assert.equal((await run).status, "interrupted");
    assert.match(t.outputs()[1] ?? "", /aborted by user/);
    assert.deepEqual(
      t
        .items()
        .map(({ id, status }) => [id, status])
        .at(-1),
      ["wait", "failed"],
    );
    const agent = await t.manager.getThread(t.agents()[0] ?? "");
    assert.equal(agent.status, "running");
    done.open();
    await until(() => typeof agent.status === "object");
    assert.deepEqual(agent.status, { completed: "made it" });
  });

  test("an interrupt while an agent is being made leaves none", async () => {
    const making = latch();
    const gate = latch();
    const inner = memoryStore();
    const store = overlaid<ThreadStore>(inner, {
      async create(meta, options) {
        if (meta.parent_thread_id !== undefined) {
          making.open();
          await gate.opened;
        }
        return inner.create(meta, options);
      },
    });
    await using t = await team({ lead: [[spawn("a")]], store });
    const run = t.lead.run("go");
    await making.opened;
    const interrupted = t.lead.interrupt();
    await settled();
    await t.clock.advanceAsync(100);
    await interrupted;
    assert.equal((await run).status, "interrupted");
    gate.open();
    await until(() => t.manager.capacity().residentThreads.used === 1);
    assert.deepEqual((await t.store.list({ sourceKinds: ["subagent"] })).threads, []);
  });

  test("two agents of one answer work side by side, and nothing is locked while they do", async () => {
    const both = latch();
    let working = 0;
    await using t = await team({
      lead: [[spawn("a"), spawn("b")], (ids) => [v1("wait_agent", { targets: ids })]],
      agent: () => {
        working += 1;
        if (working === 2) both.open();
        return [wait(both.opened)];
      },
    });
    const run = t.lead.run("go");
    await both.opened;
    assert.equal((await t.manager.startThread()).thread.status, "pending_init");
    assert.equal((await run).status, "completed");
  });

  test("what an agent asks is found at its parent, and answered there", async () => {
    await using t = await team({
      lead: [[spawn("a")], ([id]) => [v1("wait_agent", { targets: [id] })]],
      agent: ({ input }) =>
        input.at(-1)?.type === "message" ? [call("shell_command", { command: "touch x" }, { callId: "touch" })] : "ok",
      config: {
        builtInTools: ["multi_agent", "shell"],
        approvalPolicy: "untrusted",
        sandboxMode: "danger-full-access",
      },
    });
    const run = t.lead.run("go");
    await until(() => t.manager.pendingApprovals(t.lead.id).length === 1);
    await t.lead.submit({ type: "exec_approval", id: "touch", decision: "denied" });
    await run;
    assert.deepEqual(Object.values((t.results()[1] as { status: object }).status), [{ completed: "ok" }]);
  });

  test("the manager's end ends parent and agents, and nothing is left", async () => {
    const t = await team({
      lead: [[spawn("a"), spawn("b")], (ids) => [v1("wait_agent", { targets: ids })]],
      agent: () => [hang()],
    });
    void t.lead.run("go").catch(() => undefined);
    await next(t.lead, "collab_waiting_begin");
    await t[Symbol.asyncDispose]();
    assert.deepEqual([runtimeOf(t.manager)?.left().incarnations, t.clock.pending], [0, 0]);
  });
});

suite("restarts", () => {
  test("after one, the parent opens its agents again; depth, names and places are as they were", async () => {
    await using home = new TempHome();
    const first = await team({
      lead: [[spawn("a"), spawn("b")], (ids) => [v1("wait_agent", { targets: ids })]],
      agent: (_, input) => (input === "a" ? "a is done" : [hang()]),
      store: home.open(),
    });
    await first.lead.run("go");
    const [a, b] = first.agents() as [ThreadId, ThreadId];
    const [nameOfA] = first.results() as { nickname: string }[];
    await first[Symbol.asyncDispose]();
    await first.store.close();

    const calls: Play[] = [
      [v1("wait_agent", { targets: [a, b] })],
      [v1("resume_agent", { id: a }, "resume")],
      [spawn("c")],
      [v1("close_agent", { target: b })],
      [v1("send_input", { target: a, message: "once more" })],
      [v1("wait_agent", { targets: [a] })],
    ];
    const isLead = (request: ModelRequest) => request.threadId === first.lead.id;
    const config = { builtInTools: ["multi_agent"] as const, agentMaxThreads: 2 };
    const script = (request: ModelRequest): Play => (isLead(request) ? (calls.shift() ?? "end") : "did it");
    await using second = await rig({ store: home.open(), script, config });
    // A client opens one of the agents by itself: it counts as an agent, and is as deep as it was.
    const opened = await second.manager.resumeThread(b);
    await opened.thread.run("go on");
    assert.deepEqual(second.model.requests[0]?.tools, []);
    const { thread: lead } = await second.manager.resumeThread(first.lead.id);
    assert.equal(second.manager.parentOf(b), lead.id);
    const seen = watch(lead);
    assert.equal((await lead.run("again")).lastAgentMessage, "end");
    const said = seen.flatMap(({ msg }) =>
      msg.type === "raw_response_item" && msg.item.type === "function_call_output" ? [textOf(msg.item)] : [],
    );
    assert.deepEqual(
      [...said.slice(0, 4), said[5]],
      [
        JSON.stringify({ status: { [a]: "not_found", [b]: { completed: "did it" } }, timed_out: false }),
        '{"status":"pending_init"}',
        "collab spawn failed: agent thread limit reached",
        '{"previous_status":{"completed":"did it"}}',
        JSON.stringify({ status: { [a]: { completed: "did it" } }, timed_out: false }),
      ],
    );
    const resumed = seen.flatMap(({ msg }) =>
      msg.type === "item_completed" && msg.item.id === "resume" ? [msg.item] : [],
    ) as CollabAgentToolCallTurnItem[];
    assert.deepEqual(resumed[0]?.receiver_agents, [{ thread_id: a, agent_nickname: nameOfA?.nickname }]);
  });
});

const slow = {
  spec: { type: "function", name: "slow", description: "", parameters: { type: "object" }, strict: false },
} as const;
