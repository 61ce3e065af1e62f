/** Clients that read slowly, not at all, or send nothing more: what they are owed comes, and none keeps a server for ever. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { LAST_ANSWERS_MS, STALLED_MS } from "../../src/app-server/connection.ts";
import { linkedWires, type Wire } from "../../src/app-server/wire.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { start } from "../cli/skein.ts";
import { tempFolder } from "../cli/temp-home.ts";
import { settled } from "../kernel/settled.ts";
import { serve, TestClient } from "./test-client.ts";

const LIMITS = { deltaBytes: 1_000, maxBytes: 1_000 };

/** A client whose line takes one message at a time, each when asked. */
async function slowClient() {
  const clock = new ManualClock();
  const served = await serve({ server: { clock, limits: LIMITS } });
  let isSlow = false;
  const wires = linkedWires({ isSlow: () => isSlow });
  served.server.connect(wires.server);
  const client = new TestClient(wires.client);
  await client.initialize();
  isSlow = true;
  return { ...served, clock, client, wire: wires.server as Wire, take: wires.drain };
}

/** All that has come is worked on: nothing of it waits for more than the event loop. */
async function worked(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await settled();
}

const answersIn = ({ log }: TestClient): number => log.filter(({ id }) => String(id).startsWith("m")).length;

test("a client that ends its input and reads slowly gets all its answers", async () => {
  const { client, wire, take, clock, server, ...served } = await slowClient();
  await using _served = served;
  for (let n = 0; n < 5; n += 1) client.send({ id: `m${n}`, method: "model/list", params: {} });
  wire.listener?.onEnded();
  for (let taken = 1; taken < 5; taken += 1) {
    await worked();
    assert.deepEqual([answersIn(client), server.connections], [taken, 2]);
    // Each piece has its time.
    await clock.advance(LAST_ANSWERS_MS - 1);
    take();
  }
  await worked();
  assert.deepEqual([answersIn(client), server.connections], [5, 1]);
});

test("one that ends its input and reads no further is given up", async () => {
  const { client, wire, clock, server, ...served } = await slowClient();
  await using _served = served;
  for (let n = 0; n < 5; n += 1) client.send({ id: `m${n}`, method: "model/list", params: {} });
  wire.listener?.onEnded();
  await clock.advance(LAST_ANSWERS_MS - 1);
  assert.equal(server.connections, 2);
  await clock.advance(1);
  assert.equal(server.connections, 1);
});

test("one that takes nothing of a full outbox is given up after ten minutes; one that is slow is not", async () => {
  const { client, take, clock, server, ...served } = await slowClient();
  await using _served = served;
  for (let n = 0; n < 9; n += 1) client.send({ id: `m${n}`, method: "model/list", params: {} });
  await worked();
  for (let n = 0; n < 3; n += 1) {
    await clock.advance(STALLED_MS - 1);
    assert.equal(server.connections, 2);
    take();
  }
  await clock.advance(STALLED_MS - 1);
  assert.equal(server.connections, 2);
  await clock.advance(1);
  assert.equal(server.connections, 1);
});

test("answers to requests from a file come whole, however slowly they are read", { timeout: 60_000 }, async (t) => {
  const child = start(["app-server", "--home", await tempFolder(t)]);
  t.after(() => child.kill("SIGKILL"));
  const clientInfo = { name: "t", version: "1" };
  const asked = Array.from({ length: 900 }, (_, id) => ({ id: id + 1, method: "model/list", params: {} }));
  const lines = [{ id: 0, method: "initialize", params: { clientInfo } }, { method: "initialized" }, ...asked];
  child.stdin.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const ended = once(child, "close");
  // Nothing is read before its input has been taken in.
  await once(child.stdin, "finish");
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  assert.deepEqual(await ended, [0, null]);
  const ids = text.split("\n").flatMap((line) => /"id":(\d+)/.exec(line)?.[1] ?? []);
  assert.equal(new Set(ids).size, 901);
});

test("output that nobody reads on does not keep a command whose reader said that it is done", {
  timeout: 60_000,
}, async () => {
  const module = new URL("../../src/cli/asked-end.ts", import.meta.url);
  const script = `const { loseUnread } = await import(${JSON.stringify(String(module))});
    process.stdout.write("x".repeat(4_000_000));
    loseUnread(process, 20);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "pipe"] });
  const [said] = await once(child.stderr, "data");
  assert.match(String(said), /^error: the output was not read: \d+ bytes of it are lost\n$/);
  assert.deepEqual(await once(child, "exit"), [1, null]);
});
