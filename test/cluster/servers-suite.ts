/** MCP servers of the workers, asked by clients in no turn: with the answers of one process, each call made once, and given up by whoever asks. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, type TestContext, test } from "node:test";
import { ClusterThreads } from "../../src/app-server/cluster-threads.ts";
import { Server } from "../../src/app-server/server.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { readNote } from "../../src/cluster/wire.ts";
import {
  DeadlineExceededError,
  hang,
  InvalidRequestError,
  type McpServers,
  memoryStore,
  say,
  scriptedClient,
  ThreadClosedError,
} from "../../src/index.ts";
import { setUp } from "../../src/manager/options.ts";
import { type Json, TestClient } from "../app-server/test-client.ts";
import { everything, fixture } from "../turn/tools/mcp-servers.ts";
import { endEngine, testCluster } from "./two-workers.ts";
import { until } from "./until.ts";

const FORM = { message: "Who?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } };
const HANGING = { server: "fix", tool: "hang", arguments: { note: "called" } };

const model = scriptedClient(({ input }) => {
  const texts = JSON.stringify(input);
  if (texts.includes("and more")) return [say("with more")];
  return texts.includes("wait here") ? [hang()] : [say("at once")];
});

/** A cluster whose workers have these servers, and a Codex client over it. */
async function bench(t: TestContext, servers: (cwd: string) => McpServers, workers = 2) {
  const cwd = await mkdtemp(join(tmpdir(), "skein-servers-"));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  const store = memoryStore();
  const config = { cwd, approvalPolicy: "on-request" as const };
  const cluster = await testCluster(store, { model, config, mcpServers: servers(cwd) }, { workers });
  t.after(() => cluster[Symbol.asyncDispose]());
  const threads = new ClusterThreads(cluster.connect({ store }), setUp({ store, config }));
  const server = new Server({ threads, manager: undefined }, { cwd });
  t.after(async () => {
    await server.close();
    threads[Symbol.dispose]();
  });
  const connect = async () => {
    const wires = linkedWires();
    server.connect(wires.server);
    const client = new TestClient(wires.client);
    await client.initialize();
    return client;
  };
  const client = await connect();
  const { thread: started } = await client.request("thread/start", {});
  const threadId: string = started.id;
  const call = (server: string, tool: string, args?: unknown) =>
    client.request("mcpServer/tool/call", { threadId, server, tool, ...(args ? { arguments: args } : {}) });
  const said = async (method: string, params: Json): Promise<string> => {
    const { code, message } = await client.failure(method, { threadId, ...params });
    return `${code} ${message}`;
  };
  return {
    cluster,
    store,
    cwd,
    client,
    connect,
    threadId,
    call,
    said,
    thread: await cluster.connect().getThread(threadId),
  };
}

suite("MCP servers of workers", { timeout: 240_000 }, () => {
  after(endEngine);

  test("a tool is called and a resource read without a turn, and refusals say whose they are", async (t) => {
    const { call, said, client, threadId } = await bench(t, (cwd) => ({
      ...{ every: everything, broken: { command: "/nope/nope" }, off: { command: "nope", enabled: false } },
      fix: fixture("plain", cwd, { disabled_tools: ["huge"] }),
    }));
    assert.deepEqual(await call("every", "echo", { message: "hi" }), { content: [{ type: "text", text: "Echo: hi" }] });
    assert.equal((await call("fix", "fails")).isError, true);
    const refused = (server: string, tool: string, args?: unknown) =>
      said("mcpServer/tool/call", { server, tool, arguments: args });
    assert.equal(await refused("nope", "x"), "-32603 unknown MCP server 'nope'");
    assert.equal(await refused("off", "x"), "-32603 unknown MCP server 'off'");
    assert.match(await refused("broken", "x"), /^-32603 failed to get client: .*broken/);
    const failed = "-32603 tool call failed for `fix/";
    assert.equal(
      await refused("fix", "echo", "str"),
      `${failed}echo\`: MCP tool arguments must be a JSON object, got "str"`,
    );
    assert.equal(await refused("fix", "huge"), `${failed}huge\`: tool \`huge\` is disabled for MCP server \`fix\``);
    const uri = "demo://resource/static/document/features.md";
    const read = await client.request("mcpServer/resource/read", { threadId, server: "every", uri });
    assert.deepEqual([read.originCallId, read.contents[0].uri], [null, uri]);
    assert.match(await said("mcpServer/resource/read", { server: "every", uri: "x://nothing" }), /^-32602 .*not found/);
    assert.match(await said("mcpServer/resource/read", { server: "fix", uri: "x" }), /^-32601 /);
  });

  test("a call beside a turn is answered while that goes on, and may ask those who follow the thread", async (t) => {
    const { call, client, threadId } = await bench(t, (cwd) => ({ fix: fixture("asks", cwd) }));
    const { turn } = await client.request("turn/start", { threadId, input: [{ type: "text", text: "wait here" }] });
    await client.next("turn/started");
    const called = call("fix", "asks", FORM);
    const { id, params } = await client.next("mcpServer/elicitation/request");
    assert.deepEqual([params.threadId, params.mode, params.message], [threadId, "form", "Who?"]);
    client.send({ id: id as number, result: { action: "accept", content: { name: "Ada" } } });
    assert.deepEqual(JSON.parse((await called).content[0].text), { action: "accept", content: { name: "Ada" } });
    assert.ok(!client.methods.includes("turn/completed"));
    await client.request("turn/interrupt", { threadId, turnId: turn.id });
  });

  test("whoever gives a call up is told so at once, and the thread is at rest", async (t) => {
    const { cwd, store, thread } = await bench(t, (cwd) => ({ fix: fixture("plain", cwd) }));
    const enough = new AbortController();
    const called = thread.askServer(HANGING, { signal: enough.signal });
    await until(() => calls(cwd) === 1);
    enough.abort("enough");
    await assert.rejects(called, (error) => error === "enough");
    const isAtRest = async () => readNote(await store.notes?.read(thread.id, "cluster"))?.run === null;
    await until(isAtRest);
    await assert.rejects(thread.askServer(HANGING, { deadlineMs: 500 }), DeadlineExceededError);
    await until(isAtRest);
    await assert.rejects(thread.askServer(HANGING, { tool: "x" } as never), InvalidRequestError);
    await thread.shutdown();
    await assert.rejects(thread.askServer(HANGING), ThreadClosedError);
  });

  for (const beside of ["alone", "beside a turn"])
    test(`a call ${beside} whose worker ends is not made again, and says so; a turn goes on`, async (t) => {
      const { cluster, cwd, thread, store } = await bench(t, (cwd) => ({ fix: fixture("plain", cwd) }), 1);
      const turn = beside === "alone" ? undefined : thread.run("wait here");
      if (turn !== undefined) await until(async () => (await store.get(thread.id)).openTurn !== null);
      const called = thread.askServer(HANGING);
      await until(() => calls(cwd) === 1);
      const [first] = cluster.places;
      await cluster.add();
      cluster.balancer.targets.shift();
      await first?.worker.close({ deadlineMs: 0 });
      const answered = await called;
      assert.ok("refused" in answered);
      assert.match(answered.refused.message, /^tool call failed for `fix\/hang`: its worker ended/);
      assert.equal(calls(cwd), 1);
      await thread.submit({ type: "user_input", items: [{ type: "text", text: "and more" }] });
      assert.equal((await (turn ?? thread.run("and more"))).lastAgentMessage, "with more");
      const after = await thread.askServer({ server: "fix", tool: "fails" });
      assert.ok("answer" in after && after.answer.isError === true);
    });
});

/** How many processes of the fixture have been called by `HANGING`. */
const calls = (cwd: string): number => readdirSync(cwd).filter((name) => name.startsWith("called-")).length;
