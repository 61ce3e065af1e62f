/** What the tools for agents refuse: wrong arguments, unknown agents, and more than the limits allow (SPEC 14.4). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { call, hang } from "../../../../src/model/script.ts";
import { StoreIoError } from "../../../../src/protocol/errors.ts";
import type { ThreadId } from "../../../../src/protocol/ids.ts";
import { memoryStore } from "../../../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../../../src/store/thread-store.ts";
import { overlaid, until } from "../../../rig.ts";
import { team, v1 } from "./team.ts";

const U = "01999999-1111-7222-8333-444455556666";
const NOPE = "invalid agent id nope: Error(ParseChar { character: 'n', index: 1 })";

/** Refused before anything is told. */
const ARGUMENTS: readonly [tool: string, args: unknown, output: string | RegExp][] = [
  ["spawn_agent", {}, "Provide one of: message or items"],
  ["spawn_agent", { message: " \n" }, "Empty message can't be sent to an agent"],
  ["spawn_agent", { message: "a", items: [] }, "Provide either message or items, but not both"],
  ["spawn_agent", { items: [] }, "Items can't be empty"],
  ["spawn_agent", "{bad", /^failed to parse function arguments: /],
  ["spawn_agent", { message: 3 }, /^failed to parse function arguments: message: /],
  ["spawn_agent", { message: "a", agent_type: "nosuch" }, "unknown agent_type 'nosuch'"],
  ["send_input", { target: "nope", message: "x" }, NOPE],
  ["send_input", { target: "", message: "x" }, "invalid agent id : Error(ParseSimpleLength { len: 0 })"],
  ["send_input", { target: "1-2", message: "x" }, "invalid agent id 1-2: Error(ParseGroupCount { count: 2 })"],
  ["send_input", { target: U }, "Provide one of: message or items"],
  ["send_input", { message: "x" }, /^failed to parse function arguments: target: /],
  ["wait_agent", { targets: [] }, "agent ids must be non-empty"],
  ["wait_agent", {}, "agent ids must be non-empty"],
  ["wait_agent", { targets: ["nope"] }, NOPE],
  ["wait_agent", { targets: [U], timeout_ms: 0 }, "timeout_ms must be greater than zero"],
  ["wait_agent", { targets: [U], timeout_ms: -5 }, "timeout_ms must be greater than zero"],
  ["wait_agent", { targets: [U], timeout_ms: 1.5 }, /^failed to parse function arguments: timeout_ms: /],
  ["close_agent", { target: "nope" }, NOPE],
  ["resume_agent", { id: "nope" }, NOPE],
  ["resume_agent", {}, /^failed to parse function arguments: id: /],
  ["nosuch", {}, "unsupported call: multi_agent_v1nosuch"],
];

/** Refused after the item has begun: it ends as failed. */
const AGENTS: readonly [tool: string, args: unknown, output: string][] = [
  [
    "spawn_agent",
    { message: "a", model: "nosuch" },
    "Unknown model `nosuch` for spawn_agent. Available models: scripted",
  ],
  [
    "spawn_agent",
    { message: "a", reasoning_effort: "extreme" },
    "Reasoning effort `extreme` is not supported for model `scripted`. Supported reasoning efforts: ",
  ],
  ["send_input", { target: U, message: "x" }, `agent with id ${U} not found`],
  ["close_agent", { target: U }, `agent with id ${U} not found`],
  ["resume_agent", { id: U }, `agent with id ${U} not found`],
  ["wait_agent", { targets: [U] }, `{"status":{"${U}":"not_found"},"timed_out":false}`],
];

suite("refusals", () => {
  test("wrong arguments are told to the model, and to nobody else", async () => {
    await using t = await team({ lead: ARGUMENTS.map(([name, args]) => [v1(name, args)]) });
    assert.equal((await t.lead.run("go")).lastAgentMessage, "done");
    for (const [index, [name, args, expected]] of ARGUMENTS.entries()) {
      const output = t.outputs()[index] ?? "";
      if (typeof expected === "string") assert.equal(output, expected, `${name} ${JSON.stringify(args)}`);
      else assert.match(output, expected, `${name} ${JSON.stringify(args)}`);
    }
    assert.deepEqual([t.items(), await t.manager.listThreadIds()], [[], [t.lead.id]]);
  });

  test("what is wrong with the agent ends its item as failed", async () => {
    await using t = await team({ lead: AGENTS.map(([name, args]) => [v1(name, args)]) });
    await t.lead.run("go");
    assert.deepEqual(
      t.outputs(),
      AGENTS.map(([, , output]) => output),
    );
    assert.deepEqual(
      t.items().map(({ status }) => status),
      AGENTS.map(() => "failed"),
    );
    assert.deepEqual(await t.manager.listThreadIds(), [t.lead.id]);
  });

  test("without its namespace a tool is none, but for models that know no namespaces", async () => {
    await using t = await team({
      lead: [[call("spawn_agent", { message: "a" }), call("multi_agent_v1__spawn_agent", { message: "a" })]],
    });
    await t.lead.run("go");
    assert.equal(t.outputs()[0], "unsupported call: spawn_agent");
    assert.equal(t.agents().length, 1);
  });
});

suite("limits", () => {
  const spawn = (message: string) => v1("spawn_agent", { message });

  test("so many agents are open under a root, until one is closed; one that is done counts", async () => {
    await using t = await team({
      lead: [
        Array.from({ length: 6 }, (_, n) => spawn(`task ${n}`)),
        [spawn("seventh")],
        ([first]) => [v1("close_agent", { target: first })],
        [spawn("again")],
        ([first]) => [v1("resume_agent", { id: first })],
      ],
    });
    await t.lead.run("go");
    assert.equal(t.agents().length, 7);
    assert.deepEqual(
      [t.outputs()[6], t.outputs()[9]],
      ["collab spawn failed: agent thread limit reached", "collab tool failed: agent thread limit reached"],
    );
    const names = t.outputs().flatMap((text) => /"nickname":"([^"]+)"/.exec(text)?.[1] ?? []);
    assert.equal(new Set(names).size, 7);
  });

  test("the settings say how many, and how deep: each agent is offered the tools as long as it may start one", async () => {
    await using t = await team({
      lead: [[spawn("first")], ([id]) => [v1("wait_agent", { targets: [id] })]],
      agent: ({ input }, said) => (said === "first" && input.at(-1)?.type === "message" ? [spawn("second")] : "done"),
      config: { agentMaxDepth: 2, agentMaxThreads: 2 },
    });
    await t.lead.run("go");
    await until(() => t.model.requests.length >= 5);
    const [first] = t.agents() as [ThreadId];
    const below = t.manager.listThreads({ parentThreadId: first });
    const [second] = (await below).threads;
    assert.ok(second);
    const { source, session_id } = await t.store.header(second.threadId);
    assert.equal(session_id, t.lead.id);
    assert.equal(JSON.parse(JSON.stringify(source)).subagent.thread_spawn.depth, 2);
    const offered = [t.lead.id, first, second.threadId].map((id) => t.requestsOf(id)[0]?.tools.length);
    assert.deepEqual(offered, [1, 1, 0]);
  });

  test("an agent that could not be made takes no place", async () => {
    const inner = memoryStore();
    let isFull = true;
    const store = overlaid<ThreadStore>(inner, {
      create(meta, options) {
        if (meta.parent_thread_id === undefined || !isFull) return inner.create(meta, options);
        isFull = false;
        return Promise.reject(new StoreIoError("disk full"));
      },
    });
    await using t = await team({
      lead: [[spawn("a")], [spawn("b")], [spawn("c")]],
      store,
      config: { agentMaxThreads: 1 },
    });
    await t.lead.run("go");
    assert.deepEqual(
      t.items().map(({ status }) => status),
      ["failed", "completed", "failed"],
    );
    assert.deepEqual(
      [t.outputs()[0], t.outputs()[2]],
      ["collab spawn failed: disk full", "collab spawn failed: agent thread limit reached"],
    );
  });

  test("closing an agent closes those under it, and their places are free again", async () => {
    await using t = await team({
      lead: [
        [spawn("first")],
        ([id]) => [v1("wait_agent", { targets: [id] })],
        ([id]) => [v1("close_agent", { target: id })],
        [spawn("third"), spawn("fourth")],
      ],
      agent: ({ input }, said) =>
        said === "first" && input.at(-1)?.type === "message"
          ? [spawn("second")]
          : said === "second"
            ? [hang()]
            : "done",
      config: { agentMaxDepth: 2, agentMaxThreads: 2 },
    });
    await t.lead.run("go");
    const [first, third, fourth] = t.agents();
    assert.ok(first && third && fourth, t.outputs().join("\n"));
    assert.deepEqual((await t.manager.listThreadIds()).toSorted(), [t.lead.id, third, fourth].toSorted());
  });

  test("an agent as deep as it goes is told to do the work itself", async () => {
    await using t = await team({
      lead: [[spawn("x")], ([id]) => [v1("resume_agent", { id })]],
      config: { agentMaxDepth: 0 },
    });
    await t.lead.run("go");
    assert.deepEqual(t.outputs(), [
      "unsupported call: multi_agent_v1spawn_agent",
      "unsupported call: multi_agent_v1resume_agent",
    ]);
  });
});
