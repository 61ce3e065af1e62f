/** The tools of multi_agent_v1 (SPEC 14.4): what each gives, tells and refuses. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ModelRequest } from "../../../../src/model/model-client.ts";
import { hang, say } from "../../../../src/model/script.ts";
import type { ThreadId } from "../../../../src/protocol/ids.ts";
import { settled } from "../../../kernel/settled.ts";
import { assertPaired, linesOf, textsOf, until } from "../../../rig.ts";
import { noticesIn, team, v1 } from "./team.ts";

suite("multi_agent_v1", () => {
  test("its tools leave out what is optional: none is told to the model as strict, each closes its arguments", async () => {
    await using t = await team({ lead: [] });
    await t.lead.run("go");
    const tools = t.requestsOf(t.lead.id)[0]?.tools.flatMap((each) => ("tools" in each ? each.tools : [])) ?? [];
    assert.ok(tools.length >= 5);
    for (const told of tools) {
      assert.partialDeepStrictEqual(told, {
        strict: false,
        parameters: { type: "object", additionalProperties: false },
      });
    }
  });

  test("an agent's life: spawned, waited for, told more, closed, resumed", async () => {
    await using t = await team({
      lead: [
        [v1("spawn_agent", { message: "one" }, "spawn")],
        ([id]) => [v1("wait_agent", { targets: [id], timeout_ms: 15_000 }, "wait")],
        ([id]) => [v1("send_input", { target: id, message: "two" }, "send")],
        ([id]) => [v1("wait_agent", { targets: [id] }, "wait2")],
        ([id]) => [v1("close_agent", { target: id }, "close")],
        ([id]) => [v1("wait_agent", { targets: [id] }, "wait3")],
        ([id]) => [v1("resume_agent", { id }, "resume")],
        ([id]) => [v1("send_input", { target: id, message: "three" }, "send2")],
        ([id]) => [v1("wait_agent", { targets: [id] }, "wait4")],
      ],
    });
    assert.equal((await t.lead.run("go")).lastAgentMessage, "done");
    const [id] = t.agents();
    assert.ok(id);
    const nickname = (t.results()[0] as { nickname: string }).nickname;
    const submissions = [2, 7].map((at) => (t.results()[at] as { submission_id: string }).submission_id);
    const completed = (text: string) => ({ [id]: { completed: text } });
    assert.deepEqual(t.results(), [
      { agent_id: id, nickname },
      { status: completed("did: one"), timed_out: false },
      { submission_id: submissions[0] },
      { status: completed("did: two"), timed_out: false },
      { previous_status: { completed: "did: two" } },
      { status: { [id]: "not_found" }, timed_out: false },
      { status: "pending_init" },
      { submission_id: submissions[1] },
      { status: completed("did: three"), timed_out: false },
    ]);
    const item = { type: "CollabAgentToolCall", sender_thread_id: t.lead.id, receiver_thread_ids: [id] };
    const receiver_agents = [{ thread_id: id, agent_nickname: nickname }];
    const spawned = { prompt: "one", model: t.lead.config.model, reasoning_effort: "medium" };
    assert.deepEqual(t.items().slice(0, 5), [
      {
        ...item,
        id: "spawn",
        tool: "spawn_agent",
        status: "completed",
        receiver_agents,
        ...spawned,
        agents_states: { [id]: "pending_init" },
      },
      { ...item, id: "wait", tool: "wait", status: "completed", receiver_agents, agents_states: completed("did: one") },
      {
        ...item,
        id: "send",
        tool: "send_input",
        status: "completed",
        receiver_agents,
        prompt: "two",
        agents_states: completed("did: one"),
      },
      {
        ...item,
        id: "wait2",
        tool: "wait",
        status: "completed",
        receiver_agents,
        agents_states: completed("did: two"),
      },
      {
        ...item,
        id: "close",
        tool: "close_agent",
        status: "completed",
        receiver_agents: [{ thread_id: id, agent_nickname: null }],
        agents_states: completed("did: two"),
      },
    ]);
    const events = t.events.map(({ msg }) => msg.type).filter((type) => type.startsWith("collab_"));
    const pair = (name: string) => [`collab_${name}_begin`, `collab_${name}_end`];
    assert.deepEqual(
      events,
      [
        "agent_spawn",
        "waiting",
        "agent_interaction",
        "waiting",
        "close",
        "waiting",
        "resume",
        "agent_interaction",
        "waiting",
      ].flatMap(pair),
    );
    const turns = (await linesOf(t.store, id)).flatMap(({ type, payload }) =>
      type === "event_msg" && payload.type === "task_started" ? [payload.turn_id] : [],
    );
    assert.deepEqual(turns.slice(1), submissions, "the submission's id names the turn");
    for (const request of t.model.requests) assertPaired(request.input);
  });

  test("an agent runs on the turn's settings; its rollout says whose it is; it is found under its parent alone", async () => {
    await using t = await team({
      lead: [[v1("spawn_agent", { message: "x", agent_type: "worker", model: "m2", reasoning_effort: "high" })]],
      config: { baseInstructions: "be brief", approvalPolicy: "never", developerInstructions: "dev" },
      models: { ...models, listModels: async () => [preset("m1"), preset("m2")] },
    });
    await t.lead.run("go");
    const [id] = t.agents();
    assert.ok(id);
    await until(() => t.requestsOf(id).length > 0);
    const { model, reasoning, instructions, subagent } = t.requestsOf(id)[0] ?? {};
    assert.deepEqual([model, reasoning?.effort, instructions], ["m2", "high", "be brief"]);
    assert.deepEqual([subagent, t.requestsOf(t.lead.id)[0]?.subagent], ["collab_spawn", undefined]);
    const { nickname } = t.results()[0] as { nickname: string };
    const { timestamp: _, cli_version: __, ...meta } = await t.store.header(id);
    assert.deepEqual(meta, {
      id,
      session_id: t.lead.id,
      parent_thread_id: t.lead.id,
      cwd: "/work",
      originator: "skein",
      source: {
        subagent: {
          thread_spawn: {
            parent_thread_id: t.lead.id,
            depth: 1,
            agent_path: null,
            agent_nickname: nickname,
            agent_role: "worker",
          },
        },
      },
      thread_source: "subagent",
      agent_nickname: nickname,
      agent_role: "worker",
      model: "m2",
      model_provider: "scripted",
      reasoning_effort: "high",
    });
    const idsOf = async (query: object) => (await t.manager.listThreads(query)).threads.map(({ threadId }) => threadId);
    assert.deepEqual(await idsOf({}), [t.lead.id]);
    assert.deepEqual(await idsOf({ parentThreadId: t.lead.id }), [id]);
    assert.deepEqual(await idsOf({ sourceKinds: ["subagent"] }), [id]);
  });

  test("it is offered as a namespace; an agent that may start none is not offered it", async () => {
    await using t = await team({ lead: [[v1("spawn_agent", { message: "x" })]] });
    await t.lead.run("go");
    await until(() => t.requestsOf(t.agents()[0] ?? "").length > 0);
    const toolsOf = (id: string) => t.requestsOf(id)[0]?.tools ?? [];
    const [offered] = toolsOf(t.lead.id);
    assert.deepEqual(
      [offered?.type, offered?.name, offered?.type === "namespace" && offered.tools.map(({ name }) => name)],
      ["namespace", "multi_agent_v1", ["close_agent", "resume_agent", "send_input", "spawn_agent", "wait_agent"]],
    );
    assert.deepEqual(toolsOf(t.agents()[0] ?? ""), []);
  });

  test("wait gives the first of two that is done; an interrupted one is not; time runs out at ten seconds at the least", async () => {
    await using t = await team({
      lead: [
        [v1("spawn_agent", { message: "slow" }), v1("spawn_agent", { message: "quick" })],
        (ids) => [v1("wait_agent", { targets: ids })],
        ([slow]) => [v1("wait_agent", { targets: [slow], timeout_ms: 5 })],
      ],
      agent: (_, input) => (input === "slow" ? [hang()] : "quickly done"),
    });
    const run = t.lead.run("go");
    await until(() => t.outputs().length === 3);
    const [slow, quick] = t.agents() as [ThreadId, ThreadId];
    assert.deepEqual(t.results()[2], { status: { [quick]: { completed: "quickly done" } }, timed_out: false });
    await settled();
    await (await t.manager.getThread(slow)).interrupt();
    await t.clock.advanceAsync(9_999);
    assert.equal(t.outputs().length, 3);
    await t.clock.advanceAsync(1);
    await run;
    assert.deepEqual(t.results()[3], { status: {}, timed_out: true });
  });

  test("interrupt redirects an agent at once; the status that is told is `interrupted`, and the wait is for the new input", async () => {
    await using t = await team({
      lead: [
        [v1("spawn_agent", { message: "slow" })],
        ([id]) => [v1("send_input", { target: id, message: "now this", interrupt: true })],
        ([id]) => [v1("wait_agent", { targets: [id] })],
      ],
      agent: (_, input) => (input === "slow" ? [hang()] : `did: ${input}`),
    });
    await t.lead.run("go");
    const [id] = t.agents() as [ThreadId];
    assert.deepEqual(t.items()[1]?.agents_states, { [id]: "interrupted" });
    assert.deepEqual(t.results()[2], { status: { [id]: { completed: "did: now this" } }, timed_out: false });
    assert.deepEqual(noticesIn(t.requestsOf(t.lead.id).at(-1) ?? none), [
      { agent_path: id, status: { completed: "did: now this" } },
    ]);
  });

  test("the conversation goes with fork_context: what was said, and none of the work", async () => {
    await using t = await team({
      lead: [[say("let me see"), v1("spawn_agent", { message: "your part", fork_context: true })]],
    });
    await t.lead.run("the task");
    const [id] = t.agents() as [ThreadId];
    await until(() => t.requestsOf(id).length > 0);
    const [request] = t.requestsOf(id);
    assert.deepEqual(textsOf(request ?? none), ["the task", "let me see", "your part"]);
    assert.deepEqual(
      request?.input.filter(({ type }) => type !== "message"),
      [],
    );
    assert.equal((await t.store.header(id)).forked_from_id, t.lead.id);
  });

  test("items: texts, images, skills and mentions; the preview names them", async () => {
    const items = [
      { type: "text", text: "look" },
      { type: "skill", name: "s", path: "/p" },
      { type: "mention", name: "m", path: "app://x" },
      { type: "image", image_url: "data:image/png;base64,AAAA" },
      { type: "local_image", path: "/nosuch.png" },
    ];
    await using t = await team({ lead: [[v1("spawn_agent", { items })]] });
    await t.lead.run("go");
    assert.equal(
      t.items()[0]?.prompt,
      "look\n[skill:$s](/p)\n[mention:$m](app://x)\n[image]\n[local_image:/nosuch.png]",
    );
    await until(() => t.requestsOf(t.agents()[0] ?? "").length > 0);
    const input = t.requestsOf(t.agents()[0] ?? "")[0]?.input.findLast(({ type }) => type === "message");
    assert.match(JSON.stringify(input), /look.*could not be processed.*could not read the local image/);
  });
});

const none: Pick<ModelRequest, "input"> = { input: [] };
const preset = (model: string) => ({
  id: model,
  model,
  displayName: model,
  description: "",
  defaultReasoningEffort: "medium",
  supportedReasoningEfforts: [{ effort: "high", description: "" }],
  isDefault: true,
});
const models = { defaultModel: () => "m1", contextWindow: () => null, knows: () => true, noteEtag: () => {} };
