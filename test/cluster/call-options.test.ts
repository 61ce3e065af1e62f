/** A connection's calls refuse wrong options as a manager's do, and ask the engine nothing then. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect } from "../../src/cluster/index.ts";
import { REFUSED_OF_MANAGERS, REFUSED_OF_THREADS } from "../../src/cluster/refused-members.ts";
import { PROTOCOL_VERSION } from "../../src/cluster/wire.ts";
import { newThreadId } from "../../src/index.ts";
import { type Calls, MANAGER, namesAllMethods, refusesWrongOptions, THREAD } from "../manager/option-walk.ts";

const without = (calls: Calls, refused: object): Calls =>
  Object.fromEntries(Object.entries(calls).filter(([name]) => !(name in refused)));

const THREAD_CALLS: Calls = {
  ...without(THREAD, REFUSED_OF_THREADS),
  refresh: (o, { t }) => t.refresh(o),
  askServer: (o, { t }) => t.askServer({ server: "x", tool: "y" }, o),
};
const CLUSTER_CALLS = without(MANAGER, REFUSED_OF_MANAGERS);

/** Methods that take no options, and those for the connection alone. */
const PLAIN = {
  thread: ["budget", "setPriority", "cancelTimer", "monitors", "subscribe"],
  cluster: ["descendants", "ancestors", "close"],
};
const INNER = {
  thread: ["disconnect", "takeLook", "look", "lines", "note", "noteState", "submitAfter", "receive"],
  cluster: ["hear", "finish"],
};

const refusedCalls = (table: Readonly<Record<string, readonly [kind: string, why: string]>>): string[] =>
  Object.keys(table).filter((name) => table[name]?.[0] !== "value");

test("every call over a connection refuses options that it does not know, and what are no options, before anything is sent", async (t) => {
  const threadId = newThreadId();
  let asked = 0;
  const facts = { threadId, epoch: 1, status: "pending_init", config: {}, tokenUsage: null, position: 1 };
  const configured = { type: "session_configured", session_id: threadId, rollout_path: null };
  const note = { protocol: PROTOCOL_VERSION, config: {}, state: "open", run: null, facts: { ...facts, configured } };
  const engine = createServer((request, response) => {
    asked += 1;
    request.resume().on("end", () => response.end(JSON.stringify({ note, position: 1 })));
  });
  await new Promise<void>((resolve) => engine.listen(0, "127.0.0.1", resolve));
  t.after(() => engine.close());
  const address = engine.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await using cluster = connect({ ingress: `http://127.0.0.1:${port}` });
  const thread = await cluster.getThread(threadId);
  const on = { m: cluster, t: thread, id: newThreadId() };
  for (const [which, of, calls, refused] of [
    ["thread", thread, THREAD_CALLS, REFUSED_OF_THREADS],
    ["cluster", cluster, CLUSTER_CALLS, REFUSED_OF_MANAGERS],
  ] as const) {
    namesAllMethods(which, of, [...Object.keys(calls), ...PLAIN[which], ...INNER[which], ...refusedCalls(refused)]);
    await refusesWrongOptions(which, calls, on);
  }
  assert.equal(asked, 1);
});
