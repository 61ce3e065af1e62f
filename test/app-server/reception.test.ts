/** Who comes in before the server is there. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Reception } from "../../src/app-server/reception.ts";
import { Server } from "../../src/app-server/server.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { ThreadManager } from "../../src/index.ts";
import { settled } from "../kernel/settled.ts";
import { TestClient } from "./test-client.ts";

const initialize = { method: "initialize", params: { clientInfo: { name: "early", version: "1" } } };
const answersOf = (client: TestClient) =>
  client.log.flatMap(({ id, error }) => (id === undefined ? [] : [[id, error?.message]]));

async function early() {
  const manager = await ThreadManager.create({ config: { cwd: "/", builtInTools: [] } });
  const reception = new Reception({ cwd: "/" });
  const { server: wire, client: end } = linkedWires();
  const client = new TestClient(end);
  reception.connect(wire);
  const open = () => new Server({ threads: manager, manager }, { cwd: "/" }, reception);
  const dispose = async () => {
    await reception.close();
    await manager.shutdown();
  };
  return { client, open, reception, [Symbol.asyncDispose]: dispose };
}

suite("a client that comes in before the server is there", () => {
  test("initialize is answered at once; what follows waits for the server, and is taken in its order", async () => {
    await using come = await early();
    const { client, open } = come;
    client.send({ id: 1, ...initialize });
    client.send({ method: "initialized" });
    client.send({ id: 2, method: "thread/loaded/list", params: {} });
    client.send({ id: 3, ...initialize });
    client.send({ id: 4, method: "nonsense" });
    await settled();
    assert.deepEqual(answersOf(client), [[1, undefined]]);
    await using _ = open();
    await settled();
    const answers = new Map(answersOf(client) as [number, string | undefined][]);
    assert.deepEqual([...answers.keys()].toSorted(), [1, 2, 3, 4]);
    assert.equal(answers.get(2), undefined);
    assert.equal(answers.get(3), "Already initialized");
    assert.match(answers.get(4) ?? "", /unknown variant `nonsense`/);
  });

  test("what came before its initialize is refused as that, and initialize does not overtake it", async () => {
    await using come = await early();
    const { client, open } = come;
    client.send({ id: 1, method: "thread/loaded/list", params: {} });
    client.send({ id: 2, ...initialize });
    await settled();
    assert.deepEqual(answersOf(client), []);
    await using _ = open();
    await settled();
    assert.deepEqual(answersOf(client), [
      [1, "Not initialized"],
      [2, undefined],
    ]);
  });

  test("one that has gone by then costs nothing, and is waited for by nobody", async () => {
    await using come = await early();
    const { client, open, reception } = come;
    client.send({ id: 1, ...initialize });
    client.send({ id: 2, method: "thread/loaded/list", params: {} });
    client.close();
    await settled();
    assert.equal(reception.connections.size, 0);
    await reception.whenIdle();
    await using server = open();
    await settled();
    assert.equal(server.connections, 0);
    assert.deepEqual(answersOf(client), [[1, undefined]]);
  });
});
