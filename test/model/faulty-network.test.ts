import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { responsesClient } from "../../src/model/responses-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { EagerClock } from "./eager-clock.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { latch } from "./latch.ts";
import { created, ModelServer, message, type Reply, sse, streaming, wholeAnswer } from "./model-server.ts";
import { answer, asking, textDeltas } from "./requests.ts";

const BROKEN = "stream disconnected before completion: ";
const ODD_TEXT = ["naïve ", "日本語 ", "👩‍👩‍👧 ", "e\u0301 ", "\u2028end"];

/** Sends the start of an answer, in headers and text, and then nothing. */
const stalling =
  (text: string): Reply =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    if (text !== "") response.write(text);
  };

for (const bytes of [1, 2, 3, 7]) {
  test(`an answer that trickles in by ${bytes} bytes is whole, whatever it splits`, async () => {
    await using server = await ModelServer.start(streaming(wholeAnswer(...ODD_TEXT)));
    await using proxy = await FaultProxy.start(server.port, { kind: "trickle", bytes });
    const client = responsesClient({ baseUrl: proxy.baseUrl });
    assert.deepEqual(textDeltas(await answer(client)), ODD_TEXT);
    await client.close();
  });
}

test("an answer that is cut anywhere is a disconnected stream, or a failed connection", async () => {
  const text = wholeAnswer("one ", "two");
  await using server = await ModelServer.start(streaming(text));
  const seen = new Set<string>();
  for (const after of [0, 1, 40, 150, 200, 260, 400, 600]) {
    await using proxy = await FaultProxy.start(server.port, { kind: "cut", after });
    const client = responsesClient({ baseUrl: proxy.baseUrl, requestMaxRetries: 0 });
    await assert.rejects(answer(client), (error) => {
      assert.ok(error instanceof ModelError, String(error));
      assert.ok(error.retryable, error.message);
      seen.add(error.message.startsWith(BROKEN) ? "stream" : "connection");
      return true;
    });
    await client.close();
  }
  assert.deepEqual([...seen].sort(), ["connection", "stream"]);
});

test("what came before the cut is not lost", async () => {
  await using server = await ModelServer.start((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(wholeAnswer("ok"), () => response.destroy());
  });
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual(textDeltas(await answer(client)), ["ok"]);
  await client.close();
});

const silences: Record<string, Reply> = {
  "before the headers": () => {},
  "before the first event": stalling(""),
  "in the middle": stalling(sse(created, ...message("half").slice(0, 2))),
};

for (const [name, reply] of Object.entries(silences)) {
  test(`a server that falls silent ${name} is given up after the idle time`, async () => {
    await using server = await ModelServer.start(reply);
    const clock = new EagerClock({ longestMs: 0 });
    const client = responsesClient({ baseUrl: server.baseUrl, idleTimeoutMs: 40 });
    await assert.rejects(answer(client), {
      message: `${BROKEN}idle timeout waiting for SSE`,
      retryable: true,
      info: "other",
    });
    assert.equal(server.requests.length, 1);
    await server.disconnected();
    assert.equal(clock.pending, 0);
    await client.close();
  });

  test(`an abort closes the socket at once: ${name}`, async () => {
    await using server = await ModelServer.start((response, request) => {
      void reply(response, request);
      asked.open();
    });
    const asked = latch();
    const clock = new EagerClock({ longestMs: -1 });
    const client = responsesClient({ baseUrl: server.baseUrl, clock });
    const controller = new AbortController();
    const reason = { why: "enough" };
    const reading = answer(client, asking("x"), controller.signal);
    await asked.opened;
    controller.abort(reason);
    await assert.rejects(reading, (error) => error === reason);
    await server.disconnected();
    assert.deepEqual([clock.pending, getEventListeners(controller.signal, "abort").length], [0, 0]);
    await client.close();
  });
}

test("a stalled connection is given up too, though its server is not to blame", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer("one")));
  await using proxy = await FaultProxy.start(server.port, { kind: "stall", after: 250 });
  const client = responsesClient({ baseUrl: proxy.baseUrl, idleTimeoutMs: 40 });
  await assert.rejects(answer(client), { message: `${BROKEN}idle timeout waiting for SSE` });
  await client.close();
});

test("an abort between two events closes the socket at once, and rejects at the next", async () => {
  await using server = await ModelServer.start(stalling(sse(created, ...message("half").slice(0, 2))));
  const client = responsesClient({ baseUrl: server.baseUrl });
  const controller = new AbortController();
  const events = client.stream(asking("x"), { signal: controller.signal })[Symbol.asyncIterator]();
  for (let n = 0; n < 3; n++) await events.next();
  controller.abort("enough");
  await server.disconnected();
  await assert.rejects(events.next(), (error) => error === "enough");
  await client.close();
});

test("a consumer that leaves early closes the socket", async () => {
  await using server = await ModelServer.start(stalling(sse(created, ...message("half").slice(0, 2))));
  const client = responsesClient({ baseUrl: server.baseUrl });
  for await (const event of client.stream(asking("x"), new AbortController())) if (event.type === "text_delta") break;
  await server.disconnected();
  await client.close();
});

test("an abort before the request keeps it from being sent", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const client = responsesClient({ baseUrl: server.baseUrl });
  await assert.rejects(answer(client, asking("x"), AbortSignal.abort("early")), (error) => error === "early");
  const controller = new AbortController();
  const reading = answer(client, asking("x"), controller.signal);
  controller.abort("soon");
  await assert.rejects(reading, (error) => error === "soon");
  assert.equal(server.requests.length, 0);
  await client.close();
});

test("an abort ends the pause between two tries", async () => {
  const failed = latch();
  await using server = await ModelServer.start((response) => void response.writeHead(500).end(() => failed.open()));
  const clock = new EagerClock({ longestMs: -1 });
  const client = responsesClient({ baseUrl: server.baseUrl, clock });
  const controller = new AbortController();
  const reading = answer(client, asking("x"), controller.signal);
  await failed.opened;
  controller.abort("enough");
  await assert.rejects(reading, (error) => error === "enough");
  assert.equal(clock.pending, 0);
  await client.close();
});

test("an abort ends the wait for a key", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const asked = latch();
  const apiKey = () => {
    asked.open();
    return new Promise<string>(() => {});
  };
  const client = responsesClient({ baseUrl: server.baseUrl, apiKey });
  const controller = new AbortController();
  const reading = answer(client, asking("x"), controller.signal);
  await asked.opened;
  controller.abort("enough");
  await assert.rejects(reading, (error) => error === "enough");
  await client.close();
});

test("closing the client ends what is under way, and refuses more", async () => {
  const asked = latch();
  await using server = await ModelServer.start((response, request) => {
    void stalling(sse(created))(response, request);
    asked.open();
  });
  const client = responsesClient({ baseUrl: server.baseUrl });
  const reading = assert.rejects(answer(client), { message: "the model client is closed" });
  await asked.opened;
  await client.close();
  await reading;
  await server.disconnected();
  await assert.rejects(answer(client), { message: "the model client is closed", retryable: false });
  await client.close();
});

test("closing the client ends a pause between two tries", async () => {
  const failed = latch();
  await using server = await ModelServer.start((response) => void response.writeHead(500).end(() => failed.open()));
  const clock = new EagerClock({ longestMs: -1 });
  const client = responsesClient({ baseUrl: server.baseUrl, clock });
  const reading = assert.rejects(answer(client), { message: "the model client is closed" });
  await failed.opened;
  await client.close();
  await reading;
  assert.equal(clock.pending, 0);
});

test("a reader that is slower than the server holds the server back", async () => {
  const chunk = sse(...message("x".repeat(64 * 1024)).slice(1, 2));
  let written = 0;
  await using server = await ModelServer.start((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const more = () => {
      if (response.destroyed) return;
      written += chunk.length;
      response.write(chunk);
    };
    response.on("drain", more);
    more();
  });
  const client = responsesClient({ baseUrl: server.baseUrl });
  const events = client.stream(asking("x"), new AbortController())[Symbol.asyncIterator]();
  await events.next();
  await events.next();
  // The buffers of the two sockets take some megabytes too; a reader that did not hold back would take gigabytes.
  const taken = await unchanging(() => written);
  assert.ok(taken < 64 * 1024 * 1024, `${taken} bytes were taken`);
  await events.return?.();
  await server.disconnected();
  await client.close();
});

test("nothing is left after many answers of every kind", async () => {
  const replies: Reply[] = [
    streaming(wholeAnswer("ok")),
    streaming(sse(created)),
    stalling(wholeAnswer("ok")),
    (response) => void response.destroy(),
    (response) => void response.writeHead(400).end("no"),
  ];
  let n = 0;
  await using server = await ModelServer.start((response, request) =>
    replies[n++ % replies.length]?.(response, request),
  );
  const before = resources();
  const client = responsesClient({ baseUrl: server.baseUrl, requestMaxRetries: 0 });
  const controller = new AbortController();
  for (let round = 0; round < 10; round++) {
    const asking20 = Array.from({ length: 10 }, () => answer(client, asking("x"), controller.signal));
    await Promise.allSettled(asking20);
  }
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  await client.close();
  await server.disconnected();
  assert.deepEqual(resources(), before);
});

/** The value once the event loop has turned many times without changing it, or once it is plainly too large. */
async function unchanging(read: () => number): Promise<number> {
  let value = read();
  for (let turns = 0; turns < 50 && value < 256 * 1024 * 1024; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (read() !== value) turns = 0;
    value = read();
  }
  return value;
}

/** What would keep the process alive. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) {
    if (name === "TCPSocketWrap" || name === "Timeout") counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
