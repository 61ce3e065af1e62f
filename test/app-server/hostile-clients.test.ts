/** What a client that has initialized can send, with everybody else served meanwhile. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { clientOver, serve } from "./test-client.ts";

const MIB = 1024 * 1024;

async function listening(t: TestContext) {
  const served = await serve();
  t.after(() => served[Symbol.asyncDispose]());
  const { url } = await served.server.listen("ws://127.0.0.1:0");
  return { ...served, url };
}

/** The status of the probe that whoever runs a server asks for. */
async function ready(url: string): Promise<number | undefined> {
  const request = get(`${url.replace("ws:", "http:")}/readyz`);
  const [response] = await once(request, "response");
  response.resume();
  return response.statusCode;
}

for (const [what, unit] of [
  ["brackets", "["],
  ["objects", '{"":'],
  ["a string without an end", '["'],
] as const) {
  test(`64 MiB of ${what}: the server is ready all the while, and the client goes on`, {
    timeout: 120_000,
  }, async (t) => {
    const { url } = await listening(t);
    const socket = new WebSocket(url);
    const client = await clientOver(socket);
    await client.initialize();
    const piece = unit.repeat(Math.floor(MIB / unit.length));
    for (let left = 64; left > 0; left -= 1) {
      const isLast = left === 1;
      await new Promise<unknown>((resolve) => socket.send(piece, { fin: isLast, binary: false }, resolve));
      if (left % 8 === 1) assert.equal(await ready(url), 200);
    }
    // What is no request has no answer. The next request is read after it.
    const listed = client.request("thread/list", {});
    assert.equal(await ready(url), 200);
    await listed;
    socket.close();
  });
}
