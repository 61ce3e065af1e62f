/** review/start: a turn that another thread works for. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, fail, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const finding = (title: string, start: number, end = start) => ({
  title,
  body: `body of ${title}\nsecond line`,
  confidence_score: 0.9,
  priority: 1,
  code_location: { absolute_file_path: "/w/a.txt", line_range: { start, end } },
});
const findings = (...titles: string[]) =>
  JSON.stringify({
    findings: titles.map((title, index) => finding(title, index + 1)),
    overall_correctness: "patch is incorrect",
    overall_explanation: "Faults.",
    overall_confidence_score: 0.8,
  });

type Begun = { client: TestClient; threadId: string; cwd: string; requests: ModelRequest[]; manager: Json };

async function begun(t: TestContext, script: Parameters<typeof scriptedClient>[0], config: Json = {}): Promise<Begun> {
  const cwd = await mkdtemp(join(tmpdir(), "skein-review-"));
  const scripted = scriptedClient(script);
  const requests: ModelRequest[] = [];
  const model = {
    ...scripted,
    stream: (request: ModelRequest, options: Json) => {
      requests.push(request);
      return scripted.stream(request, options);
    },
  };
  const settings = { cwd, approvalPolicy: "never", sandboxMode: "danger-full-access", builtInTools: ["unified_exec"] };
  const served = await serve({ manager: { model, config: { ...settings, ...config } } });
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  return { client, threadId: thread.id, cwd, requests, manager };
}

const custom = { type: "custom", instructions: "  look at it\n" };

/** Starts a review and waits for its end. */
async function reviewed({ client, threadId }: Begun, target: Json = custom): Promise<{ turn: Json; ended: Json }> {
  const { turn, reviewThreadId } = await client.request("review/start", { threadId, target });
  assert.equal(reviewThreadId, threadId);
  const { params } = await client.find(
    ({ method, params }) => method === "turn/completed" && params.turn.id === turn.id,
  );
  return { turn, ended: params.turn };
}

const shape = (client: TestClient, from: number) =>
  client.log.slice(from).flatMap(({ id, method, params }) => {
    if (id !== undefined) return ["answer"];
    if (method === "warning") return [];
    if (params?.item !== undefined) return [`${method?.slice(5)} ${params.item.type}`];
    return [method === "thread/status/changed" ? `status ${params.status.type}` : (method ?? "")];
  });

test("a review is told from enteredReviewMode to exitedReviewMode, with the reviewer's work under its one turn", async (t) => {
  const ready = await begun(t, [
    [call("exec_command", { cmd: "echo seen", login: false })],
    findings("One", "Two"),
    "ok",
  ]);
  const { client, threadId, requests } = ready;
  const from = client.log.length;
  const { turn, ended } = await reviewed(ready);
  assert.deepEqual(shape(client, from), [
    "answer",
    "started enteredReviewMode",
    "completed enteredReviewMode",
    "status active",
    "turn/started",
    "started userMessage",
    "completed userMessage",
    "started commandExecution",
    "item/commandExecution/outputDelta",
    "completed commandExecution",
    "started exitedReviewMode",
    "completed exitedReviewMode",
    "started agentMessage",
    "completed agentMessage",
    "status idle",
    "turn/completed",
  ]);
  assert.deepEqual([turn.rootTurnId, turn.items[0].id, turn.items[0].content[0].text], [null, turn.id, "look at it"]);
  const turnIds = new Set(client.log.slice(from).flatMap(({ params }) => params?.turnId ?? params?.turn?.id ?? []));
  assert.deepEqual([...turnIds], [turn.id]);
  const text =
    "Faults.\n\nFull review comments:\n\n- One — /w/a.txt:1-1\n  body of One\n  second line\n\n- Two — /w/a.txt:2-2\n  body of Two\n  second line";
  assert.deepEqual([ended.status, ended.items.map((item: Json) => item.text)], ["completed", [text]]);

  // The reviewer knows nothing of the conversation; the conversation knows what it found.
  assert.ok(requests[0]?.instructions.includes("overall_correctness") && requests[0].threadId !== threadId);
  await client.turn(threadId, "and now?");
  const told = JSON.stringify(requests.at(-1)?.input);
  assert.ok(told.includes("<user_action>") && told.includes("Full review comments") && !told.includes("echo seen"));
});

test("a finding's text is shown line by line: none of an empty one, and none after its last line end", async (t) => {
  const bodies = ["", "one\n\ntwo\n", "a\r\nb"];
  const found = bodies.map((body, index) => ({ ...finding(`F${index}`, 1), body }));
  const said = { findings: found, overall_correctness: "x", overall_explanation: "E", overall_confidence_score: 1 };
  const review = await begun(t, [JSON.stringify(said)]);
  await reviewed(review);
  const { params } = await review.client.find(({ params }) => params?.item?.type === "exitedReviewMode");
  const head = (index: number) => `- F${index} — /w/a.txt:1-1`;
  const shown = [head(0), `${head(1)}\n  one\n  \n  two`, `${head(2)}\n  a\n  b`];
  assert.equal(params.item.review, ["E", "Full review comments:", ...shown].join("\n\n"));
});

test("what is stored of a review is read as one turn, and its reviewer is in no list", async (t) => {
  const ready = await begun(t, [findings("One")]);
  const { client, threadId } = ready;
  const { turn } = await reviewed(ready);
  const { thread } = await client.request("thread/read", { threadId, includeTurns: true });
  assert.deepEqual(
    thread.turns.map((each: Json) => [each.id, each.status, each.items.map((item: Json) => [item.type, item.review])]),
    [
      [
        turn.id,
        "completed",
        [
          ["enteredReviewMode", "look at it"],
          ["userMessage", undefined],
          ["exitedReviewMode", "Faults.\n\nReview comment:\n\n- One — /w/a.txt:1-1\n  body of One\n  second line"],
          ["agentMessage", undefined],
        ],
      ],
    ],
  );
  const { data } = await client.request("thread/loaded/list", {});
  assert.deepEqual(data, [threadId]);
});

test("a thread that begins with a review is listed by what was reviewed, and not by what its model is told of it", async (t) => {
  const ready = await begun(t, ["All is well."]);
  const { client, threadId } = ready;
  await reviewed(ready);
  const { data } = await client.request("thread/list", {});
  assert.deepEqual(
    data.map(({ id, preview }: Json) => [id, preview]),
    [[threadId, "look at it"]],
  );
  const { thread } = await client.request("thread/fork", { threadId });
  assert.equal(thread.preview, "look at it");
});

const half = { findings: [], overall_correctness: "patch is correct", overall_explanation: "Half." };

const ANSWERS: readonly (readonly [what: string, answer: string, shown: string])[] = [
  ["plain text", "All is well.", "All is well."],
  ["JSON in prose", `Here: ${findings()} that is all`, "Faults."],
  [
    "nothing found and nothing said",
    '{"findings":[],"overall_correctness":"","overall_explanation":"","overall_confidence_score":0}',
    "Reviewer failed to output a response.",
  ],
  ["JSON that lacks a field", JSON.stringify(half), JSON.stringify(half)],
  ["JSON of another shape", '{"findings":7}', '{"findings":7}'],
];

for (const [what, answer, shown] of ANSWERS) {
  test(`the reviewer answers with ${what}`, async (t) => {
    const { ended } = await reviewed(await begun(t, [answer]));
    assert.deepEqual([ended.status, ended.items[0].text], ["completed", shown]);
  });
}

const AGAIN = "Review was interrupted. Please re-run /review and wait for it to complete.";

test("an interrupt ends the reviewer with its command, and tells what to do", async (t) => {
  const ready = await begun(t, [
    [call("exec_command", { cmd: "sleep 60", login: false, yield_time_ms: 20_000 })],
    "later",
  ]);
  const { client, threadId, manager, requests } = ready;
  const { turn } = await client.request("review/start", { threadId, target: { type: "uncommittedChanges" } });
  await client.next("item/started", ({ item }) => item.type === "commandExecution");
  const steer = { threadId, input: [{ type: "text", text: "x" }], expectedTurnId: turn.id };
  const steered = await client.failure("turn/steer", steer);
  assert.equal(steered.message, "cannot steer a review turn");
  assert.deepEqual(steered.data.codexErrorInfo, { activeTurnNotSteerable: { turnKind: "review" } });
  const started = await client.failure("turn/start", { threadId, input: steer.input });
  assert.deepEqual(
    [started.code, started.message],
    [-32603, "failed to submit turn input: ActiveTurnNotSteerable { turn_kind: Review }"],
  );
  await client.request("turn/interrupt", { threadId, turnId: turn.id });
  const { params } = await client.next("turn/completed");
  assert.deepEqual([params.turn.status, params.turn.items], ["interrupted", []]);
  const said = client.log.find(({ method, params }) => method === "item/completed" && params.item.text === AGAIN);
  assert.equal(said?.params.turnId, turn.id);
  const exited = client.log.find(({ params }) => params?.item?.type === "exitedReviewMode");
  assert.equal(exited?.params.item.review, "Reviewer failed to output a response.");
  assert.deepEqual(await manager.listThreadIds(), [threadId]);
  await client.turn(threadId, "next");
  assert.ok(JSON.stringify(requests.at(-1)?.input).includes("None."));
});

test("a second review takes the first one's place, and a review that of an ordinary turn", async (t) => {
  const ready = await begun(t, ({ input }) =>
    JSON.stringify(input).includes("hang") ? [say("half"), hang()] : "Well.",
  );
  const { client, threadId } = ready;
  const { turn } = await client.request("turn/start", { threadId, input: [{ type: "text", text: "hang" }] });
  await client.next("item/agentMessage/delta");
  const hanging = { type: "custom", instructions: "hang" };
  const first = await client.request("review/start", { threadId, target: hanging });
  await client.find(({ params }) => params?.item?.type === "userMessage" && params.turnId === first.turn.id);
  await reviewed(ready);
  const ends = client.log.flatMap(({ method, params }) =>
    method === "turn/completed" ? [[params.turn.id === turn.id, params.turn.status]] : [],
  );
  assert.deepEqual(ends, [
    [true, "interrupted"],
    [false, "interrupted"],
    [false, "completed"],
  ]);
});

test("a failure of the model fails the review, the reason first", async (t) => {
  const ready = await begun(t, [[fail("it broke")]]);
  const { ended } = await reviewed(ready);
  assert.deepEqual([ended.status, ended.error.message, ended.items], ["failed", "it broke", []]);
  const said = ready.client.log.find(
    ({ method, params }) => method === "item/completed" && params.item.type === "agentMessage",
  );
  assert.equal(said?.params.item.text, AGAIN);
  const order = shape(ready.client, 0).filter((each) => each === "error" || each === "started exitedReviewMode");
  assert.deepEqual(order, ["error", "started exitedReviewMode"]);
});

test("a review against a branch names the merge base; outside of a repository it fails and says so", async (t) => {
  const ready = await begun(t, ["fine", "fine"]);
  const { cwd, client, threadId } = ready;
  const outside = await reviewed(ready, { type: "baseBranch", branch: "main" });
  assert.deepEqual([outside.ended.status, outside.ended.error.message], ["failed", `"${cwd}" is not a git repository`]);
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...args], { cwd, encoding: "utf8" }).trim();
  git("init", "-q", "-b", "main");
  await writeFile(join(cwd, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "one");
  const promptOf = async (target: Json) => {
    const { turn } = await reviewed(ready, target);
    return client.log.find(({ params }) => params?.item?.type === "userMessage" && params.turnId === turn.id)?.params
      .item.content[0].text as string;
  };
  assert.ok((await promptOf({ type: "baseBranch", branch: "main" })).includes(git("rev-parse", "main")));
  assert.ok((await promptOf({ type: "baseBranch", branch: "--help" })).includes("merge base is not known"));
  assert.match(await promptOf({ type: "commit", sha: "abcdef0123", title: "T" }), /commit abcdef0123 \("T"\)/);
  assert.equal(await promptOf(custom), "look at it");
  const labels = client.log.flatMap(({ params }) =>
    params?.item?.type === "enteredReviewMode" ? params.item.review : [],
  );
  assert.deepEqual(
    [...new Set(labels)],
    ["changes against 'main'", "changes against '--help'", "commit abcdef0: T", "look at it"],
  );
  assert.equal((await client.request("thread/read", { threadId })).thread.status.type, "idle");
});

test("the reviewer says to the model that it is one; its model is review_model where that is set", async (t) => {
  const ready = await begun(t, ["fine"], { reviewModel: "reviewer-1" });
  await reviewed(ready);
  assert.deepEqual([ready.requests[0]?.model, ready.requests[0]?.subagent], ["reviewer-1", "review"]);
});

test("wrong targets are refused in Codex's words", async (t) => {
  const { client, threadId } = await begun(t, []);
  const refusal = async (params: Json) => (await client.failure("review/start", { threadId, ...params })).message;
  assert.equal(await refusal({ target: { type: "baseBranch", branch: " " } }), "branch must not be empty");
  assert.equal(await refusal({ target: { type: "commit", sha: "" } }), "sha must not be empty");
  assert.equal(await refusal({ target: { type: "custom", instructions: "\n" } }), "instructions must not be empty");
  assert.equal(
    await refusal({ target: custom, delivery: "detached" }),
    "Invalid request: unknown variant `detached`, expected `inline`",
  );
  assert.match(
    await refusal({ target: { type: "nope" } }),
    /^Invalid request: unknown variant `nope`, expected one of `uncommittedChanges`, /,
  );
  assert.equal(await refusal({}), "Invalid request: missing field `target`");
  const unknown = "01a218bb-0000-7000-8000-000000000000";
  assert.equal(await refusal({ threadId: unknown, target: custom }), `thread not found: ${unknown}`);
});

test("a review of nothing is refused, by whichever door it comes", async (t) => {
  const { manager, threadId } = await begun(t, []);
  const thread = await manager.getThread(threadId);
  for (const [target, why] of [
    [{ type: "baseBranch", branch: " " }, /branch must not be empty/],
    [{ type: "commit", sha: "" }, /sha must not be empty/],
    [{ type: "custom", instructions: "\n" }, /instructions must not be empty/],
    [{ type: "everything" }, /the target must be/],
    [undefined, /the target must be/],
  ] as const) {
    await assert.rejects(thread.submit({ type: "review", review_request: { target } }), why);
  }
  assert.equal((await thread.run("still here")).status, "completed");
});
