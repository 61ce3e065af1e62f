/** The `skein/` methods, over real connections: what is shown of a manager, and that to look changes nothing. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { WebSocket } from "ws";
import type { TREE_COLUMNS } from "../../src/app-server/studio/rows.ts";
import type { Access } from "../../src/app-server/studio/wire.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, hang, type Play, say, usage } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { StoreIoError } from "../../src/protocol/errors.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { until } from "../rig.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { clientOver, type Fixture, type Json, serve, TestClient } from "./test-client.ts";

const lastText = ({ input }: ModelRequest): string =>
  textOf(input.findLast((item) => item.type === "message") ?? (input[0] as never));

/** `hang` never ends, `ask` asks for a command, all else is answered. */
const model = () =>
  scriptedClient((request): Play => {
    const text = lastText(request);
    if (text === "hang") return [say("I begin"), hang()];
    if (text === "fail") throw new Error("the model is out");
    const isDone = request.input.at(-1)?.type === "function_call_output";
    if (text === "ask" && !isDone) return [call("shell_command", { command: "touch made.txt" }, { callId: "c1" })];
    return [say(`ack: ${text}`), usage({ input_tokens: 100, cached_input_tokens: 40, output_tokens: 7 })];
  });

const config = {
  cwd: tmpdir(),
  approvalPolicy: "untrusted",
  sandboxMode: "danger-full-access",
  builtInTools: ["shell"],
} as const;

const world = (more: Parameters<typeof serve>[0] = {}): Promise<Fixture> =>
  serve({ ...more, manager: { model: model(), config, ...more.manager } });

async function another(served: Fixture): Promise<TestClient> {
  const client = served.connect();
  await client.initialize();
  return client;
}

type Row = Record<(typeof TREE_COLUMNS)[number], Json>;
const rowsOf = ({ columns, rows }: Json): Row[] =>
  rows.map((row: Json[]) => Object.fromEntries(row.map((value, index) => [columns[index], value])));

const start = async (client: TestClient): Promise<ThreadId> => (await client.request("thread/start", {})).thread.id;
const say_ = (client: TestClient, threadId: string, text: string): Promise<Json> =>
  client.request("turn/start", { threadId, input: [{ type: "text", text }] });

test("they need the experimental capability", async () => {
  await using served = await world({ capabilities: {} });
  for (const method of ["skein/info/read", "skein/tree/watch", "skein/approvals/watch"]) {
    assert.match((await served.client.failure(method, {})).message, /requires experimentalApi capability/);
  }
});

test("the tree has all threads: without a word, agents, forks, ephemeral ones, page by page", async () => {
  await using served = await world();
  const { client, manager } = served;
  const root = await start(client);
  await client.turn(root, "hello there");
  const empty = await start(client);
  const fork = (await client.request("thread/fork", { threadId: root })).thread.id;
  const { threadId: ephemeral } = await manager.startThread({ ephemeral: true });
  const agents = manager.agentControl();
  const agent = await agents.spawnAgent(undefined, "go", { parentThreadId: root, agent: { role: "worker" } });
  await agents.waitFor([agent]);
  const page = await client.request("skein/tree/read", {});
  const rows = new Map(rowsOf(page).map((row) => [row.id, row]));
  assert.deepEqual(new Set(rows.keys()), new Set([root, empty, fork, ephemeral, agent]));
  assert.equal(rows.get(root)?.label, "hello there");
  assert.deepEqual([rows.get(root)?.tokensIn, rows.get(root)?.tokensCached, rows.get(root)?.tokensOut], [100, 40, 7]);
  assert.deepEqual([rows.get(agent)?.parentThreadId, rows.get(agent)?.role], [root, "worker"]);
  assert.deepEqual([rows.get(fork)?.forkedFromId, rows.get(fork)?.parentThreadId], [root, null]);
  const seen: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const next: Json = await client.request("skein/tree/read", { limit: 2, ...(cursor && { cursor }) });
    seen.push(...rowsOf(next).map(({ id }) => id));
    cursor = next.nextCursor;
  }
  assert.deepEqual(seen.toSorted(), [...rows.keys()].toSorted());
  const under = rowsOf(await client.request("skein/tree/read", { root }));
  assert.deepEqual(new Set(under.map(({ id }) => id)), new Set([root, fork, agent]));
});

test("a thread that no store lists keeps its place in the tree, whatever it says", async () => {
  const clock = new ManualClock({ startMs: 50_000 });
  await using served = await world({ manager: { clock } });
  const { client, manager } = served;
  await client.request("skein/tree/watch", {});
  const { thread } = await manager.startThread({ ephemeral: true });
  const madeAt = async () => rowsOf(await client.request("skein/tree/read", {}))[0]?.createdAt;
  const before = await madeAt();
  assert.equal(before, 50_000);
  clock.advance(7_000);
  await thread.run("hello");
  assert.equal(await madeAt(), before);
});

test("changes are told, each thread once as it is, and nothing runs after the last unwatch", async () => {
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({ server: { clock } });
  const { client } = served;
  const before = clock.pending;
  const watched = await client.request("skein/tree/watch", {});
  assert.equal(watched.resumed, false);
  const threadId = await start(client);
  await client.turn(threadId, "hello");
  await clock.advanceAsync(100);
  await settled();
  const { params } = await client.next("skein/tree/changed");
  assert.equal(params.rows.length, 1);
  assert.deepEqual([params.rows[0][0], params.rows[0][3], params.rows[0][8]], [threadId, "hello", "idle"]);
  assert.deepEqual(params.patches, []);
  await say_(client, threadId, "hang");
  await clock.advanceAsync(100);
  const { params: next } = await client.next("skein/tree/changed");
  assert.deepEqual(
    next.patches.map(([id, status]: Json[]) => [id, status]),
    [[threadId, "active"]],
  );
  assert.ok(next.seq > params.seq);
  assert.deepEqual(await client.request("skein/tree/unwatch", {}), { ended: true });
  assert.deepEqual(await client.request("skein/tree/unwatch", {}), { ended: false });
  const told = client.log.filter(({ method }) => method === "skein/tree/changed").length;
  await client.request("skein/subtree/interrupt", { root: threadId });
  await clock.advanceAsync(5_000);
  assert.equal(client.log.filter(({ method }) => method === "skein/tree/changed").length, told);
  assert.equal(clock.pending, before);
});

test("a client that was away gets what changed since, or is told to read all anew", async () => {
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({ server: { clock } });
  const { client } = served;
  const other = await another(served);
  await client.request("skein/tree/watch", {});
  const { instanceId, seq } = await other.request("skein/tree/watch", {});
  const threadId = await start(client);
  other.close();
  const again = await another(served);
  assert.equal((await again.request("skein/tree/watch", { since: { instanceId, seq } })).resumed, true);
  await clock.advanceAsync(100);
  const { params } = await again.next("skein/tree/changed");
  assert.deepEqual(
    params.rows.map(([id]: Json[]) => id),
    [threadId],
  );
  const stranger = await again.request("skein/tree/watch", { since: { instanceId: "another", seq } });
  assert.equal(stranger.resumed, false);
  await client.request("skein/tree/unwatch", {});
  await again.request("skein/tree/unwatch", {});
  const late = await again.request("skein/tree/watch", { since: { instanceId, seq: params.seq } });
  assert.equal(late.resumed, false, "nobody has looked in between");
});

test("a thread that is deleted is told as removed, one that leaves memory as not loaded", async (t) => {
  const home = await folder(t);
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({
    server: { home, clock },
    manager: { store: fileStore({ home }), model: model(), limits: { residentThreads: 1 } },
  });
  const { client } = served;
  await client.request("skein/tree/watch", {});
  const first = await start(client);
  await client.turn(first, "one");
  const second = await start(client);
  await client.turn(second, "two");
  await clock.advanceAsync(1_100);
  const rows = rowsOf(await client.request("skein/tree/read", {}));
  assert.deepEqual(
    rows.map(({ id, status }) => [id, status]),
    [
      [second, "idle"],
      [first, "notLoaded"],
    ],
  );
  await client.find(
    ({ method, params }) =>
      method === "skein/tree/changed" &&
      params.patches.some(([id, status]: Json[]) => id === first && status === "notLoaded"),
  );
  await client.request("thread/delete", { threadId: second });
  await clock.advanceAsync(1_100);
  await client.find(({ method, params }) => method === "skein/tree/changed" && params.removed.includes(second));
});

test("to watch a thread loads none, puts none out, asks nothing and follows no agents", async (t) => {
  const home = await folder(t);
  await using served = await world({
    server: { home },
    manager: { store: fileStore({ home }), model: model(), config, limits: { residentThreads: 2 } },
  });
  const { client, manager } = served;
  const ids: ThreadId[] = [];
  for (const text of ["one", "two", "three"]) {
    const id = await start(client);
    await client.turn(id, text);
    ids.push(id);
  }
  const resident = () => ids.filter((id) => manager.loadedThread(id) !== undefined);
  const before = resident();
  assert.equal(before.length, 2);
  const onlooker = await another(served);
  for (const threadId of ids) {
    const seen = await onlooker.request("skein/thread/watch", { threadId });
    assert.equal(seen.status, before.includes(threadId) ? "idle" : "notLoaded");
    await onlooker.request("skein/thread/events/read", { threadId });
    await onlooker.request("skein/thread/machine/watch", { threadId });
    assert.equal((await onlooker.request("thread/turns/list", { threadId })).data.length, 1);
  }
  assert.deepEqual(resident(), before);
  const [, , last = ""] = ids;
  await say_(client, last, "ask");
  const asked = await client.next("item/commandExecution/requestApproval");
  const agents = manager.agentControl();
  const agent = await agents.spawnAgent(undefined, "go", { parentThreadId: last as ThreadId });
  client.send({ id: asked.id as number, result: { decision: "decline" } });
  await onlooker.next("turn/completed", (params) => params.threadId === last);
  await agents.waitFor([agent]);
  assert.ok(!onlooker.methods.includes("item/commandExecution/requestApproval"));
  assert.ok(onlooker.methods.includes("item/agentMessage/delta"));
  assert.ok(!onlooker.log.some(({ params }) => params?.threadId === agent && params.turn !== undefined));
  assert.deepEqual(await onlooker.request("skein/thread/unwatch", { threadId: last }), { ended: true });
  const told = onlooker.log.length;
  await client.turn(last, "more");
  assert.deepEqual(
    onlooker.log.slice(told).filter(({ method }) => method?.startsWith("item/")),
    [],
  );
  assert.equal(
    (await onlooker.failure("skein/thread/watch", { threadId: crypto.randomUUID() })).data.code,
    "thread_not_found",
  );
});

test("to watch again is to go on watching, and to unsubscribe after a resume leaves the watch to be asked for anew", async () => {
  await using served = await world();
  const threadId = await start(served.client);
  const onlooker = await another(served);
  for (let times = 0; times < 3; times += 1) await onlooker.request("skein/thread/watch", { threadId });
  await served.client.turn(threadId, "one");
  await onlooker.next("turn/completed");
  await onlooker.request("thread/resume", { threadId, excludeTurns: true });
  await onlooker.request("thread/unsubscribe", { threadId });
  await onlooker.request("skein/thread/watch", { threadId });
  await served.client.turn(threadId, "two");
  await onlooker.next("turn/completed");
  assert.equal(onlooker.methods.filter((method) => method === "turn/completed").length, 2);
});

test("without deltas a watcher is told whole items", async () => {
  await using served = await world();
  const threadId = await start(served.client);
  const onlooker = await another(served);
  await onlooker.request("skein/thread/watch", { threadId, deltas: false });
  await served.client.turn(threadId, "some words to say");
  await onlooker.next("turn/completed");
  assert.ok(onlooker.methods.includes("item/completed"));
  assert.ok(!onlooker.methods.some((method) => /delta$/i.test(method)));
});

test("questions are seen whoever follows, and the first answer counts", async () => {
  await using served = await world();
  const { client } = served;
  const early = await start(client);
  await say_(client, early, "ask");
  const first = await client.next("item/commandExecution/requestApproval");
  const onlooker = await another(served);
  const { opened } = await onlooker.request("skein/approvals/watch", {});
  assert.deepEqual(
    opened.map(({ threadId, kind, command, callId }: Json) => ({ threadId, kind, command, callId })),
    [{ threadId: early, kind: "command", command: "touch made.txt", callId: "c1" }],
  );
  const { threadId: unfollowed, thread } = await served.manager.startThread();
  void thread.submit({ type: "user_input", items: [{ type: "text", text: "ask" }] });
  const { params } = await onlooker.next("skein/approvals/changed", ({ opened }) => opened.length > 0);
  assert.equal(params.opened[0].threadId, unfollowed);
  const answer = (threadId: string, decision = "accept") =>
    onlooker.request("skein/approvals/answer", { answers: [{ threadId, callId: "c1", decision }] });
  assert.equal((await answer(early)).answers[0].outcome, "accepted");
  assert.equal((await answer(early)).answers[0].outcome, "tooLate");
  await client.next("serverRequest/resolved", ({ requestId }) => requestId === first.id);
  await onlooker.find(
    ({ method, params }) =>
      method === "skein/approvals/changed" && params.resolved.some(({ threadId }: Json) => threadId === early),
  );
  assert.equal((await answer(unfollowed, "decline")).answers[0].outcome, "accepted");
  await client.next("turn/completed", ({ threadId }) => threadId === early);
  assert.equal((await answer(crypto.randomUUID())).answers[0].outcome, "tooLate");
});

test("figures come each second, with those of before; capacity without a bound is null", async () => {
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({ server: { clock } });
  const { client } = served;
  await client.request("skein/metrics/watch", {});
  const threadId = await start(client);
  await client.turn(threadId, "hello");
  await clock.advanceAsync(1_000);
  const { params } = await client.next("skein/metrics");
  assert.deepEqual(
    [params.tokens, params.turns],
    [
      { in: 100, cached: 40, out: 7 },
      { begun: 1, ended: 1, failed: 0 },
    ],
  );
  assert.equal(params.ttft.n, 1);
  assert.ok(params.events > 5 && params.rss > 0);
  assert.equal(params.capacity.residentThreads.used, 1);
  assert.deepEqual((await client.request("skein/metrics/read", {})).samples, [params]);
  assert.deepEqual((await client.request("skein/metrics/read", { since: params.t })).samples, []);
  const { residentThreads } = await client.request("skein/capacity/read", {});
  assert.ok(residentThreads.max === null || residentThreads.max > 0);
});

test("the machines come from the machines, once; a thread's states are told as they change", async () => {
  await using served = await world();
  const { client } = served;
  const { etag, machines } = await client.request("skein/machines/read", {});
  assert.deepEqual(Object.keys(machines).toSorted(), ["restart", "supervisor", "thread", "turn"]);
  const states = machines.turn.root.states.map(({ key }: Json) => key);
  assert.ok(states.includes("sampling") && states.includes("runningTools"), states.join());
  const text = JSON.stringify(machines);
  assert.ok(!text.includes("xstate.done"), "edges have words of their own");
  assert.deepEqual(await client.request("skein/machines/read", { etag }), { etag, machines: null });
  const threadId = await start(client);
  const first = await client.request("skein/thread/machine/watch", { threadId });
  assert.deepEqual([first.thread, first.turn], [{ open: { idle: "ready" } }, null]);
  await say_(client, threadId, "ask");
  const { params } = await client.next("skein/thread/machine/changed", ({ approvals }) => approvals === 1);
  assert.match(JSON.stringify(params.turn), /awaitingApproval/);
  assert.deepEqual(Object.keys(params).toSorted(), [
    "approvals",
    "at",
    "epoch",
    "retries",
    "thread",
    "threadId",
    "turn",
  ]);
});

test("a thread's events are read by epoch and seq, and what is gone is named", async () => {
  await using served = await world();
  const { client } = served;
  const threadId = await start(client);
  await client.turn(threadId, "hello");
  const all = await client.request("skein/thread/events/read", { threadId, limit: 1_000 });
  assert.equal(all.events[0].msg.type, "session_configured");
  assert.deepEqual(
    all.events.map(({ seq }: Json) => seq),
    [...Array(all.next).keys()],
  );
  const some = await client.request("skein/thread/events/read", {
    threadId,
    after: { epoch: all.epoch, seq: 2 },
    limit: 2,
  });
  assert.deepEqual([some.events.map(({ seq }: Json) => seq), some.read], [[3, 4], 5]);
  const turns = await client.request("skein/thread/events/read", { threadId, kinds: ["task_started"] });
  assert.equal(turns.events.length, 1);
  const earlier = await client.request("skein/thread/events/read", { threadId, after: { epoch: 99, seq: 4 } });
  assert.equal(earlier.events[0].seq, 0);
  const lines = await client.request("skein/rollout/read", { threadId });
  assert.equal(lines.lines[0].type, "session_meta");
  assert.equal(lines.next, null);
});

test("spans bound turns, requests, tools and waits", async () => {
  await using served = await world();
  const { client } = served;
  await client.request("skein/tree/watch", {});
  const threadId = await start(client);
  await say_(client, threadId, "ask");
  const asked = await client.next("item/commandExecution/requestApproval");
  client.send({ id: asked.id as number, result: { decision: "accept" } });
  await client.next("turn/completed");
  const { spans } = await client.request("skein/timeline/read", { root: threadId });
  const kinds = spans.map(([, kind]: Json[]) => kind);
  assert.deepEqual([...new Set(kinds)].toSorted(), ["approval", "model", "tool", "turn"]);
  assert.ok(spans.every(([id, , begun, end]: Json[]) => id === threadId && end >= begun));
  assert.deepEqual((await client.request("skein/timeline/read", { root: crypto.randomUUID() })).spans, []);
});

test("a turn that its thread's next life goes on with has a span for each life", async () => {
  const clock = new ManualClock({ startMs: 1_000_000 });
  const asked = scriptedClient([[say("I begin"), hang()], [say("done")]], { clock });
  await using served = await serve({
    manager: { clock, model: asked, config: { ...config, recovery: "continue" }, supervision: { backoffMs: 1 } },
  });
  const { client, manager } = served;
  await client.request("skein/tree/watch", {});
  const { thread } = await manager.startThread();
  const running = thread.run("go");
  await until(() => asked.asked === 1);
  (thread as LiveThread).incarnation.end("crashed", new Error("out of luck"));
  await clock.advanceAsync(5_000);
  await running;
  const { spans } = await client.request("skein/timeline/read", {});
  const turns = spans.filter(([, kind]: Json) => kind === "turn").map(([, , , , status]: Json) => status);
  assert.deepEqual(turns.toSorted(), ["completed", "lost"]);
});

test("a turn that waits for a place is seen to wait, and stands in line", async () => {
  await using served = await world({ manager: { limits: { runningTurns: 1 } } });
  const { client, manager } = served;
  await client.request("skein/tree/watch", {});
  const [first, second] = [await start(client), await start(client)];
  await say_(client, first, "hang");
  await until(() => manager.capacity().runningTurns.used === 1);
  await say_(client, second, "hello");
  await until(() => manager.capacity().runningTurns.waiting === 1);
  const [row] = rowsOf(await client.request("skein/tree/read", { root: second }));
  assert.match(row?.doing, /^waits for a place/);
  const standing = await client.request("skein/thread/standing/read", { threadId: second });
  assert.deepEqual([standing.placeInQueue, standing.priority > 0], [0, true]);
  await client.request("turn/interrupt", { threadId: first, turnId: manager.loadedThread(first)?.activeTurn?.turnId });
  await until(() => manager.loadedThread(second)?.activeTurn === undefined);
  const { spans } = await client.request("skein/timeline/read", { root: second });
  const slot = spans.find(([, kind]: Json[]) => kind === "slot");
  assert.ok(slot !== undefined && slot[3] >= slot[2], JSON.stringify(spans));
});

test("what ran before anybody looked is told by the threads' own lines; turns by their figures and prices", async (t) => {
  const home = await folder(t);
  const store = fileStore({ home });
  const prices = { scripted: { input: 10, cachedInput: 1, output: 100 } };
  await using served = await world({ manager: { store, prices } });
  const { client, manager } = served;
  const root = await start(client);
  await client.turn(root, "one");
  await client.turn(root, "two");
  const fork = (await client.request("thread/fork", { threadId: root })).thread.id;
  await client.turn(fork, "three");
  const lineOf = async (threadId: string) => (await client.request("skein/thread/figures/read", { threadId })).turns;
  const turns = await lineOf(root);
  const used = { tokensIn: 100, tokensCached: 40, tokensOut: 7, requests: 1, status: "completed", model: "scripted" };
  assert.equal(turns.length, 2);
  for (const turn of turns) {
    const { turnId, startedAt, durationMs, firstWordMs, cost, ...rest } = turn;
    assert.deepEqual(rest, used);
    assert.ok(turnId !== "" && startedAt > 0 && durationMs >= 0 && firstWordMs >= 0);
    assert.ok(Math.abs(cost - (60 * 10 + 40 * 1 + 7 * 100) / 1e6) < 1e-9);
  }
  assert.equal((await lineOf(fork)).length, 1, "what a fork inherits is its source's");
  const over = Date.now();
  await until(() => Date.now() > over);
  await client.request("skein/tree/watch", {});
  const [row] = rowsOf(await client.request("skein/tree/read", { root }));
  assert.ok(Math.abs(row?.cost - 2 * 0.00134) < 1e-9);
  const quiet = await client.request("skein/timeline/read", { root });
  assert.deepEqual([quiet.spans, quiet.earlier], [[], null]);
  const told = await client.request("skein/timeline/read", { root, earlier: true });
  assert.deepEqual(
    told.earlier.map(([, kind]: Json[]) => kind),
    ["turn", "model", "turn", "model"],
  );
  assert.ok(told.earlier.every(([id, , begun, end]: Json[]) => id === root && end >= begun && end <= told.now));
  await client.turn(root, "four");
  const both = await client.request("skein/timeline/read", { root, earlier: true });
  assert.equal(both.earlier.length, 4, "what runs since is told once");
  assert.equal(both.spans.filter(([, kind]: Json[]) => kind === "turn").length, 1);
  const standing = await client.request("skein/thread/standing/read", { threadId: root });
  assert.deepEqual([standing.epoch, standing.isHere, standing.holder?.pid], [1, true, process.pid]);
  assert.ok(standing.lines > 10 && standing.heldForMs >= 0 && standing.rolloutPath.endsWith(".jsonl"));
  assert.deepEqual([standing.restarts.state, standing.restarts.left], ["up", 3]);
  await manager.loadedThread(root)?.shutdown();
  const after = await client.request("skein/thread/standing/read", { threadId: root });
  assert.deepEqual([after.isHere, after.holder, after.saysHolder, after.epoch], [false, null, true, null]);
});

test("a model without a price costs nothing that is told, and figures told twice count once", async () => {
  const twice = usage({ input_tokens: 5, cached_input_tokens: 0, output_tokens: 1 });
  const model = scriptedClient((_, n) => (n % 2 === 0 ? [call("nothing", {}), twice] : [say("done"), twice]));
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({ server: { clock }, manager: { model } });
  const { client } = served;
  await client.request("skein/metrics/watch", {});
  const threadId = await start(client);
  await client.turn(threadId, "go");
  await clock.advanceAsync(1_000);
  const { params } = await client.next("skein/metrics");
  assert.deepEqual(params.tokens, { in: 10, cached: 0, out: 2 });
  const [row] = rowsOf(await client.request("skein/tree/read", { root: threadId }));
  assert.equal(row?.cost, null);
  const { turns } = await client.request("skein/thread/figures/read", { threadId });
  assert.deepEqual([turns[0].requests, turns[0].tokensIn, turns[0].cost], [2, 10, null]);
});

test("a whole tree is interrupted, and what had nothing to do is counted", async () => {
  await using served = await world();
  const { client, manager } = served;
  const root = await start(client);
  const agents = manager.agentControl();
  const busy = await agents.spawnAgent(undefined, "hang", { parentThreadId: root });
  const other = await start(client);
  await say_(client, other, "hang");
  await client.request("skein/tree/watch", {});
  assert.deepEqual(await client.request("skein/subtree/interrupt", { root }), { interrupted: [busy], idle: 1 });
  assert.notEqual(manager.loadedThread(other)?.activeTurn, undefined);
});

const heldTo = async (served: Fixture, access: Access): Promise<TestClient> => {
  const wires = linkedWires();
  served.server.connect({
    ...wires.server,
    access,
    get listener() {
      return wires.server.listener;
    },
    set listener(listener) {
      wires.server.listener = listener;
    },
  });
  const client = new TestClient(wires.client);
  await client.initialize();
  return client;
};

test("who may only look can call nothing else; who may ask, after it has asked", async () => {
  await using served = await world();
  const threadId = await start(served.client);
  await served.client.turn(threadId, "hello");
  const looking = await heldTo(served, "look");
  assert.equal((await looking.request("skein/info/read", {})).access, "look");
  assert.equal((await looking.request("thread/turns/list", { threadId })).data.length, 1);
  const refused = [
    "turn/start",
    "thread/resume",
    "thread/fork",
    "thread/delete",
    "config/read",
    "command/exec",
    "newConversation",
  ];
  for (const method of refused) {
    assert.match(
      (
        await looking.failure(
          method,
          method === "turn/start"
            ? { threadId, input: [] }
            : method === "command/exec"
              ? { command: ["ls"] }
              : method === "newConversation"
                ? {}
                : { threadId },
        )
      ).message,
      /may only look/,
    );
  }
  assert.match((await looking.failure("skein/acting/begin", {})).message, /read-only/);
  const asking = await heldTo(served, "ask");
  assert.match((await asking.failure("thread/compact/start", { threadId })).message, /skein\/acting\/begin/);
  await asking.request("skein/acting/begin", {});
  assert.equal((await asking.request("skein/info/read", {})).access, "act");
  await asking.request("thread/compact/start", { threadId });
});

test("over a real socket, a client that goes away leaves nothing behind", async () => {
  const clock = new ManualClock({ startMs: 1_000_000 });
  await using served = await world({ server: { clock } });
  const before = clock.pending;
  const listener = await served.server.listen("ws://127.0.0.1:0");
  const client = await clientOver(new WebSocket(listener.url));
  await client.initialize();
  for (const name of ["tree", "approvals", "metrics"]) await client.request(`skein/${name}/watch`, {});
  assert.ok(clock.pending > before);
  client.close();
  while (served.server.connections > 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(clock.pending, before);
});

test("a store that fails is told as that, and not as a thread that is not stored", async () => {
  const store = memoryStore();
  let isBroken = false;
  const broken = new Proxy(store, {
    get(target, name, receiver) {
      if (name === "get" && isBroken) return () => Promise.reject(new StoreIoError("the disk is gone"));
      const value: unknown = Reflect.get(target, name, receiver);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await using served = await world({ manager: { store: broken } });
  const { client, manager } = served;
  const threadId = await start(client);
  const { threadId: ephemeral } = await manager.startThread({ ephemeral: true });
  assert.equal((await client.request("skein/thread/standing/read", { threadId })).isHere, true);
  assert.equal((await client.request("skein/thread/standing/read", { threadId: ephemeral })).rolloutPath, null);
  isBroken = true;
  for (const method of ["skein/thread/standing/read", "skein/tree/read"]) {
    const params = method === "skein/tree/read" ? { root: threadId } : { threadId };
    const { message, data } = await client.failure(method, params);
    assert.match(message, /the disk is gone/, method);
    assert.equal(data.code, "store_io");
  }
  isBroken = false;
  assert.equal((await client.request("skein/thread/standing/read", { threadId })).epoch, 1);
});

test("a request's span has its tokens, cached ones apart; with `forks` a tree's timeline has its forks too", async () => {
  await using served = await world();
  const { client } = served;
  const before = await start(client);
  await client.turn(before, "unseen");
  const over = Date.now();
  await until(() => Date.now() > over);
  await client.request("skein/tree/watch", {});
  const fork = (await client.request("thread/fork", { threadId: before })).thread.id;
  await client.turn(fork, "of it");
  const second = (await client.request("thread/fork", { threadId: fork })).thread.id;
  await client.turn(second, "of the fork");
  const idsOf = (spans: Json[][]) => [...new Set(spans.map(([id]) => id))].toSorted();
  const plain = await client.request("skein/timeline/read", { root: before, earlier: true });
  assert.deepEqual(idsOf([...plain.spans, ...plain.earlier]), [before]);
  const { spans, earlier } = await client.request("skein/timeline/read", { root: before, earlier: true, forks: true });
  assert.deepEqual(idsOf(spans), [fork, second].toSorted());
  assert.deepEqual(idsOf(earlier), [before]);
  for (const [, kind, , , , , tokens] of [...spans, ...earlier])
    assert.deepEqual(tokens, kind === "model" ? [60, 40, 7] : null);
  const below = await client.request("skein/timeline/read", { root: fork, forks: true });
  assert.deepEqual(idsOf(below.spans), [fork, second].toSorted());
});

test("a question that was asked before anybody looked is told with its words", async () => {
  await using served = await world();
  const { client, manager } = served;
  const { thread } = await manager.startThread();
  void thread.run("ask").catch(() => undefined);
  await until(() => thread.pendingApprovals.length > 0);
  await client.request("skein/tree/watch", {});
  const [row] = rowsOf(await client.request("skein/tree/read", { root: thread.id }));
  assert.deepEqual([row?.status, row?.doing], ["waiting", "asks: touch made.txt"]);
});
