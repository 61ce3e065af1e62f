/** `skein exec` against the scripted client and against a server on a loopback socket. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { answering, completed, created, ModelServer, sse, streaming, wholeAnswer } from "../model/model-server.ts";
import { ended, jsonLines, printed, skein, start } from "./skein.ts";
import { homeWithProvider, storedThread, tempFolder } from "./temp-home.ts";

const shellCall = (command: string) => ({
  type: "response.output_item.done",
  item: {
    type: "function_call",
    id: "fc_1",
    call_id: "c1",
    name: "shell_command",
    arguments: JSON.stringify({ command }),
  },
});
const inputOf = (body: string) => (JSON.parse(body) as { input: Record<string, unknown>[] }).input;

test("without a provider and a key the scripted client answers, and says so", async (t) => {
  const home = await tempFolder(t);
  const { code, stdout, stderr } = await skein(["exec", "--home", home, "hello there"]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "ack: hello there\n" });
  assert.match(stderr, /^no model provider and no key: the scripted model answers\./);
  assert.match(stderr, /go on with: skein exec resume [0-9a-f-]{36} PROMPT\n$/);
});

test("a prompt comes from standard input", async (t) => {
  const home = await tempFolder(t);
  for (const args of [["exec"], ["exec", "-"]]) {
    const { code, stdout } = await skein([...args, "--home", home], { input: "from a pipe\n" });
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "ack: from a pipe\n" });
  }
});

test("resume, in each of its forms, goes on with the thread", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  for (const args of [
    ["exec", "resume", threadId, "again"],
    ["exec", "again", "resume", threadId],
    ["resume", threadId, "again"],
  ]) {
    const { code, stdout } = await skein([...args, "--home", home]);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "ack: again\n" });
  }
  const { stdout } = await skein(["show", threadId, "--home", home]);
  assert.equal((stdout.match(/\(user message/g) ?? []).length, 4);
});

test("fork says the prompt to a thread of its own, which knows what was said before", async (t) => {
  const home = await tempFolder(t);
  const { threadId } = await storedThread(home, ["one"]);
  const { code, stdout } = await skein(["e", "fork", threadId, "otherwise", "--json", "--home", home]);
  assert.equal(code, 0);
  const fork = String(jsonLines(stdout).at(-1)?.threadId);
  assert.notEqual(fork, threadId);
  const said = async (id: string) =>
    [...(await skein(["show", id, "--home", home])).stdout.matchAll(/ack: (\w+)/g)].map(([, text]) => text);
  assert.deepEqual(await said(threadId), ["one"]);
  assert.deepEqual(await said(fork), ["one", "otherwise"]);
});

test("several images of one option are several images", async (t) => {
  const home = await tempFolder(t);
  const { code, stdout } = await skein(["exec", "-i", "a.png,b.png", "-i", "c.png", "--home", home, "--json", "look"]);
  assert.equal(code, 0);
  assert.deepEqual([...new Set([...stdout.matchAll(/\/(\w)\.png/g)].map(([, name]) => name))], ["a", "b", "c"]);
});

test("--json prints every event from session_configured on, and the result", async (t) => {
  const home = await tempFolder(t);
  const { code, stdout } = await skein(["exec", "--json", "--home", home, "hi"]);
  assert.equal(code, 0);
  const lines = jsonLines(stdout);
  assert.deepEqual(
    lines.slice(0, -1).map(({ type, seq }) => ({ type, seq })),
    lines.slice(0, -1).map((_, seq) => ({ type: "event", seq })),
  );
  assert.equal((lines[0]?.msg as { type: string } | undefined)?.type, "session_configured");
  const { type, status, lastAgentMessage, error } = lines.at(-1) ?? {};
  assert.deepEqual(
    { type, status, lastAgentMessage, error },
    {
      type: "result",
      status: "completed",
      lastAgentMessage: "ack: hi",
      error: null,
    },
  );
});

test("a provider of config.toml answers, with the model and the settings of the command line", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("Hel", "lo")));
  const home = await homeWithProvider(t, server.baseUrl);
  const { code, stdout, stderr } = await skein([
    "exec",
    "hi",
    "--home",
    home,
    "-m",
    "m-2",
    "-c",
    "model_reasoning_effort=high",
  ]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "Hello\n" });
  assert.match(stderr, /^10 tokens in, 5 out; go on with/);
  const body = JSON.parse(server.requests[0]?.body ?? "") as { model: string; reasoning: { effort: string } };
  assert.deepEqual([body.model, body.reasoning.effort], ["m-2", "high"]);
});

test("OPENAI_API_KEY is all that OpenAI needs", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("yes")));
  const env = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: server.baseUrl };
  const { code, stdout } = await skein(["exec", "hi", "--home", await tempFolder(t)], { env });
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "yes\n" });
  assert.equal(server.requests[0]?.headers.authorization, "Bearer sk-test");
});

test("a failing provider fails the command, with its reason", async (t) => {
  await using server = await ModelServer.start(answering(400, { error: { message: "no such model" } }));
  const home = await homeWithProvider(t, server.baseUrl);
  const { code, stdout, stderr } = await skein(["exec", "hi", "--home", home]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
  assert.match(stderr, /no such model/);
  const json = await skein(["exec", "hi", "--home", home, "--json"]);
  assert.equal(json.code, 1);
  assert.equal(jsonLines(json.stdout).at(-1)?.status, "failed");
});

test("a wrong config.toml is told with its line", async (t) => {
  const home = await tempFolder(t);
  await writeFile(join(home, "config.toml"), 'model = "m"\nsandbox_mode = "nothing"\n');
  const { code, stderr } = await skein(["exec", "hi", "--home", home]);
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*config\.toml.*2.*sandbox_mode.*\(invalid_request\)\n$/);
});

test("with an output schema only the final message is printed, and it goes to the model", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer('{"rivers":', '["Elbe"]}')));
  const home = await homeWithProvider(t, server.baseUrl);
  const schema = { type: "object", properties: { rivers: { type: "array" } } };
  await writeFile(join(home, "schema.json"), JSON.stringify(schema));
  const last = join(home, "last.txt");
  const args = ["exec", "rivers", "--home", home, "--output-schema", join(home, "schema.json"), "-o", last];
  const { code, stdout } = await skein(args);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '{"rivers":["Elbe"]}\n' });
  assert.equal(await readFile(last, "utf8"), stdout);
  assert.deepEqual(JSON.parse(server.requests[0]?.body ?? "").text.format.schema, schema);

  await writeFile(join(home, "bad.json"), "[1]");
  const bad = await skein(["exec", "x", "--home", home, "--output-schema", join(home, "bad.json")]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^error: --output-schema .*bad\.json: not a JSON object \(invalid_request\)\n$/);
});

test("-o holds a completed turn's last message alone, and one that cannot be written is told before the model is asked", async (t) => {
  const refusal = answering(400, { error: { message: "no" } });
  await using server = await ModelServer.start(refusal, streaming(sse(created, completed)));
  const home = await homeWithProvider(t, server.baseUrl);
  const last = join(home, "last.txt");
  for (const nowhere of [join(home, "none/last.txt"), home]) {
    const refused = await skein(["exec", "hi", "--home", home, "-o", nowhere]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^error: cannot write .*\(store_io\)\n$/);
  }
  assert.equal(server.requests.length, 0);
  await writeFile(last, "of before");
  assert.equal((await skein(["exec", "hi", "--home", home, "-o", last])).code, 1);
  assert.equal(await readFile(last, "utf8"), "of before");
  const silent = await skein(["exec", "hi", "--home", home, "-o", last]);
  assert.deepEqual([silent.code, await readFile(last, "utf8")], [0, ""]);
  assert.match(silent.stderr, /the turn said nothing/);
});

test("an answer that does not fit the schema fails", async (t) => {
  const home = await tempFolder(t);
  await writeFile(join(home, "schema.json"), "{}");
  const { code, stdout, stderr } = await skein([
    "exec",
    "hi",
    "--home",
    home,
    "--output-schema",
    join(home, "schema.json"),
  ]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
  assert.match(stderr, /does not fit the output schema/);
});

test("an image goes to the model", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("a dot")));
  const home = await homeWithProvider(t, server.baseUrl);
  const image = join(home, "dot.png");
  const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  await writeFile(image, Buffer.from(dot, "base64"));
  const { code } = await skein(["exec", "what is it?", "--home", home, "--image", image]);
  assert.equal(code, 0);
  assert.match(JSON.stringify(inputOf(server.requests[0]?.body ?? "").at(-1)), /data:image\/png;base64,.*what is it\?/);
});

test("a tool's work is shown on standard error, and its folder is --cd's", async (t) => {
  const home = await tempFolder(t);
  const work = await tempFolder(t);
  await using server = await ModelServer.start(
    streaming(sse(created, shellCall("pwd; exit 3"), completed)),
    streaming(wholeAnswer("done")),
  );
  const config = `model_providers.loop={name="Loop",base_url="${server.baseUrl}"}`;
  const { code, stdout, stderr } = await skein([
    ...["exec", "where?", "--home", home, "--cd", work, "-c", config, "-c", "model_provider=loop"],
    ...["--tools", "shell", "--sandbox", "danger-full-access"],
  ]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "done\n" });
  assert.match(stderr, /^\$ pwd; exit 3$/m);
  assert.match(stderr, new RegExp(`^${work}\nexit 3, [\\d.]+ s$`, "m"));
});

test("a folder that is not there, or is a file, is no folder to work in", async (t) => {
  const home = await tempFolder(t);
  await writeFile(join(home, "file"), "");
  const nowhere = join(home, "nowhere");
  for (const [cd, ...command] of [
    [nowhere, "exec", "hi"],
    [join(home, "file"), "exec", "hi"],
    [nowhere, "app-server"],
    [nowhere, "resume", "--last", "hi"],
  ]) {
    const { code, stderr } = await skein(["--home", home, "--cd", cd ?? "", ...command]);
    assert.deepEqual({ code, stderr }, { code: 2, stderr: `error: --cd: there is no folder ${cd}\n` }, command[0]);
  }
  assert.deepEqual((await readdir(home)).sort(), ["file"]);
});

test("an approval that nobody can give is refused, and the turn goes on", async (t) => {
  await using server = await ModelServer.start(
    streaming(sse(created, shellCall("touch f"), completed)),
    streaming(wholeAnswer("as you wish")),
  );
  const home = await homeWithProvider(t, server.baseUrl);
  const { code, stdout, stderr } = await skein([
    ...["exec", "go", "--home", home, "--cd", home],
    ...["--tools", "shell", "--sandbox", "danger-full-access", "--ask-for-approval", "untrusted"],
  ]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "as you wish\n" });
  assert.match(stderr, /^refused, since nobody can be asked: `touch f` in /m);
  await assert.rejects(readFile(join(home, "f")));
});

for (const as of [[], ["--json"]]) {
  test(`a reader that goes in a turn ends it: it is stored as interrupted, and no error ${as.join()}`, async (t) => {
    await using server = await ModelServer.start((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const delta = sse({ type: "response.output_text.delta", item_id: "m", delta: "on and on\n" });
      response.write(sse(created, { type: "response.output_text.delta", item_id: "m", delta: "so far" }));
      const timer = setInterval(() => response.write(delta), 10);
      response.on("close", () => clearInterval(timer));
    });
    const home = await homeWithProvider(t, server.baseUrl);
    const child = start(["exec", "hi", "--home", home, ...as]);
    child.stdin.end();
    const end = ended(child);
    await printed(child, "so far");
    child.stdout.destroy();
    assert.equal((await end).code, 0);
    assert.match((await skein(["show", "--last", "--home", home])).stdout, /turn interrupted/);
    assert.deepEqual(await readdir(join(home, "leases")), ["owners"]);
  });
}

for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGHUP", 129],
] as const) {
  test(`${signal} interrupts the turn, which is stored as interrupted`, async (t) => {
    await using server = await ModelServer.start((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(sse(created, { type: "response.output_text.delta", item_id: "m", delta: "so far" }));
    });
    const home = await homeWithProvider(t, server.baseUrl);
    const child = start(["exec", "hi", "--home", home]);
    child.stdin.end();
    const end = ended(child);
    await printed(child, "so far");
    child.kill(signal);
    const { code, stdout, stderr } = await end;
    assert.deepEqual({ code, stdout }, { code: exitCode, stdout: "so far\n" });
    assert.match(stderr, /^turn interrupted$/m);
    const threadId = /resume ([0-9a-f-]{36})/.exec(stderr)?.[1] ?? "";
    assert.match((await skein(["show", threadId, "--home", home])).stdout, /turn interrupted/);
    assert.equal((await skein(["verify", "--home", home])).code, 0);
  });
}
