/** `skein exec --experimental-json` as a process of its own, called as `@openai/codex-sdk` calls it. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  answering,
  completed,
  created,
  ModelServer,
  message,
  sse,
  streaming,
  wholeAnswer,
} from "../model/model-server.ts";
import { ended, jsonLines, printed, skein, start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const call = (name: string, args: object) => ({
  type: "response.output_item.done",
  item: { type: "function_call", id: "fc_1", call_id: `c_${name}`, name, arguments: JSON.stringify(args) },
});
const sdkArgs = (baseUrl: string, ...more: string[]) => [
  ...["exec", "--experimental-json", "--config", `openai_base_url=${JSON.stringify(baseUrl)}`, "--model", "gpt-5.2"],
  ...more,
];
const envOf = (home: string) => ({
  CODEX_HOME: home,
  CODEX_API_KEY: "sk-sdk",
  CODEX_INTERNAL_ORIGINATOR_OVERRIDE: "codex_sdk_ts",
});
type Body = { model: string; input: { role?: string; content?: unknown }[]; text?: { format: { schema: unknown } } };
const bodyOf = (server: ModelServer, at: number) => JSON.parse(server.requests[at]?.body ?? "null") as Body;
const types = (lines: readonly Record<string, unknown>[]) => lines.map(({ type }) => type);
const tokens = { cache_write_input_tokens: 0, output_tokens: 5, reasoning_output_tokens: 2 };
const twice = { cache_write_input_tokens: 0, output_tokens: 10, reasoning_output_tokens: 4 };

test("a new thread and its resume: the SDK's lines, its key, its originator, every character of the prompt", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("Hel", "lo")));
  const home = await tempFolder(t);
  const env = envOf(home);
  const first = await skein(sdkArgs(server.baseUrl, "--cd", home, "--skip-git-repo-check"), { input: " hi\n", env });
  assert.deepEqual({ code: first.code, stderr: first.stderr }, { code: 0, stderr: "" });
  const [begun, ...rest] = jsonLines(first.stdout);
  const threadId = String(begun?.thread_id);
  assert.deepEqual(begun, { type: "thread.started", thread_id: threadId });
  assert.deepEqual(rest, [
    { type: "turn.started" },
    { type: "item.completed", item: { id: "item_0", type: "agent_message", text: "Hello" } },
    { type: "turn.completed", usage: { input_tokens: 10, cached_input_tokens: 4, ...tokens } },
  ]);
  const { authorization, originator } = server.requests[0]?.headers ?? {};
  assert.deepEqual([authorization, originator], ["Bearer sk-sdk", "codex_sdk_ts"]);
  assert.deepEqual(bodyOf(server, 0).input.at(-1)?.content, [{ type: "input_text", text: " hi\n" }]);

  const again = await skein(sdkArgs(server.baseUrl, "--cd", home, "resume", threadId), { input: "more", env });
  assert.equal(again.code, 0);
  const lines = jsonLines(again.stdout);
  assert.deepEqual(lines[0], begun);
  assert.deepEqual(lines.at(-1)?.usage, { input_tokens: 20, cached_input_tokens: 8, ...twice });
  const roles = bodyOf(server, 1).input.map(({ role }) => role);
  assert.deepEqual(roles.slice(-3), ["user", "assistant", "user"]);
});

test("tools at work: a plan, a command and a patch", async (t) => {
  const patch = "*** Begin Patch\n*** Add File: new.txt\n+text\n*** End Patch";
  await using server = await ModelServer.start(
    streaming(sse(created, call("update_plan", { plan: [{ step: "do", status: "in_progress" }] }), completed)),
    streaming(sse(created, call("shell_command", { command: "echo out; exit 3" }), completed)),
    streaming(sse(created, call("apply_patch", { input: patch }), completed)),
    streaming(wholeAnswer("done")),
  );
  const home = await tempFolder(t);
  const work = await tempFolder(t);
  const args = sdkArgs(server.baseUrl, "--sandbox", "danger-full-access", "--cd", work);
  const { code, stdout } = await skein(args, { input: "go", env: envOf(home) });
  assert.equal(code, 0);
  const items = jsonLines(stdout).flatMap(({ type, item }) => (item === undefined ? [] : [{ type, item }]));
  assert.deepEqual(
    items.map(({ type, item }) => `${type} ${(item as { type: string }).type}`),
    [
      "item.started todo_list",
      "item.started command_execution",
      "item.completed command_execution",
      "item.started file_change",
      "item.completed file_change",
      "item.completed agent_message",
      "item.completed todo_list",
    ],
  );
  const command = items[2]?.item as Record<string, unknown>;
  assert.match(String(command.command), /sh -l?c 'echo out; exit 3'$/);
  assert.deepEqual([command.aggregated_output, command.exit_code, command.status], ["out\n", 3, "failed"]);
  const change = items[3]?.item as Record<string, unknown>;
  assert.deepEqual(change.changes, [{ path: join(work, "new.txt"), kind: "add" }]);
  assert.equal(await readFile(join(work, "new.txt"), "utf8"), "text\n");
});

test("--add-dir joins what a workspace-write sandbox may write to", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("ok")));
  const home = await tempFolder(t);
  const roots = 'sandbox_workspace_write.writable_roots=["/srv/one"]';
  const args = sdkArgs(server.baseUrl, "--sandbox", "workspace-write", "--add-dir", "/srv/two", "--config", roots);
  const { code, stdout } = await skein(args, { input: "go", env: envOf(home), cwd: home });
  assert.equal(code, 0);
  const threadId = String(jsonLines(stdout)[0]?.thread_id);
  const exported = await skein(["export", threadId], { env: envOf(home) });
  assert.match(exported.stdout, /"writable_roots":\["\/srv\/one","\/srv\/two"\]/);
});

test("an output schema and an image reach the model; a message that does not fit is still an answer", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("no JSON at all")));
  const home = await tempFolder(t);
  const schema = { type: "object", properties: { a: { type: "string" } }, additionalProperties: false };
  await writeFile(join(home, "schema.json"), JSON.stringify(schema));
  const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  await writeFile(join(home, "dot.png"), Buffer.from(dot, "base64"));
  const options = ["--output-schema", join(home, "schema.json"), "--image", join(home, "dot.png")];
  const { code, stdout } = await skein(sdkArgs(server.baseUrl, ...options), { input: "look", env: envOf(home) });
  assert.equal(code, 0);
  assert.equal(jsonLines(stdout).at(-1)?.type, "turn.completed");
  assert.deepEqual(bodyOf(server, 0).text?.format.schema, schema);
  assert.match(JSON.stringify(bodyOf(server, 0).input.at(-1)), /data:image\/png;base64,/);
});

test("a failed turn says so twice, and exits with 1", async (t) => {
  await using server = await ModelServer.start(answering(400, { error: { message: "no such model" } }));
  const home = await tempFolder(t);
  const { code, stdout } = await skein(sdkArgs(server.baseUrl), { input: "hi", env: envOf(home) });
  assert.equal(code, 1);
  const lines = jsonLines(stdout);
  assert.deepEqual(types(lines), ["thread.started", "turn.started", "error", "turn.failed"]);
  assert.deepEqual(lines.at(-1)?.error, { message: lines[2]?.message });
  assert.match(String(lines[2]?.message), /no such model/);
});

test("a broken stream that is tried again is an error line, and the turn completes", async (t) => {
  await using server = await ModelServer.start(streaming(sse(created)), streaming(wholeAnswer("ok")));
  const home = await tempFolder(t);
  const { code, stdout } = await skein(sdkArgs(server.baseUrl), { input: "hi", env: envOf(home) });
  assert.equal(code, 0);
  const lines = jsonLines(stdout);
  assert.deepEqual(types(lines), ["thread.started", "turn.started", "error", "item.completed", "turn.completed"]);
  assert.match(String(lines[2]?.message), /^Reconnecting\.\.\. 1\/5/);
});

test("a thread that is not there, and an empty prompt, fail before any line", async (t) => {
  const home = await tempFolder(t);
  const args = sdkArgs("http://127.0.0.1:9", "resume", "0192aaaa-0000-7000-8000-000000000000");
  const gone = await skein(args, { input: "hi", env: envOf(home) });
  assert.deepEqual([gone.code, gone.stdout], [1, ""]);
  assert.match(gone.stderr, /0192aaaa-0000-7000-8000-000000000000/);
  const empty = await skein(sdkArgs("http://127.0.0.1:9"), { env: envOf(home) });
  assert.deepEqual([empty.code === 0, empty.stdout], [false, ""]);
});

test("without a key the scripted client answers, and a line says so", async (t) => {
  const home = await tempFolder(t);
  const { code, stdout } = await skein(["exec", "--experimental-json"], { input: "hi", env: { CODEX_HOME: home } });
  assert.equal(code, 0);
  const [begun, note] = jsonLines(stdout);
  assert.equal(begun?.type, "thread.started");
  assert.match(JSON.stringify(note?.item), /the scripted model answers/);
});

test("SIGTERM ends the turn and the process; the thread can be gone on with", async (t) => {
  const partial = sse(created, ...message("so far").slice(0, 2));
  await using server = await ModelServer.start(
    (response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write(partial),
    streaming(wholeAnswer("back")),
  );
  const home = await tempFolder(t);
  const child = start(sdkArgs(server.baseUrl), { env: envOf(home) });
  child.stdin.end("hi");
  const end = ended(child);
  await printed(child, "turn.started");
  child.kill("SIGTERM");
  const { code, stdout } = await end;
  assert.equal(code, 143);
  const lines = jsonLines(stdout);
  assert.deepEqual(types(lines), ["thread.started", "turn.started"]);
  await server.disconnected();
  const threadId = String(lines[0]?.thread_id);
  const again = await skein(sdkArgs(server.baseUrl, "resume", threadId), { input: "again", env: envOf(home) });
  assert.equal(again.code, 0);
  assert.equal((await skein(["verify"], { env: envOf(home) })).code, 0);
});
