/** A process that is killed at each step of a turn, on a real server: whoever loads its threads goes on with them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { KILLS, playChaos } from "../recovery/chaos.ts";
import { killedAt, tempFolder } from "../recovery/killed.ts";
import { liveOn } from "../recovery/lives.ts";
import { dyingSteps } from "../recovery/steps.ts";
import { PostgresServer } from "./server.ts";

let server: PostgresServer;
let left: Awaited<ReturnType<typeof killedAt>> = new Map();
const schema = "recovery";
before(async () => {
  server = await PostgresServer.start();
  left = await killedAt(dyingSteps, { kind: "postgres", place: server.connectionString, schema });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  for (const { folder } of left.values()) folder[Symbol.dispose]();
});

test(`two processes, ${KILLS} kills under turns and forks: each open turn goes on exactly once`, async () => {
  using folder = tempFolder();
  const place = { kind: "postgres", place: server.connectionString, schema: "chaos" } as const;
  const store = postgresStore({ connectionString: place.place, schema: place.schema });
  await playChaos(store, place, folder.path);
  assert.deepEqual((await store.verify()).faults, []);
  await store.close();
});

test(`two processes under ${KILLS} kills that take threads from each other and stand still, while their connections are ended and the server is killed: each open turn goes on exactly once`, async (t) => {
  using folder = tempFolder();
  const place = { kind: "postgres", place: server.connectionString, schema: "weather" } as const;
  const store = postgresStore({ connectionString: place.place, schema: place.schema });
  const endConnections = () =>
    server.admin((admin) =>
      admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skein' AND random() < 0.5",
      ),
    );
  const killServer = async () => {
    await server.kill();
    await server.start();
  };
  const seen = await playChaos(store, place, folder.path, [endConnections, killServer]);
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.troubles > 0, "nothing befell the store");
  assert.deepEqual((await store.verify()).faults, []);
  await store.close();
});

for (const step of dyingSteps) {
  test(step.name, async () => {
    const { threadId, folder } = left.get(step) ?? {};
    assert.ok(threadId !== undefined && folder !== undefined);
    const store = postgresStore({ connectionString: server.connectionString, schema });
    await liveOn(step, { store, folder: folder.path, threadId });
    await store.close();
  });
}
