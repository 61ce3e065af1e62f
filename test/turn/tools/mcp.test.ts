/** MCP servers as tools: a real server from npm over both transports, and one that misbehaves. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { flatTools } from "../../../src/model/conversation.ts";
import { call, fail, raw } from "../../../src/model/script.ts";
import { ModelError } from "../../../src/protocol/model-error.ts";
import type { ResponseItem } from "../../../src/protocol/response-item.ts";
import { encodeLine } from "../../../src/store/rollout/codec.ts";
import { toolName } from "../../../src/turn/tools/mcp/mcp-names.ts";
import { everything, fixture, freePort, overHttp } from "./mcp-servers.ts";
import { gone, isRunning } from "./processes.ts";
import { bench, folder, kinds, nextOf } from "./tool-turn.ts";

const mcpEvents = (names: readonly string[]): string[] => names.filter((name) => name.startsWith("mcp_"));

test("a server's tools over stdio: names, events, output", async (t) => {
  const { thread, events, ofType, outputs, model } = await bench(
    t,
    [[call("mcp__every__echo", { message: "hi" }), call("mcp__every__get-sum", { a: 2, b: 40 })], "done"],
    { mcpServers: { every: everything } },
  );
  await thread.run("go");
  assert.deepEqual(outputs(), ["Echo: hi", "The sum of 2 and 40 is 42."]);
  const tools = flatTools(model.requests[0]?.tools ?? []);
  const echo = tools.find(({ name }) => name === "mcp__every__echo");
  assert.deepEqual([echo?.type, echo?.strict, typeof echo?.parameters.properties], ["function", false, "object"]);
  assert.deepEqual(mcpEvents(kinds(events)).slice(0, 3), [
    "mcp_startup_update",
    "mcp_startup_update",
    "mcp_startup_complete",
  ]);
  assert.deepEqual(
    ofType("mcp_startup_update").map(({ server, status }) => [server, status.state]),
    [
      ["every", "starting"],
      ["every", "ready"],
    ],
  );
  assert.deepEqual(ofType("mcp_startup_complete"), [
    { type: "mcp_startup_complete", ready: ["every"], failed: [], cancelled: [] },
  ]);
  const invocation = { server: "every", tool: "echo", arguments: { message: "hi" } };
  const [begin] = ofType("mcp_tool_call_begin");
  assert.deepEqual(begin, { type: "mcp_tool_call_begin", call_id: begin?.call_id, invocation });
  const end = ofType("mcp_tool_call_end").find(({ call_id }) => call_id === begin?.call_id);
  assert.deepEqual(
    [end?.invocation, end?.result],
    [invocation, { Ok: { content: [{ type: "text", text: "Echo: hi" }] } }],
  );
  const items = ofType("item_completed").map(({ item }) => item);
  assert.ok(items.some((item) => item.type === "McpToolCall" && "status" in item && item.status === "completed"));
});

test("a server's tools over streamable HTTP", async (t) => {
  const url = await overHttp(t);
  const { thread, outputs } = await bench(t, [[call("mcp__web__echo", { message: "over http" })], "done"], {
    mcpServers: { web: { url, startup_timeout_sec: 30 } },
  });
  await thread.run("go");
  assert.deepEqual(outputs(), ["Echo: over http"]);
});

const running = async (cwd: string): Promise<number[]> => {
  const names = (await readdir(cwd)).filter((name) => name.startsWith("server-"));
  const pids = names.map((name) => Number(name.slice("server-".length)));
  const states = await Promise.all(pids.map(isRunning));
  return pids.filter((_, index) => states[index]);
};

test("threads share a server; it ends with the last of them, and with all that it started", async (t) => {
  const cwd = await folder(t);
  const plays = [[call("mcp__fix__spawns")], "one", [call("mcp__fix__plain")], "two"];
  const { manager, thread, outputs } = await bench(t, plays, { cwd }, { mcpServers: { fix: fixture("plain", cwd) } });
  await thread.run("go");
  assert.deepEqual(outputs(), ["spawned"]);
  const { thread: second } = await manager.startThread({ cwd });
  await second.run("go");
  assert.equal((await running(cwd)).length, 1);
  const grandchild = Number(await readFile(join(cwd, "grandchild"), "utf8"));
  await thread.shutdown();
  assert.equal((await running(cwd)).length, 1);
  await second.shutdown();
  await manager.shutdown();
  assert.deepEqual(await running(cwd), []);
  assert.ok(await gone([grandchild]));
});

test("a thread without turns starts no server", async (t) => {
  const cwd = await folder(t);
  const { manager } = await bench(t, [], { cwd }, { mcpServers: { fix: fixture("plain", cwd) } });
  await manager.startThread();
  assert.deepEqual(await readdir(cwd), []);
});

test("servers that fail to start are told, and the turn goes on without them", async (t) => {
  const cwd = await folder(t);
  const { thread, ofType, model } = await bench(t, ["one", "two"], {
    cwd,
    builtInTools: [],
    mcpServers: {
      missing: { command: "/no/such/program" },
      exits: fixture("exits", cwd),
      silent: fixture("silent", cwd, { startup_timeout_sec: 0.2 }),
      refused: { url: `http://127.0.0.1:${await freePort()}/mcp` },
      secret: { url: "http://127.0.0.1:1/mcp", bearer_token_env_var: "NO_SUCH_TOKEN" },
      off: { command: "/no/such/program", enabled: false },
      spills: fixture("spills", cwd, { enabled_tools: ["fails"] }),
    },
  });
  assert.equal((await thread.run("go", { deadlineMs: 60_000 })).lastAgentMessage, "one");
  const [complete] = ofType("mcp_startup_complete");
  assert.deepEqual(complete?.ready, ["spills"]);
  const failed = new Map(complete?.failed.map(({ server, error }) => [server, error]));
  assert.deepEqual([...failed.keys()].sort(), ["exits", "missing", "refused", "secret", "silent"]);
  assert.match(failed.get("missing") ?? "", /^MCP client for `missing` failed to start: .*ENOENT/);
  assert.match(failed.get("silent") ?? "", /^MCP client for `silent` timed out after 0\.2 seconds/);
  assert.match(failed.get("secret") ?? "", /Environment variable NO_SUCH_TOKEN for MCP server 'secret' is not set$/);
  assert.deepEqual(
    model.requests[0]?.tools.map(({ name }) => name),
    ["mcp__spills__fails"],
  );
  await thread.run("again");
  assert.equal(ofType("mcp_startup_complete").length, 1);
});

test("what goes wrong in a call is its output; the server is there again for the next one", async (t) => {
  const cwd = await folder(t);
  const { thread, ofType, outputs } = await bench(
    t,
    [
      [call("mcp__fix__fails")],
      [call("mcp__fix__hang")],
      [call("mcp__fix__crash")],
      [call("mcp__fix__structured"), call("mcp__fix__env", "[]"), call("mcp__fix__env", "{")],
      [call("mcp__fix__huge", { bytes: 3_000_000 })],
      [call("mcp__fix__huge", { bytes: 20_000_000 })],
      "done",
    ],
    { cwd, mcpServers: { fix: fixture("plain", cwd, { tool_timeout_sec: 2 }) } },
  );
  assert.equal((await thread.run("go", { deadlineMs: 60_000 })).lastAgentMessage, "done");
  const [fails = "", hang = "", crash = "", structured = "", notObject = "", json = "", huge = "", gigantic = ""] =
    outputs();
  assert.equal(fails, "it did not work");
  assert.match(hang, /^tool call error: .*timed out/i);
  assert.match(crash, /^tool call error: .*closed/i);
  assert.equal(structured, '{"answer":42}');
  assert.match(notObject, /^failed to parse function arguments: /);
  assert.match(json, /^failed to parse function arguments: /);
  assert.ok(huge.length < 41_000 && /^x+…740000 tokens truncated…x+$/.test(huge), `${huge.length} characters`);
  assert.match(gigantic, /^tool call error: /);
  const ends = ofType("mcp_tool_call_end");
  assert.deepEqual(
    ends.map(({ result }) => Object.keys(result)[0]),
    ["Ok", "Err", "Err", "Ok", "Ok", "Err"],
  );
  assert.ok(ends.every((end) => JSON.stringify(end).length < 300_000));
});

test("a result that nests deeper than can be stored is cut there, and what the model says too", async (t) => {
  const cwd = await folder(t);
  const odd = { type: "future_item", nested: JSON.parse("[".repeat(3_000) + "]".repeat(3_000)) };
  const item = odd as unknown as ResponseItem;
  const { thread, outputs, events } = await bench(
    t,
    [[raw({ type: "item_done", item }), call("mcp__fix__deep")], "done"],
    { cwd, mcpServers: { fix: fixture("plain", cwd) } },
  );
  assert.equal((await thread.run("go", { deadlineMs: 60_000 })).lastAgentMessage, "done");
  assert.match(outputs()[0] ?? "", /\[+"\[left out: nested too deep to be stored\]"\]+/);
  for (const { msg } of events) encodeLine({ type: "event_msg", payload: msg }, "", 1);
});

test("an interrupt ends a call that never ends", async (t) => {
  const cwd = await folder(t);
  const { thread, outputs, events, ofType } = await bench(t, [[call("mcp__fix__hang")], "later"], {
    cwd,
    mcpServers: { fix: fixture("plain", cwd) },
  });
  const begun = nextOf(thread, "mcp_tool_call_begin");
  const turn = thread.run("go").catch(() => undefined);
  await begun;
  await thread.interrupt();
  await turn;
  assert.match(outputs()[0] ?? "", /^Wall time: [\d.]+ seconds\naborted by user$/);
  assert.deepEqual(ofType("mcp_tool_call_end")[0]?.result, { Err: "aborted by user" });
  assert.equal(kinds(events).at(-1), "turn_aborted");
  assert.equal((await thread.run("again")).lastAgentMessage, "later");
});

test("a thread that ends while its server starts leaves no process", async (t) => {
  const cwd = await folder(t);
  const { thread, manager } = await bench(t, ["never"], { cwd, mcpServers: { slow: fixture("silent", cwd) } });
  const starting = nextOf(thread, "mcp_startup_update");
  const turn = thread.run("go").catch(() => undefined);
  await starting;
  for (let tries = 0; tries < 1_000_000 && (await running(cwd)).length === 0; tries += 1);
  await manager.shutdown();
  await turn;
  assert.deepEqual(await running(cwd), []);
});

test("an interrupt also ends the wait for servers", async (t) => {
  const cwd = await folder(t);
  const { thread, events } = await bench(t, ["never"], { cwd, mcpServers: { slow: fixture("silent", cwd) } });
  const starting = nextOf(thread, "mcp_startup_update");
  const turn = thread.run("go").catch(() => undefined);
  await starting;
  await thread.interrupt();
  await turn;
  assert.equal(kinds(events).at(-1), "turn_aborted");
});

test("list_mcp_tools tells the tools; refresh_mcp_servers changes the servers of the next turn", async (t) => {
  const cwd = await folder(t);
  const { thread, model, ofType } = await bench(t, ["one", [call("mcp__fix__grow")], "two", "three"], {
    cwd,
    builtInTools: [],
    mcpServers: { fix: fixture("plain", cwd, { enabled_tools: ["grow", "grown", "odd name!"] }) },
  });
  const listed = nextOf(thread, "mcp_list_tools_response");
  await thread.submit({ type: "list_mcp_tools" });
  const answer = (await listed) as unknown as { tools: object; auth_statuses: object };
  const odd = toolName("fix", "odd name!");
  const isGrown = ({ name }: { name: string }) => name === "mcp__fix__grown";
  assert.match(odd, /^mcp__fix__odd_name__[0-9a-f]{12}$/);
  assert.deepEqual(Object.keys(answer.tools), ["mcp__fix__grow", odd]);
  assert.deepEqual(answer.auth_statuses, { fix: "unsupported" });
  await thread.run("one");
  assert.deepEqual(
    model.requests[0]?.tools.map(({ name }) => name),
    ["mcp__fix__grow", odd],
  );
  await thread.run("two");
  // The server's notice, and the client's look at the new list, race with the turns.
  for (let turns = 0; turns < 500 && !model.requests.at(-1)?.tools.some(isGrown); turns += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    await thread.run("more");
  }
  assert.ok(model.requests.at(-1)?.tools.some(isGrown));
  await thread.submit({
    type: "refresh_mcp_servers",
    config: { mcp_servers: {}, mcp_oauth_credentials_store_mode: "auto" },
  });
  await thread.run("three");
  assert.deepEqual(model.requests.at(-1)?.tools, []);
  const refused = nextOf(thread, "error");
  await thread.submit({
    type: "refresh_mcp_servers",
    config: { mcp_servers: { "no good": {} }, mcp_oauth_credentials_store_mode: "auto" },
  });
  assert.match((await refused).message, /mcpServers/);
  assert.equal(ofType("mcp_startup_complete").length, 1);
});

test("a server inherits a few variables, what its table names, and no secret", async (t) => {
  const cwd = await folder(t);
  const environment = { ...process.env, MY_KEY: "k", EXTRA: "e", PASSED: "p" };
  const { thread, outputs } = await bench(
    t,
    [[call("mcp__fix__env")], "done"],
    { cwd, mcpServers: { fix: fixture("plain", cwd, { env: { GIVEN: "g" }, env_vars: ["PASSED"] }) } },
    { environment },
  );
  await thread.run("go");
  const env = JSON.parse(outputs()[0] ?? "{}") as Record<string, string>;
  assert.deepEqual([env.MY_KEY, env.EXTRA, env.PASSED, env.GIVEN], [undefined, undefined, "p", "g"]);
  assert.equal(env.PATH, process.env.PATH);
});

test("names stay within what models accept, and apart", () => {
  assert.equal(toolName("s", "t"), "mcp__s__t");
  const long = toolName("server", "x".repeat(80));
  assert.ok(long.length === 64 && /^[a-zA-Z0-9_-]+$/.test(long));
  assert.notEqual(toolName("server", `${"x".repeat(80)}1`), toolName("server", `${"x".repeat(80)}2`));
  assert.notEqual(toolName("s", "a b"), toolName("s", "a_b"));
});

const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const image = (data: string, mimeType = "image/png") => ({ type: "image", data, mimeType });
const said = (text: string) => ({ type: "input_text", text });
const shown = { type: "input_image", image_url: `data:image/png;base64,${DOT}`, detail: "high" };
const omitted = said("image content omitted because it could not be processed");

test("a tool's pictures reach the model in their places, as what their bytes are; what is no picture is told of", async (t) => {
  const cwd = await folder(t);
  const contents = [
    [{ type: "text", text: "before" }, image(DOT), { type: "text", text: "after" }],
    [image(DOT, "image/jpeg"), image(DOT, "")],
    [image("AAAA"), image(""), image(Buffer.from("no picture").toString("base64")), image(DOT.slice(0, 40))],
    [{ type: "audio", data: "AAAA", mimeType: "audio/wav" }, image(DOT)],
    [image(DOT), { type: "text", text: "x".repeat(100_000) }],
  ];
  const calls = contents.map((content) => call("mcp__odd__pictures", { content }));
  const mcpServers = { odd: fixture("plain", cwd) };
  const { thread, model, ofType } = await bench(t, [calls, "done"], { mcpServers });
  await thread.run("go");
  const outputs = model.requests
    .at(-1)
    ?.input.flatMap((item) => (item.type === "function_call_output" ? [item.output] : []));
  const [inOrder, byBytes, broken, audio, long] = outputs ?? [];
  assert.deepEqual(inOrder, [said("before"), shown, said("after")]);
  assert.deepEqual(byBytes, [shown, shown]);
  assert.deepEqual(broken, [omitted, omitted, omitted, omitted]);
  assert.deepEqual(audio?.[1], shown);
  assert.match(JSON.stringify(audio?.[0]), /4 characters of base64/);
  assert.deepEqual([long?.length, long?.[1]], [2, shown]);
  assert.match(JSON.stringify(long?.[0]), /tokens truncated/);
  const [first] = ofType("mcp_tool_call_end");
  assert.deepEqual((first as { result?: { Ok?: { content?: unknown } } }).result?.Ok?.content, contents[0]);
});

test("a tool's picture that the model's server refuses is taken out of what is sent next, with a note", async (t) => {
  const cwd = await folder(t);
  const refused = fail(new ModelError("Invalid image in your last message.", { httpStatus: 400 }));
  const look = call("mcp__odd__pictures", { content: [image(DOT)] });
  const plays = [[look], [refused], "on we go"];
  const { thread, model } = await bench(t, plays, { mcpServers: { odd: fixture("plain", cwd) } });
  assert.equal((await thread.run("go")).status, "failed");
  assert.equal((await thread.run("on")).lastAgentMessage, "on we go");
  const sent = JSON.stringify(model.requests.at(-1)?.input);
  assert.doesNotMatch(sent, /input_image/);
  assert.match(sent, /server refused it.*pictures_omitted/);
});
