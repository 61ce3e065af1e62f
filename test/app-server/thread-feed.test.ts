import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../../src/app-server/connection.ts";
import { OUTBOX_LIMITS } from "../../src/app-server/outbox.ts";
import { ThreadFeed } from "../../src/app-server/thread-feed.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { TestClient } from "./test-client.ts";

function followed() {
  const wires = linkedWires();
  const client = new TestClient(wires.client);
  const unused = () => assert.fail("nobody asks for this");
  const server = { clock: systemClock, logger: silentLog, serve: unused, onAnswer: unused, onClosed: () => undefined };
  const connection = new Connection(wires.server, server, { ...OUTBOX_LIMITS, inFlight: 1 });
  connection.introduce({
    client: { name: "c", title: null, version: "1" },
    experimentalApi: false,
    optOut: new Set(),
  });
  const feed = new ThreadFeed(newThreadId(), () => undefined);
  return { client, connection, feed, subscription: feed.subscribe(connection) };
}

test("what waits for an answer comes in its order, questions too", () => {
  const { client, connection, feed, subscription } = followed();
  subscription.isV2 = true;
  const release = feed.hold(connection);
  feed.tell({ method: "item/started", params: {} });
  feed.ask(connection, { id: 0, method: "item/commandExecution/requestApproval", params: {} });
  feed.tell({ method: "serverRequest/resolved", params: {} });
  assert.deepEqual(client.methods, []);
  release();
  feed.ask(connection, { id: 1, method: "item/fileChange/requestApproval", params: {} });
  assert.deepEqual(client.methods, [
    ...["item/started", "item/commandExecution/requestApproval", "serverRequest/resolved"],
    "item/fileChange/requestApproval",
  ]);
});

test("v1's listeners are told what 0.87 knows of", () => {
  const { client, feed, subscription } = followed();
  subscription.listeners.set("l", { rawItems: false });
  feed.tell(
    { method: "thread/status/changed", params: {} },
    { method: "item/started", params: { item: { type: "commandExecution" } } },
    { method: "item/started", params: { item: { type: "contextCompaction" } } },
    { method: "turn/completed", params: {} },
  );
  assert.deepEqual(client.methods, ["item/started", "turn/completed"]);
});
