/** What consoles and JSON show of what a manager gives out: ids and counts, none of its insides. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { createAppServer, linkedWires } from "../../src/app-server/index.ts";
import { openHome, responsesClient, ThreadManager } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";

const SECRET = "s3cr3t-canary-value";

const TOML = `model_provider = "p"
[model_providers.p]
base_url = "http://user:${SECRET}@127.0.0.1:1/v1"
experimental_bearer_token = "${SECRET}"
http_headers = { x-key = "${SECRET}" }
query_params = { api_key = "${SECRET}" }
request_max_retries = 0
stream_max_retries = 0
[mcp_servers.tools]
url = "http://user:${SECRET}@127.0.0.1:1/mcp?token=${SECRET}"
http_headers = { x-key = "${SECRET}" }
enabled = false
[mcp_servers.local]
command = "/nowhere"
args = ["--token", "${SECRET}"]
env = { TOKEN = "${SECRET}" }
enabled = false
`;

/** Every way in which an object ends up in a log. */
const shown = (value: unknown): string[] => [
  JSON.stringify(value) ?? "",
  JSON.stringify({ deep: [value] }),
  inspect(value, { depth: 10, maxStringLength: null, maxArrayLength: null }),
  inspect({ deep: [value] }, { depth: 10 }),
];

test("nothing that a manager gives out shows a secret or its insides", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "skein-shown-"));
  await writeFile(join(folder, "config.toml"), TOML);
  const env = { MY_API_KEY: SECRET, PATH: process.env.PATH };
  const home = await openHome({ home: folder, env, cwd: folder, apiKey: SECRET });
  const manager = await ThreadManager.create(home.options);
  const server = createAppServer(manager, { home, cwd: folder });
  const connection = server.connect(linkedWires().server);
  t.after(async () => {
    await server.close();
    await manager.shutdown();
    await home.close();
    await rm(folder, { recursive: true });
  });
  const events: unknown[] = [];
  manager.events$.subscribe((event) => events.push(event));
  const made = await manager.startThread((await home.reload({ config: { "features.x": true } })).config);
  const { thread } = made;
  const result = await thread.run("hello");
  assert.equal(result.status, "failed");
  const refused = await manager.startThread({ modelProvider: "p", cwd: "relative" }).catch((error: unknown) => error);
  assert.ok(refused instanceof Error);
  const given = {
    manager,
    runtime: runtimeOf(manager),
    made,
    thread,
    incarnation: Reflect.get(thread, "incarnation"),
    terminals: thread.terminals,
    config: thread.config,
    defaults: manager.config,
    supervisor: manager.supervisor,
    supervisorSnapshot: manager.supervisor.getSnapshot(),
    actor: thread.actor,
    control: manager.agentControl(),
    auth: manager.authManager,
    models: manager.modelsManager,
    skills: manager.skillsManager,
    store: manager.store,
    home,
    options: home.options,
    loaded: home.loaded,
    reloaded: await home.reload({ config: {} }),
    configFile: home.configFile,
    source: home.options.model,
    client: responsesClient({ baseUrl: "http://127.0.0.1:1", apiKey: SECRET, headers: { "x-key": SECRET } }),
    server,
    connection,
    events,
    result,
    refused,
  };

  for (const [name, value] of Object.entries(given)) {
    for (const text of shown(value)) assert.ok(!text.includes(SECRET), `${name} shows a secret`);
  }
  for (const value of [
    manager,
    thread.actor,
    manager.supervisor,
    home,
    home.options,
    home.loaded,
    server,
    connection,
  ]) {
    const text = inspect(value, { depth: 10 });
    assert.ok(text.length < 1_000, `${text.slice(0, 200)} ... shows its insides`);
  }
  // As the assertions of node:assert look at what differs.
  for (const actor of [thread.actor, manager.supervisor]) {
    const text = inspect(actor, { depth: 1_000, customInspect: false, showHidden: true });
    assert.ok(text.length < 1_000, `${text.slice(0, 200)} ... is its insides`);
  }
  assert.match(inspect(manager), /ThreadManager: \{ threads: 1/);
  assert.equal(JSON.parse(JSON.stringify(manager)).threads, 1);
});
