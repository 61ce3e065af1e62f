/** `skein review` and `skein exec review` as processes of their own, against a model on a loopback socket. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { answering, completed, created, ModelServer, sse, streaming, wholeAnswer } from "../model/model-server.ts";
import { type Ended, ended, jsonLines, printed, skein, start } from "./skein.ts";
import { homeWithProvider, tempFolder } from "./temp-home.ts";

const FINDINGS = JSON.stringify({
  findings: [
    {
      title: "[P1] Mend it",
      body: "It is off by one.",
      confidence_score: 0.9,
      priority: 1,
      code_location: { absolute_file_path: "/w/a.txt", line_range: { start: 2, end: 3 } },
    },
  ],
  overall_correctness: "patch is incorrect",
  overall_explanation: "One fault.",
  overall_confidence_score: 0.8,
});
const SHOWN = "One fault.\n\nReview comment:\n\n- [P1] Mend it — /w/a.txt:2-3\n  It is off by one.";

type Body = { input: { role?: string; content?: { text?: string }[] }[] };

/** A repository with a branch and a commit on it, a home, and a reviewer that has found something. */
async function repository(t: TestContext, ...replies: Parameters<typeof ModelServer.start>) {
  const server = await ModelServer.start(...(replies.length === 0 ? [streaming(wholeAnswer(FINDINGS))] : replies));
  t.after(() => server[Symbol.asyncDispose]());
  const home = await homeWithProvider(t, server.baseUrl, 'approval_policy = "never"');
  const cwd = await tempFolder(t);
  const who = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false"];
  const git = (...args: string[]) => execFileSync("git", [...who, ...args], { cwd, encoding: "utf8" }).trim();
  git("init", "-q", "-b", "main");
  await writeFile(join(cwd, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "first");
  const base = git("rev-parse", "HEAD");
  git("checkout", "-qb", "feature");
  await writeFile(join(cwd, "a.txt"), "one\ntwo\n");
  git("commit", "-qam", "second");
  const run = (args: readonly string[], input?: string): Promise<Ended> =>
    skein([...args, "--home", home], { cwd, ...(input !== undefined && { input }) });
  /** What the reviewer was asked last. */
  const asked = () => {
    const { input } = JSON.parse(server.requests.at(-1)?.body ?? "") as Body;
    return input.findLast(({ role }) => role === "user")?.content?.[0]?.text ?? "";
  };
  return { server, home, cwd, base, head: git("rev-parse", "HEAD"), run, asked };
}

test("each target, by each of the two commands: the findings on standard output, and 0", async (t) => {
  const { run, asked, base, head } = await repository(t);
  const targets: [string[], RegExp, string?][] = [
    [["exec", "review", "--uncommitted"], /not committed yet/],
    [["review", "--base", "main"], new RegExp(`merge base is ${base}: \`git diff ${base}\``)],
    [["exec", "review", "--commit", head, "--title", "second"], new RegExp(`${head} \\("second"\\)`)],
    [["exec", "review", "Look at the names."], /^Look at the names\.$/],
    [["review", "-"], /^From a pipe\.$/, "From a pipe.\n"],
  ];
  for (const [args, prompt, input] of targets) {
    const { code, stdout, stderr } = await run(args, input);
    assert.deepEqual([code, stdout], [0, `${SHOWN}\n`], `${args.join(" ")}: ${stderr}`);
    assert.match(asked(), prompt);
  }
});

test("options of exec before and after its name, the last message in a file, and a thread to go on with", async (t) => {
  const { server, home, cwd, run } = await repository(t);
  const file = join(cwd, "last.txt");
  const { code, stderr } = await run(["exec", "-m", "m-2", "review", "--uncommitted", "-o", file]);
  assert.equal(code, 0, stderr);
  assert.equal(await readFile(file, "utf8"), `${SHOWN}\n`);
  assert.equal((JSON.parse(server.requests[0]?.body ?? "") as { model: string }).model, "m-2");
  assert.equal((await run(["exec", "resume", "--last", "and now?"])).code, 0);
  const body = server.requests.at(-1)?.body ?? "";
  assert.ok(body.includes("<user_action>") && body.includes("Mend it"), "the thread knows what was found");
  assert.equal((await skein(["list", "--home", home, "--all"], { cwd })).code, 0);
});

test("--json gives every event and the result; --experimental-json the lines that clients of codex exec read", async (t) => {
  const { run } = await repository(t);
  const own = await run(["exec", "review", "--json", "--uncommitted"]);
  assert.equal(own.code, 0, own.stderr);
  const lines = jsonLines(own.stdout);
  const items = lines.flatMap(({ msg }) => {
    const { type, item } = (msg ?? {}) as { type?: string; item?: { type: string } };
    return type === "item_completed" ? [item?.type] : [];
  });
  assert.deepEqual(
    items.filter((type) => type?.endsWith("ReviewMode")),
    ["EnteredReviewMode", "ExitedReviewMode"],
  );
  assert.deepEqual(
    [lines.at(-1)?.type, lines.at(-1)?.status, lines.at(-1)?.lastAgentMessage],
    ["result", "completed", SHOWN],
  );
  const sdk = await run(["exec", "--experimental-json", "review", "--uncommitted"]);
  assert.equal(sdk.code, 0, sdk.stderr);
  const told = jsonLines(sdk.stdout);
  assert.deepEqual(
    told.map(({ type }) => type),
    ["thread.started", "turn.started", "item.completed", "turn.completed"],
  );
  const { item } = told[2] as { item: { type: string; text: string } };
  assert.deepEqual([item.type, item.text], ["agent_message", SHOWN]);
});

test("a review that cannot be: no repository, a model that fails", async (t) => {
  const { home, run } = await repository(t, answering(400, { error: { message: "no such model" } }));
  const outside = await tempFolder(t);
  const nowhere = await skein(["exec", "review", "--base", "main", "--home", home], { cwd: outside });
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /is not a git repository/);
  for (const args of [
    ["exec", "review", "--uncommitted"],
    ["exec", "hello"],
  ]) {
    const failed = await run(args);
    assert.equal(failed.code, 1);
    assert.equal(failed.stderr.match(/no such model/g)?.length, 1, failed.stderr);
  }
});

test("what the reviewer does, and how it ends, is said once", async (t) => {
  const call = { type: "function_call", id: "f", call_id: "c", name: "exec_command", arguments: '{"cmd":"echo seen"}' };
  const item = (output: object) => ({ type: "response.output_item.done", output_index: 0, item: output });
  const thought = { type: "reasoning", id: "r", summary: [{ type: "summary_text", text: "Looking" }] };
  const { run } = await repository(
    t,
    streaming(sse(created, item(thought), item(call), completed)),
    streaming(wholeAnswer(FINDINGS)),
  );
  const { stderr } = await run(["review", "--uncommitted"]);
  for (const line of ["thinks: Looking", "$ echo seen", "seen"])
    assert.equal(stderr.split("\n").filter((each) => each === line).length, 1, `${line}: ${stderr}`);
});

test("Ctrl-C interrupts the review, and exits with 130", async (t) => {
  const hanging = (response: Parameters<Parameters<typeof ModelServer.start>[0] & object>[0]) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(sse(created));
  };
  const { home, cwd, server } = await repository(t, hanging);
  const child = start(["exec", "review", "--json", "--uncommitted", "--home", home], { cwd });
  child.stdin.end();
  const end = ended(child);
  await printed(child, "EnteredReviewMode");
  while (server.requests.length === 0) await new Promise(setImmediate);
  child.kill("SIGINT");
  const { code, stdout } = await end;
  assert.equal(code, 130);
  assert.match(stdout, /Review was interrupted/);
});

for (const [args, message] of [
  [["exec", "review"], /say one of --uncommitted, --base/],
  [["exec", "review", "--uncommitted", "--base", "main"], /say one of/],
  [["exec", "review", "--commit", "abc", "words"], /say one of/],
  [["exec", "review", "--title", "x", "--uncommitted"], /--title goes with --commit/],
  [["exec", "review", "two", "words"], /must be one argument/],
  [["exec", "review", " "], /the instructions are empty/],
  [["exec", "review", "--base", " "], /branch|base/],
  [["exec", "review", "--commit", ""], /commit|sha/],
] as const) {
  test(`a usage error exits with 2: skein ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await skein(args);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, message);
  });
}

test("skein exec review --help says what it takes", async () => {
  const { code, stdout } = await skein(["exec", "review", "--help"]);
  assert.equal(code, 0);
  for (const option of ["--uncommitted", "--base <branch>", "--commit <sha>", "--title <title>", "--json"]) {
    assert.ok(stdout.includes(option), option);
  }
});
