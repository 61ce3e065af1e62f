/** An MCP server over HTTP that has forgotten its session is initialised anew, and the call that found out is made again. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { bench } from "./tool-turn.ts";

type Refusal = { readonly status: number; readonly body: string };

async function forgetful(
  t: TestContext,
  knows: (session: string) => boolean,
  refusal: Refusal = { status: 404, body: "{}" },
) {
  let sessions = 0;
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return void response.writeHead(405).end();
    const { id, method } = (await json(request)) as { id?: number; method: string };
    const answer = (result: object, headers = {}) =>
      response
        .writeHead(200, { "content-type": "application/json", ...headers })
        .end(JSON.stringify({ jsonrpc: "2.0", id, result }));
    const session = String(request.headers["mcp-session-id"]);
    if (method === "initialize") {
      sessions += 1;
      const told = {
        protocolVersion: "2025-06-18",
        capabilities: { tools: {} },
        serverInfo: { name: "f", version: "1" },
      };
      return void answer(told, { "mcp-session-id": `s${sessions}` });
    }
    if (method === "tools/call" && !knows(session)) {
      const body = refusal.body.replace('"id":null', `"id":${id}`);
      return void response.writeHead(refusal.status, { "content-type": "application/json" }).end(body);
    }
    if (id === undefined) return void response.writeHead(202).end();
    const tools = [{ name: "where", inputSchema: { type: "object" } }];
    return void answer(method === "tools/list" ? { tools } : { content: [{ type: "text", text: session }] });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  return { url, initialised: () => sessions };
}

const where = () => call("mcp__web__where");

test("a lost session is made anew once, for all calls that found out", async (t) => {
  const forgotten = new Set<string>();
  const { url, initialised } = await forgetful(t, (session) => !forgotten.has(session));
  const plays = [[where()], "one", [where(), where(), where()], "two"];
  const { thread, outputs } = await bench(t, plays, { mcpServers: { web: { url } } });
  await thread.run("go");
  forgotten.add("s1");
  await thread.run("again");
  assert.deepEqual(outputs(), ["s1", "s2", "s2", "s2"]);
  assert.equal(initialised(), 2);
});

const refusal = (code: number, message: string) =>
  JSON.stringify({ jsonrpc: "2.0", error: { code, message }, id: null });
/** What the SDKs' transports and examples say. */
const NO_SESSION = refusal(-32000, "Bad Request: No valid session ID provided");
const RESTARTED = refusal(-32000, "Bad Request: Server not initialized");
for (const [told, isAgain] of [
  [{ status: 400, body: NO_SESSION }, true],
  [{ status: 400, body: RESTARTED }, true],
  [{ status: 200, body: RESTARTED }, true],
  [{ status: 200, body: refusal(-32001, "Session not found") }, true],
  [{ status: 200, body: refusal(-32001, "Unknown or expired session") }, true],
  [{ status: 200, body: refusal(-32602, "no such table: sessions") }, false],
  [{ status: 410, body: "" }, true],
  [{ status: 400, body: "bad arguments" }, false],
  [{ status: 500, body: "session store is down" }, false],
] as const) {
  test(`refused with ${told.status} ${told.body.slice(0, 90)}, a call is ${isAgain ? "" : "not "}made again`, async (t) => {
    const forgotten = new Set(["s1"]);
    const { url, initialised } = await forgetful(t, (session) => !forgotten.has(session), told);
    const { thread, outputs } = await bench(t, [[where()], "one"], { mcpServers: { web: { url } } });
    await thread.run("go");
    assert.equal(initialised(), isAgain ? 2 : 1);
    assert.equal(outputs()[0] === "s2", isAgain);
  });
}

test("a server that knows no session is asked twice, and then its answer is the call's", async (t) => {
  const { url, initialised } = await forgetful(t, () => false);
  const { thread, outputs } = await bench(t, [[where()], "one"], { mcpServers: { web: { url } } });
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /^tool call error: /);
  assert.equal(initialised(), 2);
});
