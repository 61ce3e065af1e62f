/** What config writes refuse, in Codex's words. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { folder } from "../turn/tools/tool-turn.ts";
import { type Json, serve } from "./test-client.ts";

const replace = { mergeStrategy: "replace" };
const REFUSED: [Json, string | RegExp, string][] = [
  [{ keyPath: "", value: 1 }, "keyPath must not be empty", "configValidationError"],
  [{ keyPath: "a..b", value: 1 }, "keyPath segments must not be empty", "configValidationError"],
  [{ keyPath: "model", value: 7 }, /model: /, "configValidationError"],
  [
    { keyPath: "model", value: "m", filePath: "/nope" },
    "Only writes to the user config are allowed",
    "configLayerReadonly",
  ],
  [
    { keyPath: "model", value: "m", expectedVersion: "bogus" },
    "Configuration was modified since last read. Fetch latest version and retry.",
    "configVersionConflict",
  ],
];

test("a write that is refused changes nothing; one that is not changes its key", async (t) => {
  const home = await folder(t);
  await using served = await serve({ server: { home } });
  const { client } = served;
  const { version } = await client.request("config/value/write", { keyPath: "model", value: "first", ...replace });
  for (const [params, message, code] of REFUSED) {
    const failure = await client.failure("config/value/write", { ...replace, ...params });
    assert.deepEqual([failure.code, failure.data.config_write_error_code], [-32600, code]);
    assert.match(failure.message, typeof message === "string" ? new RegExp(`^${message}$`) : message);
  }
  const text = () => readFile(join(home, "config.toml"), "utf8");
  assert.equal((await text()).trim(), 'model = "first"');
  const edits = [{ keyPath: '"dotted.key".b', value: 1, ...replace }];
  await client.request("config/batchWrite", { edits, expectedVersion: version });
  assert.match(await text(), /dotted\.key/);
});

test("who is signed in is not told where the provider wants no sign-in", async () => {
  await using served = await serve();
  const { client } = served;
  await client.request("account/login/start", { type: "apiKey", apiKey: "sk-x" });
  const { account, requiresOpenaiAuth } = await client.request("account/read", {});
  assert.deepEqual([account, requiresOpenaiAuth], [null, false]);
  assert.deepEqual(await client.request("getAuthStatus", { includeToken: true }), {
    authMethod: null,
    authToken: null,
    requiresOpenaiAuth: false,
  });
});
