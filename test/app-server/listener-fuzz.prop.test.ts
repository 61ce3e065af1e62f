/** Bytes, not JSON: over a WebSocket's handshake and frames, a Unix socket and a stream of lines. A client beside works on. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import type { NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { listenOnStdio } from "../../src/app-server/transports/stdio.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { frame, portOf, rawSocket, upgradeRequest } from "./raw-client.ts";
import { serve, TestClient } from "./test-client.ts";

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
/** Some of a text's bytes are others. */
const spoilt = (whole: Buffer): fc.Arbitrary<Buffer> =>
  fc.array(fc.tuple(fc.nat(Math.max(0, whole.length - 1)), fc.nat(255)), { maxLength: 3 }).map((changes) => {
    const copy = Buffer.from(whole);
    for (const [at, byte] of changes) copy[at] = byte;
    return copy;
  });

const requests = fc.constantFrom(
  upgradeRequest(),
  upgradeRequest("Origin: http://x"),
  upgradeRequest("Sec-WebSocket-Extensions: permessage-deflate"),
  upgradeRequest("Sec-WebSocket-Protocol: a, b"),
  upgradeRequest().replace("websocket", "h2c"),
  upgradeRequest().replace("GET", "POST"),
  upgradeRequest().replace("13", "8"),
  "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
  "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
  "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
);
const handshake = requests.chain((text) => spoilt(Buffer.from(text, "latin1")));
const lines = fc.constantFrom(
  '{"id":1,"method":"initialize","params":{"clientInfo":{"name":"x","version":"1"}}}',
  '{"id":2,"method":"thread/start","params":{}}',
  '{"id":3,"method":"thread/list","params":{"limit":"x"}}',
  '{"id":4,"result":{}}',
);
const aFrame = fc
  .record({ payload: fc.oneof(bytes, lines.map(Buffer.from)), opcode: fc.nat(15), isFinal: fc.boolean() })
  .map(({ payload, ...options }) => frame(payload, options));
const textFrame = lines.map((text) => frame(Buffer.from(text)));
const ending = fc.constantFrom("end", "reset", "destroy", "keep");

const conversation = fc.oneof(
  fc.array(bytes, { maxLength: 5 }),
  fc.tuple(handshake, fc.array(bytes, { maxLength: 3 })).map(([first, rest]) => [first, ...rest]),
  fc
    .array(fc.oneof({ weight: 2, arbitrary: aFrame }, { weight: 3, arbitrary: textFrame.chain(spoilt) }), {
      maxLength: 8,
    })
    .map((frames) => [Buffer.from(upgradeRequest()), ...frames]),
);

async function stranger(target: NetConnectOpts, pieces: readonly Buffer[], end: string): Promise<void> {
  const socket = await rawSocket(target);
  if (end !== "keep") socket.resume();
  for (const piece of pieces) {
    socket.write(piece);
    await turn();
  }
  if (end === "end") socket.end();
  else if (end === "reset" && "port" in target) socket.resetAndDestroy();
  else if (end !== "keep") socket.destroy();
}

test("whatever bytes come over a socket, in whatever pieces, the other clients work on", {
  timeout: 120_000,
}, async (t) => {
  await using served = await serve({ server: { limits: { strangers: 16 } } });
  const folder = await mkdtemp(join(tmpdir(), "skein-fuzz-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "s");
  await served.server.listen(`unix://${path}`);
  const { url } = await served.server.listen("ws://127.0.0.1:0");
  const { thread } = await served.client.request("thread/start", {});
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(fc.tuple(conversation, ending), { maxLength: 6 }), async (isUnix, all) => {
      const target = isUnix ? { path } : { host: "127.0.0.1", port: portOf(url) };
      await Promise.all(all.map(([pieces, end]) => stranger(target, pieces, end)));
      const turnOf = await served.client.turn(thread.id, "go on");
      assert.equal(turnOf.status, "completed");
    }),
    { numRuns: 150 },
  );
});

test("whatever bytes come over stdio, in whatever pieces, the server answers what is a request", {
  timeout: 120_000,
}, async () => {
  const noise = fc.oneof(
    bytes,
    lines.chain((text) => spoilt(Buffer.from(`${text}\n`))),
  );
  const good = '{"id":"good","method":"initialize","params":{"clientInfo":{"name":"x","version":"1"}}}';
  await fc.assert(
    fc.asyncProperty(fc.array(noise, { maxLength: 8 }), fc.nat(20), async (pieces, cut) => {
      await using served = await serve();
      const input = new PassThrough();
      const output = new PassThrough();
      const accept = served.server.connect.bind(served.server);
      listenOnStdio({ input, output }, { accept, auth: {}, logger: silentLog, clock: systemClock });
      const client = new TestClient({
        send: () => undefined,
        close: () => undefined,
        onText: undefined,
        onClosed: undefined,
      });
      let rest = "";
      output.on("data", (chunk) => {
        const said = (rest + String(chunk)).split("\n");
        rest = said.pop() ?? "";
        for (const line of said) client.take(line);
      });
      const all = Buffer.concat([...pieces, Buffer.from(`\n${good}\n`)]);
      for (let at = 0; at < all.length; at += cut + 1) input.write(all.subarray(at, at + cut + 1));
      const { result, error } = await client.find(({ id }) => id === "good");
      assert.ok(result !== undefined || /Already initialized/.test(error?.message));
      input.destroy(new Error("the pipe broke"));
      output.destroy(new Error("this one too"));
      await turn();
      await turn();
      assert.equal(served.server.connections, 1);
    }),
    { numRuns: 60 },
  );
});
