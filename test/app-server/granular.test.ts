/** A granular approval policy on the wire: taken wherever a policy is, kept, and shown whole; v1 sees a word. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { parseOverride } from "../../src/services/config-overrides.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { fixture } from "../turn/tools/mcp-servers.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { input } from "./stories.ts";
import { type Json, serve } from "./test-client.ts";

const GIVEN = { granular: { sandbox_approval: true, rules: false, mcp_elicitations: true } };
const WHOLE = { granular: { ...GIVEN.granular, skill_approval: false, request_permissions: false } };
const QUIET = { granular: { ...WHOLE.granular, sandbox_approval: false, request_permissions: true } };
const TOML = "approval_policy = { granular = { sandbox_approval = true, rules = false, mcp_elicitations = true } }\n";

test("start, settings, turn, fork and resume take it, show it whole, and write it down", async (t) => {
  const home = await folder(t);
  const model = () => scriptedClient(undefined, { recordRequests: 9 });
  const lives = async (play: (client: Json, model: ReturnType<typeof scriptedClient>) => Promise<void>) => {
    const own = model();
    const store = fileStore({ home });
    const served = await serve({ manager: { store, model: own, config: { cwd: "/w" } } });
    await play(served.client, own);
    await served[Symbol.asyncDispose]();
    await store.close();
  };
  let threadId = "";
  await lives(async (client) => {
    const started = await client.request("thread/start", { approvalPolicy: GIVEN });
    assert.deepEqual(started.approvalPolicy, WHOLE);
    threadId = started.thread.id;
    await client.turn(threadId, "one");
    await client.request("thread/settings/update", { threadId, approvalPolicy: WHOLE });
    assert.ok(!client.log.some(({ method }: Json) => method === "thread/settings/updated"));
    await client.request("turn/start", { threadId, input: input("two"), approvalPolicy: QUIET });
    const { params } = await client.next("thread/settings/updated");
    assert.deepEqual(params.threadSettings.approvalPolicy, QUIET);
    await client.next("turn/completed");
    const fork = await client.request("thread/fork", { threadId, approvalPolicy: GIVEN });
    assert.deepEqual(fork.approvalPolicy, WHOLE);
  });
  const files = (await readdir(home, { recursive: true })).filter((name) => name.endsWith(`${threadId}.jsonl`));
  const lines = (await readFile(join(home, files[0] ?? ""), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const written = lines.filter(({ type }) => type === "turn_context").map(({ payload }) => payload.approval_policy);
  assert.deepEqual(written, [WHOLE, QUIET]);
  await lives(async (client, { requests }) => {
    const resumed = await client.request("thread/resume", { threadId, approvalPolicy: QUIET });
    assert.deepEqual(resumed.approvalPolicy, QUIET);
    await client.turn(threadId, "three");
    const told = JSON.stringify(requests[0]?.input).match(/<approval_policy>[a-z-]+/g);
    assert.deepEqual(told, ["<approval_policy>on-request", "<approval_policy>never"]);
  });
});

test("config.toml and -c give it; config/read and v1's saved settings show it in their words", async (t) => {
  const home = await folder(t);
  await writeFile(join(home, "config.toml"), TOML);
  const at = (...flags: string[]) => serve({ server: { home, overrides: flags.map(parseOverride) } });
  await using plain = await at();
  assert.deepEqual((await plain.client.request("thread/start", {})).approvalPolicy, WHOLE);
  assert.deepEqual((await plain.client.request("config/read", {})).config.approval_policy, WHOLE);
  assert.equal((await plain.client.request("getUserSavedConfig")).config.approvalPolicy, "on-request");
  assert.equal((await plain.client.request("thread/start", { approvalPolicy: "never" })).approvalPolicy, "never");
  await using dotted = await at("approval_policy.granular.rules=true");
  const { granular } = (await dotted.client.request("thread/start", {})).approvalPolicy;
  assert.deepEqual(granular, { ...WHOLE.granular, rules: true });
  await using word = await at("approval_policy=on-failure");
  assert.equal((await word.client.request("thread/start", {})).approvalPolicy, "on-failure");
  const config = { approval_policy: QUIET };
  assert.deepEqual((await word.client.request("thread/start", { config })).approvalPolicy, QUIET);
});

test("what is no policy is refused in stock's words, and v1 takes words alone", async () => {
  await using served = await serve();
  const { client } = served;
  const refusal = async (approvalPolicy: Json, method = "thread/start") =>
    (await client.failure(method, { approvalPolicy })).message.replace("Invalid request: ", "");
  const { rules: _, ...unruly } = GIVEN.granular;
  assert.equal(await refusal({ granular: unruly }), "missing field `rules`");
  assert.match(
    await refusal({ granular: { ...GIVEN.granular, rules: 1 } }),
    /invalid type: integer `1`, expected a boolean/,
  );
  assert.equal(
    await refusal("sometimes"),
    "unknown variant `sometimes`, expected one of `untrusted`, `on-failure`, `on-request`, `granular`, `never`",
  );
  assert.equal(await refusal({}), "invalid value: map, expected map with a single key");
  assert.equal(await refusal({ ...GIVEN, more: 1 }), "unknown field `more`");
  assert.match(await refusal({ other: 1 }), /^unknown variant `other`, expected one of/);
  assert.equal(await refusal("granular"), "invalid type: unit variant, expected struct variant");
  assert.match(await refusal(7), /^invalid type: integer `7`, expected string or map$/);
  assert.match(await refusal(GIVEN, "newConversation"), /^invalid value: map/);
});

test("a server's question outside of a turn heeds its flag", async (t) => {
  const cwd = await folder(t);
  await using served = await serve({ manager: { config: { cwd, mcpServers: { fix: fixture("asks", cwd) } } } });
  const { client } = served;
  const form = { message: "Who?", requestedSchema: { type: "object", properties: {} } };
  const heard = async (approvalPolicy: Json, answer?: Json) => {
    const { thread } = await client.request("thread/start", { approvalPolicy });
    const called = client.request("mcpServer/tool/call", {
      ...{ threadId: thread.id, server: "fix", tool: "asks", arguments: form },
    });
    if (answer !== undefined) {
      const { id } = await client.next("mcpServer/elicitation/request");
      client.send({ id: id ?? "", result: answer });
    }
    return JSON.parse((await called).content[0].text);
  };
  const silent = { granular: { ...WHOLE.granular, mcp_elicitations: false } };
  assert.deepEqual(await heard(silent), { action: "decline" });
  assert.deepEqual(await heard(QUIET, { action: "cancel" }), { action: "cancel" });
});
