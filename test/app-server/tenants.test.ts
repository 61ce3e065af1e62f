/** Clients of one server, each with its own way to a model. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openHome } from "../../src/index.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { ModelServer, type Received, streaming, wholeAnswer } from "../model/model-server.ts";
import { serve, type TestClient } from "./test-client.ts";

async function tenants(t: TestContext) {
  const home = await mkdtemp(join(tmpdir(), "skein-tenants-"));
  const model = await ModelServer.start(streaming(wholeAnswer("ok")));
  const write = (more = "") => writeFile(join(home, "config.toml"), mockProviderToml(model.baseUrl) + more);
  await write();
  const opened = await openHome({ home, env: { KEY_A: "key-of-a" }, cwd: home });
  const fixture = await serve({ manager: opened.options, server: { home: opened, cwd: home } });
  t.after(async () => {
    await fixture[Symbol.asyncDispose]();
    await opened.close();
    await model[Symbol.asyncDispose]();
    await rm(home, { recursive: true });
  });
  const second = fixture.connect();
  await second.initialize();
  return { a: fixture.client, b: second, model, home, write };
}

/** The request that a turn of a thread makes. */
async function heard(client: TestClient, model: ModelServer, threadId: string): Promise<Received> {
  const turn = await client.turn(threadId, "hello");
  assert.equal(turn.status, "completed");
  return model.requests.at(-1) as Received;
}

const startOf = async (client: TestClient, config?: object): Promise<string> =>
  (await client.request("thread/start", config === undefined ? {} : { config })).thread.id;

test("one client's address and key serve its own threads, and nobody else's", async (t) => {
  const { a, b, model } = await tenants(t);
  const ofA = await startOf(a, {
    "model_providers.mock.base_url": model.baseUrl.replace("/v1", "/of-a/v1"),
    "model_providers.mock.http_headers": { authorization: "Bearer a-s-own-key" },
  });
  const first = await heard(a, model, ofA);
  assert.deepEqual([first.url, first.headers.authorization], ["/of-a/v1/responses", "Bearer a-s-own-key"]);
  const ofB = await startOf(b);
  const second = await heard(b, model, ofB);
  assert.deepEqual([second.url, second.headers.authorization], ["/v1/responses", undefined]);
  const ofBWithKey = await startOf(b, { "model_providers.mock.env_key": "KEY_A" });
  assert.equal((await heard(b, model, ofBWithKey)).headers.authorization, "Bearer key-of-a");
  assert.equal((await heard(a, model, ofA)).headers.authorization, "Bearer a-s-own-key");
  assert.equal((await heard(b, model, ofB)).headers.authorization, undefined);
});

test("two clients' providers of one name are two providers; a third client does not know the name", async (t) => {
  const { a, b, model } = await tenants(t);
  const mine = (tenant: string) => ({
    model_provider: "mine",
    "model_providers.mine": { name: "m", base_url: model.baseUrl, http_headers: { "x-tenant": tenant } },
  });
  const [ofA, ofB] = [await startOf(a, mine("a")), await startOf(b, mine("b"))];
  for (const [client, id, tenant] of [
    [a, ofA, "a"],
    [b, ofB, "b"],
    [a, ofA, "a"],
  ] as const) {
    assert.equal((await heard(client, model, id)).headers["x-tenant"], tenant);
  }
  const failure = await a.failure("thread/start", { modelProvider: "mine" });
  assert.match(failure.message, /Model provider `mine` not found/);
});

test("a key that config.toml changes is taken up by the next thread, and by a fork or resume that reads it", async (t) => {
  const { a, model, home, write } = await tenants(t);
  const withToken = (token: string) =>
    writeFile(
      join(home, "config.toml"),
      mockProviderToml(model.baseUrl).replace('name = "mock"', `name = "mock"\nexperimental_bearer_token = "${token}"`),
    );
  await withToken("old-token");
  const old = await startOf(a);
  assert.equal((await heard(a, model, old)).headers.authorization, "Bearer old-token");
  await withToken("new-token");
  assert.equal((await heard(a, model, await startOf(a))).headers.authorization, "Bearer new-token");
  assert.equal((await heard(a, model, old)).headers.authorization, "Bearer old-token");
  const config = { "model_providers.mock.http_headers": { "x-probe": "fork" } };
  const fork = (await a.request("thread/fork", { threadId: old, config })).thread.id;
  const { authorization, "x-probe": probe } = (await heard(a, model, fork)).headers;
  assert.deepEqual([authorization, probe], ["Bearer new-token", "fork"]);
  await write();
  assert.equal((await heard(a, model, await startOf(a))).headers.authorization, undefined);
});
