/**
 * Eleven kinds of secrets through success and failures of a real server: none is in anything that leaves the process, on its
 * streams, to its clients, on the disk or in the argument lists of its children.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WebSocket } from "ws";
import { TestClient } from "../app-server/test-client.ts";
import { completed, created, ModelServer, type Received, type Reply, sse, wholeAnswer } from "../model/model-server.ts";
import { start } from "./skein.ts";

const canary = (kind: string): string => `canary-${kind}-${"q7w"}zz`;
const CANARIES = {
  envKey: canary("env-key"),
  authKey: canary("auth-key"),
  bearerToken: canary("bearer-token"),
  header: canary("header"),
  envHeader: canary("env-header"),
  query: canary("query"),
  password: canary("url-password"),
  mcpEnv: canary("mcp-env"),
  mcpHeader: canary("mcp-header"),
  mcpBearer: canary("mcp-bearer"),
  command: canary("command"),
  listener: canary("listener"),
};

const toml = (model: ModelServer) => `model = "m"
model_provider = "many"
approval_policy = "never"
sandbox_mode = "danger-full-access"
${[
  ["many", model.baseUrl, `env_key = "MODEL_ACCESS"\nhttp_headers = { x-team = "${CANARIES.header}" }`],
  ["token", model.baseUrl, `experimental_bearer_token = "${CANARIES.bearerToken}"`],
  ["password", model.baseUrl.replace("//", `//me:${CANARIES.password}@`), ""],
  ["signed", model.baseUrl, "requires_openai_auth = true"],
  ["gone", `http://me:${CANARIES.password}@127.0.0.1:1/v1`, `experimental_bearer_token = "${CANARIES.bearerToken}"`],
]
  .map(
    ([name, url, more]) => `[model_providers.${name}]
base_url = "${url}"
request_max_retries = 0
stream_max_retries = 0
stream_idle_timeout_ms = 500
env_http_headers = { x-place = "PLACE" }
query_params = { team = "${CANARIES.query}" }
${more}
`,
  )
  .join("")}
[mcp_servers.local]
command = "${process.execPath}"
args = ["-e", "console.error(process.env.SERVER_SETTING); process.exit(1)"]
env = { SERVER_SETTING = "${CANARIES.mcpEnv}" }
[mcp_servers.remote]
url = "${model.baseUrl}/mcp"
http_headers = { x-server = "${CANARIES.mcpHeader}" }
bearer_token_env_var = "SERVER_ACCESS"
`;

/** Tells everything that it was sent, plain and as it came. */
function everythingOf({ url, headers }: Received): string {
  const basic = Buffer.from(String(headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString();
  return `${url} ${JSON.stringify(headers)} ${basic} ${encodeURIComponent(JSON.stringify(headers))}`;
}

const echo: Reply = (response, request) => {
  const message = `Incorrect API key provided: ${everythingOf(request)}`;
  response.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify({ error: { message } }));
};
const brokenOff: Reply = (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write(sse(created), () => response.destroy());
};
const silent: Reply = (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write(sse(created));
};
/** Has a command print its variables and every argument list, then says that this is done. */
const looking: Reply = (response, { body }) => {
  const script = "env; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\\\0' ' ' | grep -a skein; true";
  const call = {
    type: "function_call",
    call_id: "c1",
    name: "exec_command",
    arguments: JSON.stringify({ cmd: script }),
  };
  const text = body.includes("function_call_output")
    ? wholeAnswer("done")
    : sse(created, { type: "response.output_item.done", item: call }, completed);
  response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
};

async function textsUnder(folder: string, skipped: readonly string[]): Promise<[path: string, text: string][]> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile() && !skipped.includes(entry.name));
  return Promise.all(
    files.map(async ({ parentPath, name }): Promise<[string, string]> => {
      const path = join(parentPath, name);
      return [path, await readFile(path, "latin1")];
    }),
  );
}

test("no secret leaves the process", { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "skein-canary-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const home = join(folder, "home");
  await mkdir(home);
  let reply: Reply = looking;
  await using model = await ModelServer.start((response, request) => {
    if (request.url.includes("/mcp")) return echo(response, request);
    return reply(response, request);
  });
  await writeFile(join(home, "config.toml"), toml(model));
  await writeFile(join(home, "auth.json"), JSON.stringify({ OPENAI_API_KEY: CANARIES.authKey }));
  await writeFile(join(folder, "token"), CANARIES.listener);
  const child = start(
    [
      ...["app-server", "--home", home, "--listen", "ws://127.0.0.1:0", "--log-level", "debug"],
      ...["--ws-auth", "capability-token", "--ws-token-file", join(folder, "token")],
    ],
    {
      cwd: folder,
      env: {
        MODEL_ACCESS: CANARIES.envKey,
        PLACE: CANARIES.envHeader,
        SERVER_ACCESS: CANARIES.mcpBearer,
        DATABASE_URL: `postgres://me:${CANARIES.command}@db/x`,
        MYSQL_PWD: CANARIES.command,
        MIRROR: `https://me:${CANARIES.command}@mirror/`,
      },
    },
  );
  t.after(() => child.kill("SIGKILL"));
  const streams = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (streams.stdout += chunk));
  const address = new Promise<string>((resolve) => {
    child.stderr.on("data", (chunk) => {
      streams.stderr += chunk;
      const found = /listening on (ws:\S+)/.exec(streams.stderr);
      if (found?.[1] !== undefined) resolve(found[1]);
    });
  });
  const socket = new WebSocket(await address, { headers: { authorization: `Bearer ${CANARIES.listener}` } });
  await once(socket, "open");
  const said: string[] = [];
  const end = { onText: undefined, onClosed: undefined };
  const client = new TestClient({ ...end, send: (text) => socket.send(text), close: () => socket.close() });
  socket.on("message", (data) => {
    said.push(data.toString());
    client.take(data.toString());
  });
  await client.initialize();

  const seen: string[] = [];
  const turnWith = async (provider: string): Promise<string> => {
    const { thread } = await client.request("thread/start", { modelProvider: provider });
    return (await client.turn(thread.id, "go on")).status;
  };
  // Success, with a command; then a server that echoes, one that breaks off, one that falls silent, and none at all.
  const providers = ["many", "token", "password", "signed"];
  assert.equal(await turnWith("many"), "completed");
  for (const failing of [echo, brokenOff, silent]) {
    reply = failing;
    for (const provider of providers) assert.equal(await turnWith(provider), "failed", provider);
  }
  assert.equal(await turnWith("gone"), "failed");
  for (const { headers, url } of model.requests) seen.push(`${url} ${JSON.stringify(headers)}`);
  for (const method of ["config/read", "account/read", "mcpServerStatus/list", "getUserSavedConfig", "model/list"]) {
    await client.request(method, method === "config/read" ? { includeLayers: true } : {});
  }
  await client.failure("config/value/write", {
    keyPath: "model_providers.many.http_headers",
    value: { "x-team": "[redacted]" },
    mergeStrategy: "replace",
  });
  await writeFile(
    join(home, "config.toml"),
    `experimental_bearer_token = "${CANARIES.bearerToken}\nmodel_providers = 1`,
  );
  await client.failure("thread/start", {});
  await client.failure("config/read", {});
  socket.close();
  child.kill("SIGTERM");
  await once(child, "close");

  const sent = seen.join("\n");
  for (const kind of [
    "envKey",
    "authKey",
    "bearerToken",
    "header",
    "envHeader",
    "query",
    "mcpHeader",
    "mcpBearer",
  ] as const) {
    assert.ok(sent.includes(CANARIES[kind]), `${kind} did not go where it belongs`);
  }
  const said401 = said.find((text) => text.includes("unexpected status 401 Unauthorized: Incorrect API key provided"));
  assert.match(said401 ?? "", /"httpStatusCode":401/);
  const left: [string, string][] = [
    ...Object.entries(streams),
    ...said.map((text): [string, string] => ["a message", text]),
    ...(await textsUnder(home, ["config.toml", "auth.json"])),
  ];
  assert.ok(
    left.some(([path, text]) => path.includes("rollout-") && text.includes("PATH=")),
    "the command told nothing",
  );
  for (const [kind, secret] of Object.entries(CANARIES)) {
    for (const form of [secret, Buffer.from(secret).toString("base64").replace(/=+$/, "").slice(0, -2)]) {
      const where = left.find(([, text]) => text.includes(form));
      assert.ok(where === undefined, `${kind} is in ${where?.[0]}: ${around(where?.[1] ?? "", form)}`);
    }
  }
});

const around = (text: string, secret: string): string => {
  const at = text.indexOf(secret);
  return text.slice(Math.max(0, at - 200), at + 100);
};
