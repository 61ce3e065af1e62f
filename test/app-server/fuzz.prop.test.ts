/** The JSON-RPC surface under arbitrary input: no crash, no hang, every id answered exactly once, nothing left over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { type Json, TestClient } from "./test-client.ts";

const METHODS = [
  ...["initialize", "thread/start", "thread/resume", "thread/fork", "thread/list", "thread/loaded/list", "thread/read"],
  ...[
    "thread/turns/list",
    "thread/items/list",
    "thread/archive",
    "thread/unarchive",
    "thread/delete",
    "thread/unsubscribe",
  ],
  ...["thread/name/set", "thread/metadata/update", "thread/revert", "thread/rollback", "thread/compact/start"],
  ...[
    "thread/inject_items",
    "thread/search",
    "turn/start",
    "turn/steer",
    "turn/interrupt",
    "model/list",
    "skills/list",
  ],
  ...[
    "config/read",
    "config/value/write",
    "config/batchWrite",
    "configRequirements/read",
    "account/read",
    "account/logout",
  ],
  ...["account/login/start", "account/rateLimits/read", "getAuthStatus", "collaborationMode/list", "hooks/list"],
  ...["newConversation", "resumeConversation", "forkConversation", "listConversations", "getConversationSummary"],
  ...[
    "archiveConversation",
    "addConversationListener",
    "removeConversationListener",
    "sendUserMessage",
    "sendUserTurn",
  ],
  ...["interruptConversation", "userInfo", "getUserAgent", "no/such", "", "__proto__", "constructor"],
];

/** Stands for an id that the server has given out; chosen when the message is sent. */
const SOME_THREAD = "<thread>";
const SOME_TURN = "<turn>";
const value = fc.oneof(
  fc.constantFrom(SOME_THREAD, SOME_THREAD, SOME_TURN, "", "x", "/", "01999999-1111-7222-8333-444455556666"),
  fc.constantFrom(null, 0, -1, 1.5, 1e300, true, [], {}),
  fc.jsonValue({ maxDepth: 2 }),
);
const input = fc.constantFrom(
  [{ type: "text", text: "hi" }],
  [],
  [{ type: "text" }],
  [{ type: "image", url: "data:," }],
  "hi",
  null,
);
const params = fc.oneof(
  fc.record(
    {
      threadId: fc.oneof({ weight: 4, arbitrary: fc.constant(SOME_THREAD) }, { weight: 1, arbitrary: value }),
      conversationId: fc.oneof({ weight: 4, arbitrary: fc.constant(SOME_THREAD) }, { weight: 1, arbitrary: value }),
      input,
      items: fc.oneof(
        input,
        fc.constant([{ type: "text", data: { text: "v1" } }]),
        fc.constant([{ type: "message", role: "user", content: [] }]),
      ),
      turnId: value,
      expectedTurnId: value,
      lastTurnId: value,
      beforeTurnId: value,
      path: value,
      history: value,
      config: value,
      model: value,
      cwd: value,
      sandbox: value,
      ephemeral: fc.boolean(),
      excludeTurns: fc.boolean(),
      cursor: value,
      limit: value,
      sortDirection: value,
      numTurns: fc.integer({ min: -1, max: 5 }),
      name: value,
      overrides: value,
      keyPath: value,
      value,
      mergeStrategy: fc.constant("replace"),
      edits: value,
      clientInfo: fc.constant({ name: "again", version: "1" }),
      type: value,
      apiKey: value,
      subscriptionId: value,
    },
    { requiredKeys: [] },
  ),
  value,
  fc.constant(undefined),
);
const id = fc.oneof(fc.integer(), fc.string({ maxLength: 4 }));
const line = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .record({ method: fc.constantFrom(...METHODS), params })
      .map((message) => ({ kind: "request" as const, message })),
  },
  { weight: 2, arbitrary: fc.record({ id, result: value }).map((message) => ({ kind: "message" as const, message })) },
  {
    weight: 1,
    arbitrary: fc
      .record({ method: fc.constantFrom(...METHODS), params })
      .map((message) => ({ kind: "message" as const, message })),
  },
  { weight: 2, arbitrary: fc.string({ maxLength: 20 }).map((text) => ({ kind: "raw" as const, text })) },
  { weight: 1, arbitrary: fc.jsonValue().map((json) => ({ kind: "raw" as const, text: JSON.stringify(json) })) },
);

function known(client: TestClient, text: unknown): unknown {
  if (text !== SOME_THREAD && text !== SOME_TURN) return text;
  const ids = client.log.flatMap(({ result, params }: Json) =>
    text === SOME_THREAD
      ? [result?.thread?.id, result?.conversationId, params?.thread?.id]
      : [result?.turn?.id, params?.turn?.id],
  );
  return ids.findLast((each) => each !== undefined) ?? "x";
}

const chosen = (client: TestClient, given: unknown): unknown =>
  typeof given !== "object" || given === null || Array.isArray(given)
    ? known(client, given)
    : Object.fromEntries(Object.entries(given).map(([key, each]) => [key, known(client, each)]));

test("whatever a client sends", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 5, maxLength: 40 }), async (lines) => {
      const manager = await ThreadManager.create({ store: memoryStore(), config: { cwd: "/w" } });
      const server = createAppServer(manager, { cwd: "/w" });
      const wires = linkedWires();
      server.connect(wires.server);
      const client = new TestClient(wires.client);
      await client.initialize();
      await client.request("thread/start", {});
      const ids: string[] = [];
      for (const [index, each] of lines.entries()) {
        if (each.kind === "raw") client.raw(each.text);
        else if (each.kind === "message") client.send(each.message as Json);
        else {
          const name = `q${index}`;
          ids.push(name);
          client.send({ id: name, method: each.message.method, params: chosen(client, each.message.params) as Json });
          if (index % 3 === 0) await client.find((message) => message.id === name);
        }
      }
      for (const name of ids) await client.find((message) => message.id === name);
      const answers = ids.map(
        (name) => client.log.filter((message) => message.id === name && message.method === undefined).length,
      );
      assert.ok(answers.every((count) => count === 1));
      const open = client.log.reduce(
        (count, { method }) => count + (method === "turn/started" ? 1 : method === "turn/completed" ? -1 : 0),
        0,
      );
      assert.ok(open >= 0);
      const defects = client.log.filter(({ error }) => error?.data?.code === "internal_defect");
      assert.deepEqual(defects, []);
      await client.request("getUserAgent");
      client.close();
      assert.equal(server.connections, 0);
      await server.close();
      const report = await manager.shutdown();
      assert.deepEqual([report.failed, report.timedOut], [[], []]);
    }),
    { numRuns: 150 },
  );
});
