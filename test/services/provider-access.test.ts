import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileAuthManager, memoryAuthManager } from "../../src/services/auth-manager.ts";
import { accessTo } from "../../src/services/provider-access.ts";
import { type ProviderTable, providersOf } from "../../src/services/provider-info.ts";
import { tempHome } from "./temp-home.ts";

const provider = (table: ProviderTable, id = "p") => providersOf({ [id]: table }).get(id) ?? assert.fail();
const auth = memoryAuthManager({ apiKey: "sk-user" });

test("the key comes from the environment, else from the file, else from the login where that is wanted", () => {
  const env = { KEY: " sk-env\n" };
  const both = { env_key: "KEY", experimental_bearer_token: "sk-file", requires_openai_auth: true };
  assert.equal(accessTo(provider(both), { env, auth }).apiKey, "sk-env");
  assert.equal(accessTo(provider({ ...both, env_key: undefined }), { env, auth }).apiKey, "sk-file");
  assert.equal(accessTo(provider({}, "openai"), { env, auth }).apiKey, "sk-user");
  assert.equal(accessTo(provider({ requires_openai_auth: true }), { env }).apiKey, undefined);
});

test("the user's credentials never go to a provider that does not want them", () => {
  assert.deepEqual(accessTo(provider({ base_url: "http://elsewhere" }), { env: {}, auth }), {
    apiKey: undefined,
    headers: {},
  });
});

test("a key that the environment lacks is named, with the hint", () => {
  const wanted = provider({ env_key: "KEY", env_key_instructions: "Get one." });
  for (const env of [{}, { KEY: " " }]) {
    assert.throws(() => accessTo(wanted, { env, auth }), {
      code: "invalid_request",
      message: "Missing environment variable: `KEY`. Get one.",
    });
  }
});

test("headers come from the file, and from the environment where it has them", () => {
  const table = { http_headers: { a: "1", b: "2" }, env_http_headers: { b: "B", c: "C", d: "D" } };
  const { headers } = accessTo(provider(table), { env: { B: "env-b", C: "env-c", D: "" } });
  assert.deepEqual(headers, { a: "1", b: "env-b", c: "env-c" });
});

test("a ChatGPT login gives its token and says whose account it is", async (t) => {
  const home = await tempHome(t);
  const tokens = { id_token: "x", access_token: "at", refresh_token: "rt", account_id: "acc" };
  await writeFile(join(home, "auth.json"), JSON.stringify({ tokens }));
  assert.deepEqual(accessTo(provider({}, "openai"), { env: {}, auth: fileAuthManager({ home }) }), {
    apiKey: "at",
    headers: { "chatgpt-account-id": "acc" },
  });
});
