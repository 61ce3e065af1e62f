/** MCP servers as clients see and use them, without a turn: held beside stock 0.171's answers for servers of the same kinds. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import type { McpServers } from "../../src/protocol/mcp-servers.ts";
import { everything, fixture } from "../turn/tools/mcp-servers.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve } from "./test-client.ts";

const FORM = { message: "Who?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } };

async function bench(t: TestContext, servers: (cwd: string) => McpServers) {
  const cwd = await folder(t);
  const config = { cwd, approvalPolicy: "on-request" as const, mcpServers: servers(cwd) };
  const served = await serve({ manager: { config }, server: { cwd } });
  t.after(() => served[Symbol.asyncDispose]());
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const said = async (method: string, params: Json): Promise<string> => {
    const { code, message } = await client.failure(method, params);
    return `${code} ${message}`;
  };
  const tool = (server: string, name: string, args?: unknown) =>
    client.request("mcpServer/tool/call", {
      threadId: thread.id,
      server,
      tool: name,
      ...(args ? { arguments: args } : {}),
    });
  return { ...served, cwd, thread, said, tool };
}

const all = (cwd: string): McpServers => ({
  every: everything,
  broken: { command: "/nope/nope" },
  off: { command: "nope", enabled: false },
  fix: fixture("plain", cwd, { disabled_tools: ["huge"] }),
  web: { url: "http://user:pass@127.0.0.1:9/mcp?x=1", bearer_token_env_var: "NOT_SET" },
});

test("servers are listed by name and by page, with what they offer, or why they cannot", async (t) => {
  const { client, said, thread } = await bench(t, all);
  const { data, nextCursor } = await client.request("mcpServerStatus/list", {});
  const by = Object.fromEntries(data.map((each: Json) => [each.name, each]));
  assert.deepEqual([Object.keys(by), nextCursor], [["broken", "every", "fix", "off", "web"], null]);
  assert.match(by.broken.toolsError, /failed to start/);
  assert.deepEqual([by.off.toolsError, by.off.tools, by.off.runtimeStatus], [null, {}, null]);
  assert.deepEqual([by.web.httpOrigin, by.web.authStatus], ["http://127.0.0.1:9", "bearerToken"]);
  const { serverInfo, serverCapabilities, tools, resources, resourceTemplates, ...rest } = by.every;
  assert.equal(serverInfo.websiteUrl, null);
  assert.ok(serverCapabilities.tools && tools.echo.inputSchema && resources.length > 0 && resourceTemplates.length > 0);
  const none = { environmentId: null, runtimeStatus: null, pluginId: null, httpOrigin: null, toolListMeta: null };
  assert.deepEqual(rest, { name: "every", ...none, toolsError: null, authStatus: "unsupported" });
  assert.equal(by.fix.tools.huge, undefined);

  const page = await client.request("mcpServerStatus/list", { limit: 1, cursor: "3" });
  assert.deepEqual([page.data[0].name, page.data.length, page.nextCursor], ["off", 1, "4"]);
  assert.equal(await said("mcpServerStatus/list", { cursor: "9" }), "-32600 cursor 9 exceeds total MCP servers 5");
  assert.deepEqual(await client.request("mcpServerStatus/list", { serverName: "nope" }), {
    data: [],
    nextCursor: null,
  });
  const own = { threadId: thread.id, detail: "toolsAndAuthOnly" };
  const states = (await client.request("mcpServerStatus/list", own)).data.map((each: Json) => each.runtimeStatus);
  assert.deepEqual(states, ["failed", "connected", "connected", "disabled", "failed"]);
  const [few] = (await client.request("mcpServerStatus/list", { ...own, serverName: "every" })).data;
  assert.deepEqual([few.resources, few.resourceTemplates, few.tools.echo.name], [[], [], "echo"]);
});

test("a tool is called and a resource read without a turn, and refusals say whose they are", async (t) => {
  const { client, said, thread, tool } = await bench(t, all);
  assert.deepEqual(await tool("every", "echo", { message: "hi" }), { content: [{ type: "text", text: "Echo: hi" }] });
  assert.equal((await tool("fix", "fails")).isError, true);
  const threadId = thread.id;
  const refused = (server: string, name: string, args?: unknown) =>
    said("mcpServer/tool/call", { threadId, server, tool: name, arguments: args });
  assert.equal(await refused("nope", "x"), "-32603 unknown MCP server 'nope'");
  assert.equal(await refused("off", "x"), "-32603 unknown MCP server 'off'");
  assert.match(await refused("broken", "x"), /^-32603 failed to get client: .*broken/);
  const failed = "-32603 tool call failed for `fix/";
  assert.equal(
    await refused("fix", "echo", "str"),
    `${failed}echo\`: MCP tool arguments must be a JSON object, got "str"`,
  );
  assert.equal(await refused("fix", "huge"), `${failed}huge\`: tool \`huge\` is disabled for MCP server \`fix\``);
  const { data } = await client.request("mcpServerStatus/list", { serverName: "every" });
  const { uri } = data[0].resources[0];
  for (const owner of [{}, { threadId }]) {
    const read = await client.request("mcpServer/resource/read", { ...owner, server: "every", uri });
    assert.deepEqual([read.originCallId, read.contents[0].uri], [null, uri]);
  }
  assert.match(await said("mcpServer/resource/read", { server: "every", uri: "x://nothing" }), /^-32602 .*not found/);
  assert.match(await said("mcpServer/resource/read", { server: "fix", uri: "x" }), /^-32601 /);
});

test("a call outside of a turn may ask the user too, and is cancelled where nobody follows", async (t) => {
  const { client, tool, thread, connect } = await bench(t, (cwd) => ({ fix: fixture("asks", cwd) }));
  const called = tool("fix", "asks", FORM);
  const { id, params } = await client.next("mcpServer/elicitation/request");
  assert.deepEqual([params.threadId, params.turnId, params.mode], [thread.id, null, "form"]);
  client.send({ id: id as number, result: { action: "accept", content: { name: "Ada" } } });
  assert.deepEqual(JSON.parse((await called).content[0].text), { action: "accept", content: { name: "Ada" } });
  const flags = client.log.flatMap(({ method, params: { status } = {} as Json }) =>
    method === "thread/status/changed" ? [status.activeFlags?.[0] ?? status.type] : [],
  );
  assert.deepEqual(flags, ["waitingOnApproval", "idle"]);
  const stranger = connect();
  await stranger.initialize();
  await client.request("thread/unsubscribe", { threadId: thread.id });
  const ask = { threadId: thread.id, server: "fix", tool: "asks", arguments: FORM };
  const { content } = await stranger.request("mcpServer/tool/call", ask);
  assert.deepEqual(JSON.parse(content[0].text), { action: "cancel" });
});

test("a thread's calls share its server's process, which ends when nobody uses it; a reload reaches threads that live", async (t) => {
  const { cwd, client, tool, thread, manager } = await bench(t, (at) => ({ fix: fixture("plain", at) }));
  const started = async () => (await readdir(cwd)).filter((name) => name.startsWith("server-")).length;
  await client.turn(thread.id, "go");
  for (const name of ["a", "b"]) await tool("fix", name);
  assert.equal(await started(), 1);
  const names = client.log.flatMap(({ method, params }) =>
    method === "mcpServer/startupStatus/updated" ? [[params.name, params.status, params.error]] : [],
  );
  assert.deepEqual(names, [
    ["fix", "starting", null],
    ["fix", "ready", null],
  ]);
  assert.deepEqual(await client.request("config/mcpServer/reload"), {});
  await client.turn(thread.id, "again");
  assert.deepEqual(Object.keys(manager.loadedThread(thread.id)?.config.mcpServers ?? {}), ["fix"]);
});
