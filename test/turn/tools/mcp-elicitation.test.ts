/** What an MCP server asks the user in the middle of a call: over both transports, answered, dismissed, withdrawn, and never left waiting. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { call } from "../../../src/model/script.ts";
import type { Elicitation, ElicitationAnswer } from "../../../src/protocol/elicitation.ts";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import type { McpServerConfig } from "../../../src/protocol/mcp-servers.ts";
import type { ResolveElicitationOp } from "../../../src/protocol/op.ts";
import type { ThreadConfig } from "../../../src/protocol/thread-config.ts";
import type { Thread } from "../../../src/thread/thread.ts";
import { answerElicitation, CallTime, type OpenCall } from "../../../src/turn/tools/mcp/elicitation.ts";
import { overlaid } from "../../rig.ts";
import { everything, fixture, overHttp } from "./mcp-servers.ts";
import { bench, folder, nextOf } from "./tool-turn.ts";

const SCHEMA = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
const FORM = { message: "Who are you?", requestedSchema: SCHEMA };
const ASKING: ThreadConfig = { approvalPolicy: "on-request" };

async function asked(
  t: TestContext,
  { mode = "asks", config = ASKING }: { mode?: string; config?: ThreadConfig } = {},
) {
  const cwd = await folder(t);
  const mcpServers = { fix: fixture(mode, cwd) };
  return bench(
    t,
    ({ input }) => (input.at(-1)?.type === "function_call_output" ? "done" : [call("mcp__fix__asks", FORM)]),
    {
      ...config,
      ...{ cwd, mcpServers },
    },
  );
}

const resolve = (id: string | number, decision: ResolveElicitationOp["decision"], rest: object = {}) =>
  ({ type: "resolve_elicitation", server_name: "fix", request_id: id, decision, ...rest }) as const;

const output = (outputs: readonly string[]): unknown => JSON.parse(outputs.at(-1) ?? "null");

async function overTransport(t: TestContext, server: McpServerConfig): Promise<void> {
  const { thread, outputs, ofType } = await bench(t, [[call("mcp__s__trigger-elicitation-request", {})], "done"], {
    ...ASKING,
    mcpServers: { s: server },
  });
  const turn = thread.run("go");
  const { id, server_name, turn_id, request } = await nextOf(thread, "elicitation_request");
  assert.deepEqual([server_name, turn_id, request?.mode], ["s", thread.activeTurn?.turnId, "form"]);
  await thread.submit({ ...resolve(id, "accept", { content: { name: "Ada", check: true } }), server_name: "s" });
  await turn;
  assert.match(outputs()[0] ?? "", /Ada/);
  assert.equal(ofType("elicitation_request").length, 1);
}

test("a form over stdio", (t) => overTransport(t, everything));
test("a form over streamable HTTP", async (t) => overTransport(t, { url: await overHttp(t), startup_timeout_sec: 30 }));

test("a server hears what was decided, and of a form that is accepted alone what is in it", async (t) => {
  const { thread, outputs } = await asked(t);
  const rows: [ResolveElicitationOp["decision"], object, object][] = [
    ["accept", { content: { name: "Ada" } }, { action: "accept", content: { name: "Ada" } }],
    ["accept", {}, { action: "accept" }],
    ["decline", { content: { name: "Ada" } }, { action: "decline" }],
    ["cancel", { content: null }, { action: "cancel" }],
  ];
  for (const [decision, rest, heard] of rows) {
    const turn = thread.run("go");
    const { id } = await nextOf(thread, "elicitation_request");
    assert.deepEqual(
      thread.pendingUserQuestions.map(({ callId }) => callId),
      [id],
    );
    await thread.submit(resolve(id, decision, rest));
    await turn;
    assert.deepEqual(output(outputs()), heard);
    await assert.rejects(thread.submit(resolve(id, decision)), /has been answered already; the first answer counts/);
  }
  await assert.rejects(thread.submit(resolve("nobody", "accept", { content: { nested: {} } })), /content/);
});

test("an address to go to, and the server's own notes on the question", async (t) => {
  const { thread, outputs } = await bench(
    t,
    [
      [
        call("mcp__fix__asks", {
          mode: "url",
          message: "Sign in",
          url: "https://x.test/a",
          elicitationId: "e1",
          _meta: { k: 1 },
        }),
      ],
      "done",
    ],
    { ...ASKING, mcpServers: { fix: fixture("asks", await folder(t)) } },
  );
  const turn = thread.run("go");
  const { id, request } = await nextOf(thread, "elicitation_request");
  assert.deepEqual(request, {
    ...{ message: "Sign in", meta: { k: 1 }, mode: "url", url: "https://x.test/a", elicitationId: "e1" },
  });
  await thread.submit(resolve(id, "accept"));
  await turn;
  assert.deepEqual(output(outputs()), { action: "accept" });
});

test("who is never to be asked declines, and is not asked", async (t) => {
  const { thread, outputs, ofType } = await asked(t, { config: { approvalPolicy: "never" } });
  await thread.run("go");
  assert.deepEqual(output(outputs()), { action: "decline" });
  assert.deepEqual(ofType("elicitation_request"), []);
});

test("an interrupt, and a server that is gone, withdraw the question", async (t) => {
  const { thread, manager } = await asked(t);
  const answered: (string | null)[] = [];
  manager.questionAnswered$.subscribe(({ callId }) => answered.push(callId));
  const turn = thread.run("go");
  const { id } = await nextOf(thread, "elicitation_request");
  await thread.interrupt();
  assert.equal((await turn).status, "interrupted");
  assert.deepEqual([thread.pendingUserQuestions.length, answered], [0, [id]]);
  const gone = await asked(t, { mode: "exits-asking" });
  assert.equal((await gone.thread.run("go")).status, "completed");
  assert.equal(gone.thread.pendingUserQuestions.length, 0);
});

const REQUEST = { method: "elicitation/create", params: FORM } as never;

function open(clock: ManualClock, threadId: ThreadId | undefined, seconds = 60) {
  const waiting: { asked: Elicitation; answer: (answer: ElicitationAnswer) => void }[] = [];
  const { signal, ...ends } = new (class extends AbortController {
    end = () => this.abort(new Error("over"));
  })();
  const time = new CallTime(clock, seconds);
  const askUser = (elicitation: Elicitation, until: AbortSignal) =>
    new Promise<ElicitationAnswer>((answer, reject) => {
      waiting.push({ asked: elicitation, answer });
      until.addEventListener("abort", () => reject(until.reason));
    });
  const held: OpenCall = { asked: threadId && { threadId, askUser }, signal, time };
  return { ...held, waiting, end: ends.end, call: held };
}

test("the call's time stands still while somebody is asked, and goes on with what was left, whatever the time of day is set to", async () => {
  const clock = new ManualClock();
  let set = 0;
  const of = open(overlaid(clock, { now: () => clock.now() + set }), newThreadId(), 60);
  clock.advance(50_000);
  set = 3_600_000;
  const { signal } = new AbortController();
  const answer = answerElicitation(new Set([of.call]), REQUEST, { clock, signal });
  clock.advance(500_000);
  assert.equal(of.time.signal.aborted, false);
  of.waiting[0]?.answer({ action: "accept" });
  assert.deepEqual(await answer, { action: "accept" });
  clock.advance(9_999);
  assert.equal(of.time.signal.aborted, false);
  clock.advance(1);
  assert.match(String(of.time.signal.reason), /timed out after 60 seconds/);
});

test("a question that nobody answers for ten minutes, that its server withdraws, or whose call ends, is cancelled", async () => {
  for (const how of ["time", "server", "call"]) {
    const clock = new ManualClock();
    const of = open(clock, newThreadId());
    const server = new AbortController();
    const answer = answerElicitation(new Set([of.call]), REQUEST, { clock, signal: server.signal });
    if (how === "time") clock.advance(600_000);
    else if (how === "server") server.abort();
    else of.end();
    assert.deepEqual(await answer, { action: "cancel" }, how);
    of.time.end();
    assert.equal(clock.pending, 0);
  }
});

test("no user is asked for another thread's call", async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  const [mine, other] = [newThreadId(), newThreadId()];
  const ask = (...calls: ReturnType<typeof open>[]) =>
    answerElicitation(new Set(calls.map((each) => each.call)), REQUEST, { clock, signal });
  const decline = { action: "decline" };
  assert.deepEqual(await ask(), decline);
  assert.deepEqual(await ask(open(clock, undefined)), decline);
  assert.deepEqual(await ask(open(clock, other), open(clock, mine)), decline);
  assert.deepEqual(await ask(open(clock, undefined), open(clock, mine)), decline);
  const [first, second] = [open(clock, mine), open(clock, mine)];
  const answer = ask(first, second);
  second.waiting[0]?.answer({ action: "accept" });
  assert.deepEqual([await answer, first.waiting.length], [{ action: "accept" }, 0]);
});

const threadOf = ({ thread }: { thread: Thread }): string => thread.id;

test("threads that share a server are asked each for its own call, one after the other", async (t) => {
  const one = await asked(t);
  const cwd = one.cwd;
  const { thread: two } = await one.manager.startThread({ ...ASKING, cwd, mcpServers: { fix: fixture("asks", cwd) } });
  for (const thread of [one.thread, two]) {
    const turn = thread.run("go");
    const { id } = await nextOf(thread, "elicitation_request");
    await thread.submit(resolve(id, "accept", { content: { name: thread.id } }));
    assert.equal((await turn).status, "completed");
  }
  assert.deepEqual(output(one.outputs()), { action: "accept", content: { name: threadOf(one) } });
});
