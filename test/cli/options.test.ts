/** Options before and after the command's name, as clients of Codex write them; signing in. */
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { jsonLines, skein } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

const ASK = [
  {
    id: 1,
    method: "initialize",
    params: { clientInfo: { name: "t", version: "1" }, capabilities: { experimentalApi: true } },
  },
  { id: 2, method: "thread/start", params: {} },
  { id: 3, method: "config/read", params: {} },
];

/** What `skein ... app-server ...` answers to thread/start and config/read. */
async function served(args: readonly string[], home: string) {
  const input = ASK.map((each) => `${JSON.stringify(each)}\n`).join("");
  const { code, stdout, stderr } = await skein(args, { env: { CODEX_HOME: home }, input });
  assert.equal(code, 0, stderr);
  const answers = jsonLines(stdout);
  const of = (id: number) => answers.find((each) => each.id === id)?.result as Record<string, Record<string, unknown>>;
  return { thread: of(2), config: of(3).config ?? {} };
}

/** Each as a client writes it: the OpenClaw and the Python SDK put overrides first. */
const LINES: readonly (readonly [args: string[], model: string])[] = [
  [["-c", "model=a", "app-server"], "a"],
  [["--config", 'model="a"', "app-server", "--listen", "stdio://"], "a"],
  [["--config=model=a", "--config", "model_reasoning_effort=high", "app-server"], "a"],
  [["app-server", "-c", "model=a"], "a"],
  [["-c", "model=a", "app-server", "-c", "model=b"], "b"],
  [["-m", "a", "app-server"], "a"],
  [["--profile", "p", "app-server"], "of-profile"],
  [["app-server", "-p", "p", "--analytics-default-enabled", "--stdio"], "of-profile"],
  [["-p", "p", "-m", "a", "app-server", "--session-source", "x"], "a"],
  [["-c=model=a", "app-server"], "a"],
  [["-cmodel=a", "app-server"], "a"],
  [["app-server", "-c=model=b", "-c=model=a"], "a"],
  [["--search", "--no-alt-screen", "--dangerously-bypass-hook-trust", "-m=a", "app-server"], "a"],
  [["-i", "seen.png", "--approve-for-me", "-m", "a", "app-server"], "a"],
];

for (const [args, model] of LINES) {
  test(`skein ${args.join(" ")}`, async (t) => {
    const home = await tempFolder(t);
    await writeFile(join(home, "config.toml"), 'model = "of-file"\n[profiles.p]\nmodel = "of-profile"\n');
    assert.equal((await served(args, home)).thread.model, model);
  });
}

test("features, sandbox, approvals and folder before the command's name take effect", async (t) => {
  const home = await tempFolder(t);
  const { thread, config } = await served(
    [
      "--enable",
      "goals",
      "-s",
      "read-only",
      "-a",
      "never",
      "-C",
      home,
      "app-server",
      "--disable",
      "memories",
      "--enable",
      "collab",
    ],
    home,
  );
  assert.deepEqual(config.features, { goals: true, collab: true, memories: false });
  assert.deepEqual(
    [thread.cwd, thread.approvalPolicy, (thread.sandbox as { type: string }).type],
    [home, "never", "readOnly"],
  );
});

test("the switches that stand for settings are those settings", async (t) => {
  const home = await tempFolder(t);
  const stock = await served(["--approve-for-me", "--oss", "--local-provider", "lmstudio", "app-server"], home);
  assert.deepEqual(
    [stock.thread.approvalPolicy, (stock.thread.sandbox as { type: string }).type, stock.thread.modelProvider],
    ["on-request", "workspaceWrite", "lmstudio"],
  );
  assert.equal((await served(["app-server", "-c", "model_provider=ollama"], home)).thread.modelProvider, "ollama");
  assert.equal((await served(["--oss", "-a", "on-failure", "app-server"], home)).thread.modelProvider, "ollama");
});

test("what stands after -- is words, whatever it looks like", async (t) => {
  const home = await tempFolder(t);
  const { stdout } = await skein(["exec", "--home", home, "--", "-c=model=a"]);
  assert.equal(stdout, "ack: -c=model=a\n");
});

test("exec takes its settings from before its name as well; the nearer one wins", async (t) => {
  const home = await tempFolder(t);
  const events = async (...args: string[]) =>
    jsonLines((await skein([...args, "--home", home, "--json", "hi"])).stdout).map(
      (each) => each.msg as Record<string, unknown>,
    );
  const modelOf = async (...args: string[]) =>
    (await events(...args)).find((msg) => msg?.type === "session_configured")?.model;
  assert.equal(await modelOf("-m", "a", "exec"), "a");
  assert.equal(await modelOf("-m", "a", "exec", "-m", "b"), "b");
  assert.equal(await modelOf("-c", "model=a", "exec"), "a");
});

test("an ephemeral run leaves no thread behind", async (t) => {
  const home = await tempFolder(t);
  assert.match((await skein(["exec", "--ephemeral", "hi", "--home", home])).stdout, /ack: hi/);
  assert.equal((await skein(["list", "--home", home])).stdout, "");
});

test("login stores the key for its owner alone, status tells by its exit code, logout forgets", async (t) => {
  const env = { CODEX_HOME: await tempFolder(t) };
  const file = join(env.CODEX_HOME, "auth.json");
  assert.deepEqual(await skein(["login", "status"], { env }), { code: 1, stdout: "", stderr: "Not logged in\n" });
  const key = "sk-secret-of-the-test";
  const login = await skein(["login", "--with-api-key"], { env, input: `${key}\n` });
  assert.deepEqual(login, { code: 0, stdout: "", stderr: "Successfully logged in\n" });
  assert.equal((JSON.parse(await readFile(file, "utf8")) as { OPENAI_API_KEY: string }).OPENAI_API_KEY, key);
  assert.equal((await stat(file)).mode & 0o077, 0);
  const status = await skein(["login", "status"], { env });
  assert.deepEqual(status, { code: 0, stdout: "", stderr: "Logged in using an API key\n" });
  assert.deepEqual((await skein(["logout"], { env })).stderr, "Successfully logged out\n");
  assert.deepEqual((await skein(["logout"], { env })).stderr, "Not logged in\n");
  const empty = await skein(["login", "--with-api-key"], { env, input: "\n" });
  assert.deepEqual([empty.code, empty.stderr], [1, "error: the API key is empty (invalid_request)\n"]);
});
