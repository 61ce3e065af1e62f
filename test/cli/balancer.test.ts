/** What the balancer of a cluster on one machine does with a worker that is late, and with one that stands still. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Stream, connect, createServer, type ServerHttp2Stream } from "node:http2";
import { suite, test } from "node:test";
import { Balancer } from "../../src/cli/cluster/balancer.ts";

suite("a balancer", { timeout: 60_000 }, () => {
  test("gives a worker that is late nothing new and leaves it what it has; one that stays silent is cut off", async (t) => {
    const health: ServerHttp2Stream[] = [];
    const turns: ServerHttp2Stream[] = [];
    let isSilent = false;
    const worker = createServer();
    worker.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      if (headers[":path"] !== "/skein/health") turns.push(stream);
      else if (isSilent) health.push(stream);
      else stream.respond({ ":status": 200 }, { endStream: true });
    });
    await once(worker.listen(0, "127.0.0.1"), "listening");
    t.after(() => worker.close());
    const address = worker.address();
    assert.ok(typeof address === "object" && address !== null);
    await using balancer = await Balancer.listen({ patience: { answerMs: 100, silentMs: 1_000 } });
    await balancer.serve([`http://127.0.0.1:${address.port}`]);
    const client = connect(balancer.url);
    t.after(() => client.destroy());
    const ask = (): ClientHttp2Stream =>
      client.request({ ":path": "/turn", ":method": "POST" }).on("error", () => undefined);
    const statusOf = async (asked: ClientHttp2Stream) => {
      const [headers] = await once(asked, "response");
      return (headers as { ":status"?: number })[":status"];
    };

    const first = ask();
    await once(worker, "stream");
    while (turns.length === 0) await once(worker, "stream");
    isSilent = true;
    while (balancer.well > 0) await balancer.check();
    assert.equal(await statusOf(ask()), 503);
    assert.equal(turns[0]?.closed, false);
    turns[0]?.respond({ ":status": 200 });
    assert.equal(await statusOf(first), 200);
    turns[0]?.end();

    isSilent = false;
    while (balancer.well === 0) await balancer.check();
    const second = ask();
    while (turns.length < 2) await once(worker, "stream");
    isSilent = true;
    await once(turns[1] ?? second, "close");
    assert.equal(balancer.well, 0);
  });
});
