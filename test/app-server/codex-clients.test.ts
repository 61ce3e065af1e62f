/** What real clients of Codex have been seen to need; `test/clients` tries those themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "./test-client.ts";

test("each row of items/list has the times of its item", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hello");
  const { data } = await client.request("thread/items/list", { threadId: thread.id });
  assert.equal(data.length, 2);
  for (const { item, startedAtMs, completedAtMs } of data) {
    assert.deepEqual(
      { startedAtMs, completedAtMs },
      { startedAtMs: item.startedAtMs, completedAtMs: item.completedAtMs },
    );
    assert.equal(typeof completedAtMs, "number");
  }
});

test("the user agent names the Codex whose protocol is spoken, so that no client takes the server for outdated", async () => {
  await using served = await serve();
  const client = served.connect();
  const { userAgent } = await client.initialize({}, "codex-tui");
  assert.match(userAgent, /^codex-tui\/0\.169\.0 \(.+\) skein\/\d+\.\d+\.\d+ \(codex-tui; 1\.0\.0\)$/);
});
